"""The rule of what is seen of a key, on one key and on many."""

from __future__ import annotations

import layered
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import NOW_MS, Join, merge, put, tombstone

from cenote.lsm import Row
from cenote.lsm.merge import fold_versions, visible_rows


def fold(*versions: Row) -> bytes | None:
    row = fold_versions(versions, lambda: NOW_MS, Join())
    return None if row is None else row[1]


def test_the_newest_version_is_seen() -> None:
    assert fold() is None
    assert fold(put(b"k", b"v", 1)) == b"v"
    assert fold(tombstone(b"k", 2)) is None


def test_operands_are_merged_oldest_first_down_to_what_ends_the_key() -> None:
    three, two = merge(b"k", b"3", 3), merge(b"k", b"2", 2)
    assert fold(three, two) == b"2,3"
    assert fold(three, two, put(b"k", b"1", 1)) == b"1,2,3"
    assert fold(three, two, tombstone(b"k", 1)) == b"2,3"


def test_what_has_expired_is_not_seen_and_ends_a_key_as_a_tombstone_does() -> None:
    old, new = NOW_MS, NOW_MS + 1
    assert fold(put(b"k", b"v", 1, old)) is None
    assert fold(put(b"k", b"v", 1, new)) == b"v"
    assert fold(merge(b"k", b"2", 2, old), put(b"k", b"1", 1)) == b"1"
    assert fold(merge(b"k", b"2", 2), put(b"k", b"1", 1, old)) == b"2"
    assert fold(merge(b"k", b"2", 2, old)) is None


def test_a_merged_row_has_the_stamp_of_its_newest_operand() -> None:
    versions = (merge(b"k", b"2", 7, NOW_MS + 5), put(b"k", b"1", 3))
    row = fold_versions(versions, lambda: NOW_MS, Join())
    assert row == (b"k", b"1,2", 7, 0, NOW_MS, NOW_MS + 5)


ROWS = st.lists(
    st.builds(
        lambda make, key, seq: make(key, seq),
        st.sampled_from(
            (
                lambda key, seq: put(key, b"%d" % seq, seq),
                lambda key, seq: merge(key, b"%d" % seq, seq),
                lambda key, seq: tombstone(key, seq),
                lambda key, seq: put(key, b"%d" % seq, seq, NOW_MS),
                lambda key, seq: merge(key, b"%d" % seq, seq, NOW_MS),
            )
        ),
        st.sampled_from((b"a", b"b", b"c")),
        st.integers(1, 9),
    ),
    unique_by=lambda row: (row[0], row[2]),
)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.integers(0, 10))
def test_many_keys_follow_the_rule_of_one(rows: list[Row], seq_max: int) -> None:
    rows.sort(key=lambda row: (row[0], -row[2]))
    twice = [row for row in rows for _ in range(2)]  # in memory and in a file at once
    wanted = layered.seen([layered.Layer(rows)], seq_max)
    for given_rows in (rows, twice):
        found = visible_rows(given_rows, seq_max, lambda: NOW_MS, Join())
        assert {row[0]: row[1] for row in found} == wanted
        assert [row[0] for row in found] == list(wanted)
