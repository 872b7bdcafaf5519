"""The rows of a range, from all sources at once, in order of their keys or against it.

Owns: putting cursors together, the position, seeks, the limit.
Does not own: what a source has next (`cursor`), what is seen of a key (`merge`).

Each source has a batch at hand. The *window* is what is surely complete: keys up to the least of
the batches' last keys (against the order: down to the greatest of their first keys). The rows of a
window are put together newest source first and sorted by key, which keeps the newest version of a
key first, since the sort is stable; then one pass leaves what is seen.

Invariants:
1. A batch that is returned is final: rows that are seen, merged, unexpired, each key once.
2. What the sources need is fetched together, and nothing twice: a scan keeps the index of the file
   that it is in.
3. A scan reads the view it was made of at one sequence number, whatever is written meanwhile.

Why windows and not a heap: a heap costs a comparison in Python for every row and source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cenote.errors import InvalidError
from cenote.lsm.cursor import Cursor, MemtableCursor, RunCursor, key_of
from cenote.lsm.entry import Row
from cenote.lsm.format import SEQ_MAX
from cenote.lsm.merge import visible_rows
from cenote.lsm.plan import Plan
from cenote.lsm.table import fetch_checked

if TYPE_CHECKING:
    from cenote.lsm.keys import KeyRange
    from cenote.lsm.memtable import Memtable
    from cenote.lsm.options import Reading
    from cenote.lsm.tables import Forest

__all__ = ["Scan"]


class Scan:
    """Rows of a range, batch by batch. Not thread-safe."""

    __slots__ = (
        "_cursors",
        "_end",
        "_forest",
        "_last",
        "_left",
        "_memtables",
        "_part",
        "_parts",
        "_passed",
        "_read",
        "_reverse",
        "_seq_max",
        "_start",
    )

    def __init__(
        self,
        memtables: Sequence[Memtable],
        forest: Forest,
        span: KeyRange,
        read: Reading,
        *,
        reverse: bool = False,
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 0:
            raise InvalidError(f"a limit is 0 or more, not {limit}", kind="invalid_limit")
        self._memtables = memtables
        self._forest = forest
        self._read = read
        self._reverse = reverse
        self._seq_max = SEQ_MAX if read.seq_max is None else read.seq_max
        self._start, self._end = span.span()
        self._left = limit
        self._last: bytes | None = None  # the last key returned
        self._passed: bytes | None = None  # the last key looked at: it may not have been seen
        self._cursors: list[Cursor] = []
        self._plan_parts()

    def next_batch(self) -> Plan[list[Row]]:
        """Return the next rows; none at the end, and from then on.

        Raises DataError, NotFoundError when a file is gone, and what the merge operator raises.
        After an error the scan may be asked again, and goes on where it was.
        """
        while self._left != 0:
            if not self._cursors and not self._open_part():
                break
            yield from self._fill()
            live = [cursor for cursor in self._cursors if cursor.at != cursor.until]
            if not live:
                self._cursors = []
                continue
            rows, places = self._window(live)
            read = self._read
            found = visible_rows(rows, self._seq_max, read.now_ms, read.operator)
            self._passed = rows[0 if self._reverse else -1][0]
            for cursor, at, until in places:
                cursor.at, cursor.until = at, until
            if self._reverse:
                found.reverse()
            if found:
                if self._left is not None:
                    found = found[: self._left]
                    self._left -= len(found)
                self._last = found[-1][0]
                return found
        return []

    def seek(self, key: bytes) -> None:
        """Go on at `key`, or where the next row is: above it, in a reverse scan below.

        A key beyond the end of the range ends the scan; before its start it changes nothing.
        Raises InvalidError(kind="seek_back") for a key that is not ahead of the last row returned.
        """
        last = self._last
        if last is not None and (key >= last if self._reverse else key <= last):
            raise InvalidError(
                "a scan goes one way: the key to seek is not ahead of it", kind="seek_back"
            )
        passed = self._passed
        if passed is not None and (key >= passed if self._reverse else key <= passed):
            return
        if self._reverse:
            stop = key + b"\0"
            if self._end is not None and self._end <= stop:
                return
            self._end = stop
        else:
            if key <= self._start:
                return
            self._start = key
        if self._cursors and self._in_part(key):
            for cursor in self._cursors:
                cursor.seek(key)
        else:
            self._cursors = []
            self._plan_parts()

    # The parts: pieces of the range with one set of sources each.

    def _plan_parts(self) -> None:
        start, end = self._start, self._end
        if end is not None and start >= end:
            self._parts = []
            return
        self._parts = self._forest.parts(start, end)
        if not self._reverse:
            self._parts.reverse()

    def _open_part(self) -> bool:
        """Make the cursors of the next part; tell whether there was one."""
        if not self._parts:
            return False
        start, end, layers = self._parts.pop()
        read, reverse = self._read, self._reverse
        cursors: list[Cursor] = [
            MemtableCursor(memtable, start, end, read, reverse) for memtable in self._memtables
        ]
        cursors += [RunCursor(slots, start, end, read, reverse) for slots in layers]
        self._cursors = cursors
        self._part = (start, end)
        return True

    def _in_part(self, key: bytes) -> bool:
        start, end = self._part
        return start <= key and (end is None or key < end)

    # The window.

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
        if len(live) == 1 and not any(c.more for c in self._cursors if c is not live[0]):
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
