"""A table made piece by piece is the table made at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.format import BloomPolicy, Codec, SstBuilder, SstLayout, encode_sst, open_sst

rows_of_all_kinds = st.lists(
    st.one_of(
        st.tuples(
            st.binary(min_size=1, max_size=6),
            st.binary(max_size=120),
            st.integers(0, 50),
            st.sampled_from([PUT, MERGE]),
            st.one_of(st.none(), st.integers(0, 2**41)),
            st.one_of(st.none(), st.integers(0, 2**41)),
        ),
        st.tuples(
            st.binary(min_size=1, max_size=6),
            st.just(b""),
            st.integers(0, 50),
            st.just(TOMBSTONE),
            st.just(7),
            st.none(),
        ),
    ),
    min_size=1,
    max_size=80,
    unique_by=lambda row: (row[0], row[2]),
).map(lambda rows: sorted(rows, key=row_order))


def cut(rows: list[Row], sizes: list[int]) -> Iterator[list[Row]]:
    at = turn = 0
    while at < len(rows):
        size = sizes[turn % len(sizes)]
        yield rows[at : at + size]
        at, turn = at + size, turn + 1


@settings(max_examples=60, deadline=None)
@given(
    rows_of_all_kinds,
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.sampled_from([40, 150, 4096]),
    st.sampled_from([Codec.NONE, Codec.ZLIB]),
)
def test_small_pieces_make_the_same_file(
    rows: list[Row], sizes: list[int], block_size: int, codec: Codec
) -> None:
    filters = (
        BloomPolicy(),
        BloomPolicy(extractor="one", prefix_of=lambda key: key[:1] if len(key) > 1 else None),
    )
    layout = SstLayout(block_size, codec, filters, filter_rows_min=20)
    builder = SstBuilder(layout)
    for piece in cut(rows, sizes):
        builder.add(piece)
    built = builder.finish()
    data, expected = b"".join(builder.take()), encode_sst(rows, layout)
    assert data == expected.data
    assert (built.info, built.size, built.rows) == (expected.info, len(data), len(rows))


def many() -> list[Row]:
    return [(b"key %07d" % (n // 3), b"v" * (n % 90), 9 - n % 3, PUT, n, None) for n in range(9000)]


def test_pieces_come_while_rows_are_added() -> None:
    rows, layout = many(), SstLayout(codec=Codec.LZ4)
    builder, pieces = SstBuilder(layout), []
    for batch in cut(rows, [64, 1, 300]):
        builder.add(batch)
        pieces += builder.take()
        assert builder.ready == 0
    early = sum(map(len, pieces))
    built = builder.finish()
    pieces += builder.take()
    assert b"".join(pieces) == encode_sst(rows, layout).data
    assert early > built.size / 2
    assert open_sst(b"".join(pieces)).check() == len(rows)


def test_the_size_is_told_all_along() -> None:
    builder = SstBuilder()
    sizes = []
    for batch in cut(many(), [500]):
        builder.add(batch)
        sizes.append(builder.size)
    assert sizes == sorted(sizes)
    assert 0.8 < builder.size / builder.finish().info.data_size < 1.2


@pytest.mark.parametrize(
    "batches",
    [
        [[(b"b", b"", 1, PUT, None, None)], [(b"a", b"", 1, PUT, None, None)]],
        [[(b"a", b"", 1, PUT, None, None)], [(b"a", b"", 1, PUT, None, None)]],
        [[(b"a", b"", 1, PUT, None, None), (b"a", b"", 2, PUT, None, None)]],
        [[(b"", b"", 1, PUT, None, None)]],
        [[]],
    ],
)
def test_rows_out_of_order_and_none_are_refused(batches: list[list[Row]]) -> None:
    builder = SstBuilder()
    with pytest.raises(InvalidError):
        for batch in batches:
            builder.add(batch)
        builder.finish()
