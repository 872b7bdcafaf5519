"""Where a scan stands in one of its sources, and the cursor of a memtable.

Owns: what a cursor is; which keys of a memtable come next, in either direction.
Does not own: tables (`run_cursor`), what is seen of the rows (`merge`), putting sources together
(`window`).

A cursor hands out batches: rows by rising keys in both directions, of which a forward scan takes
from the front (`at`), a reverse one from the back (`until`).

Invariants:
1. A batch has all versions that matter of each of its keys that the source has.
2. Batches of a source do not overlap, and lie within the range.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from cenote.lsm.entry import MERGE, Row
from cenote.lsm.format import SEQ_MAX
from cenote.lsm.plan import Fetch

if TYPE_CHECKING:
    from cenote.lsm.memtable import Chain, Memtable
    from cenote.lsm.options import Reading

__all__ = ["Cursor", "MemtableCursor", "key_of"]

key_of: Final = itemgetter(0)

_KEYS_FIRST: Final = 64
_KEYS_MAX: Final = 2048


class Cursor:
    """Rows of one source: `rows[at:until]` are not taken yet; `more`: others may come after."""

    __slots__ = ("at", "more", "rows", "until")

    rows: list[Row]

    def __init__(self) -> None:
        self.rows = []
        self.at = self.until = 0
        self.more = True

    def prepare(self) -> Fetch | None:
        """Have rows, or no more; or return what must be fetched for it, and given to `take`."""
        raise NotImplementedError

    def take(self, data: Sequence[bytes]) -> None:
        """Take what `prepare` asked for. Raises DataError."""
        raise NotImplementedError

    def seek(self, key: bytes) -> None:
        """Go on at `key`, which lies ahead."""
        raise NotImplementedError

    def _give(self, rows: list[Row]) -> None:
        self.rows = rows
        self.at, self.until = 0, len(rows)

    def _seek_in_rows(self, key: bytes, reverse: bool) -> bool:
        """Go on at `key` if it lies within the rows at hand."""
        rows, at, until = self.rows, self.at, self.until
        if at == until:
            return False
        if reverse:
            if key < rows[at][0]:
                return False
            self.until = bisect_right(rows, key, at, until, key=key_of)
        else:
            if key > rows[until - 1][0]:
                return False
            self.at = bisect_left(rows, key, at, until, key=key_of)
        return True


class MemtableCursor(Cursor):
    """Rows of a memtable as of now: keys inserted later are not seen, all of them too new."""

    __slots__ = ("_base", "_chains", "_count", "_end", "_reverse", "_seq_max", "_start", "_tail")

    def __init__(
        self, memtable: Memtable, start: bytes, end: bytes | None, read: Reading, reverse: bool
    ) -> None:
        super().__init__()
        self._base, self._tail = memtable.order()
        self._chains = memtable.chains
        self._seq_max = SEQ_MAX if read.seq_max is None else read.seq_max
        self._reverse = reverse
        self._start, self._end = start, end
        self._count = _KEYS_FIRST

    def prepare(self) -> Fetch | None:
        while self.at == self.until and self.more:
            self._give(self._rows_of(self._next_keys()))
        return None

    def take(self, data: Sequence[bytes]) -> None:
        raise AssertionError("a memtable asks for nothing")

    def seek(self, key: bytes) -> None:
        if self._seek_in_rows(key, self._reverse):
            return
        self._give([])
        if self._reverse:
            if self._end is None or key + b"\0" < self._end:
                self._end = key + b"\0"
        else:
            self._start = max(self._start, key)

    def _next_keys(self) -> list[bytes]:
        """Return the next keys of both lists, and go behind them."""
        base, start, end, count = self._base, self._start, self._end, self._count
        self._count = min(count * 2, _KEYS_MAX)
        first = bisect_left(base, start)
        last = len(base) if end is None else bisect_left(base, end)
        if self._reverse:
            if last - first > count:
                first = last - count
                start = base[first]
            else:
                self.more = False
            self._end = start
        else:
            if last - first > count:
                last = first + count
                end = base[last]
                self._start = end
            else:
                self.more = False
        keys = base[first:last] if last > first else []
        tail = self._tail
        if tail:
            late = bisect_left(tail, start)
            keys += tail[late : len(tail) if end is None else bisect_left(tail, end)]
            keys.sort()
        return keys

    def _rows_of(self, keys: list[bytes]) -> list[Row]:
        """Return the versions of each key that may be seen, down to the first that settles it."""
        chains, seq_max = self._chains, self._seq_max
        rows: list[Row] = []
        append = rows.append
        for key in keys:
            chain: Chain | None = chains[key]
            while chain is not None:
                seq, kind, value, create_ts, expire_ts, chain = chain
                if seq <= seq_max:
                    append((key, value, seq, kind, create_ts, expire_ts))
                    if kind != MERGE:
                        break
        return rows
