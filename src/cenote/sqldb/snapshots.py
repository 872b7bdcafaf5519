"""The state of a whole directory, kept under a name, and brought back.

Owns: `.cenote/snapshots/NAME/`: the files of every bucket, and the lock tables', as of one moment
each, laid out as in the directory.
Does not own: who may ask for it. It is meant for tests: bringing a state back forgets the present.

A bucket is copied while its writer is held back, so that its file and its packs belong together.
Between two buckets a write may come in.

Invariants:
1. A snapshot is there whole, or not at all: it is built under another name, synced, and renamed.
2. Nothing is dropped before every file of the state to come has been copied.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cenote.errors import InvalidError, NotFoundError
from cenote.ports import IndexTxn
from cenote.sqldb.directory import Directory
from cenote.sqldb.faults import translate
from cenote.sqldb.filenames import LOCK_TABLES, path_of
from cenote.sqldb.packfile import sync_folder

__all__ = ["Snapshots"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Snapshots:
    """The snapshots of an open directory. Blocks; not for an event loop's thread."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._folder = directory.root / ".cenote" / "snapshots"

    def names(self) -> list[str]:
        """Return the names of all snapshots, sorted."""
        try:
            return sorted(path.name for path in self._folder.iterdir() if _is_name(path.name))
        except FileNotFoundError:
            return []

    def save(self, name: str) -> None:
        """Keep the present state under `name`, replacing what was kept so.

        Raises InvalidError for a name that is none, UnavailableError. Cost: a copy of all files.
        """
        target = self._path(name)
        new = target.with_name(f"{name}~new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            for bucket in self._directory.file_names():
                file = path_of(new, bucket)
                file.parent.mkdir(exist_ok=True)
                try:
                    self._directory.open(bucket).copy_to(file.parent)
                except NotFoundError:
                    continue  # it was deleted just now
            _sync_all(new)
            old = target.with_name(f"{name}~old")
            shutil.rmtree(old, ignore_errors=True)
            if target.exists():
                target.rename(old)
            new.rename(target)
            sync_folder(self._folder)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise translate(error, f"saving snapshot {name}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def load(self, name: str) -> None:
        """Bring a state back: every bucket and table is as it was, those made since are gone.

        Raises NotFoundError(kind="no_such_snapshot"), UnavailableError.
        """
        source = self._path(name)
        if not source.is_dir():
            raise NotFoundError(f"there is no snapshot {name}", kind="no_such_snapshot")
        copy = self._directory.root / ".cenote" / "new" / f"snapshot-{os.getpid()}"
        try:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy)
            _sync_all(copy)
            self.reset()
            for name in [path.name.removesuffix(".sqlite3") for path in copy.glob("*.sqlite3")]:
                self._directory.adopt(name, path_of(copy, name))
            if path_of(copy, LOCK_TABLES).exists():
                self._directory.adopt(LOCK_TABLES, path_of(copy, LOCK_TABLES))
        except OSError as error:
            raise translate(error, f"loading snapshot {name}") from error
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def delete(self, name: str) -> None:
        """Forget a snapshot. Raises NotFoundError(kind="no_such_snapshot")."""
        path = self._path(name)
        if not path.is_dir():
            raise NotFoundError(f"there is no snapshot {name}", kind="no_such_snapshot")
        shutil.rmtree(path, ignore_errors=True)

    def reset(self) -> None:
        """Forget every bucket, table and all in them. Snapshots stay."""
        for name in self._directory.file_names():
            try:
                self._directory.delete(name, _close)
            except NotFoundError:
                continue

    def _path(self, name: str) -> Path:
        if not _is_name(name):
            raise InvalidError(
                f"{name!r} is no name of a snapshot: letters, digits, . _ -, up to 64",
                kind="invalid_argument",
            )
        return self._folder / name


def _close(txn: IndexTxn) -> None:
    txn.close_bucket()


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def _sync_all(folder: Path) -> None:
    for path in _walk(folder):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _walk(folder: Path) -> Iterator[Path]:
    """Yield everything below a folder, and itself last. None of it is open in SQLite."""
    for path in folder.iterdir():
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path
    yield folder
