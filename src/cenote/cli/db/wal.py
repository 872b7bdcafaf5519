"""`cenote db wal`: the files of the log."""

from __future__ import annotations

import click

from cenote.cli.db.folder import file_document, list_files, time_text
from cenote.cli.db.manifest import no_database
from cenote.cli.db.notation import Notation
from cenote.cli.db.rows import print_rows
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.tablefile import open_table_file
from cenote.cli.db.where import (
    Target,
    json_option,
    notation_options,
    open_target,
    target_options,
)
from cenote.errors import DataError, NotFoundError
from cenote.lsm import Place
from cenote.lsm import format as files

__all__ = ["command"]

NUMBER = click.IntRange(min=1)


@click.group("wal")
def command() -> None:
    """Look at the files of the log."""


@command.command("list")
@target_options
@json_option
def list_(target: Target, as_json: bool) -> None:
    """List the files of the log, the oldest first; one of no bytes is a fence."""
    with open_target(target, reads_log=True) as place, Sheet() as sheet:
        found = False
        for file_id, meta in list_files(place, files.FileKind.WAL):
            found = True
            if as_json:
                sheet.json(file_document(file_id, meta) | {"is_fence": not meta.size})
            else:
                note = "" if meta.size else "  fence"
                sheet.line(f"{time_text(meta.modified_ms)} {meta.size:>12}  {file_id}{note}")
        if not found and not any(list_files(place, files.FileKind.MANIFEST)):
            raise no_database(place)


@command.command("dump")
@target_options
@click.argument("number", type=NUMBER, required=False)
@click.option("--from", "first", type=NUMBER, help="Begin with this file.")
@click.option("--to", "last", type=NUMBER, help="End with this file.")
@notation_options
@json_option
def dump(
    target: Target,
    number: int | None,
    first: int | None,
    last: int | None,
    notation: Notation,
    as_json: bool,
) -> None:
    """Print the rows of one file of the log, or of all there are.

    A line is the sequence number, put, delete or merge, the key, the value, and when the row was
    created and expires, with tabs between.
    """
    if number is not None and (first is not None or last is not None):
        raise click.UsageError("NUMBER and --from or --to exclude each other")
    with open_target(target, reads_log=True) as place, Sheet() as sheet:
        if number is not None:
            _dump(sheet, place, number, notation, as_json)
            return
        after = files.wal_name(first - 1) if first is not None and first > 1 else ""
        for file_id, _ in list_files(place, files.FileKind.WAL, after):
            if last is not None and int(file_id) > last:
                return
            _dump(sheet, place, int(file_id), notation, as_json)


def _dump(sheet: Sheet, place: Place, number: int, notation: Notation, as_json: bool) -> None:
    path = place.path(files.wal_name(number))
    try:
        table = open_table_file(place.wal_store, path)
    except NotFoundError as error:
        raise NotFoundError(f"there is no log file {number}", kind="no_such_wal") from error
    if table is None:
        return
    if table.version > 1 and table.index.offsets and table.info.kind is not files.SstKind.WAL:
        raise DataError(f"{path} is a table file, not one of a log", kind="sst_kind", path=path)
    for rows in table.blocks():
        print_rows(sheet, rows, notation, as_json)
