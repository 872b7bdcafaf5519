"""One row of a database: a key, what was done to it, and when.

Owns: the row as a value, its order, its limits.
Does not own: its bytes in a file (`cenote.lsm.format.row`), or which version of a key is seen.

Invariants:
1. Rows are ordered by key as unsigned bytes, then by sequence number, the newest first.
2. `kind` is the row's flag in a file: `PUT`, `TOMBSTONE` or `MERGE`, never two at once.
3. A tombstone has no value.

Why a named tuple: an engine makes millions of them. A plain tuple of the same fields is taken
wherever an `Entry` is, so that loops need not build the class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = [
    "KEY_SIZE_MAX",
    "MERGE",
    "PUT",
    "TOMBSTONE",
    "VALUE_SIZE_MAX",
    "Entry",
    "Row",
    "row_order",
]

PUT: Final = 0
TOMBSTONE: Final = 1
MERGE: Final = 8

# A row holds both lengths as 32-bit numbers.
KEY_SIZE_MAX: Final = 2**32 - 1
VALUE_SIZE_MAX: Final = 2**32 - 1

Row = tuple[bytes, bytes, int, int, "int | None", "int | None"]
"""key, value, seq, kind, create_ts, expire_ts: what an `Entry` is, without its names."""


class Entry(NamedTuple):
    """A row. Times are milliseconds since the epoch, signed 64 bits; None is not recorded."""

    key: bytes
    value: bytes
    seq: int
    kind: int = PUT
    create_ts: int | None = None
    expire_ts: int | None = None


def _row_order(row: Row) -> tuple[bytes, int]:
    return row[0], -row[2]


row_order: Final[Callable[[Row], tuple[bytes, int]]] = _row_order
"""The sort key of invariant 1."""
