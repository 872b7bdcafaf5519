"""A data block: the rows that are read, compressed and checksummed together.

Owns: the layout of a block, rows to blocks and back.
Does not own: a row's layout (`row`), the frame around a block (`section`).

Version 2:

    row | row | ...          as `row` tells
    u16 BE restart x n       offsets of the rows whose keys are written whole, the first one 0
    u16 BE n

Every 16th row is a restart, so that a search reads n keys and then at most 16 rows. A block of a
target size takes a row while

    rows + 2 x restarts + 2 + the row + (2 when the row is a restart)  <=  target

and an empty block takes any row, so that a block exceeds its target by one row or not at all.
Offsets stay within 16 bits since targets do not exceed 64 KiB.

Version 1 (read only):

    row | row | ...
    u16 BE offset x n        of every row
    u16 BE n

Invariants:
1. Rows come out as they went in. Their order is the caller's: by key in tables, by time in logs.
2. A restart that is not the start of a row with a whole key, a length that leaves the block, bytes
   left over: DataError.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cenote.errors import FormatVersionError, InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format import kernels

__all__ = [
    "BLOCK_SIZE",
    "BLOCK_SIZE_MAX",
    "Block",
    "RowCounts",
    "decode_block",
    "encode_blocks",
    "find_in_block",
]

BLOCK_SIZE: Final = 4096
BLOCK_SIZE_MAX: Final = 65536


@dataclass(frozen=True, slots=True)
class RowCounts:
    """How many rows of each kind there are."""

    puts: int = 0
    tombstones: int = 0
    merges: int = 0

    @property
    def total(self) -> int:
        """All rows."""
        return self.puts + self.tombstones + self.merges


@dataclass(frozen=True, slots=True)
class Block:
    """An encoded block, what its ends are, and what it holds."""

    payload: bytes
    first_key: bytes
    last_key: bytes
    counts: RowCounts


def encode_blocks(rows: Iterable[Row], block_size: int = BLOCK_SIZE) -> list[Block]:
    """Cut rows, in the order they come, into version 2 blocks of about `block_size` bytes.

    Raises InvalidError for a block size outside 1..65536 or a row that cannot be written.
    Cost: about 1 us a row.
    """
    if not 0 < block_size <= BLOCK_SIZE_MAX:
        raise InvalidError("a block holds 1 to 65536 bytes", kind="block_size", size=block_size)
    blocks = kernels.encode_blocks(rows, block_size)
    return [
        Block(payload, first, last, RowCounts(*counts)) for payload, first, last, counts in blocks
    ]


def decode_block(payload: bytes, version: int = 2) -> list[Row]:
    """Return the rows of a block of a file of `version`. Raises DataError."""
    if version == 2:
        return kernels.decode_block(payload)
    if version == 1:
        return kernels.decode_block_v1(payload)
    raise FormatVersionError(f"blocks of version {version} are not known", version=version)


def find_in_block(payload: bytes, version: int, key: bytes, seq_max: int) -> Row | None:
    """Return the newest row of `key` in the block with seq <= `seq_max`, or None.

    Requires: the block is of a table, whose rows are ordered by key. Raises DataError.
    """
    if version == 2:
        return kernels.find_in_block(payload, key, seq_max)
    for row in decode_block(payload, version):
        if row[0] == key and row[2] <= seq_max:
            return row
    return None
