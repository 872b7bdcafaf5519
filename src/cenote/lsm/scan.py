"""The rows of a range, from all sources at once, in order of their keys or against it.

Owns: the parts of a range, the position, seeks, the limit, which merge does the work.
Does not own: the merges (`window`, `feed`), what is seen of a key (`merge`).

A range is cut into parts with one set of sources each: where there are segments, a part is what a
segment has of it, or what lies between two. Rising scans go through a compiled kernel where there
is one; all others by windows.

Invariants:
1. A batch that is returned is final: rows that are seen, merged, unexpired, each key once.
2. A scan reads the view it was made of at one sequence number, whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cenote.errors import InvalidError
from cenote.lsm.feed import FedMerge
from cenote.lsm.plan import Plan
from cenote.lsm.table import COMPILED
from cenote.lsm.window import WindowMerge

if TYPE_CHECKING:
    from cenote.lsm.keys import KeyRange
    from cenote.lsm.memtable import Memtable
    from cenote.lsm.options import Reading
    from cenote.lsm.tables import Forest

__all__ = ["Scan"]


class Scan:
    """Rows of a range, batch by batch. Not thread-safe."""

    __slots__ = (
        "_end",
        "_forest",
        "_last",
        "_left",
        "_memtables",
        "_merge",
        "_pairs",
        "_part",
        "_parts",
        "_read",
        "_reverse",
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
        self._start, self._end = span.span()
        self._left = limit
        self._last: bytes | None = None  # the last key returned
        self._merge: FedMerge | WindowMerge | None = None
        self._pairs = False
        self._plan_parts()

    def as_pairs(self) -> bool:
        """Have keys and values come instead of rows, if that is cheaper; tell whether they do.

        Requires: nothing was read yet.
        """
        self._pairs = self._is_fed
        return self._pairs

    @property
    def _is_fed(self) -> bool:
        return COMPILED and not self._reverse and self._forest.is_current

    def next_batch(self, wanted: int = 0) -> Plan[list[Any]]:
        """Return the next rows; none at the end, and from then on.

        `wanted`: about how many the caller needs, when it is known; fewer or more may come.
        Raises DataError, NotFoundError when a file is gone, and what the merge operator raises.
        After an error the scan may be asked again, and goes on where it was.
        """
        while self._left != 0:
            merge = self._merge or self._open_part()
            if merge is None:
                break
            if isinstance(merge, FedMerge):
                found = yield from merge.next_rows(wanted)
            else:
                found = yield from merge.next_rows()
            if not found:
                self._merge = None
                continue
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
        if self._reverse:
            stop = key + b"\0"
            if self._end is not None and self._end <= stop:
                return
            self._end = stop
        else:
            if key <= self._start:
                return
            self._start = key
        if self._merge is not None and self._is_in_part(key):
            self._merge.seek(key)
        else:
            self._merge = None
            self._plan_parts()

    def _plan_parts(self) -> None:
        start, end = self._start, self._end
        if end is not None and start >= end:
            self._parts = []
            return
        self._parts = self._forest.parts(start, end)
        if not self._reverse:
            self._parts.reverse()

    def _open_part(self) -> FedMerge | WindowMerge | None:
        """Begin to merge the next part, if there is one."""
        if not self._parts:
            return None
        start, end, layers = self._parts.pop()
        memtables, read = self._memtables, self._read
        self._part = (start, end)
        if self._is_fed:
            self._merge = FedMerge(memtables, layers, start, end, read, self._pairs)
        else:
            self._merge = WindowMerge(memtables, layers, start, end, read, self._reverse)
        return self._merge

    def _is_in_part(self, key: bytes) -> bool:
        start, end = self._part
        return start <= key and (end is None or key < end)
