"""Back-pressure can be seen and set, and never waits for what will not come; requests are few."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from test_writer_faults import Full
from writing import ROOT, contents, get, op, opened, put

from cenote.base import ManualClock, SeededRand, SystemClock
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm import PUT, CompactorSettings
from cenote.lsm.format import Manifest, OutputSst, TieredSpec
from cenote.lsm.manifest.state import commit_tiered
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.plan import PENDING
from cenote.objstore import MemoryStore, RecordingStore


def fill_up(writer: Any) -> int:
    """Write until a write would have to wait; return how many were taken."""
    for n in range(1000):
        if writer.try_write([op(b"%05d" % n, b"x" * 100)]) is PENDING:
            return n
    raise AssertionError("it was never full")


def test_writes_wait_at_the_limit_and_not_before() -> None:
    writer = opened(MemoryStore(), l0_sst_size=1000, unflushed_size_max=4000)
    count = fill_up(writer)
    pressure = writer.pressure()
    assert pressure.stalls and pressure.share >= 1 and pressure.stalled_for is not None
    assert 4000 <= pressure.unflushed_bytes < 4500
    assert pressure.unflushed_limit == 4000
    assert writer.write_one(b"k", b"", PUT) is PENDING
    assert writer.last_seq == count
    told: list[Any] = []
    writer.when_relieved(told.append)
    assert told == []
    assert writer.jobs.step("flush")
    assert told == [None]
    assert not writer.pressure().stalls and writer.pressure().stalled_for is None
    writer.when_relieved(told.append)
    assert told == [None, None]
    assert writer.metrics.stalls == 1


def test_without_threads_a_write_flushes_by_itself() -> None:
    writer = opened(MemoryStore(), l0_sst_size=1000, unflushed_size_max=2000, l0_max_ssts=1000)
    for n in range(200):
        writer.write([op(b"%05d" % n, b"x" * 100)])
    assert writer.pressure().unflushed_bytes < 2500
    assert get(writer, b"00000") == b"x" * 100


def test_with_threads_a_write_waits_for_the_flush() -> None:
    store = MemoryStore()
    writer = opened(
        store,
        background=True,
        clock=SystemClock(),
        l0_sst_size=1000,
        unflushed_size_max=2000,
        l0_max_ssts=1000,
    )
    for n in range(300):
        writer.write([op(b"%05d" % n, b"x" * 100)])
    writer.close()
    assert len(contents(store)) == 300


def test_a_flush_that_fails_is_the_answer_to_writes_that_wait() -> None:
    store = Full(MemoryStore())
    writer = opened(
        store,
        background=True,
        clock=SystemClock(),
        l0_sst_size=1000,
        unflushed_size_max=2000,
        flush_interval_ms=10**6,
    )
    store.full = True
    with pytest.raises(UnavailableError) as failed:
        for n in range(100):
            writer.write([op(b"%05d" % n, b"x" * 100)])
    assert failed.value.kind == "disk_full"
    assert "flushing" in str(failed.value)
    taken = writer.last_seq
    told: list[Any] = []
    writer.when_relieved(told.append)
    assert isinstance(told[0], UnavailableError)
    assert writer.pressure().last_error is not None
    store.full = False
    relieved = threading.Event()
    writer.jobs.wake("flush")
    for _ in range(1000):
        if not writer.pressure().stalls:
            break
        relieved.wait(0.01)
    writer.write([op(b"again")])
    writer.close()
    assert len(contents(store)) == taken + 1


def test_a_closed_writer_lets_those_who_wait_go() -> None:
    writer = opened(MemoryStore(), l0_sst_size=1000, unflushed_size_max=2000)
    fill_up(writer)
    told: list[Any] = []
    writer.when_relieved(told.append)
    writer.close()
    assert told == [None]
    with pytest.raises(ClosedError):
        writer.try_write([op(b"k")])


def compact_all(manifest: Manifest) -> Manifest:
    """As if a compactor had merged level 0 into what its newest file holds."""
    l0 = manifest.tree.l0
    handle = next(each for each in manifest.ssts if each.id == l0[0].sst_id)
    spec = TieredSpec(tuple(view.id for view in l0), (), 0)
    return commit_tiered(manifest, spec, [OutputSst(handle)])


def test_memtables_wait_while_level_0_is_full() -> None:
    store, clock = RecordingStore(MemoryStore()), ManualClock()
    writer = opened(store, clock=clock, l0_max_ssts=2)
    for n in range(2):
        put(writer, b"%d" % n, b"")
        writer.flush_memtable()
    put(writer, b"2", b"")
    with pytest.raises(UnavailableError) as failed:
        writer.flush_memtable()
    assert failed.value.kind == "l0_full"
    assert writer.pressure().l0_count == writer.pressure().l0_limit == 2
    assert writer.frozen_count == 1
    ops_of(store)
    asked = 0
    for _ in range(300):  # five minutes: it looks more and more seldom
        clock.advance(1)
        asked += writer.jobs.step("flush")
    assert asked == 0 and writer.frozen_count == 1
    assert 0 < len(ops_of(store)) <= 15
    # A compactor elsewhere makes room: the manifest tells.
    elsewhere = ManifestStore(store, ROOT, rand=SeededRand(5))
    elsewhere.edit(lambda manifest, number: compact_all(manifest))
    clock.advance(60)
    while writer.jobs.step("flush"):
        pass
    assert writer.frozen_count == 0
    assert len(writer.view.manifest.tree.l0) == 1
    assert len(writer.view.manifest.tree.runs) == 1
    writer.close()


def test_a_checkpoint_and_a_close_do_not_wait_for_a_compaction() -> None:
    store = MemoryStore()
    writer = opened(store, l0_max_ssts=1, wal_enabled=False)
    put(writer, b"0", b"")
    writer.write([op(b"1")])
    writer.checkpoint()
    writer.write([op(b"2")])
    writer.close()
    assert sorted(contents(store)) == [b"0", b"1", b"2"]


# Requests. The package makes 17 to 27 for an open, 3 for a flush, and polls all the time.


def ops_of(store: RecordingStore) -> list[str]:
    found = [f"{each.op} {each.path.split('/')[1]}" for each in store.requests]
    store.reset()
    return found


def test_requests_of_an_open() -> None:
    store = RecordingStore(MemoryStore())
    writer = opened(store, compactor=CompactorSettings(enabled=True))
    assert ops_of(store) == [
        "list_page manifest",
        "get cenote",
        "put_if_absent manifest",
        "get gc",
        "put_if_absent wal",
        "list_page manifest",
    ]
    for n in range(3):
        put(writer, b"%d" % n, b"")
    ops_of(store)
    opened(store, seed=2)
    assert ops_of(store) == [
        "list_page manifest",
        "get manifest",
        "get cenote",
        "list_page wal",
        "put_if_absent manifest",
        "get gc",
        "put_if_absent wal",
        "list_page manifest",
        *["get wal"] * 3,
    ]


def test_requests_of_writes_and_flushes() -> None:
    store, clock = RecordingStore(MemoryStore()), ManualClock()
    writer = opened(store, clock=clock)
    ops_of(store)
    for n in range(3):
        put(writer, b"%d" % n, b"")
    assert ops_of(store) == ["put_if_absent wal"] * 3
    writer.flush_memtable()
    assert ops_of(store) == ["put compacted", "put_if_absent manifest", "get gc"]
    for _ in range(60):
        clock.advance(1)
        while writer.jobs.step():
            pass
    assert ops_of(store) == []  # an idle minute
    writer.close()
    assert ops_of(store) == []


def test_an_epoch_is_proved_at_most_once_a_minute() -> None:
    store, clock = RecordingStore(MemoryStore()), ManualClock()
    writer = opened(store, clock=clock)
    ops_of(store)
    for n in range(180):
        clock.advance(1)
        put(writer, b"%d" % n, b"")
    found = ops_of(store)
    assert found.count("put_if_absent wal") == 180
    assert found.count("list_page manifest") == len(found) - 180 <= 3
