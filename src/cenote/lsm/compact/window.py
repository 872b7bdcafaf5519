"""One window of a merge: the rows of several sources whose keys lie in one range.

Owns: taking a window's rows out of encoded blocks, in order.
Does not own: how windows are cut (`run`), which rows stay (`retention`).

Requires of the sources, as of any tree: what is newer comes first, and of one key a newer source
has the newer versions only. So rows need not be compared by number: a stable sort by key, of the
sources one after the other, keeps each key's versions in order. It finds the runs that are there
and merges them, in C.

Why windows and not a heap of row iterators: a heap costs 2 us a row in steps of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from cenote.lsm.compact.source import Piece, rows_between
from cenote.lsm.entry import Row

__all__ = ["merge_window"]

_key = itemgetter(0)


def merge_window(sources: Sequence[Sequence[Piece]], low: bytes, high: bytes | None) -> list[Row]:
    """Return the rows with low <= key < high of blocks of several sources, newest source first.

    Raises DataError. Cost: 1 us a row.
    """
    merged: list[Row] = []
    several = False
    for pieces in sources:
        before = len(merged)
        last = len(pieces) - 1
        for number, piece in enumerate(pieces):
            rows = piece.rows()
            # What begins in the window and is not the last block of a source lies in it wholly.
            if piece.low < low or number == last:
                rows = rows[rows_between(rows, low, high)]
            merged += rows
        several = several or (before > 0 and len(merged) > before)
    if several:
        merged.sort(key=_key)
    return merged
