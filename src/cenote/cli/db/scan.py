"""`cenote db scan`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import click

from cenote.cli.db.callbacks import operator_option
from cenote.cli.db.documents import row_document
from cenote.cli.db.notation import Notation, bytes_field, parse_bytes, write_bytes
from cenote.cli.db.reading import open_reader, reader_options
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import Target, json_option, notation_options, target_options
from cenote.lsm import Entry

__all__ = ["command"]


@click.command("scan")
@target_options
@click.option("--prefix", metavar="KEY", help="Keys that begin so.")
@click.option("--start", metavar="KEY", help="Keys from this one on.")
@click.option("--end", metavar="KEY", help="Keys below this one.")
@click.option("--reverse", "-r", is_flag=True, help="The last key first.")
@click.option("--limit", "-n", type=click.IntRange(min=0), help="So many at most.")
@click.option("--keys-only", "-k", is_flag=True, help="No values.")
@reader_options
@operator_option
@notation_options
@json_option
def command(
    target: Target,
    prefix: str | None,
    start: str | None,
    end: str | None,
    reverse: bool,
    limit: int | None,
    keys_only: bool,
    checkpoint: str | None,
    operator: Any,
    notation: Notation,
    as_json: bool,
) -> None:
    """Print keys and values in order.

    A line is a key and its value, with a tab between; with --json the row, with its sequence
    number and times.
    """

    def key(word: str | None) -> bytes | None:
        return None if word is None else parse_bytes(word, notation)

    with open_reader(target, checkpoint, operator) as reader, Sheet() as sheet:
        scan = reader.scan(
            key(start), key(end), prefix=key(prefix), reverse=reverse, cache_blocks=False
        )
        with scan:
            rows: Iterable[Entry] = scan.entries()
            _print(sheet, islice(rows, limit), notation, as_json, keys_only)


def _print(
    sheet: Sheet, rows: Iterable[Entry], notation: Notation, as_json: bool, keys_only: bool
) -> None:
    for row in rows:
        if as_json:
            sheet.json(bytes_field("key", row.key) if keys_only else row_document(row))
        elif keys_only:
            sheet.line(write_bytes(row.key, notation))
        else:
            sheet.line(write_bytes(row.key, notation) + b"\t" + write_bytes(row.value, notation))
