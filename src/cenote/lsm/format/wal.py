"""A log file: rows in the order they were written.

Owns: the layout of a log file, both ways. Does not own: which files there are, when one is whole.

A log file is a table file (`sst`) with these differences:

    info kind      WAL (absent in files of version 1)
    rows           by sequence number; a key may come anywhere
    first_entry    u64 BE sequence number of the first row; no last_entry
    blocks         of 64 KiB, whatever the tables' are (of 4 KiB in older files)
    index keys     u64 BE sequence number of each block's first row (version 1: its key)
    filter, stats  absent

An object of no bytes is a *fence*: a writer that opens the database takes the next number with it,
so that the writer before fails at its next file. Before version 0.14 of the reference
implementation a fence was a file without blocks, its kind that of a table; both decode to no rows.

Invariants:
1. All rows of one sequence number are in one file, so that a file is whole or absent, never torn.
2. Sequence numbers never fall within a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from cenote.errors import DataError, InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format.block import BLOCK_SIZE_MAX, decode_block, encode_blocks
from cenote.lsm.format.codec import Codec
from cenote.lsm.format.info import SstKind
from cenote.lsm.format.sst import EncodedSst, frame_sst, open_sst

__all__ = ["FENCE", "WAL_BLOCK_SIZE", "decode_wal", "encode_wal"]

FENCE: Final = b""
# A log is read from end to end, so that large blocks cost nothing and compress better.
WAL_BLOCK_SIZE: Final = BLOCK_SIZE_MAX


def encode_wal(
    rows: Sequence[Row], codec: Codec = Codec.NONE, block_size: int = WAL_BLOCK_SIZE
) -> EncodedSst:
    """Return the log file of some rows.

    Requires: at least one row, in order of sequence numbers, whole batches. Raises InvalidError
    when they are not, or a row cannot be written. Cost: 1 us a row.
    """
    if not rows:
        raise InvalidError("a log file has at least one row", kind="row_order")
    seqs = [row[2] for row in rows]
    if any(a > b for a, b in pairwise(seqs)) or not 0 <= seqs[-1] < 2**64:
        raise InvalidError("the rows of a log file are not in order", kind="row_order")
    blocks = encode_blocks(rows, block_size)
    first_seqs: list[bytes] = []
    at = 0
    for block in blocks:
        first_seqs.append(seqs[at].to_bytes(8, "big"))
        at += block.counts.puts + block.counts.tombstones + block.counts.merges
    return frame_sst(
        [block.payload for block in blocks],
        first_seqs,
        codec,
        kind=SstKind.WAL,
        first_entry=first_seqs[0],
    )


def decode_wal(data: bytes) -> list[Row]:
    """Return the rows of a log file, none for a fence. Raises DataError."""
    if data == FENCE:
        return []
    sst = open_sst(data)
    if sst.version > 1 and len(sst) and sst.info.kind is not SstKind.WAL:
        raise DataError("a table file stands where a log file should", kind="sst_kind")
    rows: list[Row] = []
    for number, first in enumerate(sst.index.first_keys):
        block = decode_block(sst.block(number), sst.version)
        if sst.version > 1 and (not block or first != block[0][2].to_bytes(8, "big")):
            raise DataError("an index does not agree with its rows", kind="index")
        rows += block
    if any(a[2] > b[2] for a, b in pairwise(rows)):
        raise DataError("the rows of a log file are not in order", kind="row_order")
    return rows
