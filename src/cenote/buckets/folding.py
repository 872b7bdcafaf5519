"""One page of an ordered listing, with keys folded into common prefixes by a delimiter.

Owns: the walk over an ordered source of rows: where a page begins, what folds, where to jump.
Does not own: what the rows are (objects, uploads), or how a place in the order is written down
as a token or marker (`listing`).

The walk fetches rows in batches. A key that holds the delimiter after the prefix stands for its
common prefix, which counts as one entry; the walk then jumps over all keys that begin with it.

Invariant: cost follows the entries returned, not the keys skipped. A batch doubles when the last
one gave an entry for every other row at least, else it is small again: so rows read are at most a
few times the entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

from cenote.buckets.names import key_after_prefix

__all__ = ["Folded", "fold"]

BATCH_MIN: Final = 8


class Keyed(Protocol):
    """A row with a key."""

    @property
    def key(self) -> str: ...


Row = TypeVar("Row", bound=Keyed)
Place = TypeVar("Place")


class Folded(Generic[Row]):
    """A page: `rows` and `prefixes` in order, `last` entry of either, and whether more follow."""

    __slots__ = ("last", "prefixes", "rows", "truncated")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.prefixes: list[str] = []
        self.last: Row | str | None = None
        self.truncated = False


def fold(
    fetch: Callable[[Place, int], list[Row]],
    start: Place,
    *,
    prefix: str,
    delimiter: str,
    limit: int,
    told: str,
    after_row: Callable[[Row], Place],
    from_key: Callable[[str], Place],
) -> Folded[Row]:
    """Return the first `limit` entries from `start` on.

    `fetch(place, n)` returns the next n rows of the prefix from a place in the order. A common
    prefix that `told` begins with is left out. `after_row` and `from_key` make the place behind
    a row, and before the first row whose key is not below a given one.
    Ensures: `truncated` only if a further entry exists. Cost: see the invariant.
    """
    page: Folded[Row] = Folded()
    if limit <= 0:
        return page
    if not delimiter:
        rows = fetch(start, limit + 1)
        page.truncated = len(rows) > limit
        page.rows = rows[:limit]
        page.last = page.rows[-1] if page.rows else None
        return page
    place, batch = start, min(BATCH_MIN, limit + 1)
    while True:
        rows = fetch(place, batch)
        exhausted = len(rows) < batch
        before = len(page.rows) + len(page.prefixes)
        inside = _fold_batch(page, rows, prefix, delimiter, limit, told)
        if page.truncated or exhausted:
            return page
        gained = len(page.rows) + len(page.prefixes) - before
        batch = min(batch * 2 if 2 * gained >= len(rows) else BATCH_MIN, limit + 1)
        if inside is None:
            place = after_row(rows[-1])
            continue
        beyond = key_after_prefix(inside)
        if beyond is None:
            return page
        place = from_key(beyond)


def _fold_batch(
    page: Folded[Row], rows: list[Row], prefix: str, delimiter: str, limit: int, told: str
) -> str | None:
    """Add a batch to the page; return the common prefix the batch ended in, if it did."""
    current: str | None = None
    for row in rows:
        key = row.key
        if current is not None and key.startswith(current):
            continue
        current = None
        cut = key.find(delimiter, len(prefix))
        if cut >= 0:
            current = key[: cut + len(delimiter)]
            if told.startswith(current):
                continue
        if len(page.rows) + len(page.prefixes) == limit:
            page.truncated = True
            return None
        if current is None:
            page.rows.append(row)
            page.last = row
        else:
            page.prefixes.append(current)
            page.last = current
    return current
