"""The flatbuffers that grow with a table: its index and its statistics.

Owns: both as plain functions on lists; the tables are told in `index` and `stats`.
Does not own: the frame of a buffer (`flatbuffer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from cenote.errors import DataError
from cenote.lsm.format.flatbuffer import FlatReader, FlatTable, finish

__all__ = ["decode_index", "encode_index", "encode_stats"]


def encode_index(offsets: Iterable[int], first_keys: Iterable[bytes]) -> bytes:
    """Return the payload of an index section. Cost: 10 us a block."""
    blocks = zip(offsets, first_keys, strict=True)
    metas = [FlatTable().u64(0, offset).blob(1, key) for offset, key in blocks]
    return finish(FlatTable().tables(0, metas))


def decode_index(payload: bytes) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    """Return the offsets and the lower bounds of an index section. Raises DataError."""
    metas = FlatReader(payload).root().tables(0)
    offsets = tuple([meta.u64(0) for meta in metas])
    if offsets and offsets[0]:
        raise DataError("the first block does not start at 0", kind="index")
    if any(a >= b for a, b in pairwise(offsets)):
        raise DataError("the blocks of an index do not rise", kind="index")
    return offsets, tuple([meta.blob(1) for meta in metas])


def encode_stats(totals: Sequence[int], blocks: Iterable[tuple[int, int, int]]) -> bytes:
    """Return the payload of a stats section.

    `totals`: puts, tombstones, merges, bytes of keys, bytes of values. `blocks`: the first three of
    each block.
    """
    counts = [
        FlatTable().u16(0, puts).u16(1, tombstones).u16(2, merges)
        for puts, tombstones, merges in blocks
    ]
    table = FlatTable()
    for number, total in enumerate(totals):
        table.u64(number, total)
    return finish(table.tables(5, counts))
