"""Workers in processes of their own: claims, heartbeats, deaths, and what they hand in."""

from __future__ import annotations

from typing import Any

from trees import Commas
from world import (
    ROOT,
    START_MS,
    compactions_of,
    compactor_of,
    content,
    drive,
    fill,
    manifest_of,
    settings,
    shape,
    write,
    writer_of,
)

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, open_place
from cenote.lsm.compact.entries import claimed_by, put
from cenote.lsm.compact.service import CompactionWorker
from cenote.lsm.format import CompactionStatus
from cenote.objstore import MemoryStore, ObjectStore

SMALL = {"sst_size": 3_000, "concurrency": 2}


def worker_of(
    store: ObjectStore, clock: ManualClock, seed: int, window: int | None = None, **given: Any
) -> CompactionWorker:
    operator = given.pop("merge_operator", Commas())
    made = CompactionWorker.open(
        open_place(store, ROOT),
        settings(**{"compactor": SMALL, **given}),
        merge_operator=operator,
        clock=clock,
        rand=SeededRand(seed),
        background=False,
    )
    if window is not None:
        object.__setattr__(made._worker._tools, "window", window)
        made._worker._merge = lambda attempt: attempt.run.step()  # type: ignore[method-assign]
    return made


def test_workers_do_what_a_coordinator_schedules_and_it_commits() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=200)
    expected = content(store)
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    worker = worker_of(store, clock, 11)
    worker.run()
    assert not worker.busy  # there is nothing yet
    drive(coordinator)
    assert [e.status for e in compactions_of(store).recent] == [CompactionStatus.SCHEDULED]
    clock.advance(5)
    while worker.run():
        pass
    assert [e.status for e in compactions_of(store).recent] == [CompactionStatus.COMPACTED]
    assert coordinator.due(clock.monotonic()) is not None
    clock.advance(5)
    drive(coordinator)
    assert [e.status for e in compactions_of(store).recent] == [CompactionStatus.COMPLETED]
    assert shape(manifest_of(store))[0] == 0
    assert content(store) == expected
    worker.close()
    coordinator.close()


def test_a_worker_dies_and_another_goes_on_from_its_last_heartbeat() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=500)
    expected = content(store)
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    drive(coordinator)
    first = worker_of(store, clock, 11, window=500)
    for _ in range(25):
        clock.advance(1)
        first.run()
    (entry,) = compactions_of(store).recent
    assert entry.status is CompactionStatus.RUNNING
    assert entry.worker is not None
    assert entry.worker.id == first.id
    assert entry.context is not None
    done = [out.handle.id for part in entry.context.subcompactions for out in part.outputs]
    assert done
    for seconds in (0, 14):
        clock.advance(seconds)
        drive(coordinator)
        assert compactions_of(store).recent[0].worker == entry.worker  # it may be alive
    clock.advance(16)
    drive(coordinator)
    assert compactions_of(store).recent[0].status is CompactionStatus.SCHEDULED
    second = worker_of(store, clock, 12)
    while second.run():
        pass
    clock.advance(10)
    while first.run():  # it was only asleep: it finds its claim gone, and drops what it has
        pass
    drive(coordinator)
    assert [v.sst_id for v in manifest_of(store).tree.runs[0].views][: len(done)] == done
    assert content(store) == expected


def test_a_heartbeat_never_takes_a_claim_from_another() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=300)
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    drive(coordinator)
    worker = worker_of(store, clock, 11, window=500)
    worker.run()
    assert worker.busy
    theirs = claimed_by(compactions_of(store).recent[0], "another", clock.now_ms())
    coordinator._tools.compactions.update(lambda now: put(now.value, [theirs]))  # type: ignore[union-attr]
    clock.advance(11)
    worker.run()
    assert not worker.busy
    assert compactions_of(store).recent == (theirs,)


def test_two_workers_share_what_there_is() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    from world import FirstTwo

    writer = writer_of(store, segment_extractor=FirstTwo(), compactor={"enabled": False})
    for turn in range(4):
        for prefix in (b"aa", b"bb", b"cc", b"dd"):
            fill(writer, 1, rows=20, seed=turn, prefix=prefix)
    expected = content(store)
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    drive(coordinator)
    single = {"sst_size": 3_000, "concurrency": 1}
    workers = [worker_of(store, clock, seed, compactor=single) for seed in (21, 22)]
    held = set()
    for _ in range(200):
        clock.advance(1)
        for worker in workers:
            worker.run()
            held |= {e.worker.id for e in compactions_of(store).recent if e.worker is not None}
        coordinator.run()
    assert held == {worker.id for worker in workers}
    manifest = manifest_of(store)
    assert {shape(manifest, each.prefix)[0] for each in manifest.segments} == {0}
    assert content(store) == expected


class Broken(Commas):
    def merge(self, key: Any, existing: Any, operands: Any) -> bytes:
        raise ZeroDivisionError("broken")


def test_what_a_worker_cannot_do_another_may() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    writer = writer_of(store, compactor={"enabled": False})
    for n in range(4):
        write(writer, (b"k", b"%d" % n, MERGE))
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    drive(coordinator)
    bad = worker_of(store, clock, 31, merge_operator=Broken())
    while bad.run():
        pass
    assert isinstance(bad.last_error, ZeroDivisionError)
    (entry,) = compactions_of(store).recent
    assert (entry.status, entry.worker) == (CompactionStatus.SCHEDULED, None)
    clock.advance(5)
    bad.run()
    assert not bad.busy  # it leaves it alone for a while
    good = worker_of(store, clock, 32)
    while good.run():
        pass
    drive(coordinator)
    assert content(store) == {b"k": b"0,1,2,3"}
    assert shape(manifest_of(store)) == (0, [1])


def test_a_worker_that_closes_gives_its_claim_up() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=300)
    coordinator = compactor_of(store, clock=clock, works=False, compactor=SMALL)
    drive(coordinator)
    worker = worker_of(store, clock, 11, window=500)
    for _ in range(10):
        worker.run()
    worker.close()
    (entry,) = compactions_of(store).recent
    assert (entry.status, entry.worker) == (CompactionStatus.SCHEDULED, None)
    assert not worker.run()
