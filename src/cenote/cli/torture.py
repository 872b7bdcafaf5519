"""`cenote torture`."""

from __future__ import annotations

import sys

import click

from cenote.objstore import Verdict, open_store, torture

__all__ = ["command"]


@click.command("torture")
@click.argument("uri")
@click.option("--writers", default=32, show_default=True, type=click.IntRange(2, 256))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
def command(uri: str, writers: int, rounds: int) -> None:
    """Try whether an object store keeps its promises under a race.

    URI is memory://, file:///DIR, sqlite://DIR/BUCKET, s3://BUCKET/PREFIX, gs:// or az://. All
    work is done in a new folder there, which is removed again.

    Ends with status 1 when the store breaks a promise, ignores a condition, or has no conditional
    put at all.
    """
    failed = False
    able = False
    with open_store(uri) as store:
        click.echo(store.name)
        for line in torture(store, racers=writers, rounds=rounds):
            verdict = line.trial.verdict
            failed = failed or verdict in (Verdict.IGNORED, Verdict.BROKEN)
            able = able or (line.name.startswith("put if") and verdict is Verdict.HONOURED)
            note = f"  {line.trial.note}" if line.trial.note else ""
            click.echo(f"{line.name:<30} {line.rounds:>4} x  {verdict.value}{note}")
    if failed:
        click.echo("not to be trusted", err=True)
    elif not able:
        click.echo("no conditional put", err=True)
    if failed or not able:
        sys.exit(1)
