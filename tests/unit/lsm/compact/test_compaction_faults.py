"""Compactions that are cut off at every request, race each other, and change hands."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from trees import seen
from world import (
    ROOT,
    START_MS,
    compactions_of,
    compactor_of,
    content,
    copy_of,
    drive,
    fill,
    manifest_of,
    rows_of,
    set_window,
    shape,
    write,
    writer_of,
)

from cenote.base import ManualClock
from cenote.errors import ClosedError, ConflictError, Error, InvalidError, UnavailableError
from cenote.lsm import MERGE, PUT, TOMBSTONE
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.format import CompactionStatus, TieredSpec
from cenote.objstore import Fault, FaultyStore, MemoryStore, ObjectStore


def dying_at(number: int, *, after: bool) -> tuple[Callable[[Any], Fault | None], list[int]]:
    """Return a plan that lets every request from `number` on die, the first maybe after it."""
    count = [0]

    def plan(call: Any) -> Fault | None:
        count[0] += 1
        if count[0] < number:
            return None
        return Fault.AFTER if after and count[0] == number else Fault.BEFORE

    return plan, count


SMALL = {"sst_size": 3_000, "heartbeat_ms": 1}


def prepared() -> MemoryStore:
    store = MemoryStore()
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=60)
    writer.close()
    return store


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_request_nothing_is_lost_and_the_next_one_goes_on(after: bool) -> None:
    start = prepared()
    expected = content(start)
    number = 0
    while True:
        number += 1
        store = copy_of(start)
        plan, count = dying_at(number, after=after)
        clock = ManualClock(START_MS)
        compactor = None
        try:
            compactor = compactor_of(
                FaultyStore(store, plan), clock=clock, window=500, compactor=SMALL
            )
            while compactor.run():
                clock.advance(0.01)
        except UnavailableError:
            pass
        assert content(store) == expected
        clock.advance(60)
        heir = compactor_of(store, clock=clock, window=500, compactor=SMALL, seed=number + 100)
        drive(heir)
        assert content(store) == expected
        assert shape(manifest_of(store))[0] == 0
        assert len(shape(manifest_of(store))[1]) == 1
        assert [e.status for e in compactions_of(store).recent] in (
            [CompactionStatus.COMPLETED],
            [CompactionStatus.FAILED],  # it had been committed, and nobody could note that
        )
        named = {view.sst_id for tree in manifest_of(store).trees() for view in tree.views()}
        there = {meta.path.split("/")[-1][:-4] for meta in store.list(f"{ROOT}/compacted")}
        assert named <= there
        if count[0] < number:
            break
    assert number > 15


@pytest.mark.parametrize("after", [False, True])
def test_killed_in_the_writers_process_nothing_is_lost(after: bool) -> None:
    number = 0
    while True:
        number += 1
        store = MemoryStore()
        plan, count = dying_at(10**9, after=after)

        def planned(call: Any) -> Fault | None:
            return plan(call)  # noqa: B023 - the plan of this turn

        clock = ManualClock(START_MS)
        writer = writer_of(FaultyStore(store, planned), clock=clock, compactor=SMALL)
        compactor = Compactor.attach(writer)
        set_window(compactor, 500)
        fill(writer, 4, rows=80)
        expected = content(store)
        plan, count = dying_at(number, after=after)
        try:
            while compactor.run():
                clock.advance(0.01)
        except UnavailableError:
            pass
        assert content(store) == expected
        heir = writer_of(store, clock=clock, seed=number + 100, compactor=SMALL)
        mine = Compactor.attach(heir)
        mine.compact()
        assert content(store) == expected
        assert shape(manifest_of(store))[0] == 0
        assert len(shape(manifest_of(store))[1]) == 1
        if count[0] < number:
            break
    assert number > 15


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_a_request_that_fails_once_is_made_good_by_the_same_compactor(fault: Fault) -> None:
    start = prepared()
    expected = content(start)
    number = 0
    while True:
        number += 1
        store, count = copy_of(start), [0]

        def plan(call: Any, number: int = number, count: list[int] = count) -> Fault | None:
            count[0] += 1
            return fault if count[0] == number else None

        faulty = FaultyStore(store, plan)
        compactor = None
        while compactor is None:
            try:
                compactor = compactor_of(faulty, window=500, compactor=SMALL)
            except UnavailableError:
                continue
        busy = True
        while busy:
            try:
                busy = compactor.run()
            except UnavailableError:
                busy = True
        assert content(store) == expected
        assert len(shape(manifest_of(store))[1]) == 1
        assert [e.status for e in compactions_of(store).recent] == [CompactionStatus.COMPLETED]
        if count[0] < number:
            break
    assert number > 10


def test_two_coordinators_race_and_one_is_fenced() -> None:
    """At every point of the first one's way the second one takes over."""
    start = prepared()
    expected = content(start)
    for steps in range(12):
        store = copy_of(start)
        first = compactor_of(store, window=500, compactor=SMALL)
        for _ in range(steps):
            first.run()
        second = compactor_of(store, window=500, compactor=SMALL, seed=50 + steps)
        for _ in range(200):
            first.run()
            second.run()
        assert isinstance(first.last_error, ClosedError)
        assert second.last_error is None or steps > 3
        assert content(store) == expected
        assert shape(manifest_of(store))[0] == 0
        assert len(shape(manifest_of(store))[1]) == 1


def test_the_content_is_the_same_whatever_is_compacted_in_whatever_order() -> None:
    for seed in range(25):
        play(seed)


def play(seed: int) -> None:
    """Write, pin, compact at random; compare with a model at every number that may be read."""
    rng = random.Random(seed)
    store = MemoryStore()
    clock = ManualClock(START_MS)
    small = {"sst_size": rng.choice([2_000, 10**6]), "sources_min": 3}
    writer = writer_of(store, clock=clock, seed=seed, l0_max_ssts=100, compactor=small)
    compactor = Compactor.attach(writer)
    history: list[Any] = []
    pins: list[int] = []
    for _ in range(rng.randrange(5, 30)):
        clock.advance(1)
        choice = rng.random()
        if choice < 0.55:
            ops = {}
            for _ in range(rng.randrange(1, 12)):
                key, kind = b"%02d" % rng.randrange(30), rng.choice([PUT, PUT, TOMBSTONE, MERGE])
                value = b"" if kind == TOMBSTONE else b"%d" % rng.randrange(1000)
                expire = None
                if kind != TOMBSTONE and rng.random() < 0.3:
                    expire = clock.now_ms() + rng.choice([500, 5_000, 10**7])
                ops[key] = (key, value, kind, None, expire)
            written = writer.write(list(ops.values()))
            history += [
                (op[0], op[1], written.seq, op[2], written.created_ms, op[4]) for op in ops.values()
            ]
            writer.flush_memtable()
        elif choice < 0.65:
            writer.pin(writer.last_seq)
            pins.append(writer.last_seq)
        elif choice < 0.7 and pins:
            writer.unpin(pins.pop(rng.randrange(len(pins))))
        elif choice < 0.85:
            drive(compactor)
        else:
            submit_something(compactor, store, rng)
            drive(compactor)
        rows = rows_of(store)
        for seq in {*pins, writer.last_seq}:
            now = clock.now_ms()
            assert seen(rows, seq, now) == seen(history, seq, now), f"seed {seed}, at {seq}"
    writer.close()


def submit_something(compactor: Compactor, store: ObjectStore, rng: random.Random) -> None:
    """Submit some sources, allowed or not: what is not allowed must be refused."""
    tree = manifest_of(store).tree
    l0 = [view.id for view in tree.l0]
    runs = [run.id for run in tree.runs]
    taken = [each for each in l0 if rng.random() < 0.6]
    merged = [each for each in runs if rng.random() < 0.6]
    destination = rng.choice([*merged[-1:], max(runs, default=-1) + 1])
    try:
        compactor.submit(TieredSpec(tuple(taken), tuple(merged), destination))
    except (InvalidError, ConflictError):
        return


def test_a_silent_workers_claim_is_taken_back_and_its_files_are_used() -> None:
    store = MemoryStore()
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=400)
    expected = content(store)
    clock = ManualClock(START_MS)
    first = compactor_of(store, clock=clock, window=500, compactor=SMALL)
    while not any(
        part.outputs
        for entry in compactions_state(store)
        for part in (entry.context.subcompactions if entry.context else ())
    ):
        clock.advance(0.01)
        assert first.run()
    (entry,) = compactions_state(store)
    done = [out.handle.id for part in entry.context.subcompactions for out in part.outputs]
    second = compactor_of(store, clock=clock, window=500, compactor=SMALL, seed=3)
    drive(second)
    assert [v.sst_id for v in manifest_of(store).tree.runs[0].views][: len(done)] == done
    assert content(store) == expected
    with pytest.raises(ClosedError):
        for _ in range(1000):
            first.run()
            first._require_open()
    assert content(store) == expected


def compactions_state(store: ObjectStore) -> tuple[Any, ...]:
    try:
        return compactions_of(store).recent
    except IndexError:
        return ()


def test_a_writer_that_was_fenced_leaves_no_compactor_behind() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    fill(writer, 4)
    heir = writer_of(store, seed=9)
    drive(compactor)
    assert isinstance(compactor.last_error, ClosedError)
    with pytest.raises(Error):
        write(writer, (b"a", b"b"))
    mine = Compactor.attach(heir)
    drive(mine)
    assert shape(manifest_of(store)) == (0, [1])
