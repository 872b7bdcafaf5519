"""The blocks of a compaction's inputs, read once, in order, by large ranges.

Owns: which bytes of which file come next, how far the blocks at hand reach.
Does not own: the requests (`fetch`), merging what they hold (`window`), which files there are.

A source is a list of tables that follow each other by key: one file of level 0, or a sorted run.

Invariants:
1. Of a file's bytes, each is fetched once, but for its index, which is fetched with its blocks
   where both fit one request. Nothing goes through a cache: what a compaction reads is read once.
2. `reach` tells a key below which no row is missing from the blocks at hand. It comes from the
   index, whose keys lie above all rows before and not above any row after them.
3. A source holds `chunk` bytes (twice that with threads) and a few blocks, and the index of one
   table, whatever its size; more only while one key has that many versions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final

from cenote.errors import DataError
from cenote.lsm.compact.fetch import Fetcher
from cenote.lsm.entry import Row
from cenote.lsm.format import (
    Codec,
    SstHandle,
    SstIndex,
    SstInfo,
    decode_block,
    decode_index,
    decode_section,
)
from cenote.lsm.keys import KeyRange
from cenote.objstore import ObjectStore

__all__ = ["CHUNK_SIZE", "InputTable", "Piece", "Source", "rows_between"]

CHUNK_SIZE: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class InputTable:
    """A table to be read: where it is, what it is, and which of its keys are seen."""

    path: str
    handle: SstHandle
    visible: KeyRange | None = None

    @property
    def low(self) -> bytes:
        """A key not above any that is seen."""
        first = self.handle.info.first_entry or b""
        return first if self.visible is None else max(first, self.visible.span()[0])

    def ends_below(self, key: bytes) -> bool:
        """Tell whether all of its keys are surely below `key`."""
        last = self.handle.info.last_entry
        return last is not None and last < key

    @property
    def size(self) -> int:
        """How many bytes its blocks have."""
        return self.handle.info.data_size


@dataclass(slots=True)
class Piece:
    """A block at hand. `low` is not above its keys; `clip`: only keys start <= key < end count."""

    low: bytes
    payload: bytes
    version: int
    clip: tuple[bytes, bytes | None] | None = None
    _rows: list[Row] | None = field(default=None, repr=False)

    def rows(self) -> list[Row]:
        """Return its rows that count. Raises DataError."""
        if self._rows is None:
            rows = decode_block(self.payload, self.version)
            if self.clip is not None:
                rows = rows[rows_between(rows, *self.clip)]
            self._rows = rows
        return self._rows


def rows_between(rows: list[Row], low: bytes, high: bytes | None) -> slice:
    """Return where the rows with low <= key < high are. Requires: they rise by key."""
    start = bisect_left(rows, low, key=_key)
    return slice(start, None if high is None else bisect_left(rows, high, start, key=_key))


def _key(row: Row) -> bytes:
    return row[0]


class Source:
    """Tables that follow each other, from the key `low` on, below `high`."""

    def __init__(
        self,
        store: ObjectStore,
        tables: Sequence[InputTable],
        low: bytes,
        high: bytes | None,
        chunk: int = CHUNK_SIZE,
        threads: Executor | None = None,
    ) -> None:
        """With `threads` the next range is fetched before it is wanted."""
        self._fetcher = Fetcher(store, threads)
        self._low = low
        self._high = high
        self._chunk = chunk
        self._tables = deque(each for each in tables if not each.ends_below(low))
        self._index: SstIndex | None = None  # of the first of `_tables`, while it is being read
        self._next = self._stop = 0  # which of its blocks are not at hand yet
        self._pieces: deque[Piece] = deque()
        self._prepare()

    @property
    def bytes_read(self) -> int:
        """How many bytes were fetched."""
        return self._fetcher.bytes_read

    def reach(self) -> bytes | None:
        """Return a key below which nothing is missing from the blocks at hand; None: nothing is."""
        if not self._tables:
            return None
        low = self._tables[0].low
        if self._index is not None:
            return max(self._index.first_keys[self._next], low)
        return None if self._high is not None and low >= self._high else low

    def horizon(self, above: bytes, size: int) -> bytes | None:
        """Return a key above `above` that about `size` bytes of blocks at hand end at.

        Fetches as many as that takes. None: what is at hand is less, and all there is.
        """
        passed = number = 0
        while True:
            while number < len(self._pieces):
                piece = self._pieces[number]
                if passed >= size and piece.low > above:
                    return piece.low
                passed += len(piece.payload)
                number += 1
            reach = self.reach()
            if reach is None:
                return None
            if passed >= size and reach > above:
                return reach
            self._fill()

    def take(self, high: bytes | None) -> list[Piece]:
        """Return the blocks at hand that may hold keys below `high`; forget all but the last.

        None: all, and forget them.
        """
        taken: list[Piece] = []
        while self._pieces and (high is None or self._pieces[0].low < high):
            piece = self._pieces.popleft()
            taken.append(piece)
        if taken and high is not None:
            self._pieces.appendleft(taken[-1])  # it may hold `high` and what follows, too
        return taken

    def chunk(self) -> tuple[bytes, list[int], bool] | None:
        """Return the next blocks as the kernels take them: bytes, where each block ends, framed.

        None: there are no more. Requires: neither `horizon` nor `take` is used on this source.
        """
        while self._tables:
            if self._high is not None and self._tables[0].low >= self._high:
                return None
            fetched = self._fetch()
            if fetched is None:
                continue
            table, index, data, base, stop = fetched
            info = table.handle.info
            start = index.offsets[self._next] - base
            ends = [_block_end(index, info, at) - base - start for at in range(self._next, stop)]
            self._advance(stop)
            data = data[start : start + ends[-1]]
            if info.codec is Codec.NONE:
                return data, ends, True
            blocks = [
                decode_section(data[first:end], info.codec) for first, end in pairwise((0, *ends))
            ]
            return b"".join(blocks), list(accumulate(map(len, blocks))), False
        return None

    def _fill(self) -> None:
        """Fetch the next blocks: a chunk of one table, or its index."""
        fetched = self._fetch()
        if fetched is not None:
            self._add(*fetched)

    def _fetch(self) -> tuple[InputTable, SstIndex, bytes, int, int] | None:
        """Fetch a chunk: of what table, its index, bytes, where they begin, the block behind.

        None: it was an index only, or a table without blocks that count.
        """
        table, index = self._tables[0], self._index
        start, end, stop = self._wanted(table)
        data = self._fetcher.get(table.path, start, end)
        if index is not None:
            return table, index, data, start, stop
        info = table.handle.info
        index = decode_index(decode_section(data[info.index_offset - start :], info.codec))
        if not index.offsets or index.offsets[-1] >= info.data_size:
            raise DataError("a block lies outside its file", kind="index", path=table.path)
        blocks = index.blocks(*_intersect(table.visible, self._low, self._high))
        self._index, self._next, self._stop = index, blocks.start, blocks.stop
        if self._next < self._stop and start == 0:
            return table, index, data, 0, self._stop
        self._advance(self._next)
        return None

    def _wanted(self, table: InputTable) -> tuple[int, int, int]:
        """Return the next range of the first table, and the block behind it (0 for its index)."""
        info, index = table.handle.info, self._index
        if index is None:
            end = info.index_offset + info.index_size
            return (0 if end <= self._chunk else info.index_offset), end, 0
        start, stop = index.offsets[self._next], self._next + 1
        while stop < self._stop and _block_end(index, info, stop) - start <= self._chunk:
            stop += 1
        return start, _block_end(index, info, stop - 1), stop

    def _prepare(self) -> None:
        """Have the next range fetched."""
        if self._fetcher.looks_ahead and self.reach() is not None:
            table = self._tables[0]
            start, end, _ = self._wanted(table)
            self._fetcher.prepare(table.path, start, end)

    def _add(self, table: InputTable, index: SstIndex, data: bytes, base: int, stop: int) -> None:
        """Take the blocks up to `stop` out of bytes that begin at `base` of the file."""
        info = table.handle.info
        clip = None if table.visible is None else table.visible.span()
        for number in range(self._next, stop):
            end = _block_end(index, info, number)
            payload = decode_section(data[index.offsets[number] - base : end - base], info.codec)
            low = max(index.first_keys[number], table.low)
            self._pieces.append(Piece(low, payload, table.handle.version, clip))
        self._advance(stop)

    def _advance(self, stop: int) -> None:
        """Note that the blocks up to `stop` are at hand, and see to the next ones."""
        self._next = stop
        if stop >= self._stop:
            self._tables.popleft()
            self._index = None
        self._prepare()


def _block_end(index: SstIndex, info: SstInfo, number: int) -> int:
    return index.offsets[number + 1] if number + 1 < len(index.offsets) else info.data_size


def _intersect(
    visible: KeyRange | None, low: bytes, high: bytes | None
) -> tuple[bytes, bytes | None]:
    if visible is None:
        return low, high
    start, end = visible.span()
    if high is None or (end is not None and end < high):
        high = end
    return max(start, low), high
