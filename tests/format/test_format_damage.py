"""Damaged bytes raise DataError: cut at every place, with every bit flipped, or made at random.

Tables and logs are under checksums, so there every damage must show. Manifests and compactions
files have none: there damage must show or give some other valid value, and never anything else.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from builder import batch
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.base import SeededRand
from cenote.errors import DataError
from cenote.lsm.format import (
    Codec,
    Compactions,
    FilterFormat,
    Manifest,
    RowCounts,
    SstLayout,
    SstStats,
    decode_block,
    decode_boundary,
    decode_compactions,
    decode_filters,
    decode_index,
    decode_manifest,
    decode_row,
    decode_stats,
    decode_tracker,
    decode_wal,
    decompress,
    encode_blocks,
    encode_compactions,
    encode_index,
    encode_manifest,
    encode_sst,
    encode_stats,
    encode_tracker,
    encode_wal,
    find_in_block,
    open_sst,
)

ROWS = batch(1, 0, 40, 1)


def read_table(data: bytes) -> object:
    """Read all there is in a table."""
    sst = open_sst(data)
    return list(sst.rows()), sst.index, sst.filters(), sst.stats(), sst.check()


def table(codec: Codec) -> bytes:
    rows = [row for row in ROWS if row[0] != b"long"][:25]
    return encode_sst(rows, SstLayout(512, codec, filter_rows_min=0)).data


def log(codec: Codec) -> bytes:
    return encode_wal([row for row in ROWS if row[0] != b"long"], codec).data


def flips(data: bytes) -> list[bytes]:
    """Return `data` with each of its bits flipped, one at a time."""
    return [
        data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
        for at in range(len(data))
        for bit in range(8)
    ]


def must_fail(decode: Callable[[bytes], object], damaged: bytes) -> None:
    with pytest.raises(DataError):
        decode(damaged)


def may_fail(decode: Callable[[bytes], object], damaged: bytes) -> None:
    try:
        decode(damaged)
    except DataError:
        return


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize(("make", "decode"), [(table, read_table), (log, decode_wal)])
def test_a_cut_file_is_refused(
    make: Callable[[Codec], bytes], decode: Callable[[bytes], object], codec: Codec
) -> None:
    data = make(codec)
    decode(data)
    # Of a log nothing at all is left: that is a fence, not damage.
    for size in range(0 if decode is read_table else 1, len(data)):
        must_fail(decode, data[:size])
        if size > 10:
            must_fail(decode, data[size:])


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.LZ4])
@pytest.mark.parametrize(("make", "decode"), [(table, read_table), (log, decode_wal)])
def test_a_flipped_bit_in_a_file_is_found(
    make: Callable[[Codec], bytes], decode: Callable[[bytes], object], codec: Codec
) -> None:
    for damaged in flips(make(codec)):
        must_fail(decode, damaged)


@pytest.mark.parametrize("name", ["0.10.0-plain", "0.15.0-codec-none", "0.17.0-codec-none"])
def test_a_damaged_state_file_gives_a_state_or_is_refused(
    golden: Callable[[str], Path], name: str
) -> None:
    for pattern, decode in (
        ("manifest/*.manifest", decode_manifest),
        ("compactions/*.compactions", decode_compactions),
    ):
        for path in sorted(golden(name).rglob(pattern))[-1:]:
            data = path.read_bytes()
            for size in range(len(data)):
                may_fail(decode, data[:size])
            must_fail(decode, data[: len(data) // 2])
            for damaged in flips(data):
                may_fail(decode, damaged)


PLAIN: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "block": (decode_block, encode_blocks(ROWS[:20], 65536)[0].payload),
    "search": (
        lambda data: find_in_block(data, 2, b"key:000015", 2**64 - 1),
        encode_blocks([*ROWS[:20], *batch(2, 900, 940, 1)], 65536)[0].payload,
    ),
    "old block": (lambda data: decode_block(data, 1), b"\0\0\0\1k" + bytes(9) + bytes(7) + b"\1"),
    "row": (decode_row, bytes((0, 3, 5)) + b"keyvalue" + bytes(8) + b"\6" + bytes(16)),
    "filters": (
        lambda data: decode_filters(data, FilterFormat.COMPOSITE),
        b"\0\1\0\3_bf" + (5).to_bytes(8, "big") + b"\0\6abc",
    ),
    "index": (
        decode_index,
        encode_index((0, 300, 700), (b"", b"key", b"kez")),
    ),
    "tracker": (decode_tracker, encode_tracker([(1, 10), (500, 70), (501, 9000), (99_999, 9001)])),
    "manifest": (decode_manifest, encode_manifest(Manifest(last_l0_seq=9))),
    "compactions": (decode_compactions, encode_compactions(Compactions(3))),
    "stats": (
        decode_stats,
        encode_stats(SstStats(RowCounts(1, 2, 3), 40, 50, (RowCounts(1, 1, 1), RowCounts()))),
    ),
    "boundary": (decode_boundary, b"123"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_a_payload_without_its_checksum_is_refused_or_read(name: str) -> None:
    """A decoder is safe by itself: what it is given may have passed a checksum by chance."""
    decode, data = PLAIN[name]
    for size in range(len(data)):
        may_fail(decode, data[:size])
    for damaged in flips(data):
        may_fail(decode, damaged)
    rand = SeededRand(len(data))
    for _ in range(300):
        noise = rand.bytes(1 + rand.bytes(1)[0])
        at = rand.bytes(1)[0] % (len(data) + 1)
        may_fail(decode, noise)
        may_fail(decode, data[:at] + noise[:8] + data[at + 8 :])


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_or_read(data: bytes) -> None:
    for decode, _ in PLAIN.values():
        may_fail(decode, data)
    for version in (b"\0\1", b"\0\2"):
        may_fail(decode_manifest, version + data)
        may_fail(decode_compactions, version + data)
    for codec in Codec:
        may_fail(lambda packed, codec=codec: decompress(codec, packed), data)
    may_fail(read_table, data)


BOMBS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "lz4 that claims 4 GiB": (
        lambda data: decompress(Codec.LZ4, data),
        b"\xff\xff\xff\xff" + b"\x1f" * 60,
    ),
    "snappy that claims 4 GiB": (
        lambda data: decompress(Codec.SNAPPY, data),
        b"\xff\xff\xff\xff\x0f" + b"\xfe" * 60,
    ),
    "zstd that claims 2**60 bytes": (
        lambda data: decompress(Codec.ZSTD, data),
        b"\x28\xb5\x2f\xfd\xe0" + (2**60).to_bytes(8, "little") + b"\1\0\0",
    ),
    "a row of 4 GiB": (decode_block, b"\0\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f\0\0\0\1"),
    "a filter of 2**63 bytes": (
        lambda data: decode_filters(data, FilterFormat.COMPOSITE),
        b"\0\1\0\3_bf" + (2**63).to_bytes(8, "big") + b"\0\6",
    ),
    "a tracker of 2**32 samples": (decode_tracker, b"\1" + b"\xff" * 24),
    "a vector that holds itself 2**28 times": (
        decode_index,
        # root at 8, its vtable at 4 says: one field, at 4; the vector's count is huge.
        b"\x08\0\0\0\x06\0\x08\0\x04\0\0\0" + b"\x04\0\0\0" + b"\xff\xff\xff\x0f" * 8,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_claimed_size_takes_no_memory(name: str) -> None:
    decode, data = BOMBS[name]
    tracemalloc.start()
    try:
        must_fail(decode, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**22, peak


def test_a_small_buffer_does_not_unfold_into_a_large_value() -> None:
    """Offsets that all lead to one table are cheap to write, and would be dear to read."""
    # An index whose vector of n offsets leads n times to the same table.
    count = 1000
    vtable = (8).to_bytes(2, "little") + b"\x08\0\0\0\x04\0"  # fields: none, then one at 4
    vector = 4 + 6 + 2 + 8 + 4
    table_at = vector + 4 + 4 * count + 8
    data = bytearray(table_at + 64)
    data[0:4] = (12).to_bytes(4, "little")
    data[4:10] = b"\x06\0\x08\0\x04\0"  # the root's vtable: one field, at 4
    data[12:16] = (8).to_bytes(4, "little")  # the root: its vtable is 8 before it
    data[16:20] = (vector - 16).to_bytes(4, "little")
    data[vector : vector + 4] = count.to_bytes(4, "little")
    for n in range(count):
        slot = vector + 4 + 4 * n
        data[slot : slot + 4] = (table_at - slot).to_bytes(4, "little")
    data[table_at - 8 : table_at] = vtable
    data[table_at : table_at + 4] = (8).to_bytes(4, "little", signed=True)
    data[table_at + 4 : table_at + 8] = (4).to_bytes(4, "little")
    data[table_at + 8 : table_at + 12] = (8).to_bytes(4, "little")
    must_fail(decode_index, bytes(data))
