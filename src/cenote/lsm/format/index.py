"""The index of a table or log file: where each block starts, and a key below its rows.

Owns: the index as a value. Does not own: the loop over its entries (`kernels`), the section around
it.

    table SsTableIndex { 0 block_meta: [BlockMeta], required }
    table BlockMeta    { 0 offset: u64   1 first_key: [ubyte], required }

In a table, `first_key` of the first block is empty; of a later one it is the shortest key above
the last of the block before and not above the first of this one, or that very key when both are
equal, since versions of a key may lie on both sides. It is a lower bound, not a key. In a log file
it is the u64 BE sequence number of the block's first row (files of version 1: its key).

Invariants:
1. Offsets rise from 0.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from cenote.lsm.format import kernels

__all__ = ["SstIndex", "decode_index", "encode_index"]


@dataclass(frozen=True, slots=True)
class SstIndex:
    """Offsets of the blocks and their lower bounds, one each."""

    offsets: tuple[int, ...]
    first_keys: tuple[bytes, ...]

    def blocks(self, start: bytes, end: bytes | None) -> range:
        """Return the blocks of a table that may hold keys with `start` <= key < `end`."""
        stop = len(self.offsets) if end is None else bisect_left(self.first_keys, end)
        return range(max(bisect_left(self.first_keys, start) - 1, 0), stop)

    def blocks_of(self, key: bytes) -> range:
        """Return the blocks of a table that may hold versions of one key, the newest first."""
        first = max(bisect_left(self.first_keys, key) - 1, 0)
        return range(first, bisect_right(self.first_keys, key))


def encode_index(offsets: Iterable[int], first_keys: Iterable[bytes]) -> bytes:
    """Return the payload of an index section."""
    return kernels.encode_index(offsets, first_keys)


def decode_index(payload: bytes) -> SstIndex:
    """Return the index of an index section. Raises DataError."""
    return SstIndex(*kernels.decode_index(payload))
