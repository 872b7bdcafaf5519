"""Rows that are not in a table file yet, by key.

Owns: the versions of each key, which of them are let go, the keys in order, the size.
Does not own: who may write (the caller holds the writer's lock), what a read sees of it.

A key's versions are a *chain*, a tuple `(seq, kind, value, create_ts, expire_ts, older)`, the
newest first; `older` is the next chain or None. Chains are immutable, the dictionary's items are
replaced: a reader needs no lock and never sees half a version.

The order of keys is made when somebody asks for it, and kept: a large sorted list, and a small
one of what came since, which is merged into the large one when it has grown.

Invariants:
1. A version is let go only when a newer one is at or below `keep_from`, and that one is no merge
   operand: whoever reads at `keep_from` or later finds what he would have found.
2. A published list of keys never changes.
3. Nothing is inserted into a frozen memtable.

Why a dictionary and not a sorted structure: an insert costs 0.2 us instead of 2 to 6, and sorting
once for a flush costs less than that saved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from cenote.errors import ClosedError
from cenote.lsm.entry import MERGE, Row
from cenote.lsm.format import CLOCK_TICK_MIN

__all__ = ["ROW_OVERHEAD", "Chain", "Memtable", "let_go"]

Chain = tuple[int, int, bytes, "int | None", "int | None", "Chain | None"]
"""seq, kind, value, create_ts, expire_ts, older."""

ROW_OVERHEAD: Final = 24  # about what a row takes in a file besides its key and its value
_TAIL_MIN: Final = 1024
_SLICE: Final = 4096
_SNAPSHOT_TRIES: Final = 4


class Memtable:
    """The newest rows of a database.

    `chains` is for reading only. `size` is about the bytes the rows take in a file. `first_wal_id`
    is the first log file that may hold a row of it.

    The intake of a writer does by itself what `insert` does, but for `last_seq` and `last_tick`,
    which it sets when it freezes the memtable.
    """

    __slots__ = (
        "__weakref__",
        "_older",
        "_order",
        "chains",
        "first_wal_id",
        "frozen",
        "last_seq",
        "last_tick",
        "size",
    )

    def __init__(self, first_wal_id: int = 1) -> None:
        self.first_wal_id = first_wal_id
        self.chains: dict[bytes, Chain] = {}
        self.size = 0
        self._older = 0  # rows that are not the newest of their key
        self.last_seq = 0
        self.last_tick = CLOCK_TICK_MIN
        self.frozen = False
        self._order: tuple[list[bytes], list[bytes]] = ([], [])

    def insert(
        self,
        key: bytes,
        value: bytes,
        seq: int,
        kind: int,
        create_ts: int | None,
        expire_ts: int | None,
        keep_from: int,
    ) -> None:
        """Make a version of `key`, and let go those that nobody at `keep_from` or later reads.

        Requires: the writer's lock; `seq` is above every earlier one of this key, or equal to
        replace it. Raises ClosedError when frozen.
        """
        if self.frozen:
            raise ClosedError("a frozen memtable takes no rows", kind="frozen")
        chains = self.chains
        old = chains.get(key)
        self.size += len(key) + len(value) + ROW_OVERHEAD
        if old is not None:
            old = self.kept(key, old, seq, kind, keep_from)
        chains[key] = (seq, kind, value, create_ts, expire_ts, old)
        self.last_seq = seq
        if create_ts is not None and create_ts > self.last_tick:
            self.last_tick = create_ts

    def insert_rows(self, rows: Iterable[Row], keep_from: int) -> None:
        """Insert rows in order, as `insert` does each."""
        if self.frozen:
            raise ClosedError("a frozen memtable takes no rows", kind="frozen")
        chains = self.chains
        get = chains.get
        size = count = 0
        tick, seq = self.last_tick, self.last_seq
        for key, value, seq, kind, create_ts, expire_ts in rows:
            old = get(key)
            size += len(key) + len(value)
            count += 1
            if old is not None:
                old = self.kept(key, old, seq, kind, keep_from)
            chains[key] = (seq, kind, value, create_ts, expire_ts, old)
            if create_ts is not None and create_ts > tick:
                tick = create_ts
        self.size += size + count * ROW_OVERHEAD
        self.last_tick, self.last_seq = tick, seq

    def kept(self, key: bytes, old: Chain, seq: int, kind: int, keep_from: int) -> Chain | None:
        """Return what is to stay of `old` below a new version, and let the rest go."""
        self._older += 1
        if old[0] == seq:
            self._forget(key, old, old[5])
            return old[5]
        if kind == MERGE:
            return old
        if keep_from >= seq:
            self._forget(key, old, None)
            return None
        if old[5] is not None and old[0] <= keep_from and old[1] != MERGE:
            self._forget(key, old[5], None)
            return (*old[:5], None)
        return old

    def _forget(self, key: bytes, chain: Chain | None, until: Chain | None) -> None:
        while chain is not None and chain is not until:
            self.size -= len(key) + len(chain[2]) + ROW_OVERHEAD
            self._older -= 1
            chain = chain[5]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.chains) + self._older

    def freeze(self) -> None:
        """Take no more rows. Requires: the writer's lock."""
        self.frozen = True

    def find(self, key: bytes, seq_max: int | None = None) -> Chain | None:
        """Return the newest version of `key` with seq <= `seq_max` (None: any), or None."""
        chain = self.chains.get(key)
        if seq_max is not None:
            while chain is not None and chain[0] > seq_max:
                chain = chain[5]
        return chain

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self.chains)

    def keys(self, start: bytes = b"", end: bytes | None = None) -> list[bytes]:
        """Return the keys start <= key < end as of now, in order (end None: to the last).

        Cost: proportional to what is returned, and to what was inserted since the last call.
        """
        base, tail = self.order()
        found = _between(base, start, end)
        late = _between(tail, start, end)
        if late:
            found += late
            found.sort()  # two runs: one merge
        return found

    def rows(
        self, start: bytes = b"", end: bytes | None = None, seq_max: int | None = None
    ) -> list[Row]:
        """Return every version there is of the keys in a range, in the order of a table.

        With `seq_max`, only those with seq <= `seq_max`.
        """
        return self.rows_of(self.keys(start, end), seq_max)

    def rows_of(self, keys: Iterable[bytes], seq_max: int | None = None) -> list[Row]:
        """Return every version of some keys, each key's newest first."""
        chains = self.chains
        rows: list[Row] = []
        append = rows.append
        for key in keys:
            chain: Chain | None = chains[key]
            if seq_max is not None:
                while chain is not None and chain[0] > seq_max:
                    chain = chain[5]
            while chain is not None:
                seq, kind, value, create_ts, expire_ts, chain = chain
                append((key, value, seq, kind, create_ts, expire_ts))
        return rows

    def order(self) -> tuple[list[bytes], list[bytes]]:
        """Return all keys as two sorted lists, which share none and are never changed afterwards.

        Cost: proportional to what was inserted since the last call.
        """
        order = self._order
        base, tail = order
        known = len(base) + len(tail)
        if len(self.chains) == known:
            return order
        late = self._since(known)
        if len(tail) + len(late) > max(_TAIL_MIN, len(base) // 8):
            order = (sorted(base + tail + late), [])
        else:
            order = (base, sorted(tail + late))
        self._order = order  # a slower reader's may replace it: older, and as true
        return order

    def _since(self, known: int) -> list[bytes]:
        """Return the keys inserted after the first `known`, in any order.

        A dictionary keeps the order of insertion and none of ours is ever deleted.
        """
        chains = self.chains
        for _ in range(_SNAPSHOT_TRIES):
            count = len(chains)
            try:
                late = list(islice(reversed(chains), count - known))
            except RuntimeError:  # another thread inserted a key meanwhile
                continue
            if len(chains) == count:
                return late
        return list(chains)[known:]


def let_go(chains: dict[bytes, Chain]) -> None:
    """Free the chains of a memtable that nobody has any more, a slice at a time.

    Freed at once, half a million rows stop every thread for some 40 ms.
    """
    keys, values = list(chains), list(chains.values())
    chains.clear()
    while keys:
        del keys[-_SLICE:], values[-_SLICE:]


def _between(keys: Sequence[bytes], start: bytes, end: bytes | None) -> list[bytes]:
    first = bisect_left(keys, start) if start else 0
    last = len(keys) if end is None else bisect_left(keys, end, first)
    return list(keys[first:last])
