"""Where a scan stands in one of its sources: a memtable, or tables by rising keys.

Owns: which block or key comes next in either direction, what is fetched ahead, clipping to a range.
Does not own: what is seen of the rows (`merge`), putting sources together (`scan`).

A cursor hands out batches: rows by rising keys in both directions, of which a forward scan takes
from the front (`at`), a reverse one from the back (`until`).

Invariants:
1. A batch has all versions of each of its keys that the source has. A key that may go on in the
   next block is held back until that block was read.
2. Batches of a source do not overlap, and lie within the range.
3. What is fetched for one cursor at a time is at most the read-ahead, or one block if that is more;
   the read-ahead doubles from `READAHEAD_MIN` with every fetch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from cenote.lsm.entry import MERGE, Row
from cenote.lsm.options import READAHEAD_MIN, Reading
from cenote.lsm.plan import Fetch
from cenote.lsm.table import DecodedBlock, Meta, Table

if TYPE_CHECKING:
    from cenote.lsm.memtable import Memtable
    from cenote.lsm.tables import Slot

__all__ = ["Cursor", "MemtableCursor", "RunCursor", "key_of"]

key_of: Final = itemgetter(0)

_KEYS_FIRST: Final = 64
_KEYS_MAX: Final = 2048
_BLOCKS_MAX: Final = 32  # of a batch: enough to spread the cost of a window, little enough to hold


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

    __slots__ = ("_base", "_count", "_end", "_find", "_reverse", "_seq_max", "_start", "_tail")

    def __init__(
        self, memtable: Memtable, start: bytes, end: bytes | None, read: Reading, reverse: bool
    ) -> None:
        super().__init__()
        self._base, self._tail = memtable.order()
        self._find = memtable.find
        self._seq_max = read.seq_max
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
        find, seq_max = self._find, self._seq_max
        rows: list[Row] = []
        for key in keys:
            chain = find(key, seq_max)
            while chain is not None:
                seq, kind, value, create_ts, expire_ts, older = chain
                rows.append((key, value, seq, kind, create_ts, expire_ts))
                chain = older if kind == MERGE else None
        return rows


class RunCursor(Cursor):
    """Rows of tables that do not overlap: a sorted run, or one table of level 0."""

    __slots__ = (
        "_blocks",
        "_chunk",
        "_chunk_blocks",
        "_end",
        "_held",
        "_keep",
        "_known",
        "_meta",
        "_next",
        "_now",
        "_readahead",
        "_readahead_max",
        "_reverse",
        "_slots",
        "_start",
        "_wanted",
    )

    def __init__(
        self, slots: Sequence[Slot], start: bytes, end: bytes | None, read: Reading, reverse: bool
    ) -> None:
        super().__init__()
        self._slots = slots
        self._start, self._end = start, end
        self._reverse = reverse
        self._keep = read.cache_blocks
        self._readahead = min(READAHEAD_MIN, read.readahead)
        self._readahead_max = read.readahead
        self._chunk: tuple[Table | None, int, int, bytes] = (None, 0, 0, b"")
        self._chunk_blocks: dict[int, bytes] = {}
        self._known: tuple[Table | None, Meta | None] = (None, None)  # for a seek
        self._place()

    def _place(self) -> None:
        """Stand before the first table of the range, or behind the last."""
        slots, start, end = self._slots, self._start, self._end
        self._meta: Meta | None = None
        self._held: list[Row] = []
        self._wanted = range(0)  # blocks of the fetch under way; empty for the index
        self._now = 1  # blocks of the next batch
        self._give([])
        self.more = True
        if self._reverse:
            self._next = (len(slots) if end is None else bisect_left(slots, end, key=key_of)) - 1
        else:
            at = max(bisect_right(slots, start, key=key_of) - 1, 0)
            while at and slots[at].low == start:  # a key may end the table before
                at -= 1
            while at < len(slots) and (stop := slots[at].stop) is not None and stop <= start:
                at += 1
            self._next = at

    def seek(self, key: bytes) -> None:
        if self._seek_in_rows(key, self._reverse):
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
        if self.more or self.at != self.until:
            self._place()
            self._readahead = min(READAHEAD_MIN, self._readahead_max)

    def prepare(self) -> Fetch | None:
        while self.at == self.until and self.more:
            if not 0 <= self._next < len(self._slots) or self._is_past():
                self.more = False
                self._give(self._held)
                self._held = []
                break
            table = self._slots[self._next].table
            if self._meta is None:
                known, meta = self._known
                if known is not table:
                    meta = table.meta()
                if meta is None:
                    return table.meta_fetch()
                self._enter(meta)
            missing = self._gather(table)
            if missing is not None:
                return missing
        return None

    def take(self, data: Sequence[bytes]) -> None:
        table = self._slots[self._next].table
        if self._meta is None:
            meta, self._chunk_blocks = table.take_meta(data, keep=self._keep)
            self._chunk = (table, 0, 0, b"")
            self._enter(meta)
        else:
            self._chunk = (table, self._wanted.start, self._wanted.stop, data[0])
            self._chunk_blocks = {}

    def _is_past(self) -> bool:
        """Tell whether the next table lies behind the end of the range."""
        low, stop, _ = self._slots[self._next]
        if self._reverse:
            return stop is not None and stop <= self._start
        return self._end is not None and low >= self._end

    def _enter(self, meta: Meta) -> None:
        """Stand before the first block of a table."""
        low, stop, _ = self._slots[self._next]
        end = self._end
        if stop is not None and (end is None or stop < end):
            end = stop
        self._meta = meta
        self._known = (self._slots[self._next].table, meta)
        self._blocks = meta.blocks(max(self._start, low), end)

    def _gather(self, table: Table) -> Fetch | None:
        """Make a batch of the next blocks at hand, or return the fetch of the first."""
        meta, blocks, reverse = self._meta, self._blocks, self._reverse
        assert meta is not None  # noqa: S101 - `prepare` entered the table
        pieces: list[list[Row]] = []
        while blocks and len(pieces) < self._now:
            number = blocks[-1] if reverse else blocks[0]
            rows = self._rows_at_hand(table, meta, number)
            if rows is None:
                if pieces:
                    break
                return self._fetch(table, meta)
            pieces.append(rows)
            blocks = blocks[:-1] if reverse else blocks[1:]
        self._blocks = blocks
        self._now = min(self._now * 2, _BLOCKS_MAX)
        self._give_whole_keys(pieces, meta)
        if not blocks:
            self._meta = None
            self._next += -1 if reverse else 1
        return None

    def _rows_at_hand(self, table: Table, meta: Meta, number: int) -> list[Row] | None:
        held = table.shelf.get(number)
        block = None if held is None else held.value
        if block is not None:
            if held is not None:
                held.used = True
            table.counts.hits += 1
            if isinstance(block, DecodedBlock):
                return block.rows
            return table.rows(meta, number, block)
        payload = self._chunk_blocks.get(number)
        if payload is None:
            owner, first, stop, data = self._chunk
            if owner is not table or not first <= number < stop:
                return None
            payload = table.unpack(meta, number, data, meta.offsets[first], keep=self._keep)
        elif self._chunk[0] is not table:
            return None
        return table.rows(meta, number, payload)

    def _fetch(self, table: Table, meta: Meta) -> Fetch:
        """Return the fetch of the next block and as many behind it as the read-ahead says."""
        blocks, offsets, size = self._blocks, meta.offsets, self._readahead
        first, stop = blocks.start, blocks.stop
        if self._reverse:
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

    def _give_whole_keys(self, pieces: list[list[Row]], meta: Meta) -> None:
        """Make a batch of the rows of some blocks, but for a key that may go on; clip it."""
        if self._reverse:
            pieces.reverse()
        rows = pieces[0] if len(pieces) == 1 else [row for piece in pieces for row in piece]
        low, stop, _ = self._slots[self._next]
        start, end = max(self._start, low), self._end
        if stop is not None and (end is None or stop < end):
            end = stop
        first, last = 0, len(rows)
        if rows and rows[0][0] < start:
            first = bisect_left(rows, start, key=key_of)
        if rows and end is not None and rows[-1][0] >= end:
            last = bisect_left(rows, end, key=key_of)
        if first or last < len(rows):
            rows = rows[first:last]
        if self._held:
            rows = rows + self._held if self._reverse else self._held + rows
            self._held = []
        if rows and self._may_go_on(rows, meta):
            if self._reverse:
                cut = bisect_right(rows, rows[0][0], key=key_of)
                self._held, rows = rows[:cut], rows[cut:]
            else:
                cut = bisect_left(rows, rows[-1][0], key=key_of)
                self._held, rows = rows[cut:], rows[:cut]
        self._give(rows)

    def _may_go_on(self, rows: list[Row], meta: Meta) -> bool:
        """Tell whether the last key of the batch may have versions in the next block."""
        slots, blocks, at = self._slots, self._blocks, self._next
        if self._reverse:
            if blocks:
                return meta.first_keys[blocks.stop] >= rows[0][0]
            before = slots[at - 1].stop if at else b""
            return before is None or before > rows[0][0]
        if blocks:
            return meta.first_keys[blocks.start] <= rows[-1][0]
        return at + 1 < len(slots) and slots[at + 1].low <= rows[-1][0]
