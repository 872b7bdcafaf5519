"""Several sources of rows, merged into one order.

Owns: what a source is given, and which row comes next.
Does not own: what becomes of the rows (`merger_plain`, `scanner_plain`).

A source takes *chunks*: whole blocks one after the other, or rows. It wants the next chunk when the
last one has been read, until it is told that there is none.

Invariants:
1. Rows come out by rising keys, the newest version first; of equal ones that of the first source.
2. Rows outside a source's span are passed over, and nothing behind its end is wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final
from zlib import crc32

from cenote.errors import ChecksumError, DataError
from cenote.lsm.entry import Row
from cenote.lsm.format.kernels_plain import decode_block

__all__ = ["DONE", "Sources"]

DONE: Final = -1

Span = tuple[bytes, "bytes | None"]


class _Source:
    """What one source holds. `over`: it has no more rows; `told_over`: it gets no more chunks."""

    __slots__ = ("blocks", "framed", "over", "rows", "start", "stop", "told_over")

    def __init__(self, span: Span) -> None:
        self.start, self.stop = span
        self.blocks: deque[bytes] = deque()
        self.rows: deque[Row] = deque()
        self.framed = False
        self.over = self.told_over = False

    def next_row(self) -> Row | None:
        """Return the next row that is wanted, or None."""
        while True:
            while not self.rows:
                if not self.blocks:
                    self.over = self.told_over
                    return None
                self.rows.extend(decode_block(self._unframed(self.blocks.popleft())))
            row = self.rows.popleft()
            if row[0] < self.start:
                continue
            self.start = b""  # so that one below it from here on is known to be out of order
            if self.stop is not None and row[0] >= self.stop:
                self.over = True
                return None
            return row

    def _unframed(self, section: bytes) -> bytes:
        if not self.framed:
            return section
        if len(section) < 4:
            raise DataError("a section is shorter than its checksum", kind="section")
        if crc32(section[:-4]) != int.from_bytes(section[-4:], "big"):
            raise ChecksumError("a section's checksum does not match", size=len(section))
        return section[:-4]


class Sources:
    """Sources being merged, one for each span of keys; an end of None is no end."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._sources = [_Source(span) for span in spans]
        self._heap: list[tuple[bytes, int, int, Row]] = []
        self._waiting = set(range(len(self._sources)))

    def feed(self, number: int, data: bytes, ends: Sequence[int], framed: bool = False) -> None:
        """Give a source its next blocks, whole ones, and where each of them ends."""
        source = self._wanting(number)
        start = 0
        for end in ends:
            if not start <= end <= len(data):
                raise ValueError("a block lies outside its chunk")
            source.blocks.append(data[start:end])
            start = end
        source.framed = framed

    def feed_rows(self, number: int, rows: Iterable[Row]) -> None:
        """Give a source its next rows."""
        self._wanting(number).rows.extend(rows)

    def end(self, number: int) -> None:
        """Tell that a source has no more than it was given."""
        self._wanting(number).told_over = True

    def wants(self) -> list[int]:
        """Return the sources that cannot go on without more blocks."""
        return [at for at in sorted(self._waiting) if not self._sources[at].told_over]

    def _wanting(self, number: int) -> _Source:
        if number not in self._waiting:
            raise ValueError("the source wants no more")
        return self._sources[number]

    def _fill(self) -> int:
        """See that every source has a row; return one that wants a chunk, or DONE."""
        missing = DONE
        for number in sorted(self._waiting):
            if not self._advance(number) and missing == DONE:
                missing = number
        return missing

    def _advance(self, number: int) -> bool:
        """Move a source on. Return False when it wants a chunk."""
        source = self._sources[number]
        row = source.next_row()
        if row is not None:
            heappush(self._heap, (row[0], -row[2], number, row))
        elif not source.over:
            self._waiting.add(number)
            return False
        self._waiting.discard(number)
        return True

    def _first(self) -> Row | None:
        """Return the first row in order, or None when no source has one."""
        return self._heap[0][3] if self._heap else None

    def _step(self) -> int:
        """Go past the first row; return the source if it wants a chunk now, else DONE."""
        number = heappop(self._heap)[2]
        return DONE if self._advance(number) else number
