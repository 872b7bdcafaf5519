"""A small log file made by a template is the file made of all its parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row
from cenote.lsm.format import Codec, decode_wal, encode_wal, encode_wal_file

TIMES = st.none() | st.integers(0, 2**62)


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    seqs = sorted(draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30)))
    rows: list[Row] = []
    for seq in seqs:
        kind = draw(st.sampled_from([PUT, MERGE, TOMBSTONE]))
        value = b"" if kind == TOMBSTONE else draw(st.binary(max_size=40))
        size = draw(st.sampled_from([1, 1, 1, 3000]))
        key = draw(st.binary(min_size=1, max_size=9))
        rows.append((key, value * size, seq, kind, draw(TIMES), draw(TIMES)))
    return rows


@given(logs(), st.sampled_from(list(Codec)))
def test_both_ways_make_the_same_bytes(rows: list[Row], codec: Codec) -> None:
    data = encode_wal_file(rows, codec)
    assert data == encode_wal(rows, codec).data
    assert decode_wal(data) == rows


def test_many_rows_and_bad_ones() -> None:
    rows: list[Row] = [(b"%d" % n, b"v" * 100, n, PUT, n, None) for n in range(1000)]
    assert encode_wal_file(rows) == encode_wal(rows).data
    with pytest.raises(InvalidError):
        encode_wal_file([])
    with pytest.raises(InvalidError):
        encode_wal_file([rows[2], rows[1]])
    with pytest.raises(InvalidError):
        encode_wal_file([(b"k", b"", 2**64, PUT, None, None)])
