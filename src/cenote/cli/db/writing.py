"""A database opened to be written by one command.

Owns: what such a writer does not do (compact, collect), and that it makes no database by a slip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from cenote.base import SystemRand
from cenote.cli.db.manifest import no_database
from cenote.cli.db.where import Target, open_target
from cenote.lsm import CompactorSettings, Db, DbSettings, GcSettings, ManifestStore

__all__ = ["create_option", "open_writer"]

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS = DbSettings(
    compactor=CompactorSettings(enabled=False),
    gc=GcSettings(enabled=False),
)


def create_option(function: F) -> F:
    """Add --create, given to the command as `create`."""
    return click.option("--create", is_flag=True, help="Make the database if there is none.")(
        function
    )


@contextmanager
def open_writer(
    target: Target, *, create: bool = False, operator: Any = None, extractor: Any = None
) -> Iterator[Db]:
    """Open a database as its writer; whoever was that before is shut out.

    Raises NotFoundError(kind="no_database") when there is none and `create` is not set.
    """
    if not create:
        with open_target(target) as place:
            if not ManifestStore(place.store, place.root, rand=SystemRand()).numbers():
                raise no_database(place)
    with Db.open(
        target.uri,
        path=target.path,
        wal=target.wal,
        settings=SETTINGS,
        merge_operator=operator,
        segment_extractor=extractor,
    ) as db:
        yield db
