"""Ranges of keys in a flatbuffer.

Owns: the tables of a bound and a range, both ways. Does not own: what a range means (`keys`).

    enum BoundType : byte { Unknown = 0, Unbounded = 1, Included = 2, Excluded = 3 }
    table BytesBound { 0 key: [ubyte]  1 bound_type }     the key absent when unbounded, else there
    table BytesRange { 0 start_bound: BytesBound, required   1 end_bound: BytesBound, required }
"""

from __future__ import annotations

from cenote.lsm.format.flatbuffer import FlatTable, FlatView
from cenote.lsm.format.info import view_enum
from cenote.lsm.keys import Bound, BoundKind, KeyRange

__all__ = ["range_table", "view_range"]


def range_table(span: KeyRange) -> FlatTable:
    """Return the table of a range."""
    return FlatTable().table(0, _bound_table(span.start)).table(1, _bound_table(span.end))


def _bound_table(bound: Bound) -> FlatTable:
    key = None if bound.kind is BoundKind.UNBOUNDED else bound.key
    return FlatTable().blob(0, key).u8(1, bound.kind)


def view_range(view: FlatView) -> KeyRange:
    """Return the range of a table. Raises DataError, FormatVersionError."""
    view.known("BytesRange", 2)
    return KeyRange(_view_bound(view.table(0)), _view_bound(view.table(1)))


def _view_bound(view: FlatView) -> Bound:
    view.known("BytesBound", 2)
    kind = view_enum(BoundKind, view.u8(1))
    return Bound() if kind is BoundKind.UNBOUNDED else Bound(kind, view.blob(0))
