"""`cenote db delete`."""

from __future__ import annotations

from typing import Any

import click

from cenote.cli.db.callbacks import extractor_option
from cenote.cli.db.notation import Notation, parse_bytes
from cenote.cli.db.where import Target, notation_options, target_options
from cenote.cli.db.writing import open_writer
from cenote.lsm import WriteBatch

__all__ = ["command"]


@click.command("delete")
@target_options
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@extractor_option
@notation_options
def command(target: Target, keys: tuple[str, ...], extractor: Any, notation: Notation) -> None:
    """Delete keys.

    All together, whether they are there or not. The command becomes the database's writer: a
    program that has it open for writing is shut out.
    """
    batch = WriteBatch()
    for key in keys:
        batch.delete(parse_bytes(key, notation))
    with open_writer(target, extractor=extractor) as db:
        db.write(batch)
