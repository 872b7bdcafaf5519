"""A scan's place among its rows: what both faces of a scan share.

Owns: the rows at hand, going on and jumping, how far it has gone, letting go of what it pins.
Does not own: which rows there are (`RowScan`), who drives the plans.

Invariants:
1. `rows` is an iterator that every way to read the scan shares, so that they can be mixed; what it
   has given away counts as read, and nothing else. It gives pairs of key and value, or rows once
   they were asked for.
2. What it pins is let go once: when closed, or with the last reference.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter, length_hint
from typing import Any, Final, Protocol

from cenote.errors import ClosedError, InvalidError, NotFoundError
from cenote.lsm.entry import Row
from cenote.lsm.plan import Plan
from cenote.lsm.scan import Scan
from cenote.lsm.txn import Span

__all__ = ["Opener", "Pair", "RowScan", "Walk"]

Pair = tuple[bytes, bytes]

_PAIR: Final = itemgetter(0, 1)


class RowScan(Protocol):
    """Visible rows of a range, a batch at a time."""

    def next_batch(self) -> Plan[list[Row]]:
        """Return the next rows; [] at the end."""
        ...

    def seek(self, key: bytes) -> None:
        """Go on at `key`. Raises InvalidError when it is not ahead; then nothing has changed."""
        ...


_REOPENS_MAX: Final = 5

Opener = Callable[[bytes, "bytes | None"], RowScan]
"""Begins a scan of start <= key < end, of the newest view there is."""


class Walk:
    """Where a scan is. Not thread-safe."""

    __slots__ = (
        "_base",
        "_batch",
        "_done",
        "_end",
        "_high",
        "_low",
        "_native",
        "_open",
        "_release",
        "_reverse",
        "_scan",
        "_spans",
        "opener",
        "pairs",
        "rows",
    )

    def __init__(
        self,
        open_scan: Opener,
        start: bytes,
        end: bytes | None,
        *,
        reverse: bool,
        release: Callable[[], None] | None = None,
    ) -> None:
        self.opener = open_scan
        self._open = True
        self._base, self._end = start, end
        self._low, self._high = start, end  # what is left, the batch at hand included
        self._reverse = reverse
        self._release = release
        self._scan: RowScan | None = None
        self._native = False  # whether the scan gives pairs itself
        self.pairs = True
        self._batch: list[Any] = []
        self.rows: Iterator[Any] = iter(())
        self._done = False
        self._spans: list[Span] = []

    def want_rows(self) -> None:
        """Have whole rows come from here on, not pairs; those at hand are read again."""
        if self.pairs:
            self._note()
            deque(self.rows, maxlen=0)  # whoever iterates over them gets the others
            self._batch, self.rows = [], iter(())
            self.pairs = False
            self._scan = None

    def pairs_of(self, found: Iterable[Any]) -> Iterable[Pair]:
        """Return keys and values of what `rows` or `take` gave."""
        return found if self.pairs else map(_PAIR, found)

    def fill(self, wanted: int = 0) -> Plan[bool]:
        """Get the next rows into `rows`; False when there are none.

        `wanted`: how many the caller needs, when it knows; fewer or more may come.
        Requires: `rows` is used up. When a file has gone (it was compacted, and collected) the
        scan goes on where it was, on the files there are now.
        """
        if not self._open:
            raise _closed()
        if self._done:
            return False
        self._note()
        scan = self._scan or self._begin()
        for attempt in range(_REOPENS_MAX + 1):
            try:
                if isinstance(scan, Scan):
                    batch = yield from scan.next_batch(wanted)
                else:
                    batch = yield from scan.next_batch()
                break
            except NotFoundError:
                if attempt == _REOPENS_MAX:
                    raise
                scan = self._begin()
        if self.pairs and not self._native:
            batch = list(map(_PAIR, batch))
        self._batch = batch
        self.rows = iter(batch)
        self._done = not batch
        return bool(batch)

    def _begin(self) -> RowScan:
        scan = self._scan = self.opener(self._low, self._high)
        self._native = self.pairs and isinstance(scan, Scan) and scan.as_pairs()
        return scan

    def take(self, count: int) -> Plan[list[Any]]:
        """Return the next `count` rows or pairs, or what is left.

        Cancellation: what was taken by then is given back.
        """
        taken = list(islice(self.rows, count))
        whole = False
        try:
            while len(taken) < count and (yield from self.fill(count - len(taken))):
                taken += islice(self.rows, count - len(taken))
            whole = True
            return taken
        finally:
            if not whole and taken and self._open:
                self._batch = [*taken, *self.rows]
                self.rows = iter(self._batch)

    def _note(self) -> None:
        """Leave behind the rows that `rows` has given away."""
        gone = len(self._batch) - _left(self.rows)
        if gone:
            key = self._batch[gone - 1][0]
            if self._reverse:
                self._high = key
            else:
                self._low = key + b"\0"

    def seek(self, key: bytes) -> None:
        """Go on at the first key not before `key` in the scan's direction, forth or back."""
        if not self._open:
            raise _closed()
        self._spans = self.walked()
        ahead = self._batch[len(self._batch) - _left(self.rows) :]
        self._batch, self.rows = [], iter(())
        if self._reverse:
            high = key + b"\0"
            self._high = high if self._end is None else min(high, self._end)
            self._low = self._base
        else:
            self._low = max(key, self._base)
            self._high = self._end
        self._spans.append((self._low, self._high))
        if ahead and _lies_within(key, ahead[0][0], ahead[-1][0]):
            self._batch = ahead[_place(key, ahead, self._reverse) :]
            self.rows = iter(self._batch)
        else:
            self._seek_scan(key)

    def _seek_scan(self, key: bytes) -> None:
        """Move the scan ahead, which keeps what it has fetched, or begin another one."""
        if self._done:
            self._scan = None
        elif self._scan is not None:
            try:
                self._scan.seek(key)
            except InvalidError:  # it lies behind
                self._scan = None
        self._done = False

    def walked(self) -> list[Span]:
        """Return the ranges that were read, up to the last row that was given away."""
        self._note()
        began = self._spans[-1] if self._spans else (self._base, self._end)
        earlier = self._spans[:-1]
        if self._done and not _left(self.rows):
            return [*earlier, began]
        if self._reverse:
            return [*earlier, (self._high, began[1])] if self._high is not None else earlier
        return [*earlier, (began[0], self._low)]

    def close(self) -> None:
        """Let go of what the scan holds. Harmless when repeated."""
        if self._open:
            self._spans = self.walked()  # for whoever asks after the end
            self._spans.append((self._base, self._base))
            self._low = self._high = self._base
            self._done = False
        self._batch, self.rows = [], iter(())
        self._open, self._scan = False, None
        self._let_go()

    def _let_go(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    def __del__(self) -> None:
        self._let_go()


def _left(rows: Iterator[Any]) -> int:
    """Return how many rows an iterator over a list has left."""
    return length_hint(rows)


def _lies_within(key: bytes, first: bytes, last: bytes) -> bool:
    return first <= key <= last or last <= key <= first


def _place(key: bytes, rows: Sequence[Any], reverse: bool) -> int:
    if reverse:
        return next(at for at, row in enumerate(rows) if row[0] <= key)
    return bisect_left(rows, key, key=itemgetter(0))


def _closed() -> ClosedError:
    return ClosedError("the scan is closed")
