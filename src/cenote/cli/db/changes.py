"""`cenote db changes`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import click

from cenote.base import SystemClock
from cenote.cli.db.documents import row_document
from cenote.cli.db.manifest import no_database
from cenote.cli.db.notation import Notation
from cenote.cli.db.rows import print_rows
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import (
    Target,
    json_option,
    notation_options,
    open_target,
    target_options,
)
from cenote.lsm import Change, Changes, WalFiles

__all__ = ["command"]


@click.command("changes")
@target_options
@click.option("--after-wal", type=click.IntRange(min=0), help="Begin after this file of the log.")
@click.option("--after-seq", type=click.IntRange(min=0), help="Begin after this sequence number.")
@click.option("--follow", "-f", is_flag=True, help="Wait for more, until interrupted.")
@click.option("--timeout-ms", type=click.IntRange(min=0), help="With --follow: wait no longer.")
@click.option("--limit", "-n", type=click.IntRange(min=0), help="So many at most.")
@notation_options
@json_option
def command(
    target: Target,
    after_wal: int | None,
    after_seq: int | None,
    follow: bool,
    timeout_ms: int | None,
    limit: int | None,
    notation: Notation,
    as_json: bool,
) -> None:
    """Print what was written, in order, as it was logged.

    From the oldest file of the log that is there, or after a position; "wal" in the JSON is the
    one to go on after. A line is the sequence number, put, delete or merge, the key, the value,
    and when the row was created and expires, with tabs between. Changes that were collected before
    they were read are an error, never left out.
    """
    if timeout_ms is not None and not follow:
        raise click.UsageError("--timeout-ms goes with --follow")
    with open_target(target, reads_log=True) as place, Sheet(prompt=follow) as sheet:
        files = WalFiles(place.wal_store, place.root)
        if not files.numbers() and not place.store.list_page(place.path("manifest")).objects:
            raise no_database(place)
        changes = Changes(files, after_wal=after_wal, after_seq=after_seq, clock=SystemClock())
        found = changes.follow(timeout_ms) if follow else iter(changes)
        _print(sheet, islice(found, limit), notation, as_json)


def _print(sheet: Sheet, changes: Iterable[Change], notation: Notation, as_json: bool) -> None:
    for change in changes:
        row = change[:6]
        if as_json:
            sheet.json(row_document(row) | {"wal": change.wal})
        else:
            print_rows(sheet, [row], notation, False)
