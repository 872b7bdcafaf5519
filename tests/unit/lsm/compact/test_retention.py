"""What is left of a key's versions, and that nobody who may look sees a difference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import NOW_MS, Commas, operand, put, seen, tombstone

from cenote.errors import DataError, InvalidError
from cenote.lsm import Entry, Row
from cenote.lsm.compact.retention import KEEP, REMOVE, Retention

K = b"k"


def retain(rows: list[Row], seq_min: int = 100, bottom: bool = False, **other: object) -> list[Row]:
    return Retention(seq_min, NOW_MS, bottom, **other).retain(rows)  # type: ignore[arg-type]


def test_the_newest_of_what_all_snapshots_see_is_kept() -> None:
    rows = [put(K, b"c", 9), put(K, b"b", 5), put(K, b"a", 3)]
    assert retain(rows) == rows[:1]
    assert retain(rows, seq_min=8) == rows[:2]
    assert retain(rows, seq_min=5) == rows[:2]
    assert retain(rows, seq_min=4) == rows


def test_a_tombstone_goes_at_the_bottom_only_and_only_when_nothing_lies_below() -> None:
    rows = [tombstone(K, 5), put(K, b"a", 3)]
    assert retain(rows) == rows[:1]
    assert retain(rows, bottom=True) == []
    assert retain(rows, seq_min=4, bottom=True) == rows
    newer = [put(K, b"c", 9), *rows]
    assert retain(newer, seq_min=5, bottom=True) == newer[:1]


def test_what_has_expired_becomes_a_tombstone() -> None:
    expired = put(K, b"v", 5, NOW_MS)
    assert retain([expired, put(K, b"old", 3)]) == [tombstone(K, 5)]
    assert retain([expired], bottom=True) == []
    assert retain([put(K, b"v", 5, NOW_MS + 1)]) == [put(K, b"v", 5, NOW_MS + 1)]
    assert retain([operand(K, b"v", 5, NOW_MS), put(K, b"old", 3)]) == [put(K, b"old", 3)]


def test_operands_are_merged_where_no_snapshot_tells_them_apart() -> None:
    rows = [operand(K, b"3", 7), operand(K, b"2", 5), put(K, b"1", 3), put(K, b"0", 2)]
    assert retain(rows) == rows[:3]
    assert retain(rows, operator=Commas()) == [put(K, b"1,2,3", 7)]
    assert retain(rows, seq_min=5, operator=Commas()) == [rows[0], put(K, b"1,2", 5)]
    assert retain(rows[:2], operator=Commas()) == [operand(K, b"2,3", 7)]
    assert retain(rows[:2], bottom=True, operator=Commas()) == [put(K, b"2,3", 7)]
    assert retain([rows[0], tombstone(K, 4)], operator=Commas()) == [put(K, b"3", 7)]


def test_operands_are_not_merged_with_what_expires_at_another_time() -> None:
    late = NOW_MS + 50
    rows = [operand(K, b"3", 7, late), operand(K, b"2", 5), put(K, b"1", 3)]
    assert retain(rows, operator=Commas()) == [rows[0], put(K, b"1,2", 5)]
    rows = [operand(K, b"2", 5), put(K, b"1", 3, late)]
    assert retain(rows, operator=Commas()) == rows


class Odd:
    name = "odd"

    def __init__(self) -> None:
        self.asked: list[Entry] = []

    def decide(self, entry: Entry) -> object:
        self.asked.append(entry)
        return {b"keep": KEEP, b"remove": REMOVE, b"change": b"changed"}.get(entry.value, 7)


def test_a_filter_decides_on_values_that_nobody_sees_older_ones_of() -> None:
    odd = Odd()
    rows = [
        put(b"a", b"keep", 9),
        put(b"b", b"remove", 8),
        put(b"c", b"change", 7),
        put(b"d", b"remove", 200),
        tombstone(b"e", 5),
    ]
    assert retain(rows, filter=odd) == [
        rows[0],
        tombstone(b"b", 8),
        put(b"c", b"changed", 7),
        rows[3],
        rows[4],
    ]
    assert [entry.key for entry in odd.asked] == [b"a", b"b", b"c"]
    with pytest.raises(InvalidError):
        retain([put(b"a", b"other", 9)], filter=odd)


def test_versions_that_rise_are_damage_and_twins_are_one() -> None:
    with pytest.raises(DataError):
        retain([put(K, b"", 3), put(K, b"", 5)])
    assert retain([put(K, b"1", 3), put(K, b"1", 3)], seq_min=0) == [put(K, b"1", 3)]


kinds = st.sampled_from(["put", "operand", "tombstone"])
expiries = st.sampled_from([None, None, NOW_MS - 5, NOW_MS, NOW_MS + 5, NOW_MS + 9])


@st.composite
def versions(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for seq in sorted(draw(st.sets(st.integers(1, 12), min_size=1)), reverse=True):
        kind, expire, value = draw(kinds), draw(expiries), b"%d" % seq
        if kind == "tombstone":
            rows.append(tombstone(K, seq))
        else:
            rows.append((put if kind == "put" else operand)(K, value, seq, expire))
    return rows


@settings(max_examples=300, deadline=None)
@given(versions(), versions(), st.integers(0, 13), st.booleans(), st.integers(0, 10))
def test_nobody_sees_a_difference(
    rows: list[Row], older: list[Row], seq_min: int, merging: bool, later: int
) -> None:
    """Whatever lies above or below, at every sequence number and time that may be looked at."""
    below = [(key, value, seq - 20, *rest) for key, value, seq, *rest in older]
    for bottom in (False, True):
        rule = Retention(seq_min, NOW_MS, bottom, Commas() if merging else None)
        kept = rule.retain(rows)
        assert {row[2] for row in kept} <= {row[2] for row in rows}
        rest = [] if bottom else below
        for seq in range(seq_min, 14):
            for now in (NOW_MS, NOW_MS + later):
                assert seen(kept + rest, seq, now) == seen(rows + rest, seq, now)
        assert rule.retain(kept) == kept
