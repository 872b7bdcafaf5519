"""The memtable keeps what somebody may still read, in order, and counts what it keeps."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.errors import ClosedError
from cenote.lsm import MERGE, PUT, TOMBSTONE, row_order
from cenote.lsm.memtable import ROW_OVERHEAD, Memtable

KEYS = st.sampled_from([b"a", b"b", b"ab", b"\xff", b"\x00", b"zz"])
OPS = st.lists(
    st.tuples(KEYS, st.binary(max_size=3), st.sampled_from([PUT, PUT, MERGE, TOMBSTONE])),
    max_size=60,
)


def seen(rows: list[tuple[int, int, bytes]], at: int) -> list[tuple[int, int, bytes]]:
    """Return the newest version at or below `at`, with all below it up to one that is no merge."""
    found = []
    for row in rows:
        if row[0] > at:
            continue
        found.append(row)
        if row[1] != MERGE:
            break
    return found


@given(OPS, st.integers(0, 60))
def test_a_reader_at_or_above_the_kept_number_finds_what_was_there(
    ops: list[tuple[bytes, bytes, int]], keep_from: int
) -> None:
    table = Memtable()
    history: dict[bytes, list[tuple[int, int, bytes]]] = {}
    for seq, (key, value, kind) in enumerate(ops, 1):
        table.insert(key, value, seq, kind, seq * 10, None, min(keep_from, seq))
        history.setdefault(key, []).insert(0, (seq, kind, value))
    for key, rows in history.items():
        for at in range(keep_from, len(ops) + 1):
            found, chain = [], table.find(key, at)
            while chain is not None:
                found.append((chain[0], chain[1], chain[2]))
                chain = chain[5]
            assert seen(found, at) == seen(rows, at)
    rows = table.rows()
    assert rows == sorted(rows, key=row_order)
    assert table.count == len(rows)
    assert table.size == sum(len(row[0]) + len(row[1]) + ROW_OVERHEAD for row in rows)
    assert table.keys() == sorted(history)
    assert table.last_seq == len(ops)


@given(OPS)
def test_many_rows_at_once_are_the_rows_one_by_one(ops: list[tuple[bytes, bytes, int]]) -> None:
    one, many = Memtable(), Memtable()
    rows = [(key, value, seq, kind, seq, None) for seq, (key, value, kind) in enumerate(ops, 1)]
    for row in rows:
        one.insert(*row, 0)
    many.insert_rows(rows, 0)
    assert many.rows() == one.rows()
    assert (many.size, many.count, many.last_seq, many.last_tick) == (
        one.size,
        one.count,
        one.last_seq,
        one.last_tick,
    )


def test_without_a_reader_a_key_has_one_version() -> None:
    table = Memtable()
    for seq in range(1, 100):
        table.insert(b"k", b"%d" % seq, seq, PUT, None, None, seq)
    assert table.rows() == [(b"k", b"99", 99, PUT, None, None)]


def test_a_key_written_again_with_the_same_number_is_replaced() -> None:
    table = Memtable()
    table.insert(b"k", b"old", 1, PUT, None, None, 0)
    table.insert(b"k", b"one", 2, PUT, None, None, 0)
    table.insert(b"k", b"two", 2, PUT, None, None, 0)
    assert [row[1] for row in table.rows()] == [b"two", b"old"]
    assert table.count == 2


def test_ranges_are_half_open_and_see_what_came_since() -> None:
    table = Memtable()
    for n in range(0, 6000, 2):
        table.insert(b"%05d" % n, b"", n + 1, PUT, None, None, 0)
    before = table.keys()
    assert table.keys(b"00010", b"00014") == [b"00010", b"00012"]
    for n in range(1, 6000, 2):
        table.insert(b"%05d" % n, b"", 6000 + n, PUT, None, None, 0)
        if n % 501 == 1:
            assert table.keys() == sorted(table.chains)
    assert table.keys(b"00010", b"00014") == [b"00010", b"00011", b"00012", b"00013"]
    assert before == [b"%05d" % n for n in range(0, 6000, 2)]
    assert [row[2] for row in table.rows(b"00010", b"00012", 6000)] == [11]


def test_frozen_it_takes_nothing() -> None:
    table = Memtable()
    table.freeze()
    with pytest.raises(ClosedError):
        table.insert(b"k", b"v", 1, PUT, None, None, 0)
    with pytest.raises(ClosedError):
        table.insert_rows([], 0)


def test_readers_of_the_order_are_not_disturbed_by_a_writer() -> None:
    table, done, wrong = Memtable(), threading.Event(), []

    def read() -> None:
        while not done.is_set():
            keys = table.keys()
            if keys != sorted(set(keys)):
                wrong.append(keys)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(20_000):
        table.insert(b"%d" % (n * 7919 % 20_000), b"", n + 1, PUT, None, None, 0)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert len(table.keys()) == 20_000
