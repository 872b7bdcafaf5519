"""Reading one table file to its last byte, and comparing what it says twice.

Owns: what must hold within a file. Does not own: what must hold between files (`verify`).

A file is read in pieces, so that memory does not grow with it; its index, filters and statistics
are held whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cenote.errors import DataError
from cenote.lsm.entry import MERGE, TOMBSTONE, Row
from cenote.lsm.format import (
    FOOTER_SIZE,
    Bloom,
    SstHandle,
    SstIndex,
    SstInfo,
    decode_block,
    decode_filters,
    decode_footer,
    decode_index,
    decode_info,
    decode_section,
    decode_stats,
    key_hash,
)
from cenote.objstore import ObjectStore

__all__ = ["TableFacts", "check_table"]

_PIECE_SIZE: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What was found in a file."""

    rows: int
    size: int
    first_key: bytes
    last_key: bytes
    seq_min: int
    seq_max: int


def check_table(store: ObjectStore, path: str, handle: SstHandle) -> TableFacts:
    """Read a table file whole; compare its parts, and what a manifest says of it.

    Raises DataError, ChecksumError, FormatVersionError for what is wrong; NotFoundError. Memory:
    some MiB, its index and its filters.
    """
    tail = store.get_tail(path, FOOTER_SIZE)
    footer = decode_footer(tail.data, tail.meta.size)
    info = decode_info(store.get_range(path, footer.start, footer.end))
    if (info, footer.version) != (handle.info, handle.version):
        raise DataError("the manifest tells something else of the file", kind="info")
    end = info.index_offset + info.index_size
    if max(end, info.filter_offset + info.filter_size, info.stats_offset + info.stats_size) > (
        footer.start
    ):
        raise DataError("a section lies outside its file", kind="info")

    def section(offset: int, size: int) -> bytes:
        return decode_section(store.get_range(path, offset, offset + size), info.codec)

    index = decode_index(section(info.index_offset, info.index_size))
    if not index.offsets or index.offsets[-1] >= info.data_size:
        raise DataError("a block lies outside its file", kind="index")
    bloom = None
    if info.filter_size:
        filters = decode_filters(section(info.filter_offset, info.filter_size), info.filter_format)
        whole = [filters[name] for name in filters if not name.endswith(":wh=0")]
        bloom = whole[0] if whole else None
    reading = _Reading(index, footer.version, bloom)
    for first, stop in _pieces(index, info):
        offsets = (*index.offsets, info.data_size)
        data = store.get_range(path, offsets[first], offsets[stop])
        for number in range(first, stop):
            start = offsets[number] - offsets[first]
            raw = data[start : start + offsets[number + 1] - offsets[number]]
            try:
                reading.take(number, decode_section(raw, info.codec))
            except DataError as error:
                raise type(error)(f"block {number}: {error.message}", kind=error.kind) from error
    stats = None
    if info.stats_size:
        stats = decode_stats(section(info.stats_offset, info.stats_size))
        found = stats.counts
        if (found.puts, found.tombstones, found.merges) != tuple(reading.counts):
            raise DataError("statistics do not agree with the rows", kind="stats")
    return reading.facts(info, tail.meta.size)


def _pieces(index: SstIndex, info: SstInfo) -> list[tuple[int, int]]:
    """Cut the blocks into pieces of some MiB: first and stop of each."""
    pieces = []
    first = 0
    offsets = (*index.offsets, info.data_size)
    for number in range(1, len(offsets)):
        if offsets[number] - offsets[first] >= _PIECE_SIZE or number == len(offsets) - 1:
            pieces.append((first, number))
            first = number
    return pieces


class _Reading:
    """The rows of a file so far."""

    def __init__(self, index: SstIndex, version: int, bloom: Bloom | None) -> None:
        self._first_keys = index.first_keys
        self._version = version
        self._bloom = bloom
        self._first: Row | None = None
        self._last: Row | None = None
        self.counts = [0, 0, 0]
        self._seq_min, self._seq_max = 2**64, -1

    def take(self, number: int, payload: bytes) -> None:
        rows = decode_block(payload, self._version)
        low = self._first_keys[number]
        if not rows or low > rows[0][0] or (self._last is not None and self._last[0] > low):
            raise DataError("the index does not agree with the rows", kind="index")
        self._check_order(rows)
        bloom = self._bloom
        if bloom is not None and not all(bloom.may_contain(key_hash(row[0])) for row in rows):
            raise DataError("a filter hides a row", kind="filter")
        for row in rows:
            self.counts[1 if row[3] == TOMBSTONE else 2 if row[3] == MERGE else 0] += 1
        seqs = [row[2] for row in rows]
        self._seq_min = min(self._seq_min, *seqs)
        self._seq_max = max(self._seq_max, *seqs)
        self._first = self._first or rows[0]
        self._last = rows[-1]

    def _check_order(self, rows: Sequence[Row]) -> None:
        last = self._last
        for row in rows:
            if last is not None and (row[0] < last[0] or (row[0] == last[0] and row[2] >= last[2])):
                raise DataError("rows are not in order", kind="row_order")
            last = row

    def facts(self, info: SstInfo, size: int) -> TableFacts:
        first, last = self._first, self._last
        if first is None or last is None:
            raise DataError("a table has no rows", kind="row_order")
        if info.first_entry != first[0] or info.last_entry not in (None, last[0]):
            raise DataError("the info does not agree with the rows", kind="info")
        return TableFacts(sum(self.counts), size, first[0], last[0], self._seq_min, self._seq_max)
