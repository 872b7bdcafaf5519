"""Which buckets came to an end, told to other processes through memory they share.

Owns: a table of counters in anonymous shared memory, inherited over fork; a bucket's counter is
found by its name's hash.
Does not own: what a process does about it (`outpost`).

A counter is odd while the files of some bucket are being moved away, and even otherwise. Whoever
opened a bucket keeps the value read before; as long as it stands, the files are the same.

Invariants:
1. One process writes. A value never comes back.
2. A counter has changed before anybody is told that its bucket is gone.

Why no message and acknowledgement: a process that is slow to answer would hold up the delete, and
one look at memory costs 0.1 us.
"""

from __future__ import annotations

import hashlib
import mmap
import threading
import zlib
from collections import Counter
from typing import Final

__all__ = ["Generations"]

SLOTS: Final = 4096


class Generations:
    """The table. Made before the fork of the processes that share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: Counter[int] = Counter()
        self._memory = mmap.mmap(-1, SLOTS * 16)
        whole = memoryview(self._memory).cast("Q")
        self._table = whole[:SLOTS]
        self._going = whole[SLOTS:]  # the marks of the names whose change began last

    def slot(self, name: str) -> int:
        """Return where a bucket's counter is. Several names may share one."""
        return zlib.crc32(name.encode()) % SLOTS

    def at(self, slot: int) -> int:
        """Return a counter's value: one aligned load."""
        return self._table[slot]

    def is_going(self, name: str) -> bool:
        """Tell whether it is this bucket for which its counter is odd, and not one of its hash."""
        return self._going[self.slot(name)] == _mark(name)

    def begin(self, name: str) -> None:
        """Tell that a bucket's files are about to go."""
        slot = self.slot(name)
        with self._lock:
            self._going[slot] = _mark(name)
            self._begun[slot] += 1
            self._table[slot] += 1 if self._begun[slot] == 1 else 2

    def end(self, name: str) -> None:
        """Tell that they are gone, or that all stayed as it was."""
        slot = self.slot(name)
        with self._lock:
            self._begun[slot] -= 1
            self._table[slot] += 2 if self._begun[slot] else 1

    def settle(self) -> None:
        """Put right what a writer left that was killed between `begin` and `end`."""
        for slot, value in enumerate(self._table):
            if value & 1:
                self._table[slot] = value + 1


def _mark(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
