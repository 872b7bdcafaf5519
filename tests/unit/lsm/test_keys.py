"""Keys: their order, ranges, and the keys between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import InvalidError
from cenote.lsm import Bound, BoundKind, Entry, KeyRange, check_key, prefix_successor, row_order
from cenote.lsm.keys import separator

keys = st.binary(max_size=6)
bounds = st.one_of(
    st.just(Bound()),
    st.builds(Bound, st.sampled_from([BoundKind.INCLUDED, BoundKind.EXCLUDED]), keys),
)


def within(span: KeyRange, key: bytes) -> bool:
    """Read a range's bounds one by one, as they are said."""
    match span.start.kind:
        case BoundKind.INCLUDED:
            above = key >= span.start.key
        case BoundKind.EXCLUDED:
            above = key > span.start.key
        case _:
            above = True
    match span.end.kind:
        case BoundKind.INCLUDED:
            return above and key <= span.end.key
        case BoundKind.EXCLUDED:
            return above and key < span.end.key
        case _:
            return above


@given(bounds, bounds, keys)
def test_a_half_open_span_holds_the_same_keys(start: Bound, end: Bound, key: bytes) -> None:
    span = KeyRange(start, end)
    assert span.contains(key) == within(span, key)


@given(keys, keys)
def test_a_prefix_ends_where_its_successor_starts(prefix: bytes, key: bytes) -> None:
    end = prefix_successor(prefix)
    assert key.startswith(prefix) == (prefix <= key and (end is None or key < end))


@pytest.mark.parametrize(
    ("prefix", "successor"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff", None), (b"", None), (b"a\xff\x00", b"a\xff\x01")],
)
def test_successors(prefix: bytes, successor: bytes | None) -> None:
    assert prefix_successor(prefix) == successor


@given(keys, keys)
def test_a_separator_is_the_shortest_key_between(one: bytes, other: bytes) -> None:
    before, after = sorted((one, other))
    found = separator(before, after)
    if before == after:
        assert found == after
        return
    assert before < found <= after
    assert after.startswith(found)
    assert not any(before < after[:size] for size in range(len(found)))


def test_rows_are_ordered_by_key_then_newest_first() -> None:
    rows = [Entry(b"b", b"", 1), Entry(b"a", b"", 1), Entry(b"a", b"", 2), Entry(b"aa", b"", 9)]
    assert [(row.key, row.seq) for row in sorted(rows, key=row_order)] == [
        (b"a", 2),
        (b"a", 1),
        (b"aa", 9),
        (b"b", 1),
    ]


def test_the_empty_key_is_refused() -> None:
    with pytest.raises(InvalidError):
        check_key(b"")
    assert check_key(b"\0") == b"\0"
