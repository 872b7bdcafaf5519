"""Many ranges of an object as few requests: near ones are fetched as one.

Owns: which are near, and cutting the pieces out again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["GAP_MAX", "cut", "merged"]

GAP_MAX: Final = 1 << 20  # bytes fetched for nothing that are still cheaper than a request

Span = tuple[int, int]


def merged(ranges: Sequence[Span], gap_max: int = GAP_MAX) -> list[Span]:
    """Return the fewest ranges, in order, that hold all of `ranges` with gaps up to `gap_max`."""
    spans: list[Span] = []
    for start, end in sorted(ranges):
        if spans and start - spans[-1][1] <= gap_max:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        else:
            spans.append((start, end))
    return spans


def cut(ranges: Sequence[Span], spans: Sequence[Span], data: Sequence[bytes]) -> list[bytes]:
    """Cut each of `ranges` out of the bytes of the spans that `merged` made of them."""
    pieces = []
    for start, end in ranges:
        index = next(i for i, span in enumerate(spans) if span[0] <= start and end <= span[1])
        at = spans[index][0]
        pieces.append(data[index][start - at : end - at])
    return pieces
