"""Ids and the names of files."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.base import ManualClock, SeededRand
from cenote.errors import DataError, InvalidError
from cenote.lsm.format import (
    FileKind,
    FileName,
    UlidMint,
    boundary_name,
    compactions_name,
    decode_boundary,
    encode_boundary,
    format_ulid,
    manifest_name,
    mint_uuid,
    parse_name,
    parse_ulid,
    table_name,
    ulid_time_ms,
    wal_name,
)

# The example of github.com/ulid/spec: its first ten digits are this millisecond.
SPEC_ULID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SPEC_TIME_MS = 1469922850259


def test_the_specifications_ulid() -> None:
    assert ulid_time_ms(SPEC_ULID) == SPEC_TIME_MS
    assert format_ulid(parse_ulid(SPEC_ULID)) == SPEC_ULID
    assert parse_ulid("7" + "Z" * 25) == 2**128 - 1


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**128 - 1))
def test_ulids_sort_as_their_numbers(a: int, b: int) -> None:
    assert parse_ulid(format_ulid(a)) == a
    assert (format_ulid(a) < format_ulid(b)) == (a < b)


@pytest.mark.parametrize(
    "text",
    ["", SPEC_ULID.lower(), SPEC_ULID[:-1], SPEC_ULID + "0", "8" + SPEC_ULID[1:], "I" * 26],
)
def test_other_spellings_of_a_ulid_are_refused(text: str) -> None:
    with pytest.raises(DataError):
        parse_ulid(text)


def test_a_mint_goes_forward_when_its_clock_goes_back() -> None:
    clock = ManualClock(SPEC_TIME_MS)
    mint = UlidMint(clock, SeededRand(1))
    made = [mint.mint() for _ in range(50)]
    clock.advance(-100)
    made += [mint.mint() for _ in range(50)]
    clock.advance(200)
    made.append(mint.mint())
    assert made == sorted(set(made))
    assert [ulid_time_ms(made[at]) - SPEC_TIME_MS for at in (0, 99, 100)] == [0, 0, 100_000]


def test_uuids_are_random_ones() -> None:
    made = uuid.UUID(mint_uuid(SeededRand(3)))
    assert (made.version, made.variant) == (4, uuid.RFC_4122)
    assert str(made) == mint_uuid(SeededRand(3))


def test_names() -> None:
    assert manifest_name(1) == "manifest/00000000000000000001.manifest"
    assert compactions_name(12) == "compactions/00000000000000000012.compactions"
    assert wal_name(2**64 - 1) == "wal/18446744073709551615.sst"
    assert table_name(SPEC_ULID) == f"compacted/{SPEC_ULID}.sst"
    assert boundary_name(FileKind.MANIFEST) == "gc/manifest.boundary"
    assert boundary_name(FileKind.COMPACTIONS) == "gc/compactions.boundary"


@given(st.integers(1, 2**64 - 1))
def test_names_are_read_back(number: int) -> None:
    assert parse_name(manifest_name(number)) == FileName(FileKind.MANIFEST, number)
    assert parse_name(compactions_name(number)) == FileName(FileKind.COMPACTIONS, number)
    assert parse_name(wal_name(number)) == FileName(FileKind.WAL, number)
    ulid = format_ulid(number << 64)
    assert parse_name(table_name(ulid)) == FileName(FileKind.TABLE, ulid)


@pytest.mark.parametrize(
    "name",
    [
        "manifest/1.manifest",
        "manifest/00000000000000000000.manifest",
        "manifest/99999999999999999999.manifest",
        "manifest/00000000000000000001.sst",
        "wal/0000000000000000000A.sst",
        "wal/00000000000000000001.sst.tmp",
        "a/wal/00000000000000000001.sst",
        "wal/\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661"
        "\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661.sst",
        "compacted/00000000000000000001.sst",
        "gc/manifest.boundary",
        "",
    ],
)
def test_other_names_are_nobodys(name: str) -> None:
    assert parse_name(name) is None


@pytest.mark.parametrize("number", [0, -1, 2**64])
def test_numbers_without_a_name_are_refused(number: int) -> None:
    with pytest.raises(InvalidError):
        wal_name(number)


def test_boundaries() -> None:
    assert encode_boundary(17) == b"17"
    assert decode_boundary(b" 17\n") == 17
    for damaged in (b"", b"x", b"-1", b"1 2", b"%d" % 2**64, b"0x1", b"9" * 100):
        with pytest.raises(DataError):
            decode_boundary(damaged)
