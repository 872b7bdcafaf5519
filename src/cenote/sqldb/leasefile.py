"""Leases across processes: who may still be reading what, told by file locks.

Owns: the lease file of one bucket, `.cenote/leases/ID`, and both sides of it.
Does not own: leases inside one process (`pins`), giving space back (`reclaim`).

Layout: 8 bytes epoch (one byte used), 8 bytes count of moves, little-endian. What matters are the
locks, shared ones of an open file description (F_OFD_SETLK, fcntl(2)), which the kernel drops when
the process ends, however it ends:
- byte `id` of a body: a lease may be reading what that body owns;
- byte `_WIDE` + epoch: a lease of that epoch is looking up what it will read.

A reader locks its epoch's byte, opens its snapshot, locks the bodies it found, and lets the first
lock go. The writer, before it gives back what a durable commit freed, moves the epoch on, sees
that no older epoch is locked, and then that the body is not. A reader that locks after that look
opens its snapshot after the commit, so it cannot see what was freed.

Invariants:
1. The writer looks at epochs first and at bodies second.
2. The epoch moves on only to a byte nobody holds, so that a very old reader is not taken for new.
3. Bodies never get an id twice; no id reaches `_WIDE`.

Why locks and not counters in shared memory: nobody has to notice that a reader died.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

__all__ = ["ForeignPin", "ForeignPins", "LeaseFile"]

_WIDE: Final = 1 << 62
_EPOCHS: Final = 256
_HEAD: Final = struct.Struct("<QQ")
_LOCK: Final = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux; the process must be 0
_RANGES_MAX: Final = 64


def _lock(fd: int, kind: int, start: int, size: int) -> None:
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(kind, os.SEEK_SET, start, size, 0))


class ForeignPin:
    """One lease's claim: an open file description with locks."""

    __slots__ = ("epoch", "fd", "moves")

    def __init__(self, fd: int, epoch: int, moves: int) -> None:
        self.fd = fd
        self.epoch = epoch
        self.moves = moves


class ForeignPins:
    """A reading process's side: the methods of `Pins` that a lease calls. Thread-safe.

    Cost: 8 us for a lease of one body.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def enter(self) -> ForeignPin:
        """Claim all that is alive now. Raises OSError."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            epoch, moves = _HEAD.unpack(os.pread(fd, _HEAD.size, 0).ljust(_HEAD.size, b"\0"))
            _lock(fd, fcntl.F_RDLCK, _WIDE + epoch % _EPOCHS, 1)
        except BaseException:
            os.close(fd)
            raise
        return ForeignPin(fd, epoch % _EPOCHS, moves)

    def narrow(self, pin: ForeignPin, owners: Iterable[int]) -> None:
        """Claim only these bodies from now on."""
        for start, end in _ranges(owners):
            _lock(pin.fd, fcntl.F_RDLCK, start, end - start)
        _lock(pin.fd, fcntl.F_UNLCK, _WIDE + pin.epoch, 1)

    def leave(self, pin: ForeignPin) -> None:
        """Give the claim up. Harmless when repeated."""
        fd, pin.fd = pin.fd, -1
        if fd >= 0:
            os.close(fd)

    def moves(self, pin: ForeignPin) -> int:
        """Return a number that is another one after bytes were moved."""
        return pin.moves

    def moved(self) -> None:
        """Only the writer moves bytes."""
        raise TypeError("a reading process moves nothing")


def _ranges(owners: Iterable[int]) -> list[tuple[int, int]]:
    """Return ids as half-open ranges: exact ones, or when they are many, one around them all."""
    ranges: list[tuple[int, int]] = []
    for owner in sorted(owners):
        if ranges and ranges[-1][1] == owner:
            ranges[-1] = (ranges[-1][0], owner + 1)
        else:
            ranges.append((owner, owner + 1))
    if len(ranges) > _RANGES_MAX:
        return [(ranges[0][0], ranges[-1][1])]
    return ranges


class LeaseFile:
    """The writing process's side. One thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._clear = False
        self._stuck = False

    def advance(self) -> None:
        """Begin a new epoch, unless a reader of long ago stands in the way. Raises OSError."""
        fd = self._open()
        epoch, moves = self._head(fd)
        following = (epoch + 1) % _EPOCHS
        self._clear = False
        self._stuck = self._is_locked(fd, _WIDE + following, 1)
        if not self._stuck:
            os.pwrite(fd, _HEAD.pack(following, moves), 0)

    def is_free(self, owner: int) -> bool:
        """Tell whether no process reads what `owner` owned, freed before the last `advance`."""
        fd = self._open()
        if self._stuck:
            return False
        if not self._clear:
            epoch, _ = self._head(fd)
            before = epoch and self._is_locked(fd, _WIDE, epoch)
            after = _EPOCHS - epoch - 1
            if before or (after and self._is_locked(fd, _WIDE + epoch + 1, after)):
                return False
            self._clear = True  # and stays so: who comes later sees the commit
        return not self._is_locked(fd, owner, 1)

    def moved(self) -> None:
        """Tell readers that layouts they remember may be out of date. Raises OSError."""
        fd = self._open()
        epoch, moves = self._head(fd)
        os.pwrite(fd, _HEAD.pack(epoch, moves + 1), 0)

    def rest(self) -> None:
        """Close the file; the next use opens it again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def remove(self) -> None:
        """Remove the file: its bucket is gone."""
        self.rest()
        self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._fd

    def _head(self, fd: int) -> tuple[int, int]:
        epoch, moves = _HEAD.unpack(os.pread(fd, _HEAD.size, 0).ljust(_HEAD.size, b"\0"))
        return epoch % _EPOCHS, moves

    def _is_locked(self, fd: int, start: int, size: int) -> bool:
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)
        kind: int = _LOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
        return kind != fcntl.F_UNLCK
