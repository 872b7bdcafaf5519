"""`cenote db put`."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from cenote.cli.db.callbacks import extractor_option, operator_option
from cenote.cli.db.notation import Notation, parse_bytes
from cenote.cli.db.where import Target, notation_options, target_options
from cenote.cli.db.writing import create_option, open_writer

__all__ = ["command"]


@click.command("put")
@target_options
@click.argument("key")
@click.argument("value", required=False)
@click.option(
    "--file", type=click.File("rb"), help="The value is what this file holds; - is stdin."
)
@click.option("--ttl-ms", type=click.IntRange(min=1), help="It expires after so long.")
@click.option("--merge", is_flag=True, help="The value is an operand for the merge operator.")
@create_option
@operator_option
@extractor_option
@notation_options
def command(
    target: Target,
    key: str,
    value: str | None,
    file: BinaryIO | None,
    ttl_ms: int | None,
    merge: bool,
    create: bool,
    operator: Any,
    extractor: Any,
    notation: Notation,
) -> None:
    """Write a value.

    It is durable when the command ends. The command becomes the database's writer: a program that
    has it open for writing is shut out.
    """
    if (value is None) is (file is None):
        raise click.UsageError("give VALUE or --file, one of them")
    data = parse_bytes(value, notation) if value is not None else b""
    if file is not None:
        data = file.read()
    wanted = parse_bytes(key, notation)
    with open_writer(target, create=create, operator=operator, extractor=extractor) as db:
        if merge:
            db.merge(wanted, data, ttl_ms=ttl_ms)
        else:
            db.put(wanted, data, ttl_ms=ttl_ms)
