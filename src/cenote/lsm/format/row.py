"""A row in a block, in the two versions there are.

Owns: the layout of one row, and its reading and writing one by one.
Does not own: the loops over many rows (`kernels`, which agree with this file), or blocks.

Version 2, of files of version 2:

    varint shared            first bytes taken from the key of the row before, in the same block
    varint unshared          length of the rest of the key
    varint value size
    unshared bytes           the rest of the key
    value size bytes         the value
    u64 BE seq
    u8 flags                 1 tombstone, 2 has an expiry, 4 has a creation time, 8 merge operand
    i64 BE expire_ts         when flag 2 is set
    i64 BE create_ts         when flag 4 is set

A varint is an unsigned LEB128 of at most 32 bits. Times are milliseconds since the epoch.

Version 1, of files of version 1, which nobody writes any more:

    u16 BE shared            first bytes taken from the key of the *first* row of the block
    u16 BE unshared
    unshared bytes
    u64 BE seq | u8 flags | [i64 BE expire_ts] | [i64 BE create_ts]
    u32 BE value size | value            neither of them in a tombstone

Invariants:
1. Flags 1 and 8 exclude each other, and no other bit is set: anything else is damage.
2. A tombstone's value is empty.
"""

from __future__ import annotations

from cenote.errors import DataError
from cenote.lsm.entry import Row
from cenote.lsm.format.kernels import decode_rows, encode_row, shared_prefix

__all__ = ["decode_row", "encode_row", "encode_row_after", "shared_prefix"]


def encode_row_after(previous: bytes, row: Row) -> bytes:
    """Return a version 2 row that follows a row of key `previous`; empty: at a restart."""
    return encode_row(row, shared_prefix(previous, row[0]))


def decode_row(data: bytes, previous: bytes = b"") -> Row:
    """Return the version 2 row that is the whole of `data`. Raises DataError."""
    rows, _ = decode_rows(data, 0, len(data), previous)
    if len(rows) != 1:
        raise DataError("the bytes are not one row", kind="row", rows=len(rows))
    return rows[0]
