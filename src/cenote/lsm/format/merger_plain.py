"""Tables merged to tables, without a callback for any row.

Owns: which versions are kept (the rule is told in `cenote.lsm.compact.retention`, here without an
operator and a filter), where a table is full.
Does not own: fetching blocks, the end of a table, storing it.

Invariants:
1. All versions of a key are in one table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cenote.errors import DataError
from cenote.lsm.entry import MERGE, TOMBSTONE, Row
from cenote.lsm.format.blocks_plain import BlockWriter
from cenote.lsm.format.sources_plain import DONE, Sources, Span

__all__ = ["DONE", "PIECE_READY", "TABLE_FULL", "Merger"]

TABLE_FULL: Final = -2
PIECE_READY: Final = -3


class Merger(Sources):
    """Sources of encoded blocks, the newest first, to the blocks of new tables. Not thread-safe.

    `writer` takes the rows; after TABLE_FULL the caller puts another in its place. A table is full
    when its blocks have `table_size_max` bytes. Versions above `seq_min` stay; times up to `now_ms`
    are over; `drop_tombstones`: nothing older lies below what is made.
    """

    def __init__(
        self,
        spans: Iterable[Span],
        *,
        writer: BlockWriter,
        table_size_max: int,
        piece_size: int,
        seq_min: int,
        now_ms: int,
        drop_tombstones: bool,
    ) -> None:
        super().__init__(spans)
        self.writer = writer
        self._table_size = table_size_max
        self._piece_size = piece_size
        self._seq_min = seq_min
        self._now = now_ms
        self._bottom = drop_tombstones
        self._group: bytes | None = None
        self._group_seq = 0
        self._settled = False
        self._late: list[Row] = []  # tombstones that go unless a row of their key follows

    def run(self) -> int:
        """Merge on; return which source wants blocks, or DONE, TABLE_FULL, PIECE_READY.

        DONE: every row is in the writer. PIECE_READY: the writer has `piece_size` bytes to be
        taken. Raises DataError for damaged blocks or rows out of order: then it is of no use.
        """
        told = self._fill()
        while told == DONE and (row := self._first()) is not None:
            writer = self.writer
            if writer.ready >= self._piece_size:
                return PIECE_READY
            key, seq = row[0], row[2]
            group = self._group
            if group is not None and (key < group or (key == group and seq > self._group_seq)):
                raise DataError("the rows of a table are not in order", kind="row_order")
            if key != group:
                if writer.rows and writer.size >= self._table_size:
                    return TABLE_FULL
                self._late = []
                self._settled = False
                self._group = key
                self._retain(row)
            elif not self._settled and seq < self._group_seq:
                self._retain(row)
            self._group_seq = seq
            told = self._step()
        return told

    def _retain(self, row: Row) -> None:
        """Write a version of the group's key, or not."""
        key, _, seq, kind, create_ts, expire_ts = row
        if expire_ts is not None and expire_ts <= self._now:
            if kind == MERGE:
                return
            kind = TOMBSTONE
            row = (key, b"", seq, TOMBSTONE, create_ts, None)
        if not (seq > self._seq_min or kind == MERGE):
            self._settled = True
        if kind == TOMBSTONE and self._bottom:
            self._late.append(row)
            return
        self.writer.add([*self._late, row])
        self._late = []
