"""The right to write to a directory, for one process or for a family of them.

Owns: `.cenote/lock`, and what a family shares besides.
Does not own: what is done with the right (`directory`, `outpost`).

The lock (flock) belongs to an open file, and lasts until the last process closes it that inherited
it. So a directory has no new owner while any process of the old family is alive, even when the one
that took the lock was killed.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from cenote.base import SystemClock
from cenote.errors import ConflictError, DeniedError, NotFoundError
from cenote.sqldb.faults import translate
from cenote.sqldb.generations import Generations
from cenote.sqldb.packfile import sync_folder

__all__ = ["Tenure", "make_root", "take_lock"]

_TRIES: Final = 15
_TRY_S: Final = 0.02


def make_root(root: Path) -> None:
    """Make a directory, and those above it, durably. Raises UnavailableError."""
    missing = [path for path in (root, *root.parents) if not path.exists()]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            sync_folder(path.parent)  # else all of it may be gone with the power
    except OSError as error:
        raise translate(error, f"making directory {root}") from error


def take_lock(root: Path) -> int:
    """Lock a directory for writing, and return the descriptor whose closing gives it up.

    Raises as `sqldb.Directory`.
    """
    if not root.is_dir():
        raise NotFoundError(f"{root} is not a directory", kind="no_such_directory")
    own = root / ".cenote"
    try:
        own.mkdir(mode=0o700, exist_ok=True)
        fd = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise DeniedError(
            f"{root} cannot be written to", kind="read_only", hint="open it read-only"
        ) from error
    except OSError as error:
        raise translate(error, f"opening directory {root}") from error
    if not _locks(fd):
        os.close(fd)
        raise ConflictError(
            f"{root} is in use by another process",
            kind="directory_locked",
            hint="stop it, or open the directory read-only",
        )
    return fd


def _locks(fd: int) -> bool:
    """Tell whether the lock was had. Patient: of a family that was killed some may still be dying.

    They need no more than their last system call.
    """
    clock = SystemClock()
    for _ in range(_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            clock.sleep(_TRY_S)
        else:
            return True
    return False


class Tenure:
    """The right of a family of processes, taken by the first before it forks the others.

    `fresh` is true until one of the family has opened the directory: then nobody else can have
    anything of it in hand.
    """

    def __init__(self, root: str | Path, *, create: bool = False) -> None:
        """Take the right. Raises as `sqldb.Directory`."""
        self.root = Path(root)
        if create:
            make_root(self.root)
        self._fd = take_lock(self.root)
        self.generations = Generations()
        self.fresh = True

    def release(self) -> None:
        """Give this process's share of it up. Harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
