"""The files of a directory by name: which names there may be, where their files are, what is there.

Owns: the names of buckets' files and of the lock tables', listing them.
Does not own: what is in them (`bucketfile`), making and dropping them (`directory`).

Invariants:
1. A name that is not 3 to 63 of `a-z 0-9 . -`, or the lock tables', never reaches the file system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from cenote.sqldb.faults import translate
from cenote.sqldb.schema import header_verdict

__all__ = [
    "LOCK_TABLES",
    "SUFFIX",
    "is_bucket_file",
    "is_bucket_name",
    "is_file_name",
    "path_of",
    "scan",
]

LOCK_TABLES: Final = ".tables"
SUFFIX: Final = ".sqlite3"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def scan(
    root: Path, unless_open: Callable[[str, Callable[[], str | None]], str | None]
) -> list[tuple[str, str | None]]:
    """Return what may be buckets in `root`: names, and why one is not served, or None.

    `unless_open(name, look)` returns what `look` does, or None without calling it when this process
    has the bucket open: to close a file gives up all of the process's POSIX locks on it, SQLite's
    too, and another program's SQLite may then take itself for the last user and remove the log.
    Raises UnavailableError.
    """
    found: list[tuple[str, str | None]] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    name = entry.name.removesuffix(SUFFIX)
                    note = unless_open(name, partial(_verdict, entry))
                    found.append((entry.name if note else name, note))
    except OSError as error:
        raise translate(error, f"listing {root}") from error
    return sorted(found, key=lambda item: item[0])


def _verdict(entry: os.DirEntry[str]) -> str | None:
    if not is_bucket_name(entry.name.removesuffix(SUFFIX)):
        return "not a bucket's name"
    try:
        if not entry.is_file(follow_symlinks=False):
            return "not a plain file"
        with open(entry.path, "rb") as file:  # noqa: PTH123 - it is a path already
            return header_verdict(file.read(100))
    except OSError as error:
        return f"unreadable: {error.strerror}"


def is_bucket_name(name: str) -> bool:
    """Tell whether a bucket's file may have this name."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def is_file_name(name: str) -> bool:
    """Tell whether there may be a file of this name: a bucket's, or the lock tables'."""
    return name == LOCK_TABLES or is_bucket_name(name)


def path_of(root: Path, name: str) -> Path:
    """Return where a bucket's file, or the lock tables', is. Requires: `is_file_name`."""
    if name == LOCK_TABLES:
        return root / ".cenote" / f"tables{SUFFIX}"
    return root / f"{name}{SUFFIX}"


def is_bucket_file(path: Path) -> bool:
    """Tell whether a file is one of ours, by its head. Nobody here has it open."""
    with path.open("rb") as file:
        return header_verdict(file.read(100)) is None
