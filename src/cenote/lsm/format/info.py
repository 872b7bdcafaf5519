"""What a table or log file says of itself: where its sections are and how to read them.

Owns: the value, its table in a flatbuffer. Does not own: the footer it stands in (`sst`), or the
manifest that repeats it.

    enum CompressionFormat : byte { None = 0, Snappy = 1, Zlib = 2, Lz4 = 3, Zstd = 4 }
    enum SstType           : byte { Compacted = 0, Wal = 1 }
    enum FilterFormat      : byte { Legacy = 0, Composite = 1 }
    table SsTableInfo { 0 first_entry: [ubyte]   1 index_offset: u64    2 index_len: u64
                        3 filter_offset: u64     4 filter_len: u64      5 compression_format
                        6 sst_type               7 last_entry: [ubyte]  8 stats_offset: u64
                        9 stats_len: u64         10 filter_format }

Of a table, first and last entry are its least and greatest key (the last one is absent in old
files). Of a log file the first entry is the u64 BE sequence number of its first row, the last is
absent. Without a filter its length is 0 and its offset that of the index; without statistics both
are 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from cenote.errors import FormatVersionError
from cenote.lsm.format.codec import Codec
from cenote.lsm.format.filter import FilterFormat
from cenote.lsm.format.flatbuffer import FlatTable, FlatView

__all__ = ["SstInfo", "SstKind", "info_table", "view_enum", "view_info"]

_E = TypeVar("_E", bound=IntEnum)


class SstKind(IntEnum):
    """What a file in the frame of a table is; the numbers are those of the files."""

    TABLE = 0
    WAL = 1


@dataclass(frozen=True, slots=True)
class SstInfo:
    """Where the sections of a file are (offset and length in bytes, checksums included)."""

    first_entry: bytes | None
    last_entry: bytes | None
    index_offset: int
    index_size: int
    filter_offset: int
    filter_size: int
    stats_offset: int = 0
    stats_size: int = 0
    codec: Codec = Codec.NONE
    kind: SstKind = SstKind.TABLE
    filter_format: FilterFormat = FilterFormat.COMPOSITE

    @property
    def data_size(self) -> int:
        """Where the last block ends."""
        return self.filter_offset if self.filter_size else self.index_offset


def info_table(info: SstInfo) -> FlatTable:
    """Return the table of an info."""
    table = FlatTable().blob(0, info.first_entry).blob(7, info.last_entry)
    table.u64(1, info.index_offset).u64(2, info.index_size)
    table.u64(3, info.filter_offset).u64(4, info.filter_size)
    table.u64(8, info.stats_offset).u64(9, info.stats_size)
    return table.u8(5, info.codec).u8(6, info.kind).u8(10, info.filter_format)


def view_info(view: FlatView) -> SstInfo:
    """Return the info of a table. Raises DataError, FormatVersionError."""
    view.known("SsTableInfo", 11)
    return SstInfo(
        first_entry=view.optional_blob(0),
        last_entry=view.optional_blob(7),
        index_offset=view.u64(1),
        index_size=view.u64(2),
        filter_offset=view.u64(3),
        filter_size=view.u64(4),
        stats_offset=view.u64(8),
        stats_size=view.u64(9),
        codec=view_enum(Codec, view.u8(5)),
        kind=view_enum(SstKind, view.u8(6)),
        filter_format=view_enum(FilterFormat, view.u8(10)),
    )


def view_enum(kind: type[_E], number: int) -> _E:
    """Return the member of `kind` with that number. Raises FormatVersionError."""
    try:
        return kind(number)
    except ValueError as fault:
        raise FormatVersionError(f"{kind.__name__} {number} is not known", number=number) from fault
