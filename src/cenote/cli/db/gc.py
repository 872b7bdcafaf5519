"""`cenote db gc`."""

from __future__ import annotations

import click
import msgspec

from cenote.base import SystemClock, SystemRand
from cenote.cli.db.where import Target, open_target, target_options
from cenote.lsm import Collected, Collector, GcSettings

__all__ = ["command"]


@click.command("gc")
@target_options
@click.option("--yes", is_flag=True, help="Delete; without it, only tell.")
@click.option(
    "--age-min-ms",
    type=click.IntRange(min=0),
    default=GcSettings().age_min_ms,
    show_default=True,
    help="Nothing younger goes.",
)
@click.option(
    "--fences",
    is_flag=True,
    help="Delete empty log files too: only when no writer of old can still be alive.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(target: Target, yes: bool, age_min_ms: int, fences: bool, as_json: bool) -> None:
    """Remove files that nothing needs any more.

    One collection: expired checkpoints, old manifests and compactions files, log files that were
    flushed, table files that no manifest names, parents that a clone needs no more. Without --yes
    it only tells, and writes nothing.
    """
    settings = GcSettings(age_min_ms=age_min_ms, fences=fences)
    with open_target(target, read_only=not yes) as place:
        collector = Collector(place, settings, clock=SystemClock(), rand=SystemRand())
        collected = collector.collect(dry_run=not yes)
    if as_json:
        document = {"deleted": yes, **msgspec.to_builtins(collected)}
        click.echo(msgspec.json.format(msgspec.json.encode(document)))
    else:
        _print(collected, "removed" if yes else "would remove")


def _print(collected: Collected, word: str) -> None:
    click.echo(f"{word} {collected.count} files, {collected.size} bytes:")
    for name in ("manifests", "compactions", "wal", "tables"):
        click.echo(f"  {name:<12} {getattr(collected, name)}")
    for checkpoint in collected.checkpoints:
        click.echo(f"{word} the expired checkpoint {checkpoint}")
    for path in collected.detached:
        click.echo(f"{word} the hold on {path}")
