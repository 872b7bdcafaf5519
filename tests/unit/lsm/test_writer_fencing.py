"""Two writers of one database: the later one has all, the earlier one learns of it at once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from writing import ROOT, contents, get, op, opened, put

from cenote.base import ManualClock
from cenote.errors import ClosedError, Error
from cenote.lsm.format import wal_name
from cenote.lsm.wal.writer import PROOF_SECONDS
from cenote.lsm.writer import Writer
from cenote.objstore import Call, Fault, FaultyStore, MemoryStore, ObjectStore


def wal_numbers(store: ObjectStore) -> list[int]:
    return [int(meta.path[-24:-4]) for meta in store.list(f"{ROOT}/wal")]


def test_a_fenced_writer_fails_at_once_and_for_good() -> None:
    """SlateDB hazard: a put on a fenced writer returned success."""
    store = MemoryStore()
    old = opened(store)
    put(old, b"a", b"1")
    new = opened(store, seed=2)
    assert get(new, b"a") == b"1"
    with pytest.raises(ClosedError) as failed:
        put(old, b"b", b"2")
    assert failed.value.reason == old.closed_reason == "fenced"
    for call in (
        lambda: old.write([op(b"c")]),
        lambda: old.write_one(b"c", b"", 0),
        lambda: old.commit(old.last_seq),
        old.flush_wal,
        old.flush_memtable,
        old.checkpoint,
        old.refresh,
    ):
        with pytest.raises(ClosedError) as failed:
            call()
        assert failed.value.reason == "fenced"
    put(new, b"d", b"4")
    assert contents(store) == {b"a": b"1", b"d": b"4"}


def test_a_fenced_writer_that_owes_something_says_so_when_it_closes() -> None:
    """SlateDB hazard: the shutdown of a fenced writer said nothing."""
    store = MemoryStore()
    old = opened(store)
    put(old, b"a", b"1", durable=False)
    opened(store, seed=2)
    with pytest.raises(ClosedError) as failed:
        old.close()
    assert failed.value.reason == "fenced"
    quiet = opened(store, seed=3)
    opened(store, seed=4)
    quiet.close()  # it owes nothing


def test_waiting_callbacks_learn_of_the_fence() -> None:
    store = MemoryStore()
    old = opened(store)
    written = old.write([op(b"a")])
    told: list[Error | None] = []
    old.when_durable(written.seq, told.append)
    opened(store, seed=2)
    with pytest.raises(ClosedError):
        old.flush_wal()
    old.when_durable(written.seq, told.append)
    assert [error.reason for error in told if isinstance(error, ClosedError)] == ["fenced"] * 2


@pytest.mark.parametrize(
    ("part", "times"), [("manifest", 1), ("cenote", 1), ("wal", 1), ("wal", 2)]
)
def test_the_old_writer_may_flush_and_log_until_it_is_fenced(part: str, times: int) -> None:
    """Every moment of a takeover: what the old writer acknowledged, the new one has."""
    store = MemoryStore()
    old = opened(store)
    put(old, b"first", b"1")
    acked: list[bytes] = []
    left = times

    def meddle(call: Call) -> Fault | None:
        nonlocal left
        if part in call.path and left:
            left -= 1
            for n in range(0 if left else 3):
                with suppress(ClosedError):
                    put(old, b"%d" % n, b"late")
                    acked.append(b"%d" % n)
                    old.flush_memtable()
        return None

    new = opened(FaultyStore(store, meddle), seed=2)
    assert get(new, b"first") == b"1"
    assert all(get(new, key) == b"late" for key in acked)
    put(new, b"mine", b"")
    with pytest.raises(ClosedError):
        put(old, b"too late", b"")
    assert set(contents(store)) == {b"first", b"mine", *acked}


@pytest.mark.parametrize("moment", range(1, 10))
def test_of_two_that_open_at_once_one_writes(moment: int) -> None:
    """Neither the loser's claim nor his fence stops the winner, whenever the other one comes."""
    store = MemoryStore()
    put(opened(store), b"a", b"1")
    opened_both: list[Writer] = []
    passed = 0

    def interrupt(call: Call) -> Fault | None:
        nonlocal passed
        passed += 1
        if passed == moment:
            opened_both.append(opened(store, seed=2))
        return None

    try:
        opened_both.append(opened(FaultyStore(store, interrupt), seed=3))
    except ClosedError as error:
        assert error.reason == "fenced"
    *losers, winner = sorted(opened_both, key=lambda each: each.epoch)
    put(winner, b"b", b"2")
    for loser in losers:
        with pytest.raises(ClosedError):
            put(loser, b"c", b"3")
    assert contents(store) == {b"a": b"1", b"b": b"2"}


def test_a_writer_that_slept_through_a_takeover_and_the_loss_of_its_fence() -> None:
    """SlateDB hazard: flushed writes were lost through a fence that had been collected."""
    store, clock = MemoryStore(), ManualClock()
    old = opened(store, clock=clock)
    put(old, b"a", b"1")
    taken = wal_numbers(store)[-1] + 1
    new = opened(store, seed=2, clock=clock)
    for n in range(3):
        put(new, b"n%d" % n, b"")
    new.flush_memtable()
    clock.advance(PROOF_SECONDS * 5)
    for number in wal_numbers(store)[:-1]:
        store.delete(f"{ROOT}/{wal_name(number)}")
    assert taken not in wal_numbers(store)
    with pytest.raises(ClosedError) as failed:
        put(old, b"lost", b"")
    assert failed.value.reason == "fenced"
    assert old.durable_seq == 1
