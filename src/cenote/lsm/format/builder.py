"""A table file made piece by piece, for tables that are too long to hold whole.

Owns: cutting a stream of rows into blocks, what has to be remembered of them for the file's end.
Does not own: the sections' payloads and the layout (`sst` tells), storing the pieces.

Invariants:
1. The pieces, one after the other, are the very bytes that `encode_sst` makes of the same rows.
2. What is held: the rows of the last blocks, about `_BATCH_SIZE` bytes; of each block its index key
   and counts; of each row 8 bytes for each filter; and the pieces that nobody took yet.

Why rows are kept back: where a block ends depends on the row after it, so the last block of a
batch is encoded again with the next batch. Many blocks at a time make that cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cenote.errors import InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format.block import Block, RowCounts, encode_blocks
from cenote.lsm.format.filter import BloomBuilder, encode_filters
from cenote.lsm.format.info import SstInfo
from cenote.lsm.format.section import encode_section
from cenote.lsm.format.sst import VERSION, SstLayout, check_order, frame_end, sum_counts
from cenote.lsm.format.stats import SstStats, encode_stats
from cenote.lsm.keys import separator

__all__ = ["BuiltSst", "SstBuilder"]

_BATCH_BLOCKS: Final = 32
_BATCH_SIZE: Final = 2**17
_ROW_OVERHEAD: Final = 20  # lengths, number, flags and a time


@dataclass(frozen=True, slots=True)
class BuiltSst:
    """What a manifest repeats of a finished table, and its size in bytes."""

    info: SstInfo
    size: int
    rows: int
    version: int = VERSION


class SstBuilder:
    """Takes the rows of one table, gives its bytes. Not thread-safe.

    Use: `add` batches, `take` the bytes now and then, `finish`, `take` the rest.
    """

    __slots__ = (
        "_blooms",
        "_counts",
        "_first_entry",
        "_first_keys",
        "_key_bytes",
        "_last_entry",
        "_last_key",
        "_layout",
        "_offsets",
        "_pending",
        "_pending_size",
        "_pieces",
        "_ready",
        "_rows",
        "_size",
        "_value_bytes",
    )

    def __init__(self, layout: SstLayout | None = None) -> None:
        self._layout = layout or SstLayout()
        self._blooms = [(each.name, BloomBuilder(each)) for each in self._layout.filters]
        self._pending: list[Row] = []
        self._pending_size = 0
        self._pieces: list[bytes] = []
        self._ready = 0
        self._offsets: list[int] = []
        self._first_keys: list[bytes] = []
        self._counts: list[RowCounts] = []
        self._first_entry: bytes | None = None
        self._last_entry = b""
        self._last_key = b""  # of the last closed block
        self._key_bytes = self._value_bytes = self._rows = self._size = 0

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return self._rows

    @property
    def size(self) -> int:
        """About how many bytes of blocks the rows added so far make."""
        return self._size + self._pending_size

    @property
    def ready(self) -> int:
        """How many bytes `take` would return."""
        return self._ready

    @property
    def last_key(self) -> bytes | None:
        """The key of the last row added; None before the first."""
        return self._last_entry if self._rows else None

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows, which follow those added before in a table's order.

        Raises InvalidError when they do not, or one of them cannot be written: then the builder is
        of no further use. Cost: 3 us a row, and 6 for a filter.
        """
        if not rows:
            return
        check_order([self._pending[-1], *rows] if self._pending else rows, InvalidError)
        if self._first_entry is None:
            self._first_entry = rows[0][0]
        key_bytes = sum([len(row[0]) for row in rows])
        value_bytes = sum([len(row[1]) for row in rows])
        self._key_bytes += key_bytes
        self._value_bytes += value_bytes
        self._rows += len(rows)
        self._last_entry = rows[-1][0]
        for _, bloom in self._blooms:
            bloom.add(rows)
        self._pending += rows
        self._pending_size += key_bytes + value_bytes + _ROW_OVERHEAD * len(rows)
        if self._pending_size >= max(_BATCH_SIZE, _BATCH_BLOCKS * self._layout.block_size):
            self._encode(last=False)

    def _encode(self, *, last: bool) -> None:
        """Encode what is pending: all of it, or all but the block that may take more rows."""
        blocks = encode_blocks(self._pending, self._layout.block_size)
        if last:
            self._pending, self._pending_size = [], 0
        else:
            kept = blocks.pop().counts
            self._pending = self._pending[-kept.total :]
            self._pending_size = sum([len(r[0]) + len(r[1]) for r in self._pending])
            self._pending_size += _ROW_OVERHEAD * len(self._pending)
        self._append(blocks)

    def _append(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            low = separator(self._last_key, block.first_key) if self._offsets else b""
            self._first_keys.append(low)
            self._offsets.append(self._size)
            self._counts.append(block.counts)
            self._last_key = block.last_key
            section = encode_section(block.payload, self._layout.codec)
            self._pieces.append(section)
            self._size += len(section)
            self._ready += len(section)

    def take(self) -> list[bytes]:
        """Return the pieces made since the last time, in order, and forget them."""
        pieces, self._pieces, self._ready = self._pieces, [], 0
        return pieces

    def finish(self) -> BuiltSst:
        """Make the end of the file; `take` returns the last pieces.

        Raises InvalidError when no row was added. Cost: 1 us a row for a filter.
        """
        if self._first_entry is None:
            raise InvalidError("a table has at least one row", kind="row_order")
        self._encode(last=True)
        filters = b""
        if self._blooms and self._rows >= self._layout.filter_rows_min:
            filters = encode_filters([(name, bloom.finish()) for name, bloom in self._blooms])
        stats = SstStats(
            sum_counts(self._counts), self._key_bytes, self._value_bytes, tuple(self._counts)
        )
        end, info = frame_end(
            self._offsets,
            self._first_keys,
            self._size,
            self._layout.codec,
            first_entry=self._first_entry,
            last_entry=self._last_entry,
            filters=filters,
            stats=encode_stats(stats),
        )
        self._pieces += end
        self._size += sum([len(piece) for piece in end])
        return BuiltSst(info, self._size, self._rows)
