"""Several sources merged by windows, in either direction.

Owns: putting cursors together. Does not own: what a source has next (`cursor`, `run_cursor`), what
is seen of a key (`merge`).

Each source has a batch at hand. The *window* is what is surely complete: keys up to the least of
the batches' last keys (against the order: down to the greatest of their first keys). The rows of a
window are put together newest source first and sorted by key, which keeps the newest version of a
key first, since the sort is stable; then one pass leaves what is seen.

Invariants:
1. What the sources need is fetched together.
2. A key that was looked at is never looked at again, after a seek neither: it would be missed in
   the sources that have passed it.

Why windows and not a heap: a heap costs a comparison in Python for every row and source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cenote.lsm.cursor import Cursor, MemtableCursor, key_of
from cenote.lsm.entry import Row
from cenote.lsm.format import SEQ_MAX
from cenote.lsm.merge import visible_rows
from cenote.lsm.plan import Plan
from cenote.lsm.run_cursor import RunCursor
from cenote.lsm.table import fetch_checked

if TYPE_CHECKING:
    from cenote.lsm.memtable import Memtable
    from cenote.lsm.options import Reading
    from cenote.lsm.tables import Slot

__all__ = ["WindowMerge"]


class WindowMerge:
    """What is seen of the keys in a range, from memtables and runs, the newest first."""

    __slots__ = ("_cursors", "_passed", "_read", "_reverse", "_seq_max")

    def __init__(
        self,
        memtables: Sequence[Memtable],
        layers: Sequence[Sequence[Slot]],
        start: bytes,
        end: bytes | None,
        read: Reading,
        reverse: bool,
    ) -> None:
        self._read = read
        self._reverse = reverse
        self._seq_max = SEQ_MAX if read.seq_max is None else read.seq_max
        cursors: list[Cursor] = [
            MemtableCursor(memtable, start, end, read, reverse) for memtable in memtables
        ]
        cursors += [RunCursor(slots, start, end, read, reverse) for slots in layers]
        self._cursors = cursors
        self._passed: bytes | None = None  # the last key looked at

    def next_rows(self) -> Plan[list[Row]]:
        """Return the next rows, in the direction of the scan; none at the end."""
        while True:
            yield from self._fill()
            live = [cursor for cursor in self._cursors if cursor.at != cursor.until]
            if not live:
                return []
            rows, places = self._window(live)
            read = self._read
            found = visible_rows(rows, self._seq_max, read.now_ms, read.operator)
            self._passed = rows[0 if self._reverse else -1][0]
            for cursor, at, until in places:
                cursor.at, cursor.until = at, until
            if found:
                if self._reverse:
                    found.reverse()
                return found

    def seek(self, key: bytes) -> None:
        """Go on at `key`, which lies ahead of the last row returned."""
        passed = self._passed
        if passed is not None and (key >= passed if self._reverse else key <= passed):
            return
        for cursor in self._cursors:
            cursor.seek(key)

    def _fill(self) -> Plan[None]:
        """See that each cursor has rows, or no more."""
        asking = [cursor for cursor in self._cursors if cursor.at == cursor.until and cursor.more]
        while asking:
            wanted = [(cursor, cursor.prepare()) for cursor in asking]
            fetches = [(cursor, fetch) for cursor, fetch in wanted if fetch is not None]
            if not fetches:
                return
            found = yield from fetch_checked([fetch for _, fetch in fetches])
            for (cursor, _), data in zip(fetches, found, strict=True):
                cursor.take(data)
            asking = [cursor for cursor, _ in fetches]

    def _window(self, live: Sequence[Cursor]) -> tuple[list[Row], list[tuple[Cursor, int, int]]]:
        """Return the rows that are complete, sorted, and where that leaves the cursors."""
        if len(live) == 1:  # the others have no more: no window, no sort
            cursor = live[0]
            at, until = cursor.at, cursor.until
            rows = cursor.rows
            if at or until < len(rows):
                rows = rows[at:until]
            return rows, [(cursor, until, until)]
        rows = []
        places = []
        if self._reverse:
            bounds = [cursor.rows[cursor.at][0] for cursor in live if cursor.more]
            low = max(bounds) if bounds else b""
            for cursor in live:
                at, until = cursor.at, cursor.until
                cut = bisect_left(cursor.rows, low, at, until, key=key_of)
                rows += cursor.rows[cut:until]
                places.append((cursor, at, cut))
        else:
            bounds = [cursor.rows[cursor.until - 1][0] for cursor in live if cursor.more]
            high = min(bounds) if bounds else None
            for cursor in live:
                at, until = cursor.at, cursor.until
                cut = until
                if high is not None:
                    cut = bisect_right(cursor.rows, high, at, until, key=key_of)
                rows += cursor.rows[at:cut]
                places.append((cursor, cut, until))
        rows.sort(key=key_of)
        return rows, places
