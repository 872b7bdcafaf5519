"""A scan's place in a sorted run, or in one table of level 0, with its rows.

Owns: decoding, holding back what may go on, clipping to a range.
Does not own: which block comes next, and how it is fetched (`run_walk`).

Invariants:
1. A key that may go on in the next block is held back until that block was read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cenote.lsm.cursor import key_of
from cenote.lsm.entry import Row
from cenote.lsm.meta import Meta
from cenote.lsm.plan import Fetch
from cenote.lsm.run_walk import RunWalk
from cenote.lsm.table import DecodedBlock, Table

if TYPE_CHECKING:
    from cenote.lsm.options import Reading
    from cenote.lsm.tables import Slot

__all__ = ["RunCursor"]

_BLOCKS_MAX: Final = 32  # of a batch: enough to spread the cost of a window, little enough to hold


class RunCursor(RunWalk):
    """Rows of tables that do not overlap, whole keys at a time."""

    __slots__ = ("_held", "_now")

    def __init__(
        self, slots: Sequence[Slot], start: bytes, end: bytes | None, read: Reading, reverse: bool
    ) -> None:
        super().__init__(slots, start, end, read, reverse)
        self._held: list[Row] = []
        self._now = 1  # blocks of the next batch

    def seek(self, key: bytes) -> None:
        if self._seek_in_rows(key, self.reverse):
            return
        unread = self.more or self.at != self.until
        if self.move(key) and unread:
            self.place()
            self._give([])
            self._held = []
            self._now = 1

    def prepare(self) -> Fetch | None:
        while self.at == self.until and self.more:
            missing = self.enter()
            if missing is not None:
                return missing
            if self.meta is None:
                self._give(self._held)
                self._held = []
                break
            missing = self._gather(self.meta)
            if missing is not None:
                return missing
        return None

    def _gather(self, meta: Meta) -> Fetch | None:
        """Make a batch of the next blocks at hand, or return the fetch of the first."""
        reverse, table = self.reverse, self.slots[self.at_slot].table
        pieces: list[list[Row]] = []
        while self.blocks and len(pieces) < self._now:
            number = self.blocks[-1] if reverse else self.blocks[0]
            rows = self._rows_at_hand(table, meta, number)
            if rows is None:
                if pieces:
                    break
                return self.fetch(table, meta)
            pieces.append(rows)
            self.blocks = self.blocks[:-1] if reverse else self.blocks[1:]
        self._now = min(self._now * 2, _BLOCKS_MAX)
        self._give_whole_keys(pieces, meta)
        self.leave()
        return None

    def _rows_at_hand(self, table: Table, meta: Meta, number: int) -> list[Row] | None:
        block = self.kept(table, number)
        if isinstance(block, DecodedBlock):
            return block.rows
        if block is None:
            block = self.fetched(table, meta, number)
            if block is None:
                return None
        return table.rows(meta, number, block)

    def _give_whole_keys(self, pieces: list[list[Row]], meta: Meta) -> None:
        """Make a batch of the rows of some blocks, but for a key that may go on; clip it."""
        if self.reverse:
            pieces.reverse()
        rows = pieces[0] if len(pieces) == 1 else [row for piece in pieces for row in piece]
        start, end = self.bounds()
        first, last = 0, len(rows)
        if rows and rows[0][0] < start:
            first = bisect_left(rows, start, key=key_of)
        if rows and end is not None and rows[-1][0] >= end:
            last = bisect_left(rows, end, key=key_of)
        if first or last < len(rows):
            rows = rows[first:last]
        if self._held:
            rows = rows + self._held if self.reverse else self._held + rows
            self._held = []
        if rows and self._may_go_on(rows, meta):
            if self.reverse:
                cut = bisect_right(rows, rows[0][0], key=key_of)
                self._held, rows = rows[:cut], rows[cut:]
            else:
                cut = bisect_left(rows, rows[-1][0], key=key_of)
                self._held, rows = rows[cut:], rows[:cut]
        self._give(rows)

    def _may_go_on(self, rows: list[Row], meta: Meta) -> bool:
        """Tell whether the last key of the batch may have versions in the next block."""
        slots, blocks, at = self.slots, self.blocks, self.at_slot
        if self.reverse:
            if blocks:
                return meta.first_keys[blocks.stop] >= rows[0][0]
            before = slots[at - 1].stop if at else b""
            return before is None or before > rows[0][0]
        if blocks:
            return meta.first_keys[blocks.start] <= rows[-1][0]
        return at + 1 < len(slots) and slots[at + 1].low <= rows[-1][0]
