"""`cenote db sst`: table files."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from cenote.cli.db.documents import info_document
from cenote.cli.db.manifest import load_manifest
from cenote.cli.db.notation import Notation
from cenote.cli.db.rows import print_rows
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.tablefile import TableFile, open_table_file
from cenote.cli.db.where import (
    Target,
    json_option,
    notation_options,
    open_target,
    target_options,
)
from cenote.errors import DataError, NotFoundError
from cenote.lsm import Place, check_table
from cenote.lsm import format as files

__all__ = ["command"]


@click.group("sst")
def command() -> None:
    """Look at table files, and check them."""


@command.command("show")
@target_options
@click.argument("ulid", metavar="ID")
def show(target: Target, ulid: str) -> None:
    """Print what a table file says of itself, as JSON: sections, codec, filters, statistics."""
    with open_target(target) as place:
        table = _open(place, ulid)
        filters, stats = table.filters(), table.stats()
    document: dict[str, Any] = {
        "id": ulid,
        "path": table.path,
        "size": table.size,
        "format_version": table.version,
        **info_document(table.info),
        "blocks": len(table.index.offsets),
        "filters": [
            {"name": name, "probes": bloom.probes, "size": len(bloom.bits)}
            for name, bloom in filters.items()
        ],
        "stats": None
        if stats is None
        else {
            "puts": stats.counts.puts,
            "deletes": stats.counts.tombstones,
            "merges": stats.counts.merges,
            "key_bytes": stats.key_bytes,
            "value_bytes": stats.value_bytes,
        },
    }
    click.echo(msgspec.json.format(msgspec.json.encode(document)))


@command.command("dump")
@target_options
@click.argument("ulid", metavar="ID")
@notation_options
@json_option
def dump(target: Target, ulid: str, notation: Notation, as_json: bool) -> None:
    """Print the rows of a table file, all versions, in its order.

    A line is the sequence number, put, delete or merge, the key, the value, and when the row was
    created and expires, with tabs between.
    """
    with open_target(target) as place, Sheet() as sheet:
        for rows in _open(place, ulid).blocks():
            print_rows(sheet, rows, notation, as_json)


@command.command("verify")
@target_options
@click.argument("ulids", metavar="[ID]...", nargs=-1)
@json_option
def verify(target: Target, ulids: tuple[str, ...], as_json: bool) -> None:
    """Read table files whole, and compare what they say twice.

    All that the latest manifest names, or those given. A line each; ends with status 1 when one
    is not as it was written.
    """
    failed = 0
    with open_target(target) as place, Sheet(prompt=True) as sheet:
        _, manifest = load_manifest(place)
        paths = place.tables(manifest)
        handles = {handle.id: handle for handle in manifest.ssts}
        for ulid in ulids or paths:
            rows, told = 0, None
            try:
                table = _open_path(place, paths.get(ulid) or place.table(ulid))
                itself = files.SstHandle(ulid, table.info, table.version)
                rows = check_table(place.store, table.path, handles.get(ulid, itself)).rows
            except (DataError, NotFoundError) as error:
                told = str(error)
                failed += 1
            if as_json:
                sheet.json({"id": ulid, "rows": rows if told is None else None, "error": told})
            else:
                sheet.line(f"{ulid}  {f'{rows} rows' if told is None else told}")
    if failed:
        raise DataError(f"{failed} table files are not as they were written")


def _open(place: Place, ulid: str) -> TableFile:
    try:
        return _open_path(place, place.table(ulid))
    except NotFoundError:
        # It may lie in the database that this one was cloned from.
        path = place.tables(load_manifest(place)[1]).get(ulid)
        if path is None or path == place.table(ulid):
            raise
        return _open_path(place, path)


def _open_path(place: Place, path: str) -> TableFile:
    try:
        table = open_table_file(place.store, path)
    except NotFoundError as error:
        raise NotFoundError(f"there is no table file {path}", kind="no_such_table") from error
    if table is None or table.info.kind is not files.SstKind.TABLE:
        raise DataError(f"{path} is no table file", kind="sst_kind", path=path)
    return table
