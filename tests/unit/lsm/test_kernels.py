"""The hash, the bloom filter's bits and the rows, against others and against the plain form."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import DataError, InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.format import (
    BloomPolicy,
    build_bloom,
    decode_block,
    decode_row,
    encode_blocks,
    encode_row_after,
    find_in_block,
    key_hash,
)
from cenote.lsm.format.kernels import bloom_build, bloom_contains, shared_prefix, varint

times = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
keys = st.one_of(st.binary(min_size=1, max_size=5), st.binary(min_size=120, max_size=140))
values = st.one_of(st.binary(max_size=10), st.binary(min_size=120, max_size=300))
seqs = st.integers(0, 2**64 - 1)
rows = st.one_of(
    st.tuples(keys, values, seqs, st.sampled_from([PUT, MERGE]), times, times),
    st.tuples(keys, st.just(b""), seqs, st.just(TOMBSTONE), times, times),
)


def test_the_hash_is_the_interpreters_siphash() -> None:
    """CPython hashes bytes with SipHash-1-3; PYTHONHASHSEED=0 makes its key zero."""
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip("this interpreter hashes bytes in another way")
    sizes = (*range(1, 40), 63, 64, 65, 255, 256, 1000)
    program = (
        "import sys; from cenote.lsm.format import key_hash\n"
        f"for n in {sizes}:\n"
        " data = bytes(i * 37 % 256 for i in range(n))\n"
        " print(hash(data) & (1 << 64) - 1, key_hash(data))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    out = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for size, line in zip(sizes, out.splitlines(), strict=True):
        theirs, builtin = map(int, line.split())
        data = bytes(i * 37 % 256 for i in range(size))
        assert theirs == builtin == key_hash(data)


def test_the_probes_of_a_hash() -> None:
    """The places that the reference implementation's own test expects."""
    number, bits = 0xDF77EF56DEADBEEF, 1_000_000
    expected = {928559, 107781, 287004, 466229, 645457, 824689, 3926}
    made = bloom_build([number], bits // 8, 7)
    found = {at for at in range(bits) if made[at >> 3] >> (at & 7) & 1}
    assert found == expected
    assert bloom_contains(made, 7, number)
    assert not bloom_contains(made, 7, number + 1)
    assert not bloom_contains(b"", 7, number)


@pytest.mark.parametrize(("bits", "probes"), [(1, 0), (3, 2), (10, 6), (16, 11), (20, 13)])
def test_how_many_probes_there_are(bits: int, probes: int) -> None:
    assert build_bloom([(b"k", b"", 1, PUT, None, None)], BloomPolicy(bits)).probes == probes


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=60), st.integers(1, 30))
def test_a_filter_never_hides_a_key(names: list[bytes], bits: int) -> None:
    made = build_bloom([(name, b"", 1, PUT, None, None) for name in names], BloomPolicy(bits))
    assert all(made.may_contain(key_hash(name)) for name in names)


def test_a_filter_over_prefixes_knows_prefixes() -> None:
    policy = BloomPolicy(10, False, "first2", lambda key: key[:2] if len(key) > 1 else None)
    table = [(key, b"", 1, PUT, None, None) for key in (b"a", b"aab", b"aac", b"bbc")]
    made = build_bloom(table, policy)
    assert len(made.bits) == 3  # two prefixes, ten bits each
    assert made.may_contain(key_hash(b"aa"))
    assert made.may_contain(key_hash(b"bb"))
    assert policy.name == "_bf:p=first2:wh=0"


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32 - 1, "ffffffff0f")],
)
def test_varints(number: int, encoded: str) -> None:
    """The examples of protobuf's encoding page, and the ends of the range."""
    assert varint(number).hex() == encoded


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_shared_prefixes(a: bytes, b: bytes) -> None:
    assert shared_prefix(a, b) == len(
        list(takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    )


@given(rows, st.binary(max_size=8))
def test_a_row_is_read_back(row: Row, previous: bytes) -> None:
    assert decode_row(encode_row_after(previous, row), previous) == row


@given(st.lists(rows, max_size=60), st.sampled_from([1, 64, 300, 4096, 65536]))
@settings(deadline=None, max_examples=50)
def test_blocks_are_rows_one_by_one(table: list[Row], size: int) -> None:
    """The fast loop gives what the layout says: rows, each after the one before, and restarts."""
    blocks = encode_blocks(table, size)
    at = 0
    for block in blocks:
        found = decode_block(block.payload)
        assert found == table[at : at + len(found)]
        at += len(found)
        plain, restarts, previous = b"", [], b""
        for number, row in enumerate(found):
            if number % 16 == 0:
                restarts.append(len(plain))
                previous = b""
            plain += encode_row_after(previous, row)
            previous = row[0]
        offsets = [*restarts, len(restarts)]
        assert block.payload == plain + b"".join(n.to_bytes(2, "big") for n in offsets)
        assert len(block.payload) <= size or len(found) == 1
        assert (block.first_key, block.last_key) == (found[0][0], found[-1][0])
    assert at == len(table)


@given(st.lists(rows, min_size=1, max_size=60, unique_by=lambda row: (row[0], row[2])), st.data())
@settings(deadline=None, max_examples=50)
def test_a_search_finds_the_newest_version_that_is_old_enough(
    table: list[Row], data: st.DataObject
) -> None:
    table.sort(key=row_order)
    payload = encode_blocks(table, 65536)[0].payload
    held = decode_block(payload)
    key = data.draw(st.one_of(st.sampled_from(held).map(lambda row: row[0]), keys))
    seq_max = data.draw(st.one_of(st.sampled_from(held).map(lambda row: row[2]), seqs))
    wanted = [row for row in held if row[0] == key and row[2] <= seq_max]
    assert find_in_block(payload, 2, key, seq_max) == (wanted[0] if wanted else None)


def test_an_old_row_is_read() -> None:
    """Two rows by hand: the second key takes its first two bytes from the block's first key."""
    one = b"\0\0\0\3abc" + (5).to_bytes(8, "big") + b"\6" + (9).to_bytes(8, "big")
    one += (-1).to_bytes(8, "big", signed=True) + b"\0\0\0\2hi"
    two = b"\0\2\0\1d" + (4).to_bytes(8, "big") + b"\1"
    payload = one + two + b"\0\0" + len(one).to_bytes(2, "big") + b"\0\2"
    expected = [(b"abc", b"hi", 5, PUT, -1, 9), (b"abd", b"", 4, TOMBSTONE, None, None)]
    assert decode_block(payload, 1) == expected
    assert find_in_block(payload, 1, b"abd", 9) == expected[1]


@pytest.mark.parametrize(
    "row",
    [
        (b"k", b"v", 1, TOMBSTONE, None, None),
        (b"k", b"v", 1, 2, None, None),
        (b"k", b"v", 1, 9, None, None),
        (b"k", b"v", -1, PUT, None, None),
        (b"k", b"v", 2**64, PUT, 1, None),
        (b"k", b"v", 1, PUT, 2**63, None),
    ],
)
def test_rows_that_no_file_can_hold_are_refused(row: Row) -> None:
    with pytest.raises(InvalidError):
        encode_blocks([row])


@pytest.mark.parametrize("flags", [1 | 8, 16, 128, 1])
def test_flags_that_nobody_sets_are_refused(flags: int) -> None:
    with pytest.raises(DataError):
        decode_row(b"\0\1\1kv" + bytes(8) + bytes((flags,)))


@pytest.mark.parametrize("size", [0, -1, 65537])
def test_block_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(InvalidError):
        encode_blocks([], size)
