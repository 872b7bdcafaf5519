"""Cutting one compaction into ranges of keys.

Owns: where to cut. Does not own: who does the ranges, and when.

The borders are the first keys of input tables, which the manifest tells: to plan costs no request.
So only what has many tables is cut, and that is what is large. No range has fewer bytes than a
file is to have: more ranges would only make more files.
"""

from __future__ import annotations

from collections.abc import Sequence

from cenote.lsm.compact.source import InputTable
from cenote.lsm.keys import Bound, BoundKind, KeyRange

__all__ = ["plan_ranges"]


def plan_ranges(
    sources: Sequence[Sequence[InputTable]], count: int, size_min: int
) -> tuple[KeyRange, ...]:
    """Return up to `count` ranges, rising, which hold every key once; each of about one size.

    Pure: the same tables give the same ranges.
    """
    tables = sorted([table for source in sources for table in source], key=lambda each: each.low)
    total = sum([table.size for table in tables])
    target = max(total // count, size_min, 1)
    borders: list[bytes] = []
    passed = 0
    for table in tables:
        enough = passed >= target * (len(borders) + 1) and total - passed >= size_min
        above = table.low > (borders[-1] if borders else tables[0].low)
        if enough and above and len(borders) < count - 1:
            borders.append(table.low)
        passed += table.size
    starts = [Bound(), *(Bound(BoundKind.INCLUDED, border) for border in borders)]
    ends = [*(Bound(BoundKind.EXCLUDED, border) for border in borders), Bound()]
    return tuple(KeyRange(start, end) for start, end in zip(starts, ends, strict=True))
