"""A table or log file read piece by piece: its ends first, its blocks a megabyte at a time.

Owns: which bytes of a file are fetched, and in what order.
Does not own: what they mean (`cenote.lsm.format`).

Memory: a megabyte of blocks, or one block that is longer, the index and what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from cenote.errors import DataError
from cenote.lsm import Row
from cenote.lsm import format as files
from cenote.objstore import ObjectStore

__all__ = ["TableFile", "open_table_file"]

_TAIL: Final = 64 << 10
_PIECE: Final = 1 << 20


class TableFile(Struct, frozen=True):
    """A file whose info and index are at hand. Every method raises DataError, UnavailableError."""

    store: ObjectStore
    path: str
    size: int
    version: int
    info: files.SstInfo
    index: files.SstIndex

    def blocks(self) -> Iterator[list[Row]]:
        """Yield the rows of each block, in the file's order."""
        ends = [*self.index.offsets[1:], self.info.data_size]
        spans = list(zip(self.index.offsets, ends, strict=True)) if self.index.offsets else []
        at = 0
        while at < len(spans):
            start = spans[at][0]
            after = at + 1
            while after < len(spans) and spans[after][1] - start <= _PIECE:
                after += 1
            data = self.store.get_range(self.path, start, spans[after - 1][1])
            for low, high in spans[at:after]:
                section = data[low - start : high - start]
                payload = files.decode_section(section, self.info.codec)
                yield files.decode_block(payload, self.version)
            at = after

    def filters(self) -> dict[str, files.Bloom]:
        """Return the bloom filters by name."""
        info = self.info
        if not info.filter_size:
            return {}
        return files.decode_filters(
            self._section(info.filter_offset, info.filter_size), info.filter_format
        )

    def stats(self) -> files.SstStats | None:
        """Return the statistics, or None when there are none."""
        info = self.info
        if not info.stats_size:
            return None
        return files.decode_stats(self._section(info.stats_offset, info.stats_size))

    def _section(self, start: int, size: int) -> bytes:
        section = self.store.get_range(self.path, start, start + size)
        return files.decode_section(section, self.info.codec)


def open_table_file(store: ObjectStore, path: str) -> TableFile | None:
    """Return the file at `path`; None for a fence, which has no bytes.

    Raises NotFoundError, DataError. Cost: one request, two for a file with a large index.
    """
    fetched = store.get_tail(path, _TAIL)
    size, tail = fetched.meta.size, fetched.data
    if not size:
        return None
    footer = files.decode_footer(tail[-files.FOOTER_SIZE :], size)
    at = size - len(tail)

    def span(start: int, end: int) -> bytes:
        if start >= at:
            return tail[start - at : end - at]
        return store.get_range(path, start, end)

    info = files.decode_info(span(footer.start, footer.end))
    sections = [info.data_size, info.index_offset + info.index_size]
    sections += [info.filter_offset + info.filter_size, info.stats_offset + info.stats_size]
    if max(sections) > footer.start:
        raise DataError(f"a section of {path} lies outside it", kind="info", path=path)
    section = span(info.index_offset, info.index_offset + info.index_size)
    index = files.decode_index(files.decode_section(section, info.codec))
    if index.offsets and index.offsets[-1] >= info.data_size:
        raise DataError(f"a block of {path} lies outside it", kind="index", path=path)
    return TableFile(store, path, size, footer.version, info, index)
