"""Blocks, indexes and filters that were read, in memory, within a budget of bytes.

Owns: what is kept, how much it takes, what goes first. Does not own: what is in it (`table`).

Each table file has a `Shelf`, a dictionary from the number of a block (or `META`, the index and the
filters) to what is `Held` of it. A hit is one look-up in that dictionary and one flag set, without
a lock; all changes are made under one.

What goes: a queue is walked from its oldest end; what was used since it was last passed is put back
once, the rest goes. Indexes and filters are in a queue of their own, and go before blocks only when
they take more than half of the budget: each saves a request for every block below it.

Invariants:
1. The sizes of what is held never add up to more than the budget. What alone is larger is not kept.
2. A shelf lives while a table or something held on it does; two tables of one file share it.

Why not least recently used: to move an entry at every hit takes the lock that a hit does without.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Final
from weakref import WeakValueDictionary

__all__ = ["META", "BlockCache", "CacheCounts", "Held", "Shelf"]

META: Final = -1
"""The number under which a file's index and filters are held."""

_DEAD_MIN: Final = 1024


class Held:
    """Something kept. `used` is set by whoever uses it; `value` is None once it has gone."""

    __slots__ = ("number", "shelf", "size", "used", "value")

    def __init__(self, shelf: Shelf | None, number: int, value: Any, size: int) -> None:
        self.shelf = shelf
        self.number = number
        self.value = value
        self.size = size
        self.used = False


class Shelf(dict[int, Held]):
    """What is held of one file, by the block's number. Only `BlockCache` changes it."""

    __slots__ = ("__weakref__",)


class CacheCounts:
    """How often something was found or not, and what had to go. Counted without a lock."""

    __slots__ = ("evictions", "hits", "meta_misses", "misses")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.meta_misses = 0
        self.evictions = 0


class BlockCache:
    """Holds up to `budget` bytes. Thread-safe. May serve several databases: ids are unique."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.counts = CacheCounts()
        self._lock = threading.Lock()
        self._shelves: WeakValueDictionary[str, Shelf] = WeakValueDictionary()
        self._blocks: deque[Held] = deque()
        self._metas: deque[Held] = deque()
        self._block_size = 0
        self._meta_size = 0
        self._live = 0

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return self._block_size + self._meta_size

    @property
    def meta_size(self) -> int:
        """How many of them are indexes and filters."""
        return self._meta_size

    def __len__(self) -> int:
        """Return how many things are held."""
        return self._live

    def shelf(self, sst_id: str) -> Shelf:
        """Return the shelf of a file."""
        with self._lock:
            shelf = self._shelves.get(sst_id)
            if shelf is None:
                shelf = self._shelves[sst_id] = Shelf()
            return shelf

    def keep(self, shelf: Shelf, number: int, value: Any, size: int) -> None:
        """Hold `value`, of `size` bytes, in place of what was held under that number.

        Does nothing when it is larger than the budget.
        """
        if size > self.budget:
            return
        with self._lock:
            old = shelf.get(number)
            if old is not None:
                self._remove(old)
                self._sweep()
            while self._block_size + self._meta_size + size > self.budget:
                self._evict()
            held = Held(shelf, number, value, size)
            shelf[number] = held
            self._live += 1
            if number == META:
                self._metas.append(held)
                self._meta_size += size
            else:
                self._blocks.append(held)
                self._block_size += size

    def drop(self, shelf: Shelf, number: int) -> None:
        """Hold nothing under that number."""
        with self._lock:
            held = shelf.get(number)
            if held is not None:
                self._remove(held)
                self._sweep()

    def forget(self, sst_id: str) -> None:
        """Hold nothing of a file."""
        with self._lock:
            shelf = self._shelves.get(sst_id)
            if shelf is not None:
                for held in list(shelf.values()):
                    self._remove(held)
                self._sweep()

    def clear(self) -> None:
        """Hold nothing."""
        with self._lock:
            for queue in (self._blocks, self._metas):
                for held in queue:
                    if held.shelf is not None:
                        self._remove(held)
                queue.clear()

    def _remove(self, held: Held) -> None:
        """Take something off its shelf. Its place in the queue stays until it is passed."""
        shelf = held.shelf
        if shelf is None:
            return
        del shelf[held.number]
        if held.number == META:
            self._meta_size -= held.size
        else:
            self._block_size -= held.size
        self._live -= 1
        held.shelf = held.value = None

    def _evict(self) -> None:
        """Make some room. Requires: something is held."""
        metas = self._meta_size and (not self._block_size or self._meta_size > self.budget // 2)
        queue = self._metas if metas else self._blocks
        chances = len(queue)  # readers may set the flags again as fast as they are taken away
        while True:
            held = queue.popleft()
            if held.shelf is None:
                continue
            if held.used and chances > 0:
                chances -= 1
                held.used = False
                queue.append(held)
                continue
            self._remove(held)
            self.counts.evictions += 1
            return

    def _sweep(self) -> None:
        """Clear the queues of what is dead, when that is most of them."""
        if len(self._blocks) + len(self._metas) > 2 * self._live + _DEAD_MIN:
            self._blocks = deque([held for held in self._blocks if held.shelf is not None])
            self._metas = deque([held for held in self._metas if held.shelf is not None])
