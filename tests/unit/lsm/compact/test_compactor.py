"""The compactor: in the writer's process, on its own, on request, and refusing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from trees import Commas
from world import (
    ROOT,
    START_MS,
    FirstTwo,
    compactions_of,
    compactor_of,
    content,
    copy_of,
    drive,
    fill,
    manifest_of,
    rows_of,
    shape,
    write,
    writer_of,
)

from cenote.base import ManualClock
from cenote.errors import ClosedError, ConflictError, InvalidError, NotFoundError
from cenote.lsm import MERGE, PUT, Entry
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.compact.entries import claimed_by, put
from cenote.lsm.compact.retention import KEEP, REMOVE
from cenote.lsm.format import (
    Compaction,
    CompactionStatus,
    DrainSpec,
    TieredSpec,
    UlidMint,
    compactions_name,
    encode_compactions,
)
from cenote.objstore import MemoryStore, RecordingStore

DONE, FAILED = CompactionStatus.COMPLETED, CompactionStatus.FAILED


def test_four_files_of_level_0_become_a_run_when_the_writer_flushes() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    fill(writer, 3)
    drive(compactor)
    assert shape(manifest_of(store)) == (3, [])
    fill(writer, 1, seed=6)
    before = content(store)
    while writer.jobs.step("compact"):
        pass
    assert shape(manifest_of(store)) == (0, [1])
    assert content(store) == before
    assert [each.status for each in compactions_of(store).recent] == [DONE]
    assert writer.view.manifest == manifest_of(store)
    writer.close()


def test_idle_it_asks_the_store_for_nothing_and_a_compaction_takes_few_requests() -> None:
    inner = MemoryStore()
    store = RecordingStore(inner)
    clock = ManualClock(START_MS)
    writer = writer_of(store, clock=clock)
    compactor = Compactor.attach(writer)
    fill(writer, 3)
    store.reset()
    for _ in range(50):
        clock.advance(60)
        assert compactor.due(clock.monotonic()) is None
        drive(compactor)
    assert store.requests == []
    fill(writer, 1)
    store.reset()
    drive(compactor)
    made = [(each.op, each.path.split("/")[1]) for each in store.requests]
    # Looked once, claimed, four files read, one written, committed, completed; each new number is
    # held against its boundary.
    assert sorted(made) == sorted(
        [("list_page", "compactions")] * 2
        + [("put_if_absent", "compactions"), ("get", "gc")] * 2
        + [("get_range", "compacted")] * 4
        + [("put", "compacted")]
        + [("put_if_absent", "manifest"), ("get", "gc")]
    )
    store.reset()
    assert compactor.due(clock.monotonic()) is None
    drive(compactor)
    assert store.requests == []


def test_runs_of_like_size_are_merged() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    for turn in range(16):
        fill(writer, 1, seed=turn)
        drive(compactor)
    assert shape(manifest_of(store)) == (0, [1])
    assert len({row[0] for row in rows_of(store)}) == len(rows_of(store))


def test_everything_can_be_merged_on_request() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    fill(writer, 2)
    before = content(store)
    compactor.compact()
    assert shape(manifest_of(store)) == (0, [1])
    assert content(store) == before
    assert {row[0] for row in rows_of(store)} == set(before)  # no tombstones, no operands
    made = len(list(store.list(f"{ROOT}/manifest")))
    compactor.compact()
    assert len(list(store.list(f"{ROOT}/manifest"))) == made
    compactor.compact(rewrite=True)
    assert len(list(store.list(f"{ROOT}/manifest"))) == made + 1
    assert content(store) == before


def test_a_reader_of_the_manifest_before_keeps_its_files_by_a_checkpoint() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    fill(writer, 4)
    number = writer.manifests.known.number  # type: ignore[union-attr]
    drive(compactor)
    (checkpoint,) = manifest_of(store).checkpoints
    assert checkpoint.manifest_id == number
    assert checkpoint.create_time_s == START_MS // 1000
    assert checkpoint.expire_time_s == START_MS // 1000 + 900


def l0_ids(store: MemoryStore) -> tuple[str, ...]:
    return tuple(view.id for view in manifest_of(store).tree.l0)


def test_what_is_not_the_oldest_of_level_0_is_refused() -> None:
    """The two newest of three files: another program takes it, and loses the third."""
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    fill(writer, 3)
    before = content(store)
    ids = l0_ids(store)
    for wrong in (ids[:2], (ids[0], ids[2]), ids[::-1], (ids[1],)):
        with pytest.raises(InvalidError) as refused:
            compactor.submit(TieredSpec(wrong, (), 0))
        assert refused.value.kind == "invalid_compaction"
    with pytest.raises(ConflictError):
        compactor.submit(TieredSpec((ids[0], UlidMint(ManualClock(), writer.rand).mint()), (), 0))
    assert list(store.list(f"{ROOT}/compactions")) == []
    # Somebody may write it into the file past every check.
    state = encode_compactions(
        replace(
            compactions_with(Compaction(writer.mint.mint(), TieredSpec(ids[:2], (), 0))),
            compactor_epoch=1,
        )
    )
    store.put(f"{ROOT}/{compactions_name(1)}", state)
    fill(writer, 1)
    drive(compactor)
    assert [
        each.status for each in compactions_of(store).recent if each.spec.l0_view_ids == ids[:2]
    ] in ([FAILED], [])
    writer.flush_memtable()
    assert set(before) <= {row[0] for row in rows_of(store)} | set(before)
    writer.close()
    assert content(store) == content_of_writer(store)


def compactions_with(*entries: Compaction):  # type: ignore[no-untyped-def]
    from cenote.lsm.format import Compactions

    return Compactions(recent=entries)


def content_of_writer(store: MemoryStore) -> dict[bytes, bytes]:
    from cenote.lsm import KeyRange
    from cenote.lsm.options import Reading
    from cenote.lsm.plan import run

    writer = writer_of(store)
    scan = writer.view.scan(
        KeyRange(), Reading(now_ms=lambda: START_MS, operator=writer.merge_operator)
    )
    found: dict[bytes, bytes] = {}
    while rows := run(store, scan.next_batch()):
        found.update((row[0], row[1]) for row in rows)
    writer.close()
    return found


def test_a_later_compactor_ends_an_earlier_one_and_the_database_goes_on() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    first = Compactor.attach(writer)
    fill(writer, 4)
    second = compactor_of(store)
    assert second.epoch == first.epoch + 1
    drive(first)
    assert isinstance(first.last_error, ClosedError)
    assert first.due(0.0) is None
    with pytest.raises(ClosedError) as ended:
        first.compact()
    assert ended.value.reason == "fenced"
    before = content(store)
    drive(second)
    assert shape(manifest_of(store)) == (0, [1])
    assert content(store) == before
    fill(writer, 1)
    writer.close()
    second.close()


def full_writer() -> tuple[MemoryStore, ManualClock, Any, Compactor]:
    """Return a writer whose level 0 is full, and whose compactor was fenced by one that is gone."""
    store, clock = MemoryStore(), ManualClock(START_MS)
    writer = writer_of(store, clock=clock, l0_max_ssts=5)
    compactor = Compactor.attach(writer)
    write(writer, (b"a", b"1"))
    compactor_of(store, clock=clock).close()
    drive(compactor)
    fill(writer, 4, rows=5)
    with pytest.raises(ClosedError):
        compactor.compact()
    return store, clock, writer, compactor


def test_a_fenced_compactor_comes_back_when_level_0_is_full_and_nobody_moves() -> None:
    store, clock, writer, compactor = full_writer()
    before = content(store)
    for _ in range(6):
        when = compactor.due(clock.monotonic())
        assert when is not None
        clock.advance(max(when - clock.monotonic(), 0))
        drive(compactor)
        assert shape(manifest_of(store))[0] == 5
    clock.advance(5)
    drive(compactor)
    assert shape(manifest_of(store)) == (0, [1])
    assert content(store) == before
    assert (compactor.epoch, writer.compactor_epoch, compactor.error) == (3, 3, None)
    assert compactor.due(clock.monotonic()) is None
    writer.close()


def test_a_fenced_compactor_leaves_one_alone_that_does_something() -> None:
    store, clock, _, compactor = full_writer()
    other = compactor_of(store, clock=clock, seed=77, works=False)
    for _ in range(20):
        clock.advance(5)
        other.run()
        entry = compactions_of(store).recent[0]
        beaten = claimed_by(entry, "elsewhere", clock.now_ms())
        other._tools.compactions.update(lambda now: put(now.value, [beaten]))  # noqa: B023
        compactor.run()
    assert compactor.error is not None
    assert manifest_of(store).compactor_epoch == other.epoch


def test_a_fenced_writers_compactor_does_not_come_back() -> None:
    store, clock, _, compactor = full_writer()
    heir = writer_of(store, clock=clock, seed=55)
    for _ in range(20):
        clock.advance(5)
        compactor.run()
    assert manifest_of(store).compactor_epoch == heir.compactor_epoch
    assert compactor.due(clock.monotonic()) is None


def test_there_must_be_a_database() -> None:
    with pytest.raises(NotFoundError):
        compactor_of(MemoryStore())


def test_segments_are_compacted_apart_and_drained() -> None:
    store = MemoryStore()
    writer = writer_of(store, segment_extractor=FirstTwo())
    compactor = Compactor.attach(writer)
    for turn in range(4):
        fill(writer, 1, rows=20, seed=turn, prefix=b"aa")
        fill(writer, 1, rows=20, seed=turn, prefix=b"bb")
    before = content(store)
    drive(compactor)
    drive(compactor)
    manifest = manifest_of(store)
    assert [shape(manifest, prefix) for prefix in (b"aa", b"bb")] == [(0, [1]), (0, [1])]
    assert len({run.id for tree in manifest.trees() for run in tree.runs}) == 2
    assert content(store) == before
    fill(writer, 1, rows=5, prefix=b"aa")
    manifest = manifest_of(store)
    tree = manifest.segments[0].tree
    drain = DrainSpec(b"aa", tuple(v.id for v in tree.l0), tuple(r.id for r in tree.runs))
    with pytest.raises(InvalidError):
        compactor.submit(replace(drain, segment=b""))
    with pytest.raises(InvalidError):
        compactor.submit(replace(drain, sorted_runs=()))
    compactor.compact(drain)
    assert content(store) == {key: value for key, value in before.items() if key[:2] == b"bb"}
    write(writer, (b"aa0", b"again"))
    assert content(store)[b"aa0"] == b"again"
    compactor.compact()
    writer.close()


def test_files_that_overlap_nothing_are_moved_where_that_is_wanted() -> None:
    inner = MemoryStore()
    store = RecordingStore(inner)
    writer = writer_of(store, compactor={"trivial_move": True})
    compactor = Compactor.attach(writer)
    for n in range(4):
        write(writer, *[(b"%d%03d" % (9 - n, m), b"v") for m in range(20)])
    before = content(inner)
    store.reset()
    drive(compactor)
    assert shape(manifest_of(inner)) == (0, [4])
    assert not [each for each in store.requests if "compacted" in each.path]
    assert content(inner) == before
    for n in range(4):
        write(writer, (b"0", b"a"), (b"9", b"%d" % n))
    drive(compactor)
    assert shape(manifest_of(inner))[1] == [1, 4]
    assert content(inner) == {**before, b"0": b"a", b"9": b"3"}


class Broken(Commas):
    """An operator that fails while told to."""

    broken = True

    def merge(self, key, existing, operands):  # type: ignore[no-untyped-def]
        if self.broken:
            raise ZeroDivisionError("broken")
        return super().merge(key, existing, operands)


def test_a_failing_operator_fails_its_compaction_and_nothing_else() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    operator = Broken()
    writer = writer_of(store, clock=clock, merge_operator=operator)
    compactor = Compactor.attach(writer)
    for n in range(4):
        write(writer, (b"a", b"%d" % n, MERGE), (b"b", b"%d" % n))
    drive(compactor)
    assert isinstance(compactor.last_error, ZeroDivisionError)
    assert shape(manifest_of(store)) == (4, [])
    assert [each.status for each in compactions_of(store).recent] == [FAILED]
    assert writer.metrics.compactions_failed == 1
    drive(compactor)
    assert writer.metrics.compactions_failed == 1  # it is not tried again at once
    with pytest.raises(ZeroDivisionError):
        compactor.compact()
    operator.broken = False
    compactor.compact()
    assert content(store) == {b"a": b"0,1,2,3", b"b": b"3"}
    writer.close()


def test_a_failed_compaction_is_tried_again_later() -> None:
    store = MemoryStore()
    clock = ManualClock(START_MS)
    operator = Broken()
    writer = writer_of(store, clock=clock, merge_operator=operator)
    compactor = Compactor.attach(writer)
    for n in range(4):
        write(writer, (b"a", b"%d" % n, MERGE))
    drive(compactor)
    operator.broken = False
    clock.advance(11)
    compactor.notify()
    drive(compactor)
    assert shape(manifest_of(store)) == (0, [1])


class Short:
    """Removes short values, keeps the others in capitals."""

    name = "short"

    def decide(self, entry: Entry):  # type: ignore[no-untyped-def]
        if len(entry.value) < 2:
            return REMOVE
        return KEEP if entry.value.isupper() else entry.value.upper()


def test_a_filter_takes_values_out_or_changes_them() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer, compaction_filter=Short())
    write(writer, (b"a", b"x"), (b"b", b"long"), (b"c", b"UP"))
    write(writer, (b"d", b"y"))
    compactor.compact()
    assert content(store) == {b"b": b"LONG", b"c": b"UP"}


def test_values_expire_by_the_clock_of_who_writes_and_not_by_that_of_others() -> None:
    store, clock = MemoryStore(), ManualClock(START_MS)
    writer = writer_of(store, clock=clock)
    compactor = Compactor.attach(writer)
    writer.write([(b"short", b"v", PUT, 1000, None), (b"long", b"v", PUT, 10**9, None)])
    writer.flush_memtable()
    write(writer, (b"last", b"v"))
    ahead = ManualClock(START_MS + 5000)
    other = compactor_of(copy_of(store), clock=ahead)
    other.compact()
    assert {row[0] for row in rows_of(other._tools.place.store)} == {b"short", b"long", b"last"}
    other.compact(rewrite=True)
    assert {row[0] for row in rows_of(other._tools.place.store)} == {b"long", b"last"}
    clock.advance(2)
    compactor.compact()
    assert {row[0] for row in rows_of(store)} == {b"long", b"last"}
    clock.advance(10**6)
    compactor.compact(rewrite=True)
    assert {row[0] for row in rows_of(store)} == {b"last"}


def test_versions_that_a_snapshot_sees_stay() -> None:
    store = MemoryStore()
    writer = writer_of(store)
    compactor = Compactor.attach(writer)
    write(writer, (b"a", b"1"), (b"b", b"1"), (b"m", b"1", MERGE))
    pinned = writer.last_seq
    writer.pin(pinned)
    write(writer, (b"a", b"2"), (b"b",), (b"m", b"2", MERGE))
    write(writer, (b"a", b"3"))
    compactor.compact()
    assert content(store, pinned) == {b"a": b"1", b"b": b"1", b"m": b"1"}
    assert content(store) == {b"a": b"3", b"m": b"1,2"}
    writer.unpin(pinned)
    write(writer, (b"z", b""))
    compactor.compact()
    assert {row[0]: row[1] for row in rows_of(store)} == {b"a": b"3", b"m": b"1,2", b"z": b""}
    assert len(rows_of(store)) == 3


def test_on_its_own_it_looks_now_and_then() -> None:
    store = MemoryStore()
    writer = writer_of(store, compactor={"enabled": False})
    clock = ManualClock(START_MS)
    compactor = compactor_of(store, clock=clock)
    assert compactor.due(clock.monotonic()) == clock.monotonic()
    drive(compactor)
    assert compactor.due(clock.monotonic()) == clock.monotonic() + 5
    fill(writer, 4)
    clock.advance(5)
    drive(compactor)
    assert shape(manifest_of(store)) == (0, [1])
    fill(writer, 1)
    writer.close()
    compactor.close()


def test_closing_gives_up_what_is_under_way_with_its_progress() -> None:
    store = MemoryStore()
    writer = writer_of(store, compactor={"enabled": False})
    fill(writer, 4, rows=3000)
    before = content(store)
    first = compactor_of(store, window=3000, compactor={"sst_size": 20_000, "concurrency": 1})
    while not any(
        p.outputs for a in first._worker._attempts.values() for p in a.run.context.subcompactions
    ):  # type: ignore[union-attr]
        assert first.run()
    first.close()
    (entry,) = compactions_of(store).recent
    assert (entry.status, entry.worker) == (CompactionStatus.SCHEDULED, None)
    done = [out.handle.id for part in entry.context.subcompactions for out in part.outputs]  # type: ignore[union-attr]
    assert done
    second = compactor_of(store, compactor={"sst_size": 20_000}, seed=9)
    drive(second)
    assert [v.sst_id for v in manifest_of(store).tree.runs[0].views][: len(done)] == done
    assert content(store) == before


def test_threads_do_it_too() -> None:
    store = MemoryStore()
    writer = writer_of(store, background=True, clock=None)
    compactor = Compactor.attach(writer)
    fill(writer, 4)
    compactor.compact()
    assert shape(manifest_of(store)) == (0, [1])
    writer.close()
    compactor.close()
