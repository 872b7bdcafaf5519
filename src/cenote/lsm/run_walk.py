"""The way through the blocks of tables that do not overlap, in either direction, within a range.

Owns: which table and block come next, what is fetched ahead, what of it is at hand.
Does not own: the rows (`run_cursor`), merging blocks without decoding them (`feed`).

Invariants:
1. What is fetched at a time is at most the read-ahead, or one block if that is more; the read-ahead
   doubles from `READAHEAD_MIN` with every fetch, and begins anew after a seek.
2. The index of the table that is read is held: nothing is fetched twice because the cache let go
   of it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cenote.lsm.cursor import Cursor, key_of
from cenote.lsm.meta import Meta
from cenote.lsm.options import READAHEAD_MIN, Reading
from cenote.lsm.plan import Fetch
from cenote.lsm.table import DecodedBlock, Table

if TYPE_CHECKING:
    from cenote.lsm.tables import Slot

__all__ = ["RunWalk"]


class RunWalk(Cursor):
    """A place among the blocks of a sorted run, or of one table of level 0.

    `blocks` are those of the current table that are still to be read; `more`: there are any.
    """

    __slots__ = (
        "_chunk",
        "_chunk_blocks",
        "_is_whole",
        "_known",
        "_readahead",
        "_readahead_max",
        "_wanted",
        "at_slot",
        "blocks",
        "end",
        "keep",
        "meta",
        "reverse",
        "slots",
        "start",
    )

    def __init__(
        self, slots: Sequence[Slot], start: bytes, end: bytes | None, read: Reading, reverse: bool
    ) -> None:
        super().__init__()
        self.slots = slots
        self.start, self.end = start, end
        self.reverse = reverse
        self.keep = read.cache_blocks
        self._readahead = min(READAHEAD_MIN, read.readahead)
        self._readahead_max = read.readahead
        # File bytes of some blocks of a table: the table, the first and the last block, the bytes.
        self._chunk: tuple[Table | None, int, int, bytes] = (None, 0, 0, b"")
        self._chunk_blocks: dict[int, bytes] = {}  # plain bytes that came with the index
        self._is_whole = False  # whether the fetch under way is of a whole file
        self._wanted = range(0)  # blocks of the fetch under way; empty for the index
        self._known: tuple[Table | None, Meta | None] = (None, None)
        self.place()

    def place(self) -> None:
        """Stand before the first table of the range, or behind the last."""
        slots, start, end = self.slots, self.start, self.end
        self.meta: Meta | None = None
        self.blocks = range(0)
        self.more = True
        if self.reverse:
            count = len(slots) if end is None else bisect_left(slots, end, key=key_of)
            self.at_slot = count - 1
        else:
            at = max(bisect_right(slots, start, key=key_of) - 1, 0)
            while at and slots[at].low == start:  # a key may end the table before
                at -= 1
            while at < len(slots) and (stop := slots[at].stop) is not None and stop <= start:
                at += 1
            self.at_slot = at

    def move(self, key: bytes) -> bool:
        """Narrow the range to what lies ahead of `key`; tell whether that changed anything."""
        if self.reverse:
            stop = key + b"\0"
            if self.end is not None and self.end <= stop:
                return False
            self.end = stop
        else:
            if key <= self.start:
                return False
            self.start = key
        self._readahead = min(READAHEAD_MIN, self._readahead_max)
        return True

    def enter(self) -> Fetch | None:
        """See that there is a `meta`, or none behind the last table; or return what to fetch."""
        if not 0 <= self.at_slot < len(self.slots) or self._is_past():
            self.more = False
            self.meta = None
        elif self.meta is None:
            table = self.slots[self.at_slot].table
            known, meta = self._known
            if known is not table:
                meta = table.meta()
            if meta is None:
                return self._meta_fetch(table)
            self._stand_in(table, meta)
        return None

    def take(self, data: Sequence[bytes]) -> None:
        """Take what was fetched. Raises DataError."""
        table = self.slots[self.at_slot].table
        if self.meta is None:
            if self._is_whole:
                meta, self._chunk_blocks = table.read_meta(data[0], 0), {}
                self._chunk = (table, 0, len(meta.first_keys), data[0])
            else:
                meta, self._chunk_blocks = table.take_meta(data, keep=self.keep)
                self._chunk = (table, 0, 0, b"")
            self._stand_in(table, meta)
        else:
            self._chunk = (table, self._wanted.start, self._wanted.stop, data[0])
            self._chunk_blocks = {}

    def _meta_fetch(self, table: Table) -> Fetch:
        """Return the fetch of an index; of the file, when all is wanted and it is not too much."""
        fetch = table.meta_fetch()
        low, stop, _ = self.slots[self.at_slot]
        end = table.info.index_offset + table.info.index_size
        self._is_whole = (
            end <= self._readahead
            and fetch.ranges[0][0] > 0
            and self.start <= low
            and (self.end is None or (stop is not None and stop <= self.end))
        )
        return Fetch(table.path, ((0, end),)) if self._is_whole else fetch

    def leave(self) -> None:
        """Go to the next table when all blocks of this one have been read."""
        if not self.blocks:
            self.meta = None
            self.at_slot += -1 if self.reverse else 1

    def bounds(self) -> tuple[bytes, bytes | None]:
        """Return the keys that are wanted of the current table."""
        low, stop, _ = self.slots[self.at_slot]
        end = self.end
        if stop is not None and (end is None or stop < end):
            end = stop
        return max(self.start, low), end

    def kept(self, table: Table, number: int) -> DecodedBlock | bytes | None:
        """Return what the cache has of a block."""
        held = table.shelf.get(number)
        if held is None:
            return None
        block: DecodedBlock | bytes | None = held.value
        if block is not None:
            held.used = True
            table.counts.hits += 1
        return block

    def fetched(self, table: Table, meta: Meta, number: int) -> bytes | None:
        """Return the plain bytes of a block that was fetched for this walk. Raises DataError."""
        owner, first, stop, data = self._chunk
        if owner is not table:
            return None
        if first <= number < stop:
            return table.unpack(meta, number, data, meta.offsets[first], keep=self.keep)
        return self._chunk_blocks.get(number)

    def fetch(self, table: Table, meta: Meta) -> Fetch:
        """Return the fetch of the next block and as many behind it as the read-ahead says."""
        offsets, size = meta.offsets, self._readahead
        first, stop = self.blocks.start, self.blocks.stop
        if self.reverse:
            first = max(first, min(bisect_left(offsets, offsets[stop] - size), stop - 1))
            while first < stop - 1 and first in table.shelf:
                first += 1
        else:
            stop = min(stop, max(bisect_right(offsets, offsets[first] + size) - 1, first + 1))
            while stop > first + 1 and stop - 1 in table.shelf:
                stop -= 1
        self._readahead = min(size * 2, self._readahead_max)
        self._wanted = range(first, stop)
        return table.blocks_fetch(meta, first, stop)

    def _stand_in(self, table: Table, meta: Meta) -> None:
        self.meta = meta
        self._known = (table, meta)
        start, end = self.bounds()
        self.blocks = range(0) if meta.hides_range(start, end) else meta.blocks(start, end)

    def _is_past(self) -> bool:
        """Tell whether the current table lies behind the end of the range."""
        low, stop, _ = self.slots[self.at_slot]
        if self.reverse:
            return stop is not None and stop <= self.start
        return self.end is not None and low >= self.end
