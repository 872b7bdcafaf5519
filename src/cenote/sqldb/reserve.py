"""Space kept back, so that deleting works on a full disk.

Owns: `.cenote/reserve`, a file of no content whose blocks are given up when a commit that only
removes things, or copying the log back, finds the disk full, and taken again when there is room.
Until then commits that add something are refused, else they would take the room at once.
Does not own: which commits may have it (`commit`), when to try again (`housekeeper`).

A delete has to write before it frees: pages of the log, and the log's pages into the database. On
a disk that others have filled to the last block nobody could free space any more, though there is
plenty to free.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["RESERVE_SIZE", "Reserve"]

RESERVE_SIZE: Final = 8 << 20  # bytes: a log that is due to be copied back


class Reserve:
    """The reserve of one directory. Thread-safe."""

    name = "reserve"

    def __init__(self, path: Path, *, wants_tending: Callable[[Reserve], None] | None) -> None:
        """Take the reserve, or ask to be tended until there is room for it."""
        self._path = path
        self._wants_tending = wants_tending
        self._lock = threading.Lock()
        self._held = False
        if self.tend() and wants_tending is not None:
            wants_tending(self)

    def tend(self) -> bool:
        """Take the reserve if it is not held; tell whether to come again."""
        with self._lock:
            if not self._held:
                self._held = self._take()
            return not self._held

    @property
    def is_spent(self) -> bool:
        """Whether what is left on the disk is for deleting: whatever grows is refused."""
        return not self._held

    def spend(self) -> bool:
        """Give the blocks back to the disk; tell whether there were any to give."""
        with self._lock:
            if not self._held:
                return False
            self._held = False
            self._path.unlink(missing_ok=True)
        if self._wants_tending is not None:
            self._wants_tending(self)
        return True

    def _take(self) -> bool:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_SIZE)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            # Where space cannot be kept at all there is nothing to come again for.
            return error.errno not in (errno.ENOSPC, errno.EDQUOT)
        finally:
            os.close(fd)
        return True
