"""The engine: an embedded database whose only disk is an object store, in SlateDB's files.

The parts there are: rows (`entry`), keys (`keys`), and the files as bytes (`format`).
"""

from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Entry, Row, row_order
from cenote.lsm.keys import Bound, BoundKind, KeyRange, check_key, prefix_successor

__all__ = [
    "MERGE",
    "PUT",
    "TOMBSTONE",
    "Bound",
    "BoundKind",
    "Entry",
    "KeyRange",
    "Row",
    "check_key",
    "prefix_successor",
    "row_order",
]
