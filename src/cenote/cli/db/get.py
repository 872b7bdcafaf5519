"""`cenote db get`."""

from __future__ import annotations

from typing import Any

import click

from cenote.cli.db.callbacks import operator_option
from cenote.cli.db.documents import row_document
from cenote.cli.db.notation import Notation, parse_bytes, to_text, write_bytes
from cenote.cli.db.reading import open_reader, reader_options
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import Target, json_option, notation_options, target_options
from cenote.errors import NotFoundError

__all__ = ["command"]


@click.command("get")
@target_options
@click.argument("key")
@reader_options
@operator_option
@notation_options
@json_option
def command(
    target: Target,
    key: str,
    checkpoint: str | None,
    operator: Any,
    notation: Notation,
    as_json: bool,
) -> None:
    """Print the value of a key.

    --raw prints its bytes and nothing else; --json the row, with its sequence number and times.
    """
    wanted = parse_bytes(key, notation)
    with open_reader(target, checkpoint, operator) as reader, Sheet() as sheet:
        row = reader.entry(wanted)
        if row is None:
            raise NotFoundError(f"there is no key {to_text(wanted)}", kind="no_such_key")
        if as_json:
            sheet.json(row_document(row))
        else:
            sheet.put(write_bytes(row.value, notation), notation is not Notation.RAW)
