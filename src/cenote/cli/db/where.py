"""Which database a command is pointed at, and the options all of them share.

Owns: the argument URI, `--path` and `--wal`, plain paths made URIs, notations' flags.
Does not own: what a URI means (`cenote.lsm`, `cenote.objstore`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import click
from msgspec import Struct

from cenote.base import SystemRand
from cenote.cli.db.notation import Notation

if TYPE_CHECKING:
    from cenote.lsm import Place

__all__ = ["Target", "as_uri", "json_option", "notation_options", "open_target", "target_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Target(Struct, frozen=True):
    """A database, as it was named."""

    uri: str
    path: str | None = None
    wal: str | None = None


def as_uri(text: str) -> str:
    """Return `text` if it is a URI; else it is a path in the file system, whose URI is returned."""
    if "://" in text:
        return text
    return "file://" + quote(str(Path(text).absolute()))


def target_options(function: F) -> F:
    """Add URI, --path and --wal, given to the command as `target`."""

    @click.argument("uri")
    @click.option("--path", help="The database's folder, when URI names the store alone.")
    @click.option("--wal", metavar="URI", help="The store of the log, if it has one of its own.")
    @wraps(function)
    def wrapped(uri: str, path: str | None, wal: str | None, **rest: Any) -> Any:
        target = Target(as_uri(uri), path, None if wal is None else as_uri(wal))
        return function(target=target, **rest)

    return wrapped  # type: ignore[return-value]


def notation_options(function: F) -> F:
    """Add --hex and --raw, given to the command as `notation`."""

    @click.option("--hex", "is_hex", is_flag=True, help="Keys and values in hexadecimal.")
    @click.option("--raw", "is_raw", is_flag=True, help="Keys and values as they are, unescaped.")
    @wraps(function)
    def wrapped(is_hex: bool, is_raw: bool, **rest: Any) -> Any:
        if is_hex and is_raw:
            raise click.UsageError("--hex and --raw exclude each other")
        notation = Notation.HEX if is_hex else Notation.RAW if is_raw else Notation.TEXT
        return function(notation=notation, **rest)

    return wrapped  # type: ignore[return-value]


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")


@contextmanager
def open_target(
    target: Target, *, read_only: bool = True, reads_log: bool = False
) -> Iterator[Place]:
    """Open the stores of a database, closed at the end; `read_only` ones refuse every write.

    `reads_log`: raise InvalidError(kind="wal_store") when its log is noted to be elsewhere.
    """
    from cenote.lsm import Guard, open_place

    place = open_place(target.uri, target.path, wal=target.wal, read_only=read_only)
    try:
        if reads_log:
            Guard(place, SystemRand()).compare(None)
        yield place
    finally:
        place.close()
