"""What a transaction has written, above what it reads.

Owns: its own writes by key, what is seen through them, one key and ranges.
Does not own: what lies below (a `Source` at one sequence number), conflicts (`txn`).

Invariants:
1. A scan sees the writes made before it began, and no later ones: a loop that writes what it
   scans ends.
2. Own rows have the sequence number 0: none was given to them yet.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from operator import itemgetter

from cenote.lsm.batch import Op, fold_chain, no_merge_operator
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Row
from cenote.lsm.merge import MergeOperator
from cenote.lsm.options import expiry_of
from cenote.lsm.plan import Plan
from cenote.lsm.walk import RowScan

__all__ = ["OwnScan", "OwnWrites"]

_KEY = itemgetter(0)


class OwnWrites:
    """The writes of one transaction, by key. Not thread-safe."""

    __slots__ = ("_chains", "_default_ttl", "_now_ms", "_operator")

    def __init__(
        self,
        operator: MergeOperator | None,
        now_ms: Callable[[], int],
        default_ttl_ms: int | None,
    ) -> None:
        self._chains: dict[bytes, list[Op]] = {}
        self._operator = operator
        self._now_ms = now_ms
        self._default_ttl = default_ttl_ms

    def __len__(self) -> int:
        return len(self._chains)

    def add(self, op: Op) -> None:
        """Note a write. Raises InvalidError for a merge without an operator."""
        key = op[0]
        if op[2] == MERGE:
            if self._operator is None:
                raise no_merge_operator()
            earlier = self._chains.get(key)
            if earlier is not None:
                earlier.append(op)
                return
        self._chains[key] = [op]

    def ops(self) -> Sequence[Op]:
        """Return one operation per key. Raises InvalidError, what the operator raises."""
        return [fold_chain(chain, self._operator) for chain in self._chains.values()]

    def covers(self, key: bytes) -> bool:
        """Tell whether what is seen of `key` depends on own writes alone."""
        chain = self._chains.get(key)
        return chain is not None and chain[0][2] != MERGE

    def touches(self, key: bytes) -> bool:
        """Tell whether there are own writes of `key`."""
        return key in self._chains

    def keys(self, start: bytes, end: bytes | None) -> list[bytes]:
        """Return the keys that were written, in a range, in order."""
        return sorted(key for key in self._chains if key >= start and (end is None or key < end))

    def copy(self, keys: Sequence[bytes]) -> OwnWrites:
        """Return the writes of some keys, which later ones do not change."""
        other = OwnWrites(self._operator, self._now_ms, self._default_ttl)
        other._chains = {key: list(self._chains[key]) for key in keys}
        return other

    def seen(self, key: bytes, below: Row | None) -> Row | None:
        """Return what is seen of a key with own writes above `below`."""
        chain = self._chains[key]
        value: bytes | None = None if below is None else below[1]
        expire_ts = None if below is None else below[5]
        operands = []
        now = self._now_ms()
        for _, given, kind, ttl_ms, expire_at_ms in chain:
            if kind == TOMBSTONE:
                value, expire_ts = None, None
                continue
            ends = expiry_of(ttl_ms, expire_at_ms, self._default_ttl, now)
            gone = ends is not None and ends <= now
            if kind == PUT:
                value, expire_ts = (None, None) if gone else (given, ends)
            elif not gone:
                operands.append(given)
                expire_ts = ends
        if operands:
            if self._operator is None:
                raise no_merge_operator()
            value = self._operator.merge(key, value, operands)
        return None if value is None else (key, value, 0, PUT, now, expire_ts)


class OwnScan:
    """Rows of a scan with own writes among them."""

    __slots__ = ("_below", "_ended", "_keys", "_own", "_reverse")

    def __init__(
        self, below: RowScan, own: OwnWrites, keys: Sequence[bytes], reverse: bool
    ) -> None:
        """`keys` are those of `own` in the scan's range, rising."""
        self._below = below
        self._own = own
        self._keys = list(keys)
        self._reverse = reverse
        self._ended = False

    def next_batch(self) -> Plan[list[Row]]:
        """Return the next rows; [] at the end. After an error it goes on where it was."""
        while not self._ended:
            rows = yield from self._below.next_batch()
            own = self._next_keys(rows[-1][0] if rows else None)
            seen = self._mixed(rows, own)
            left = len(self._keys) - len(own)
            self._keys = self._keys[:left] if self._reverse else self._keys[len(own) :]
            self._ended = not rows
            if seen:
                return seen
        return []

    def seek(self, key: bytes) -> None:
        """Go on at `key`. Raises InvalidError when it is not ahead."""
        self._below.seek(key)
        keys = self._keys
        if self._reverse:
            self._keys = keys[: bisect_right(keys, key)]
        else:
            self._keys = keys[bisect_left(keys, key) :]

    def _next_keys(self, last: bytes | None) -> list[bytes]:
        keys = self._keys
        if last is None:
            return keys[:]
        if self._reverse:
            return keys[bisect_left(keys, last) :]
        return keys[: bisect_right(keys, last)]

    def _mixed(self, rows: list[Row], own: list[bytes]) -> list[Row]:
        if not own:
            return rows
        below = {row[0]: row for row in rows}
        mine = {key: self._own.seen(key, below.get(key)) for key in own}
        mixed = [row for row in rows if row[0] not in mine]
        mixed += [row for row in mine.values() if row is not None]
        mixed.sort(key=_KEY, reverse=self._reverse)
        return mixed
