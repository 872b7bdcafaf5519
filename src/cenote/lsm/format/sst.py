"""A table file: rows in order of their keys, and what finds them fast.

Owns: the layout of the whole file, both ways, from bytes at hand or range by range.
Does not own: the sections' payloads (`block`, `filter`, `index`, `stats`, `info`), fetching bytes.

Layout (framing integers are big-endian):

    data block 0 | data block 1 | ...        sections, as `section` tells
    filter                                   section, may be absent
    index                                    section
    statistics                               section, may be absent
    SsTableInfo flatbuffer                   never compressed
    u32 CRC-32 of the flatbuffer
    u64 offset of the flatbuffer
    u16 version                              2; 1 is read

Block i ends where block i + 1 starts, the last one where the filter does, or the index. To read a
file from its end: the last 10 bytes tell where the info is, the info where all else is.

Invariants:
1. Rows rise by key, and fall by sequence number within a key.
2. Every section lies within the file, none overlaps another; the info's own length is what is left
   of the file. Otherwise DataError, before anything is read or allocated.
3. Every byte of a file but the last ten is under a checksum; those ten lead to a checksum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import Final
from zlib import crc32

from cenote.errors import ChecksumError, DataError, FormatVersionError, InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format.block import (
    BLOCK_SIZE,
    RowCounts,
    decode_block,
    encode_blocks,
    find_in_block,
)
from cenote.lsm.format.codec import Codec
from cenote.lsm.format.filter import (
    Bloom,
    BloomPolicy,
    build_bloom,
    decode_filters,
    encode_filters,
    key_hash,
)
from cenote.lsm.format.flatbuffer import FlatReader, finish
from cenote.lsm.format.index import SstIndex, decode_index, encode_index
from cenote.lsm.format.info import SstInfo, SstKind, info_table, view_info
from cenote.lsm.format.section import decode_section, encode_section
from cenote.lsm.format.stats import SstStats, decode_stats, encode_stats
from cenote.lsm.keys import separator

__all__ = [
    "FOOTER_SIZE",
    "SEQ_MAX",
    "VERSION",
    "EncodedSst",
    "Footer",
    "Sst",
    "SstLayout",
    "check_order",
    "decode_footer",
    "decode_info",
    "encode_sst",
    "frame_end",
    "frame_sst",
    "open_sst",
    "sum_counts",
]

VERSION: Final = 2
_VERSIONS: Final = (1, 2)
SEQ_MAX: Final = 2**64 - 1

_FOOTER: Final = Struct(">QH")
FOOTER_SIZE: Final = _FOOTER.size
_CRC_SIZE: Final = 4


@dataclass(frozen=True, slots=True)
class SstLayout:
    """How a table is to be written.

    A filter is made when the table has `filter_rows_min` rows or more: of fewer, reading the rows
    costs less than the filter.
    """

    block_size: int = BLOCK_SIZE
    codec: Codec = Codec.NONE
    filters: tuple[BloomPolicy, ...] = (BloomPolicy(),)
    filter_rows_min: int = 1000


@dataclass(frozen=True, slots=True)
class EncodedSst:
    """A file, and what a manifest repeats of it."""

    data: bytes
    info: SstInfo
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Footer:
    """Where the info is (half-open, its checksum included), and the file's version."""

    start: int
    end: int
    version: int


def encode_sst(rows: Sequence[Row], layout: SstLayout | None = None) -> EncodedSst:
    """Return the file of some rows.

    Requires: rows as invariant 1 says, at least one. Raises InvalidError when they are not, or
    one of them cannot be written. Cost: the file's size twice; 2 us a row and 6 for its filter.
    """
    layout = layout or SstLayout()
    check_order(rows, InvalidError)
    blocks = encode_blocks(rows, layout.block_size)
    first_keys = [b""]
    first_keys += [
        separator(before.last_key, block.first_key) for before, block in pairwise(blocks)
    ]
    filters = b""
    if layout.filters and len(rows) >= layout.filter_rows_min:
        filters = encode_filters(
            [(policy.name, build_bloom(rows, policy)) for policy in layout.filters]
        )
    stats = SstStats(
        counts=sum_counts([block.counts for block in blocks]),
        key_bytes=sum([len(row[0]) for row in rows]),
        value_bytes=sum([len(row[1]) for row in rows]),
        blocks=tuple(block.counts for block in blocks),
    )
    return frame_sst(
        [block.payload for block in blocks],
        first_keys,
        layout.codec,
        first_entry=rows[0][0],
        last_entry=rows[-1][0],
        filters=filters,
        stats=encode_stats(stats),
    )


def check_order(rows: Sequence[Row], error: type[InvalidError] | type[DataError]) -> None:
    """Raise `error` unless there are rows, as invariant 1 says."""
    if not rows:
        raise error("a table has at least one row", kind="row_order")
    previous = rows[0]
    if not previous[0]:
        raise error("a key must have at least one byte", kind="empty_key")
    for row in rows[1:]:
        key = row[0]
        if key <= previous[0] and (key < previous[0] or row[2] >= previous[2]):
            raise error("the rows of a table are not in order", kind="row_order")
        previous = row


def sum_counts(counts: Sequence[RowCounts]) -> RowCounts:
    """Return the sums over blocks."""
    return RowCounts(
        sum([each.puts for each in counts]),
        sum([each.tombstones for each in counts]),
        sum([each.merges for each in counts]),
    )


def frame_sst(
    blocks: Sequence[bytes],
    first_keys: Sequence[bytes],
    codec: Codec,
    *,
    kind: SstKind = SstKind.TABLE,
    first_entry: bytes | None = None,
    last_entry: bytes | None = None,
    filters: bytes = b"",
    stats: bytes = b"",
) -> EncodedSst:
    """Return the file of plain payloads: blocks with their index keys, filters, statistics.

    Empty filters or statistics are left out.
    """
    parts: list[bytes] = []
    offsets: list[int] = []
    at = 0
    for block in blocks:
        offsets.append(at)
        parts.append(encode_section(block, codec))
        at += len(parts[-1])
    end, info = frame_end(
        offsets,
        first_keys,
        at,
        codec,
        kind=kind,
        first_entry=first_entry,
        last_entry=last_entry,
        filters=filters,
        stats=stats,
    )
    return EncodedSst(b"".join((*parts, *end)), info)


def frame_end(
    offsets: Sequence[int],
    first_keys: Sequence[bytes],
    at: int,
    codec: Codec,
    *,
    kind: SstKind = SstKind.TABLE,
    first_entry: bytes | None = None,
    last_entry: bytes | None = None,
    filters: bytes = b"",
    stats: bytes = b"",
) -> tuple[list[bytes], SstInfo]:
    """Return what follows the blocks, which end at `at`, and the info in it."""
    parts: list[bytes] = []
    sections: list[tuple[int, int]] = []
    for payload in (filters, encode_index(offsets, first_keys), stats):
        section = encode_section(payload, codec) if payload else b""
        sections.append((at, len(section)))
        parts.append(section)
        at += len(section)
    (filter_offset, filter_size), (index_offset, index_size), (stats_offset, stats_size) = sections
    info = SstInfo(
        first_entry=first_entry,
        last_entry=last_entry,
        index_offset=index_offset,
        index_size=index_size,
        filter_offset=filter_offset,
        filter_size=filter_size,
        stats_offset=stats_offset if stats_size else 0,
        stats_size=stats_size,
        codec=codec,
        kind=kind,
    )
    raw = finish(info_table(info))
    parts += (raw, crc32(raw).to_bytes(_CRC_SIZE, "big"), _FOOTER.pack(at, VERSION))
    return parts, info


def decode_footer(tail: bytes, file_size: int) -> Footer:
    """Return what the last `FOOTER_SIZE` bytes of a file of `file_size` bytes tell.

    Raises DataError, FormatVersionError.
    """
    if len(tail) != FOOTER_SIZE or file_size < FOOTER_SIZE + _CRC_SIZE:
        raise DataError("a file is shorter than its footer", kind="footer", size=file_size)
    start, version = _FOOTER.unpack(tail)
    if version not in _VERSIONS:
        raise FormatVersionError(f"table files of version {version} are not known", version=version)
    end = file_size - FOOTER_SIZE
    if start + _CRC_SIZE > end:
        raise DataError("a footer leads out of its file", kind="footer", size=file_size)
    return Footer(start, end, version)


def decode_info(raw: bytes) -> SstInfo:
    """Return the info from the bytes that a footer tells of.

    Ensures: every section lies before the info, in their order. Raises DataError, ChecksumError.
    """
    if crc32(raw[:-_CRC_SIZE]) != int.from_bytes(raw[-_CRC_SIZE:], "big"):
        raise ChecksumError("the checksum of a file's info does not match", size=len(raw))
    return view_info(FlatReader(raw[:-_CRC_SIZE]).root())


def _check_sections(info: SstInfo, end: int) -> None:
    spans = [(0, info.data_size)]
    if info.filter_size:
        spans.append((info.filter_offset, info.filter_size))
    spans.append((info.index_offset, info.index_size))
    if info.stats_size:
        spans.append((info.stats_offset, info.stats_size))
    at = 0
    for start, size in spans:
        if start < at:
            raise DataError("the sections of a file overlap", kind="info")
        at = start + size
    if at > end:
        raise DataError("a section lies outside its file", kind="info", size=end)


@dataclass(frozen=True, slots=True)
class Sst:
    """A file whose bytes are all at hand, its index decoded. Every getter raises DataError."""

    data: bytes = field(repr=False)
    version: int
    info: SstInfo
    index: SstIndex = field(repr=False)

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return len(self.index.offsets)

    def block(self, number: int) -> bytes:
        """Return the plain payload of a block."""
        offsets = self.index.offsets
        end = offsets[number + 1] if number + 1 < len(offsets) else self.info.data_size
        return decode_section(self.data[offsets[number] : end], self.info.codec)

    def rows(self) -> Iterator[Row]:
        """Yield the rows in the file's order, block by block."""
        for number in range(len(self)):
            yield from decode_block(self.block(number), self.version)

    def filters(self) -> dict[str, Bloom]:
        """Return the bloom filters by name; empty when there are none."""
        info = self.info
        if not info.filter_size:
            return {}
        section = self.data[info.filter_offset : info.filter_offset + info.filter_size]
        return decode_filters(decode_section(section, info.codec), info.filter_format)

    def stats(self) -> SstStats | None:
        """Return the statistics, or None when there are none."""
        info = self.info
        if not info.stats_size:
            return None
        section = self.data[info.stats_offset : info.stats_offset + info.stats_size]
        return decode_stats(decode_section(section, info.codec))

    def find(self, key: bytes, seq_max: int = SEQ_MAX) -> Row | None:
        """Return the newest row of `key` with seq <= `seq_max`, or None. Of a table only."""
        bloom = self.filters().get("_bf")
        if bloom is not None and not bloom.may_contain(key_hash(key)):
            return None
        for number in self.index.blocks_of(key):
            row = find_in_block(self.block(number), self.version, key, seq_max)
            if row is not None:
                return row
        return None

    def check(self) -> int:
        """Read a whole table, compare what it says twice, and return how many rows it has.

        Raises DataError when rows are out of order, or the index, a filter over whole keys, the
        statistics or the info do not agree with them.
        """
        rows: list[Row] = []
        for number, low in enumerate(self.index.first_keys):
            block = decode_block(self.block(number), self.version)
            if not block or (rows and not rows[-1][0] <= low) or low > block[0][0]:
                raise DataError("an index does not agree with its rows", kind="index")
            rows += block
        check_order(rows, DataError)
        info, stats, bloom = self.info, self.stats(), self.filters().get("_bf")
        if info.first_entry != rows[0][0] or info.last_entry not in (None, rows[-1][0]):
            raise DataError("an info does not agree with its rows", kind="info")
        if bloom is not None and not all(bloom.may_contain(key_hash(row[0])) for row in rows):
            raise DataError("a filter hides a row", kind="filter")
        if stats is not None:
            counts = stats.counts
            if counts.puts + counts.tombstones + counts.merges != len(rows):
                raise DataError("statistics do not agree with their rows", kind="stats")
        return len(rows)


def open_sst(data: bytes) -> Sst:
    """Return the file that `data` is. Raises DataError, ChecksumError, FormatVersionError."""
    footer = decode_footer(data[-FOOTER_SIZE:], len(data))
    info = decode_info(data[footer.start : footer.end])
    _check_sections(info, footer.start)
    section = data[info.index_offset : info.index_offset + info.index_size]
    index = decode_index(decode_section(section, info.codec))
    if index.offsets and index.offsets[-1] >= info.data_size:
        raise DataError("a block lies outside its file", kind="index")
    return Sst(data, footer.version, info, index)
