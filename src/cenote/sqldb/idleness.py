"""Memory: what buckets keep open and nobody uses is given back.

Owns: when a bucket rests for want of use, the bound on SQLite's memory in this process, and giving
freed memory back to the system.
Does not own: how a bucket rests (`bucketfile`), or the thread this runs on (`housekeeper`).

Every bucket in use has a writer's page cache of up to 8 MiB and up to four readers' of 2 MiB; each
is worth it for a bucket under load, and hundreds of them would be half a gigabyte.

Invariants:
1. A bucket that nobody asked for in `IDLE_S` seconds has nothing open; the next use opens it again,
   in about a millisecond.
2. Once a second, when SQLite's memory is above `USED_MAX`, the buckets used least lately rest until
   it is below `USED_KEPT`, but never the one used last.

Why not SQLite's soft heap limit: it makes the busy bucket recycle its own few pages, and leaves
the idle ones theirs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import apsw

from cenote.base import Clock, SystemClock

__all__ = ["IDLE_S", "USED_KEPT", "USED_MAX", "Idleness", "Resting"]

IDLE_S: Final = 10
USED_MAX: Final = 32 << 20
USED_KEPT: Final = 24 << 20
_WORTH_TRIMMING: Final = 2 << 20
_BEAT_S: Final = 1.0

# glibc keeps what is freed for later; other C libraries have no such call, nor the need.
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Resting(Protocol):
    """A bucket. `beats` counts the seconds since it was asked for, and who asks sets it to 0."""

    beats: int

    def rest(self) -> None: ...


class Idleness:
    """What a directory's housekeeper does about its memory. `buckets`: the one used last, last."""

    name = "memory"

    def __init__(
        self,
        buckets: Callable[[], Sequence[Resting]],
        *,
        clock: Clock | None = None,
        used_max: int = USED_MAX,
        used_kept: int = USED_KEPT,
    ) -> None:
        self._buckets = buckets
        self._clock = clock or SystemClock()
        self._used_max = used_max
        self._used_kept = used_kept
        self._last = self._clock.monotonic()

    def tend(self) -> bool:
        """Let buckets rest that should; tell whether there are any to watch."""
        now = self._clock.monotonic()
        if now - self._last < _BEAT_S:
            return True
        self._last = now
        before = used = apsw.memory_used()
        buckets = self._buckets()
        for bucket in buckets:
            bucket.beats += 1
            if bucket.beats % IDLE_S == 0:
                bucket.rest()
        for bucket in buckets[:-1] if used > self._used_max else ():
            used = apsw.memory_used()
            if used <= self._used_kept:
                break
            bucket.rest()
        if _trim is not None and before - apsw.memory_used() > _WORTH_TRIMMING:
            _trim(0)
        return bool(buckets)
