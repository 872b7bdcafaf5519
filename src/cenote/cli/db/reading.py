"""A database opened to be read, and how commands say of which moment.

Owns: `--checkpoint`, and a reader that does not follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from cenote.cli.db.where import Target, open_target
from cenote.lsm import DbReader

__all__ = ["open_reader", "reader_options"]

F = TypeVar("F", bound=Callable[..., Any])


def reader_options(function: F) -> F:
    """Add --checkpoint, given to the command as `checkpoint`."""
    option = click.option(
        "--checkpoint", metavar="ID_OR_NAME", help="What this one holds, not the latest."
    )
    return option(function)


@contextmanager
def open_reader(target: Target, checkpoint: str | None, operator: Any) -> Iterator[DbReader]:
    """Open a reader that sees what is durable now. It writes nothing."""
    with (
        open_target(target) as place,
        DbReader.open(
            place, checkpoint=checkpoint, follow=False, merge_operator=operator, background=False
        ) as reader,
    ):
        yield reader
