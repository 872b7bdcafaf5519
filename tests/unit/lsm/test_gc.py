"""What garbage collection deletes, and above all what it leaves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from gc_world import AGE_MS, World

from cenote.base import ManualClock, SeededRand
from cenote.errors import AlreadyExistsError, DataError, NotFoundError, UnavailableError
from cenote.lsm.format import (
    CompactionStatus,
    ExternalDb,
    OutputSst,
    SstView,
    Subcompaction,
    TieredContext,
    Tree,
    UlidMint,
    compactions_name,
    encode_wal,
    manifest_name,
    mint_uuid,
)
from cenote.lsm.gc.mark import used_tables
from cenote.lsm.gc.sweep import CLOCK_NAME, Collector, GcJob
from cenote.lsm.keys import KeyRange
from cenote.lsm.manifest.state import drop_checkpoints
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.settings import GcSettings
from cenote.objstore import Call, Fault, FaultyStore, MemoryStore, RecordingStore


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_compacted_away_goes_when_it_is_old(world: World) -> None:
    first, second = world.flush(), world.flush()
    world.compact()
    third = world.flush()
    assert world.collect().count == 0  # all of it is young
    world.wait()
    told = world.collect()
    assert not world.has_table(first)
    assert not world.has_table(second)
    assert world.has_table(third)
    assert (told.tables, told.wal) == (2, 2)
    assert world.has_wal(world.manifest.replay_after_wal_id)
    assert not world.has_wal(1)
    assert told.size > 0


def test_only_the_latest_manifest_and_those_of_checkpoints_stay(world: World) -> None:
    world.flush()
    kept = world.checkpoint()
    world.flush()
    world.wait()
    last = world.manifests.refresh().number
    told = world.collect()
    assert told.manifests == last - 2
    assert world.manifests.numbers() == [kept.manifest_id, last]
    assert world.collect().count == 0


def test_the_boundary_is_raised_before_anything_is_deleted(world: World) -> None:
    """A writer that slept makes an old number anew, and learns that it counts for nothing."""
    sleeper = ManifestStore(world.store, "db", rand=SeededRand(9))
    sleeper.refresh()
    for _ in range(3):
        world.flush()
    world.wait()
    store = RecordingStore(world.store)
    collector = Collector(
        Place(store, "db", store), GcSettings(age_min_ms=AGE_MS), clock=world.clock, rand=world.rand
    )
    collector.collect()
    asked = [f"{request.op} {request.path}" for request in store.requests]
    raised = next(n for n, line in enumerate(asked) if line.startswith("put") and "gc/" in line)
    deleted = next(n for n, line in enumerate(asked) if line.startswith("delete"))
    assert raised < deleted
    made = sleeper.edit(lambda m, _: replace(m, wal_id_last_seen=m.wal_id_last_seen + 1))
    assert made.number == world.manifests.refresh().number
    assert made.value.wal_id_last_seen == 4
    assert len(made.value.tree.l0) == 3


def test_a_collector_that_finds_nothing_writes_nothing(world: World) -> None:
    world.flush()
    store = RecordingStore(world.store)
    collector = Collector(
        Place(store, "db", store), GcSettings(age_min_ms=AGE_MS), clock=world.clock, rand=world.rand
    )
    collector.collect()
    assert {request.op for request in store.requests} <= {"list_page", "get", "list"}


def test_a_dry_run_tells_and_deletes_nothing(world: World) -> None:
    world.flush()
    world.checkpoint(lifetime_s=1)
    world.compact()
    world.flush()
    world.wait()
    before = [meta.path for meta in world.store.list()]
    told = world.collector().collect(dry_run=True)
    assert [meta.path for meta in world.store.list()] == before
    done = world.collect()
    assert (told.wal, told.tables, told.checkpoints) == (done.wal, done.tables, done.checkpoints)
    assert told.tables > 0


# Clocks.


def test_a_collector_whose_clock_is_ahead_deletes_nothing_early(world: World) -> None:
    first = world.flush()
    world.compact()
    world.flush()
    ahead = ManualClock(world.clock.now_ms() + 10 * 365 * 86_400_000)
    assert world.collector(clock=ahead).collect().count == 0
    assert world.has_table(first)
    assert world.has(CLOCK_NAME)
    world.wait()
    assert world.collector(clock=ahead).collect().count > 0
    assert not world.has_table(first)


def test_a_collector_whose_clock_is_ahead_lets_checkpoints_live(world: World) -> None:
    kept = world.checkpoint(lifetime_s=3600)
    ahead = ManualClock(world.clock.now_ms() + 86_400_000)
    world.collector(clock=ahead).collect()
    assert kept in world.manifest.checkpoints


def test_a_collector_whose_clock_is_behind_waits(world: World) -> None:
    world.flush()
    world.compact()
    world.flush()
    world.wait()
    behind = ManualClock(world.clock.now_ms() - 86_400_000)
    assert world.collector(clock=behind).collect().count == 0
    assert world.collect().count > 0


def test_a_file_on_its_way_into_the_manifest_stays_however_old_it_is(world: World) -> None:
    """Hazard: garbage collection deletes tables that are still needed."""
    world.flush()
    rows = world.rows([b"slow"])
    slow = world.upload(rows)
    for _ in range(5):
        world.wait(86_400_000)
        world.collect()
    world.add(slow)
    assert world.has_table(slow.id)


def test_a_writer_whose_clock_went_back_begins_above_the_files_there_are(world: World) -> None:
    from cenote.lsm.manifest.state import newest_l0_id

    old = world.flush()
    past = UlidMint(ManualClock(world.clock.now_ms() - 86_400_000), world.rand)
    newest = newest_l0_id(world.manifest)
    assert newest == old
    past.raise_to(newest)
    slow = world.upload(world.rows([b"slow"]), ulid=past.mint())
    assert slow.id > old
    world.wait(86_400_000)
    world.collect()
    assert world.has_table(slow.id)


def test_a_level_0_file_of_the_future_puts_nothing_in_danger(world: World) -> None:
    future = UlidMint(ManualClock(world.clock.now_ms() + 86_400_000), world.rand)
    world.add(world.upload(world.rows([b"a"]), ulid=future.mint()))
    young = world.upload()
    world.collect()
    assert world.has_table(young.id)
    world.wait()
    assert world.collect().tables == 1  # an orphan below the newest level 0 file


# Compactions under way.


@pytest.mark.parametrize(
    "status",
    [CompactionStatus.SCHEDULED, CompactionStatus.RUNNING, CompactionStatus.COMPACTED],
)
def test_the_output_of_a_compaction_under_way_stays(world: World, status: CompactionStatus) -> None:
    world.flush()
    compaction = world.compaction(status)
    world.state_compactions(compaction)
    world.wait(10)
    output = world.upload()
    world.flush()  # so that the newest level 0 file is younger than the output
    for _ in range(5):
        world.wait(86_400_000)
        world.collect()
        assert world.has_table(output.id)
    world.state_compactions(replace(compaction, status=CompactionStatus.FAILED))
    world.collect()
    assert not world.has_table(output.id)


def test_the_output_of_a_worker_whose_clock_is_behind_stays(world: World) -> None:
    world.flush()
    now_ms = world.clock.now_ms()
    ahead = world.compaction(CompactionStatus.RUNNING, now_ms + 600_000)
    world.state_compactions(ahead)
    output = world.upload()  # ten minutes before its compaction, it seems
    world.flush()
    for _ in range(5):
        world.wait(86_400_000)
        world.collect()
        assert world.has_table(output.id)


def test_what_a_compaction_says_it_made_stays_however_it_is_named(world: World) -> None:
    world.flush()
    past = UlidMint(ManualClock(world.clock.now_ms() - 30 * 86_400_000), world.rand)
    done = world.upload(ulid=past.mint())
    part = Subcompaction(KeyRange(), (OutputSst(done),))
    compaction = world.compaction(CompactionStatus.RUNNING)
    world.state_compactions(replace(compaction, context=TieredContext((part,))))
    other = world.upload(ulid=past.mint())
    world.flush()
    world.wait(86_400_000)
    world.collect()
    assert world.has_table(done.id)
    assert world.has_table(other.id)  # by the store's clock it may be an output
    world.state_compactions(replace(compaction, status=CompactionStatus.COMPLETED))
    world.collect()
    assert not world.has_table(done.id)
    assert not world.has_table(other.id)


def test_an_output_that_is_committed_while_the_collector_looks_stays(world: World) -> None:
    """The tables are listed first, the manifest is read last."""
    world.flush()
    world.state_compactions(world.compaction(CompactionStatus.RUNNING))
    output = world.upload()
    world.flush()
    world.wait(86_400_000)

    store = RecordingStore(world.store)
    done = False
    real = store.list_page

    def list_page(prefix="", **more):  # type: ignore[no-untyped-def]
        nonlocal done
        if prefix.endswith("compactions") and not done:
            done = True
            world.compact([output])
            world.flush()
            world.state_compactions(world.compaction(CompactionStatus.COMPLETED))
        return real(prefix, **more)

    store.list_page = list_page  # type: ignore[method-assign]
    collector = Collector(
        Place(store, "db", store), GcSettings(age_min_ms=AGE_MS), clock=world.clock, rand=world.rand
    )
    collector.collect()
    assert done
    assert world.has_table(output.id)


def test_compactions_files_but_the_latest_go(world: World) -> None:
    world.flush()
    for _ in range(3):
        world.state_compactions()
    world.wait()
    assert world.collect().compactions == 2
    assert [world.has(compactions_name(n)) for n in (1, 2, 3)] == [False, False, True]
    assert world.store.get("db/gc/compactions.boundary").data == b"2"


# The log.


def test_a_paused_writer_meets_its_fence_however_long_it_slept(world: World) -> None:
    """Hazard: writes lost through the deletion of a fence."""
    world.write(b"a")
    sleepers_next = world.next_wal
    assert world.fence() == sleepers_next  # another writer takes over
    for _ in range(3):
        world.flush(b"b")
    for _ in range(3):
        world.wait(30 * 86_400_000)
        world.collect()
    with pytest.raises(AlreadyExistsError):
        world.wal.put(sleepers_next, encode_wal(world.rows([b"lost"])).data, "sleeper")


def test_fences_go_when_asked_for(world: World) -> None:
    world.write(b"a")
    fence = world.fence()
    world.flush(b"b")
    world.flush(b"b")
    world.wait()
    world.collector(fences=True).collect()
    assert not world.has_wal(fence)


def test_the_log_that_is_not_flushed_stays(world: World) -> None:
    world.flush()
    numbers = [world.write(b"k%d" % n) for n in range(3)]
    world.wait(30 * 86_400_000)
    world.collect()
    assert all(world.has_wal(number) for number in numbers)


def test_a_separate_log_store_is_collected_too() -> None:
    world = World()
    log = MemoryStore(clock=world.clock)
    world.place = Place(world.store, "db", log)
    world.wal = type(world.wal)(log, "db")
    world.flush()
    world.flush()
    world.wait()
    assert world.collect().wal == 1
    assert [meta.path[-5:-4] for meta in log.list()] == ["2"]


# Checkpoints.


def test_a_checkpoint_keeps_its_tables_and_its_log(world: World) -> None:
    table = world.flush()
    log = world.write(b"unflushed")
    world.manifests.edit(lambda m, _: replace(m, wal_id_last_seen=log))
    kept = world.checkpoint()
    world.flush()
    world.compact()
    world.flush()
    world.wait(30 * 86_400_000)
    world.collect()
    assert world.has_table(table)
    assert world.has_wal(log)
    world.manifests.edit(lambda m, _: drop_checkpoints(m, [kept.id]))
    world.wait()
    world.collect()
    assert not world.has_table(table)
    assert not world.has_wal(log)


def test_an_expired_checkpoint_is_dropped_and_what_it_kept_goes(world: World) -> None:
    table = world.flush()
    kept = world.checkpoint(lifetime_s=3600)
    world.compact()
    world.flush()
    world.wait()
    world.collect()
    assert world.has_table(table)
    world.wait(3_600_000)
    told = world.collect()
    assert told.checkpoints == (kept.id,)
    assert world.manifest.checkpoints == ()
    assert not world.has_table(table)


def test_a_checkpoint_whose_manifest_is_gone_stops_the_collector(world: World) -> None:
    """Hazard: a loop over a manifest that is not there; here it is one error, nothing deleted."""
    world.flush()
    kept = world.checkpoint()
    world.flush()
    world.compact()
    world.flush()
    world.wait()
    world.store.delete(world.place.path(manifest_name(kept.manifest_id)))
    before = [meta.path for meta in world.store.list()]
    with pytest.raises(DataError) as caught:
        world.collect()
    assert caught.value.kind == "missing_manifest"
    assert [meta.path for meta in world.store.list()] == before


def test_a_clone_that_is_not_finished_is_left_alone(world: World) -> None:
    world.flush()
    world.compact()
    world.flush()
    world.checkpoint(lifetime_s=1)
    world.manifests.edit(lambda m, _: replace(m, initialized=False))
    world.wait()
    assert world.collect().count == 0
    assert world.manifest.checkpoints


# Parents of clones.


def test_a_parent_is_let_go_of_when_no_manifest_needs_it() -> None:
    parent = World()
    table = parent.flush()
    final = parent.checkpoint()
    child = World(2, store=parent.store, root="child")
    child.clock = parent.clock
    handle = parent.manifest.ssts[0]
    external = ExternalDb("db", mint_uuid(child.rand), final.id, (table,))
    child.manifests.edit(
        lambda m, _: replace(
            m,
            tree=Tree((SstView(table, table),)),
            ssts=(handle,),
            external_dbs=(external,),
            last_l0_seq=1,
        )
    )
    assert child.collect().detached == ()
    kept = child.checkpoint()
    child.seq = 5
    child.compact([child.upload()])
    assert child.collect().detached == ()  # the checkpoint needs it
    assert final in parent.manifest.checkpoints
    child.manifests.edit(lambda m, _: drop_checkpoints(m, [kept.id]))
    assert child.collector().collect(dry_run=True).detached == ("db",)
    assert child.collect().detached == ("db",)
    assert child.manifest.external_dbs == ()
    assert parent.manifest.checkpoints == ()
    assert child.collect().detached == ()


def test_a_parent_that_was_deleted_is_forgotten() -> None:
    child = World(2, root="child")
    external = ExternalDb("gone", mint_uuid(child.rand), mint_uuid(child.rand), ())
    child.manifests.edit(lambda m, _: replace(m, external_dbs=(external,)))
    assert child.collect().detached == ("gone",)
    assert child.manifest.external_dbs == ()


# The job.


def test_the_job_goes_on_after_what_it_cannot_read(world: World) -> None:
    settings = GcSettings(interval_ms=1000, age_min_ms=AGE_MS)
    job = GcJob(world.collector(), settings, world.clock)
    assert job.due(0.0) == pytest.approx(1.0)
    path = world.place.path(manifest_name(2))
    world.store.put(path, b"not a manifest")
    job.run()
    assert isinstance(job.last_error, DataError)
    world.store.delete(path)
    job.run()
    assert job.last_error is None
    assert job.last is not None
    assert job.due(0.0) == pytest.approx(world.clock.monotonic() + 1.0)


def test_no_database_is_an_error() -> None:
    store = MemoryStore()
    place = Place(store, "nothing", store)
    collector = Collector(place, GcSettings(), clock=ManualClock(), rand=SeededRand(1))
    with pytest.raises(NotFoundError):
        collector.collect()


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
@pytest.mark.parametrize("after", range(26))
def test_a_collection_that_was_cut_off_is_finished_by_the_next(
    world: World, after: int, fault: Fault
) -> None:
    """Every request but the first `after` fails, done or not."""
    world.flush()
    kept = world.checkpoint(lifetime_s=1)
    world.checkpoint()
    table = world.flush()
    world.compact()
    world.state_compactions()
    world.state_compactions()
    last = world.flush()
    world.wait()
    left = after

    def plan(call: Call) -> Fault | None:
        nonlocal left
        left -= 1
        return fault if left < 0 else None

    store = FaultyStore(world.store, plan, clock=world.clock)
    settings = GcSettings(age_min_ms=AGE_MS)
    place = Place(store, "db", store)
    collector = Collector(place, settings, clock=world.clock, rand=world.rand)
    with suppress(UnavailableError):
        collector.collect()
    latest = ManifestStore(world.store, "db", rand=world.rand).refresh()
    needed = [
        latest.value,
        *(world.manifests.read(c.manifest_id) for c in latest.value.checkpoints),
    ]
    for manifest in needed:
        assert all(world.has_table(sst_id) for sst_id in used_tables(manifest))
    collector = world.collector()
    collector.collect()
    assert not world.has_table(table)
    assert world.has_table(last)
    assert kept.id not in [each.id for each in world.manifest.checkpoints]
    assert collector.collect().count == 0
