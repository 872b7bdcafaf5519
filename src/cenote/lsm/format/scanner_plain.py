"""Sources merged to what is seen of each key.

Owns: the rule of visibility on rows in order (told in `cenote.lsm.merge`).
Does not own: merge operators (`fold` is the caller's), fetching blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from cenote.errors import DataError
from cenote.lsm.entry import MERGE, TOMBSTONE, Row
from cenote.lsm.format.sources_plain import DONE, Sources, Span

__all__ = ["MORE", "Scanner"]

MORE: Final = -4


class Scanner(Sources):
    """Sources of blocks or rows, the newest first, to what a reader sees. Not thread-safe.

    Versions above `seq_max` are not seen, nor what expired up to `now_ms`. `fold` is given the
    versions of a key whose newest is a merge operand, down to the first that is none, and returns
    the row that is seen or None. With `pairs` keys and values are returned instead of rows.
    """

    def __init__(
        self,
        spans: Iterable[Span],
        *,
        seq_max: int,
        now_ms: int,
        pairs: bool,
        fold: Callable[[list[Row]], Row | None],
    ) -> None:
        super().__init__(spans)
        self._seq_max = seq_max
        self._now = now_ms
        self._pairs = pairs
        self._fold = fold
        self._versions: list[Row] = []
        self._settled: bytes | None = None  # the key that is decided

    def run(self, limit: int) -> tuple[list[Any], int]:
        """Return up to `limit` rows, and which source wants blocks, or DONE, or MORE.

        Raises DataError for damaged blocks or rows out of order, and what `fold` raises.
        """
        found: list[Any] = []
        told = self._fill()
        while told == DONE and len(found) < limit and (row := self._first()) is not None:
            if row[2] <= self._seq_max:
                if self._settled is not None and row[0] < self._settled:
                    raise DataError("the rows of a table are not in order", kind="row_order")
                if row[0] != self._settled:
                    self._see(found, row)
            told = self._step()
        if told == DONE:
            if self._heap:
                return found, MORE
            if self._versions:
                self._settle(found)
        return found, told

    def _see(self, found: list[Any], row: Row) -> None:
        versions = self._versions
        if versions:
            if row[0] == versions[0][0]:
                if row[2] < versions[-1][2]:
                    versions.append(row)
                    if row[3] != MERGE:
                        self._settle(found)
                return
            self._settle(found)
        if row[3] == MERGE:
            self._versions = [row]
            return
        self._settled = row[0]
        if row[3] != TOMBSTONE and (row[5] is None or row[5] > self._now):
            found.append((row[0], row[1]) if self._pairs else row)

    def _settle(self, found: list[Any]) -> None:
        versions, self._versions = self._versions, []
        self._settled = versions[0][0]
        row = self._fold(versions)
        if row is not None:
            found.append((row[0], row[1]) if self._pairs else row)
