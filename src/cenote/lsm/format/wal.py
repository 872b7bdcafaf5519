"""A log file: rows in the order they were written.

Owns: the layout of a log file, both ways. Does not own: which files there are, when one is whole.

A log file is a table file (`sst`) with these differences:

    info kind      WAL (absent in files of version 1)
    rows           by sequence number; a key may come anywhere
    first_entry    u64 BE sequence number of the first row; no last_entry
    blocks         of 64 KiB, whatever the tables' are (of 4 KiB in older files)
    index keys     u64 BE sequence number of each block's first row (version 1: its key)
    filter, stats  absent

An object of no bytes is a *fence*: a writer that opens the database takes the next number with it,
so that the writer before fails at its next file. Before version 0.14 of the reference
implementation a fence was a file without blocks, its kind that of a table; both decode to no rows.

Invariants:
1. All rows of one sequence number are in one file, so that a file is whole or absent, never torn.
2. Sequence numbers never fall within a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from cenote.errors import DataError, InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format import kernels
from cenote.lsm.format.block import BLOCK_SIZE_MAX, decode_block, encode_blocks
from cenote.lsm.format.codec import Codec
from cenote.lsm.format.flatbuffer import finish
from cenote.lsm.format.index import encode_index
from cenote.lsm.format.info import SstInfo, SstKind, info_table
from cenote.lsm.format.section import encode_section
from cenote.lsm.format.sst import VERSION, EncodedSst, frame_end, frame_sst, open_sst

__all__ = ["FENCE", "WAL_BLOCK_SIZE", "decode_wal", "encode_wal", "encode_wal_file"]

FENCE: Final = b""
# A log is read from end to end, so that large blocks cost nothing and compress better.
WAL_BLOCK_SIZE: Final = BLOCK_SIZE_MAX
_FEW_ROWS: Final = 256
_U64: Final = Struct("<Q")  # as flatbuffers hold it
_FOOTER: Final = Struct(">QH")


def encode_wal(
    rows: Sequence[Row], codec: Codec = Codec.NONE, block_size: int = WAL_BLOCK_SIZE
) -> EncodedSst:
    """Return the log file of some rows.

    Requires: at least one row, in order of sequence numbers, whole batches. Raises InvalidError
    when they are not, or a row cannot be written. Cost: 1 us a row, and 60 us.
    """
    if codec is Codec.NONE and rows:
        data, ends, first_seqs = kernels.encode_log(rows, block_size)
        end, info = frame_end(
            [0, *ends[:-1]],
            first_seqs,
            len(data),
            codec,
            kind=SstKind.WAL,
            first_entry=first_seqs[0],
        )
        return EncodedSst(b"".join((data, *end)), info)
    seqs = _seqs_of(rows)
    blocks = encode_blocks(rows, block_size)
    first_seqs = []
    at = 0
    for block in blocks:
        first_seqs.append(seqs[at].to_bytes(8, "big"))
        at += block.counts.puts + block.counts.tombstones + block.counts.merges
    return frame_sst(
        [block.payload for block in blocks],
        first_seqs,
        codec,
        kind=SstKind.WAL,
        first_entry=first_seqs[0],
    )


def encode_wal_file(rows: Sequence[Row], codec: Codec = Codec.NONE) -> bytes:
    """Return the bytes of `encode_wal`, sooner when the rows are few.

    A commit of one row is a file of one block, and most of its bytes are the same every time: they
    are made once, and what differs is put in its places. Raises as `encode_wal`.
    """
    if len(rows) > _FEW_ROWS:
        return encode_wal(rows, codec).data
    seqs = _seqs_of(rows)
    blocks = encode_blocks(rows, WAL_BLOCK_SIZE)
    if len(blocks) > 1:
        return encode_wal(rows, codec).data
    first = seqs[0].to_bytes(8, "big")
    block = encode_section(blocks[0].payload, codec)
    stamps = _stamps(codec)
    index = encode_section(stamps.of_index.stamped(first), codec)
    at = len(block)
    info = stamps.of_info.stamped(first, _U64.pack(at), _U64.pack(len(index)), _U64.pack(at))
    tail = crc32(info).to_bytes(4, "big") + _FOOTER.pack(at + len(index), VERSION)
    return b"".join((block, index, info, tail))


class _Stamp:
    """Bytes that are the same every time but for some places of eight bytes each."""

    __slots__ = ("_bytes", "_places")

    def __init__(self, data: bytes, marks: Sequence[bytes]) -> None:
        if any(data.count(mark) != 1 for mark in marks):
            raise InvalidError("a mark is not in a template exactly once", kind="template")
        self._bytes = data
        self._places = [data.index(mark) for mark in marks]

    def stamped(self, *values: bytes) -> bytes:
        data = bytearray(self._bytes)
        for place, value in zip(self._places, values, strict=True):
            data[place : place + 8] = value
        return bytes(data)


class _Stamps(NamedTuple):
    of_index: _Stamp
    of_info: _Stamp


@cache
def _stamps(codec: Codec) -> _Stamps:
    marks = [bytes(range(16 * n + 1, 16 * n + 9)) for n in range(10, 14)]
    seq, index_offset, index_size, filter_offset = marks
    info = SstInfo(
        first_entry=seq,
        last_entry=None,
        index_offset=_U64.unpack(index_offset)[0],
        index_size=_U64.unpack(index_size)[0],
        filter_offset=_U64.unpack(filter_offset)[0],
        filter_size=0,
        codec=codec,
        kind=SstKind.WAL,
    )
    return _Stamps(_Stamp(encode_index([0], [seq]), [seq]), _Stamp(finish(info_table(info)), marks))


def _seqs_of(rows: Sequence[Row]) -> list[int]:
    """Return the rows' sequence numbers. Raises InvalidError when they may not be in one file."""
    if not rows:
        raise InvalidError("a log file has at least one row", kind="row_order")
    seqs = [row[2] for row in rows]
    if seqs != sorted(seqs) or not 0 <= seqs[0] <= seqs[-1] < 2**64:
        raise InvalidError("the rows of a log file are not in order", kind="row_order")
    return seqs


def decode_wal(data: bytes) -> list[Row]:
    """Return the rows of a log file, none for a fence. Raises DataError."""
    if data == FENCE:
        return []
    sst = open_sst(data)
    if sst.version > 1 and len(sst) and sst.info.kind is not SstKind.WAL:
        raise DataError("a table file stands where a log file should", kind="sst_kind")
    rows: list[Row] = []
    for number, first in enumerate(sst.index.first_keys):
        block = decode_block(sst.block(number), sst.version)
        if sst.version > 1 and (not block or first != block[0][2].to_bytes(8, "big")):
            raise DataError("an index does not agree with its rows", kind="index")
        rows += block
    if any(a[2] > b[2] for a, b in pairwise(rows)):
        raise DataError("the rows of a log file are not in order", kind="row_order")
    return rows
