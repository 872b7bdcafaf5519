"""`cenote db verify`."""

from __future__ import annotations

import sys

import click
import msgspec

from cenote.cli.db.where import Target, open_target, target_options
from cenote.lsm import Report, verify

__all__ = ["command"]


@click.command("verify")
@target_options
@click.option("--verbose", "-v", is_flag=True, help="Name each file before it is read.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(target: Target, verbose: bool, as_json: bool) -> None:
    """Check a whole database, byte by byte.

    Every table that the latest manifest or a checkpoint names, checksums and order included; the
    log; what manifests, compactions and parents say of each other. A line per problem; ends with
    status 1 when there is any. Writes nothing, and others may be writing.
    """

    def progress(path: str) -> None:
        click.echo(f"reading {path}", err=True)

    with open_target(target, reads_log=True) as place:
        report = verify(place, progress=progress if verbose else None)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _print(report)
    if not report.is_sound:
        sys.exit(1)


def _print(report: Report) -> None:
    for problem in report.problems:
        click.echo(f"{problem.path}: {problem.kind}: {problem.message}")
    for path in report.orphans:
        click.echo(f"{path}: named by nobody (a collection deletes it when it is old)")
    count = len(report.problems)
    found = f"{count} problem{'s' if count > 1 else ''}" if count else "nothing found"
    click.echo(
        f"manifest {report.manifest}: {report.tables} tables, {report.rows} rows, "
        f"{report.size} bytes; {report.wal_files} log files to replay, {report.wal_rows} rows; "
        f"{report.checkpoints} checkpoints: {found}"
    )
