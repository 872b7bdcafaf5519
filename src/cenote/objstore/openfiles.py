"""Files kept open for reading, so that a read is one `pread`.

Owns: the descriptors, and when they are closed.

Invariants:
1. What is read is the file that stood at the path when the read began: a kept descriptor is used
   only while `stat` shows the same device and inode. As the descriptor holds the inode, its number
   cannot have gone to another file meanwhile.
2. A descriptor is closed when nobody reads from it any more, never under a reader.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict

__all__ = ["OpenFile", "OpenFiles"]


class OpenFile:
    """A descriptor that closes itself with its last reference."""

    __slots__ = ("fd", "status")

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.status = os.fstat(self.fd)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class OpenFiles:
    """Up to `count_max` files kept open, the least recently used let go. Thread-safe."""

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._lock = threading.Lock()
        self._files: OrderedDict[str, OpenFile] = OrderedDict()

    def open(self, path: str) -> OpenFile:
        """Return the file at `path`. Raises OSError. Cost: one stat when it is kept."""
        with self._lock:
            kept = self._files.get(path)
            if kept is not None:
                self._files.move_to_end(path)
        if kept is not None:
            try:
                status = os.stat(path, follow_symlinks=False)
            except OSError:
                self.forget(path)
                raise
            if (status.st_ino, status.st_dev) == (kept.status.st_ino, kept.status.st_dev):
                kept.status = status
                return kept
        opened = OpenFile(path)
        with self._lock:
            self._files[path] = opened
            self._files.move_to_end(path)
            if len(self._files) > self._count_max:
                self._files.popitem(last=False)
        return opened

    def forget(self, path: str) -> None:
        """Let a file go that was replaced or removed, so that its space is given back."""
        with self._lock:
            self._files.pop(path, None)

    def clear(self) -> None:
        """Let all go."""
        with self._lock:
            self._files.clear()
