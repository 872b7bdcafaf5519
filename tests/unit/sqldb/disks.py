"""Disks that refuse: a file system below SQLite whose syncs fail when told to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw


class FailingSync(apsw.VFS):
    """A file system below SQLite that cannot sync while `failing`."""

    failing = False

    def __init__(self) -> None:
        super().__init__("failing-sync", "unix")

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        return FailingFile(name, flags)


class FailingFile(apsw.VFSFile):
    def __init__(self, name: object, flags: list[int]) -> None:
        super().__init__("unix", name, flags)  # type: ignore[arg-type]

    def xSync(self, flags: int) -> None:
        if FailingSync.failing:
            raise apsw.IOError("fsync")
        super().xSync(flags)


@contextmanager
def refusing() -> Iterator[None]:
    """Let every sync of SQLite's fail in the block."""
    FailingSync.failing = True
    try:
        yield
    finally:
        FailingSync.failing = False


def killed(root: Path, target: Path) -> Path:
    """Return a copy of a directory as a kill at this moment would leave it."""
    shutil.copytree(root, target, ignore=shutil.ignore_patterns("*-shm", ".cenote"))
    return target
