"""The statistics of a table file.

Owns: statistics as a value and as bytes. Does not own: counting rows (`block`), the section.

    table SstStats   { 0 num_puts: u64  1 num_deletes: u64  2 num_merges: u64
                       3 raw_key_size: u64  4 raw_val_size: u64  5 block_stats: [BlockStats] }
    table BlockStats { 0 num_puts: u16  1 num_deletes: u16  2 num_merges: u16 }

The sizes are sums over all rows, before prefixes are shared and blocks compressed.
"""

from __future__ import annotations

from dataclasses import dataclass

from cenote.lsm.format import kernels
from cenote.lsm.format.block import RowCounts
from cenote.lsm.format.flatbuffer import FlatReader

__all__ = ["SstStats", "decode_stats", "encode_stats"]


@dataclass(frozen=True, slots=True)
class SstStats:
    """What a table holds: rows by kind, plain bytes of keys and values, and rows block by block."""

    counts: RowCounts
    key_bytes: int
    value_bytes: int
    blocks: tuple[RowCounts, ...]


def encode_stats(stats: SstStats) -> bytes:
    """Return the payload of a stats section."""
    counts = stats.counts
    return kernels.encode_stats(
        (counts.puts, counts.tombstones, counts.merges, stats.key_bytes, stats.value_bytes),
        [(block.puts, block.tombstones, block.merges) for block in stats.blocks],
    )


def decode_stats(payload: bytes) -> SstStats:
    """Return the statistics of a stats section. Raises DataError."""
    root = FlatReader(payload).root()
    return SstStats(
        counts=RowCounts(root.u64(0), root.u64(1), root.u64(2)),
        key_bytes=root.u64(3),
        value_bytes=root.u64(4),
        blocks=tuple(
            RowCounts(view.u16(0), view.u16(1), view.u16(2))
            for view in root.optional_tables(5) or ()
        ),
    )
