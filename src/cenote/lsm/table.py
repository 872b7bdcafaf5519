"""One table file, read block by block, through the cache.

Owns: what is fetched of a file and when, what is kept of it, the search for one key.
Does not own: the layout (`format.sst`), the merging of several files, the fetching itself (`plan`).

What a manifest says of a file is enough to read it without its footer. The first read fetches the
filter and the index, which lie side by side, as one range; a small file is fetched whole instead.
A block is kept as its plain bytes when it was fetched. Where the kernels are plain Python, the
second search in it decodes it and keeps the rows: to search the bytes takes 5 us, to decode them
20, to find a key among decoded rows 0.1.

Invariants:
1. A block is believed when its checksum matches and its rows lie where the index says; else
   DataError or ChecksumError, which name the file and the part of it.
2. What the manifest says of a file that is shorter or another one is a DataError as well.
3. Reads that find all they need in the cache fetch nothing and return at once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cenote.errors import DataError, InvalidError
from cenote.lsm.cache import META, BlockCache
from cenote.lsm.entry import Row
from cenote.lsm.format import (
    Bloom,
    SstHandle,
    decode_block,
    decode_filters,
    decode_index,
    decode_section,
    find_in_block,
)
from cenote.lsm.format.kernels import bloom_contains, kernels_in_use, siphash13
from cenote.lsm.format.kernels import find_in_block as kernel_find
from cenote.lsm.format.sst import VERSION
from cenote.lsm.meta import NO_EXTRACTORS, Meta, PrefixOf
from cenote.lsm.plan import PENDING, Fetch, Fetched, Pending, Plan

__all__ = ["COMPILED", "WHOLE_MAX", "DecodedBlock", "Table", "fetch_checked"]

# A file up to this size is one request: to fetch more of it later would cost another.
WHOLE_MAX: Final = 64 * 1024

COMPILED: Final = kernels_in_use() == "compiled"

_ROW_SIZE: Final = 320  # what a decoded row takes besides its key and its value
_HELD_SIZE: Final = 300  # what a kept block takes besides its bytes


class DecodedBlock:
    """The rows of a block, and the newest of each key."""

    __slots__ = ("newest", "rows")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.newest = {row[0]: row for row in reversed(rows)}

    def find(self, key: bytes, seq_max: int) -> Row | None:
        """Return the newest row of `key` with seq <= `seq_max`, or None."""
        row = self.newest.get(key)
        if row is None or row[2] <= seq_max:
            return row
        rows = self.rows
        for at in range(bisect_left(rows, (key,)), len(rows)):
            row = rows[at]
            if row[0] != key:
                return None
            if row[2] <= seq_max:
                return row
        return None


def fetch_checked(wanted: Sequence[Fetch]) -> Plan[Fetched]:
    """Fetch parts of table files. Raises DataError where a file is shorter than was said."""
    try:
        return (yield wanted)
    except InvalidError as error:
        if error.kind != "invalid_range":
            raise
        raise DataError(
            f"a table file is shorter than the manifest says: {error.message}",
            kind="truncated",
            **error.context,
        ) from error


class Table:
    """A table file. Thread-safe. Made by `Tables.open`, which keeps one per file."""

    __slots__ = (
        "__weakref__",
        "cache",
        "counts",
        "extractors",
        "handle",
        "id",
        "info",
        "is_current",
        "path",
        "shelf",
    )

    def __init__(
        self,
        handle: SstHandle,
        path: str,
        cache: BlockCache,
        extractors: Mapping[str, PrefixOf] = NO_EXTRACTORS,
    ) -> None:
        """`extractors` make the prefixes of filters, by the filters' names."""
        self.extractors = extractors
        self.handle = handle
        self.id = handle.id
        self.info = handle.info
        self.is_current = handle.version == VERSION
        self.path = path
        self.cache = cache
        self.counts = cache.counts
        self.shelf = cache.shelf(handle.id)

    # One key.

    def find(self, key: bytes, seq_max: int) -> Row | Pending | None:
        """Return the newest row of `key` with seq <= `seq_max`, None, or PENDING; never fetch."""
        shelf = self.shelf
        held = shelf.get(META)
        if held is None:
            return PENDING
        meta: Meta | None = held.value
        if meta is None:
            return PENDING
        held.used = True
        # Where the hash is cheap the filter is asked first, else only when it saves a fetch.
        bits = meta.bits
        if COMPILED and bits is not None and not bloom_contains(bits, meta.probes, siphash13(key)):
            return None
        first_keys = meta.first_keys
        number = bisect_right(first_keys, key) - 1
        if number < 0:
            return None
        if number and first_keys[number] == key:
            return self._find_straddling(meta, number, key, seq_max)
        held = shelf.get(number)
        if held is None or (block := held.value) is None:
            return None if meta.hides(key) else PENDING
        held.used = True
        self.counts.hits += 1
        if block.__class__ is DecodedBlock:
            row: Row | None = block.newest.get(key)
            if row is None or row[2] <= seq_max:
                return row
            return block.find(key, seq_max)
        if COMPILED and self.is_current:
            try:
                return kernel_find(block, key, seq_max)
            except DataError as error:
                raise self._located(error, f"block {number}") from error
        return self._find_encoded(meta, number, block, key, seq_max)

    def find_plan(
        self,
        key: bytes,
        seq_max: int,
        *,
        keep: bool = True,
        at_hand: tuple[Meta, dict[int, bytes]] | None = None,
    ) -> Plan[Row | None]:
        """Return the newest row of `key` with seq <= `seq_max`, or None.

        `at_hand` is what `take_meta` returned, if it was called.
        """
        meta, blocks = at_hand or (yield from self.meta_plan(keep=keep))
        if meta.hides(key):
            return None
        first_keys = meta.first_keys
        number = first = bisect_right(first_keys, key) - 1
        while first > 0 and first_keys[first] == key:
            first -= 1
        for at in range(max(first, 0), number + 1):
            row: Row | None
            held = self.shelf.get(at)
            block = None if held is None else held.value
            if block is None:
                payload = blocks.get(at)
                if payload is None:
                    payload = yield from self._block_plan(meta, at, keep)
                row = self._search(meta, at, payload, key, seq_max)
                if row is None:  # is it another block's bytes that the checksum fits?
                    self.rows(meta, at, payload)
            elif isinstance(block, DecodedBlock):
                row = block.find(key, seq_max)
            else:
                row = self._find_encoded(meta, at, block, key, seq_max)
            if row is not None:
                return row
        return None

    def _find_straddling(
        self, meta: Meta, number: int, key: bytes, seq_max: int
    ) -> Row | Pending | None:
        """As `find`, for a key whose versions may lie in several blocks, the newest first."""
        if meta.hides(key):
            return None
        first = number
        while first > 0 and meta.first_keys[first] == key:
            first -= 1
        for at in range(first, number + 1):
            held = self.shelf.get(at)
            if held is None or (block := held.value) is None:
                return PENDING
            held.used = True
            self.counts.hits += 1
            row: Row | None
            if isinstance(block, DecodedBlock):
                row = block.find(key, seq_max)
            else:
                row = self._find_encoded(meta, at, block, key, seq_max)
            if row is not None:
                return row
        return None

    def _find_encoded(
        self, meta: Meta, number: int, payload: bytes, key: bytes, seq_max: int
    ) -> Row | None:
        """Search a kept block's bytes; where that is slow, keep its rows instead of the bytes."""
        if COMPILED:
            return self._search(meta, number, payload, key, seq_max)
        block = DecodedBlock(self.rows(meta, number, payload))
        size = _ROW_SIZE * len(block.rows) + len(payload) + _HELD_SIZE
        self.cache.keep(self.shelf, number, block, size)
        return block.find(key, seq_max)

    def _search(
        self, meta: Meta, number: int, payload: bytes, key: bytes, seq_max: int
    ) -> Row | None:
        try:
            return find_in_block(payload, self.handle.version, key, seq_max)
        except DataError as error:
            raise self._located(error, f"block {number}") from error

    # Its parts.

    def meta(self) -> Meta | None:
        """Return the index and the filters if they are kept."""
        held = self.shelf.get(META)
        if held is None:
            return None
        held.used = True
        found: Meta | None = held.value
        return found

    def meta_plan(self, *, keep: bool = True) -> Plan[tuple[Meta, dict[int, bytes]]]:
        """Return the index and the filters, and what blocks came with them."""
        meta = self.meta()
        if meta is not None:
            return meta, {}
        found = yield from fetch_checked([self.meta_fetch()])
        return self.take_meta(found[0], keep=keep)

    def meta_fetch(self) -> Fetch:
        """Say what must be fetched for the index and the filters. For `take_meta`."""
        self.counts.meta_misses += 1
        start, end = self.meta_span()
        return Fetch(self.path, ((start, end),))

    def take_meta(
        self, data: Sequence[bytes], *, keep: bool = True
    ) -> tuple[Meta, dict[int, bytes]]:
        """Return the index and the filters, and what blocks came with them. Raises DataError."""
        start, _ = self.meta_span()
        meta = self.read_meta(data[0], start)
        blocks: dict[int, bytes] = {}
        if start == 0 < self.info.data_size:
            for number in range(len(meta.first_keys)):
                blocks[number] = self.unpack(meta, number, data[0], 0, keep=keep)
        return meta, blocks

    def read_meta(self, data: bytes, start: int) -> Meta:
        """Return the index and the filters from file bytes that begin at `start`, and keep them.

        Raises DataError.
        """
        info = self.info
        at = info.index_offset - start
        try:
            index = decode_index(decode_section(data[at : at + info.index_size], info.codec))
        except DataError as error:
            raise self._located(error, "the index") from error
        if not index.offsets or index.offsets[-1] >= info.data_size:
            raise self._located(DataError("an index does not fit its file", kind="index"))
        filters: dict[str, Bloom] = {}
        if info.filter_size:
            at = info.filter_offset - start
            try:
                section = decode_section(data[at : at + info.filter_size], info.codec)
                filters = decode_filters(section, info.filter_format)
            except DataError as error:
                raise self._located(error, "the filter") from error
        offsets = (*index.offsets, info.data_size)
        meta = Meta(index.first_keys, offsets, filters, self.extractors)
        self.cache.keep(self.shelf, META, meta, meta.size)
        return meta

    def meta_span(self) -> tuple[int, int]:
        """Return the bytes that are fetched for the index and the filters."""
        info = self.info
        end = info.index_offset + info.index_size
        if end <= WHOLE_MAX:
            return 0, end
        if not info.filter_size:
            return info.index_offset, end
        return (
            min(info.filter_offset, info.index_offset),
            max(info.filter_offset + info.filter_size, end),
        )

    def blocks_fetch(self, meta: Meta, first: int, stop: int) -> Fetch:
        """Say what must be fetched for the blocks `first` to `stop`, the last one excluded."""
        self.counts.misses += stop - first
        return Fetch(self.path, ((meta.offsets[first], meta.offsets[stop]),))

    def _block_plan(self, meta: Meta, number: int, keep: bool) -> Plan[bytes]:
        found = yield from fetch_checked([self.blocks_fetch(meta, number, number + 1)])
        return self.unpack(meta, number, found[0][0], meta.offsets[number], keep=keep)

    def unpack(self, meta: Meta, number: int, data: bytes, start: int, *, keep: bool) -> bytes:
        """Return the plain bytes of a block, from file bytes that begin at `start`.

        Raises DataError, ChecksumError.
        """
        offsets = meta.offsets
        section = data[offsets[number] - start : offsets[number + 1] - start]
        try:
            payload = decode_section(section, self.info.codec)
        except DataError as error:
            raise self._located(error, f"block {number}") from error
        if keep:
            self.cache.keep(self.shelf, number, payload, len(payload) + _HELD_SIZE)
        return payload

    def rows(self, meta: Meta, number: int, payload: bytes) -> list[Row]:
        """Return the rows of a block's plain bytes. Raises DataError."""
        try:
            rows = decode_block(payload, self.handle.version)
        except DataError as error:
            raise self._located(error, f"block {number}") from error
        self.check_place(meta, number, rows)
        return rows

    def check_place(self, meta: Meta, number: int, rows: Sequence[Any]) -> None:
        """Refuse rows (anything that begins with a key) that lie elsewhere than the index says."""
        first_keys = meta.first_keys
        if (
            not rows
            or rows[0][0] < first_keys[number]
            or (number + 1 < len(first_keys) and rows[-1][0] > first_keys[number + 1])
        ):
            error = DataError("a block's rows are not where the index says", kind="block")
            raise self._located(error, f"block {number}")

    def _located(self, error: DataError, part: str = "") -> DataError:
        """Return the same error, which tells of what file and part."""
        told = f"{part} of {self.path}" if part else self.path
        context = {**error.context, "path": self.path, "part": part}
        return type(error)(f"{told}: {error.message}", kind=error.kind, hint=error.hint, **context)
