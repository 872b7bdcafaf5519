"""A reader sees what is durable, whatever becomes of the files meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gc_world import World
from writing import Concat, FirstThree, delete, merge, op, opened, put

from cenote.base import ManualClock, SeededRand
from cenote.errors import (
    ClosedError,
    DataError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.db import Db
from cenote.lsm.format import BloomPolicy, Manifest, OutputSst
from cenote.lsm.gc.sweep import Collector
from cenote.lsm.manifest.state import commit_tiered
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place, open_place
from cenote.lsm.reader import AsyncDbReader, DbReader
from cenote.lsm.settings import GcSettings, ReaderSettings
from cenote.lsm.writer import Writer
from cenote.objstore import (
    Fault,
    FaultyStore,
    MemoryStore,
    ObjectStore,
    ReadOnlyStore,
    RecordingStore,
)


class Scene:
    """A writer, a clock, and readers of it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.writer = self.opened()
        self.readers: list[DbReader] = []

    def opened(self, **given: Any) -> Writer:
        return opened(self.store, clock=self.clock, merge_operator=Concat(), **given)

    def reader(self, store: ObjectStore | None = None, **given: Any) -> DbReader:
        given = {"background": False, "merge_operator": Concat(), **given}
        made = DbReader.open(
            ReadOnlyStore(store or self.store), clock=self.clock, rand=SeededRand(5), **given
        )
        self.readers.append(made)
        return made

    def compact(self) -> None:
        """Put one file in the place of all, as a compactor would, and collect the old ones."""
        world = World(3, store=self.store)
        world.clock = self.clock
        reader = self.reader()
        rows = [tuple(entry) for entry in reader.scan().entries()]
        made = world.upload(rows)  # type: ignore[arg-type]

        def edit(manifest: Manifest, _: int) -> Manifest:
            return commit_tiered(manifest, world.spec(manifest), [OutputSst(made)])

        world.manifests.edit(edit)
        self.writer.refresh()

    def collect(self) -> None:
        """Delete all that nobody but a reader needs."""
        self.clock.advance(3600)
        place = Place(self.store, "db", self.store)
        Collector(place, GcSettings(age_min_ms=0), clock=self.clock, rand=SeededRand(1)).collect()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for reader in made.readers:
        reader.close()
    made.writer.close()


def test_it_sees_tables_and_the_log(scene: Scene) -> None:
    put(scene.writer, b"a", b"1")
    put(scene.writer, b"b", b"1")
    scene.writer.flush_memtable()
    put(scene.writer, b"b", b"2")
    delete(scene.writer, b"a")
    merge(scene.writer, b"m", b"x")
    merge(scene.writer, b"m", b"y")
    reader = scene.reader()
    assert list(reader.scan()) == [(b"b", b"2"), (b"m", b"x,y")]
    assert reader.get(b"a") is None
    assert reader.get_many([b"m", b"a", b"b"]) == [b"x,y", None, b"2"]
    entry = reader.entry(b"b")
    assert entry is not None
    assert entry.seq == 3
    assert reader.seq == scene.writer.durable_seq


def test_it_does_not_see_what_is_not_durable(scene: Scene) -> None:
    reader = scene.reader()
    put(scene.writer, b"k", b"v", durable=False)
    assert not reader.refresh()
    assert reader.get(b"k") is None
    scene.writer.flush_wal()
    assert reader.refresh()
    assert reader.get(b"k") == b"v"


def test_it_moves_on_at_refresh_and_not_before(scene: Scene) -> None:
    reader = scene.reader()
    put(scene.writer, b"k", b"1")
    scan = reader.scan()
    assert reader.get(b"k") is None
    assert reader.refresh()
    assert not reader.refresh()
    assert reader.get(b"k") == b"1"
    assert list(scan) == []
    put(scene.writer, b"k", b"2")
    scan = reader.scan()
    reader.refresh()
    assert list(scan) == [(b"k", b"1")]


def test_a_flush_changes_nothing_of_what_is_seen(scene: Scene) -> None:
    """Operands that are in the log and in a table count once."""
    reader = scene.reader()
    for n in range(40):
        merge(scene.writer, b"m", b"%d" % n)
        put(scene.writer, b"k%02d" % (n % 7), b"%d" % n)
        if n % 3 == 0:
            reader.refresh()
        if n % 10 == 9:
            scene.writer.flush_memtable()
        if n % 4 == 0:
            reader.refresh()
            expected = b",".join(b"%d" % each for each in range(n + 1))
            assert reader.get(b"m") == expected
            assert dict(reader.scan())[b"m"] == expected
    reader.refresh()
    assert list(reader.scan()) == list(scene.reader().scan())
    assert reader.seq == 80


def test_a_batch_is_seen_whole_or_not(scene: Scene) -> None:
    reader = scene.reader()
    for n in range(30):
        ops = [op(b"k%d" % each, b"%d" % n) for each in range(5)]
        scene.writer.write(ops)
        if n % 3 == 0:
            scene.writer.flush_wal()
        if n % 7 == 0:
            scene.writer.flush_memtable()
        reader.refresh()
        assert len({value for _, value in reader.scan()}) <= 1


def test_it_writes_nothing(scene: Scene) -> None:
    """Hazard: readers that mint manifests."""
    put(scene.writer, b"k", b"v")
    before = [(meta.path, meta.etag) for meta in scene.store.list()]
    store = RecordingStore(scene.store)
    reader = DbReader.open(store, clock=scene.clock, background=False)
    for _ in range(50):
        scene.clock.advance(600)
        reader.jobs.step()
    reader.get(b"k")
    reader.close()
    assert [(meta.path, meta.etag) for meta in scene.store.list()] == before
    assert {request.op for request in store.requests} <= {
        "get", "list_page", "list", "get_range", "get_ranges", "head"
    }  # fmt: skip


def test_an_idle_reader_asks_seldom(scene: Scene) -> None:
    """Two requests a look, and one look a minute when nothing happens."""
    store = RecordingStore(scene.store)
    reader = DbReader.open(store, clock=scene.clock, background=False)
    for _ in range(300):
        scene.clock.advance(1)
        reader.jobs.step()
    quiet = len(store.requests)
    for _ in range(600):
        scene.clock.advance(1)
        reader.jobs.step()
    assert len(store.requests) - quiet <= 2 * 11
    put(scene.writer, b"k", b"v")
    scene.clock.advance(60)
    reader.jobs.step()
    assert reader.get(b"k") == b"v"
    put(scene.writer, b"k", b"w")
    scene.clock.advance(1)
    reader.jobs.step()
    assert reader.get(b"k") == b"w"
    reader.close()


# Files that go.


def test_it_goes_on_when_its_tables_were_collected(scene: Scene) -> None:
    """Hazard: a reader that dies when the checkpoint it reads from has expired."""
    for n in range(50):
        put(scene.writer, b"k%02d" % n, b"%d" % n)
        if n % 10 == 9:
            scene.writer.flush_memtable()
    reader = scene.reader()
    other = scene.reader()
    many = scene.reader()
    begun = scene.reader().scan()
    scene.compact()
    put(scene.writer, b"new", b"1")
    scene.writer.flush_memtable()
    scene.collect()
    assert reader.get(b"k07") == b"7"
    assert reader.get(b"new") == b"1"
    assert len(list(other.scan())) == 51
    assert many.get_many([b"k01", b"new", b"no"]) == [b"1", b"1", None]
    assert len(list(begun)) == 51  # not a row of it was read before


def test_a_scan_that_lost_its_moment_says_so(scene: Scene) -> None:
    """It would mix two moments otherwise."""
    for n in range(4):
        for m in range(300):
            put(scene.writer, b"k%d%04d" % (n, m), b"x" * 500)
        scene.writer.flush_memtable()
    reader = scene.reader()
    scan = reader.scan(readahead=4096)
    assert len(scan.next_batch(10)) == 10
    scene.compact()
    put(scene.writer, b"new", b"1")
    scene.writer.flush_memtable()
    scene.collect()
    with pytest.raises(UnavailableError) as caught:
        list(scan)
    assert caught.value.kind == "moment_gone"
    assert len(list(reader.scan())) == 1201


def test_an_async_reader_goes_on_too(scene: Scene) -> None:
    for n in range(50):
        put(scene.writer, b"k%02d" % n, b"%d" % n)
    scene.writer.flush_memtable()

    async def main() -> None:
        store = ReadOnlyStore(scene.store)
        async with await AsyncDbReader.open(
            store, clock=scene.clock, background=False, merge_operator=Concat()
        ) as reader:
            scene.compact()
            put(scene.writer, b"new", b"1")
            scene.writer.flush_memtable()
            scene.collect()
            assert await reader.get(b"k07") == b"7"
            assert len([pair async for pair in reader.scan()]) == 51
            put(scene.writer, b"more", b"1")
            assert await reader.refresh()
            assert await reader.get(b"more") == b"1"
            assert reader.status().seq == reader.seq == scene.writer.durable_seq
        with pytest.raises(ClosedError):
            await reader.get(b"k07")

    asyncio.run(main())


def test_log_files_that_go_while_it_looks_are_looked_for_in_tables(scene: Scene) -> None:
    """Hazard: a log file is not found, since it was flushed and collected meanwhile."""
    put(scene.writer, b"a", b"1")

    class Late(RecordingStore):
        """Flushes and collects when the log was listed."""

        done = False

        def get(self, path: str) -> Any:
            if "/wal/" in path and not self.done:
                self.done = True
                for n in range(3):
                    put(scene.writer, b"b%d" % n, b"1")
                    scene.writer.flush_memtable()
                scene.collect()
            return super().get(path)

    late = Late(scene.store)
    reader = scene.reader(late)
    assert late.done
    assert [key for key, _ in reader.scan()] == [b"a", b"b0", b"b1", b"b2"]


def test_a_reader_that_slept_finds_the_latest_manifest(scene: Scene) -> None:
    """Hazard: a loop over manifests that are gone."""
    reader = scene.reader()
    for n in range(5):
        put(scene.writer, b"k%d" % n, b"1")
        scene.writer.flush_memtable()
        scene.collect()
    assert reader.refresh()
    assert len(list(reader.scan())) == 5
    status = reader.status()
    assert status.manifest == scene.writer.manifests.refresh().number
    assert status.error is None


def test_a_table_that_is_lost_is_damage_and_no_empty_answer(scene: Scene) -> None:
    put(scene.writer, b"k", b"v")
    scene.writer.flush_memtable()
    reader = scene.reader()
    for meta in list(scene.store.list("db/compacted")):
        scene.store.delete(meta.path)
    with pytest.raises(DataError) as caught:
        reader.get(b"k")
    assert caught.value.kind == "missing_file"


def test_a_gap_in_the_log_is_damage(scene: Scene) -> None:
    for n in range(4):
        put(scene.writer, b"k%d" % n, b"v")
    reader = scene.reader()
    for n in range(4):
        put(scene.writer, b"k%d" % n, b"w")
    scene.store.delete(f"db/wal/{7:020d}.sst")
    with pytest.raises(DataError) as caught:
        reader.refresh()
    assert caught.value.kind == "wal_gap"
    assert reader.get(b"k0") == b"v"
    scene.clock.advance(2)
    reader.jobs.step()
    assert "gap" in str(reader.status().error)


# Checkpoints.


def test_a_reader_of_a_checkpoint_stays_there(scene: Scene) -> None:
    put(scene.writer, b"k", b"1")
    place = Place(scene.store, "db", scene.store)
    made = Checkpoints(place, clock=scene.clock, rand=SeededRand(8)).create("friday")
    put(scene.writer, b"k", b"2")
    scene.writer.flush_memtable()
    reader = scene.reader(checkpoint="friday")
    assert reader.get(b"k") == b"1"
    assert not reader.refresh()
    scene.collect()
    scene.writer.flush_memtable()
    assert reader.get(b"k") == b"1"
    assert scene.reader(checkpoint=made.id).get(b"k") == b"1"
    assert reader.status().checkpoint == "friday"


def test_a_checkpoint_that_is_gone_is_told_of(scene: Scene) -> None:
    for n in range(3):
        put(scene.writer, b"k%d" % n, b"1")
        scene.writer.flush_memtable()
    place = Place(scene.store, "db", scene.store)
    checkpoints = Checkpoints(place, clock=scene.clock, rand=SeededRand(8))
    made = checkpoints.create(lifetime_ms=1000)
    reader = scene.reader(checkpoint=made.id)
    scene.compact()
    put(scene.writer, b"new", b"1")
    scene.writer.flush_memtable()
    scene.collect()
    with pytest.raises(NotFoundError) as caught:
        reader.get(b"k1")
    assert caught.value.kind == "no_such_checkpoint"
    with pytest.raises(NotFoundError):
        scene.reader(checkpoint=made.id)


# Opening.


def test_there_must_be_a_database() -> None:
    with pytest.raises(NotFoundError) as caught:
        DbReader.open(MemoryStore(), background=False)
    assert caught.value.kind == "no_database"


def test_a_clone_that_is_not_finished_is_refused(scene: Scene) -> None:
    manifests = ManifestStore(scene.store, "db", rand=SeededRand(1))
    manifests.refresh()
    manifests.edit(lambda m, _: replace(m, initialized=False))
    with pytest.raises(UnavailableError) as caught:
        scene.reader()
    assert caught.value.kind == "not_initialized"
    manifests.edit(lambda m, _: replace(m, initialized=True))


def test_a_log_in_another_store_must_be_named() -> None:
    clock = ManualClock()
    store, log = MemoryStore(clock=clock), MemoryStore(clock=clock)
    writer = opened(store, wal=log, clock=clock)
    put(writer, b"k", b"v")
    with pytest.raises(InvalidError) as caught:
        DbReader.open(store, clock=clock, background=False)
    assert caught.value.kind == "wal_store"
    before = [meta.path for meta in (*store.list(), *log.list())]
    reader = DbReader.open(store, wal=log, clock=clock, background=False)
    assert reader.get(b"k") == b"v"
    reader.close()
    assert [meta.path for meta in (*store.list(), *log.list())] == before
    writer.close()


def test_another_merge_operator_is_refused(scene: Scene) -> None:
    merge(scene.writer, b"m", b"1")

    class Other(Concat):
        name = "other"

    with pytest.raises(InvalidError) as caught:
        scene.reader(merge_operator=Other())
    assert caught.value.kind == "merge_operator"


def test_without_the_log_only_tables_are_seen(scene: Scene) -> None:
    put(scene.writer, b"a", b"1")
    scene.writer.flush_memtable()
    put(scene.writer, b"b", b"1")
    reader = scene.reader(settings=ReaderSettings(replay_wal=False))
    assert list(reader.scan()) == [(b"a", b"1")]


def test_segments_are_read(scene: Scene) -> None:
    scene.writer.close()
    store = MemoryStore(clock=scene.clock)
    writer = opened(store, clock=scene.clock, segment_extractor=FirstThree())
    for prefix in (b"bbb", b"aaa", b"ccc"):
        put(writer, prefix + b"1", prefix)
    writer.flush_memtable()
    put(writer, b"aaa2", b"late")
    put(writer, b"ddd1", b"new")
    reader = scene.reader(store)
    assert [key for key, _ in reader.scan()] == [b"aaa1", b"aaa2", b"bbb1", b"ccc1", b"ddd1"]
    assert reader.get(b"ccc1") == b"ccc"
    assert [key for key, _ in reader.scan(prefix=b"aaa", reverse=True)] == [b"aaa2", b"aaa1"]
    writer.close()


def test_it_follows_in_the_background() -> None:
    store = MemoryStore()
    writer = opened(store)
    settings = ReaderSettings(poll_min_ms=1, poll_max_ms=5)
    with DbReader.open(store, settings=settings) as reader:
        put(writer, b"k", b"v")
        done = threading.Event()
        for _ in range(2000):
            if reader.get(b"k") == b"v":
                break
            done.wait(0.005)
        assert reader.get(b"k") == b"v"
    with pytest.raises(ClosedError):
        reader.get(b"k")
    writer.close()


def test_a_long_log_is_read_ahead(scene: Scene) -> None:
    """Several files at a time, where threads may be used."""
    for n in range(40):
        put(scene.writer, b"k%02d" % n, b"v")
    met = threading.Barrier(4, timeout=20)

    class Slow(RecordingStore):
        waits = 4

        def get(self, path: str) -> Any:
            if "/wal/" in path and self.waits:
                self.waits -= 1
                met.wait()
            return super().get(path)

    reader = scene.reader(Slow(scene.store), background=True, follow=False)
    assert len(list(reader.scan())) == 40


def test_thousands_of_manifests_cost_a_listing(scene: Scene) -> None:
    """Hazard: listings in a loop when there are more than a thousand manifests."""
    put(scene.writer, b"k", b"v")
    scene.writer.flush_memtable()
    manifests = ManifestStore(scene.store, "db", rand=SeededRand(1))
    manifests.refresh()
    for _ in range(2500):
        manifests.edit(lambda m, _: replace(m, wal_id_last_seen=m.wal_id_last_seen))
    store = RecordingStore(scene.store)
    reader = scene.reader(store)
    listings = [each for each in store.requests if each.op.startswith("list")]
    assert len([each for each in listings if "manifest" in each.path]) == 3  # pages
    before = len(store.requests)
    assert not reader.refresh()
    assert len(store.requests) - before == 2


def test_requests_of_an_open(scene: Scene) -> None:
    """The manifest, the guard, the log."""
    put(scene.writer, b"k", b"v")
    store = RecordingStore(scene.store)
    scene.reader(store)
    asked = [f"{each.op} {each.path.split('/')[1]}" for each in store.requests]
    assert asked == ["list_page manifest", "get manifest", "get cenote", "list_page wal", "get wal"]


def test_it_tells_its_figures_and_its_changes(scene: Scene) -> None:
    put(scene.writer, b"k", b"v")
    reader = scene.reader(settings={"replay_wal": True, "block_cache_size": 2**20})
    reader.get(b"k")
    figures = reader.metrics()
    assert (figures.value("gets"), figures.value("last_seq")) == (1, 1)
    assert figures.value("manifest_version") == reader.status().manifest
    assert [change.key for change in reader.changes()] == [b"k"]
    assert list(reader.changes(after_seq=1)) == []
    with pytest.raises(InvalidError) as caught:
        scene.reader(settings={"poll_seconds": 1})
    assert caught.value.kind == "invalid_setting"

    async def main() -> None:
        async with await AsyncDbReader.open(scene.store, background=False) as reader:
            assert [change.key async for change in await reader.changes()] == [b"k"]
            assert reader.metrics().value("gets") == 0

    asyncio.run(main())


def test_filters_of_prefixes_are_asked(scene: Scene) -> None:
    """A scan of a prefix that no file holds reads no block."""
    policy = BloomPolicy(10, True, "first3", lambda key: key[:3] if len(key) >= 3 else None)
    store = MemoryStore(clock=scene.clock)
    writer = opened(store, clock=scene.clock, filter_policies=[policy], filter_rows_min=1)
    for n in range(3000):
        put(writer, b"a%02d%05d" % (n % 50 * 2, n), b"v" * 90, durable=False)
    writer.flush_memtable()
    seen = RecordingStore(store)
    reader = scene.reader(seen, filter_policies=[policy])
    assert len(list(reader.scan(prefix=b"a10"))) == 60
    received = seen.received
    assert list(reader.scan(prefix=b"a11")) == []
    assert seen.received == received
    writer.close()


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_a_store_that_fails_costs_a_look_and_nothing_that_was_seen(
    scene: Scene, fault: Fault
) -> None:
    put(scene.writer, b"k", b"0")
    left = 100

    def plan(call: Any) -> Fault | None:
        nonlocal left
        left -= 1
        return fault if left < 0 else None

    store = FaultyStore(scene.store, plan, clock=scene.clock)
    reader = scene.reader(store)
    for n in range(1, 12):
        put(scene.writer, b"k", b"%d" % n)
        if n % 3 == 0:
            scene.writer.flush_memtable()
        left = n % 6
        seen = reader.get(b"k")
        with contextlib.suppress(UnavailableError):
            reader.refresh()
            seen = b"%d" % n
        left = 100
        assert reader.get(b"k") == seen
    reader.refresh()
    left = 0
    scene.clock.advance(60)
    reader.jobs.step()  # is put off, and tried again
    assert reader.get(b"k") == b"11"
    left = 100
    put(scene.writer, b"k", b"12")
    scene.clock.advance(60)
    reader.jobs.step()
    assert reader.get(b"k") == b"12"


def test_what_a_uri_opened_is_closed_and_nothing_else(tmp_path: Path) -> None:
    with Db.open(f"file://{tmp_path}/db", background=False) as db:
        db.put(b"k", b"v")
    uri = f"file://{tmp_path}/db"
    with DbReader.open(uri, background=False) as reader:
        place = reader._core.place
        assert dict(reader.scan()) == {b"k": b"v"}
    assert place.owned
    kept = open_place(uri, read_only=True)
    with DbReader.open(kept, background=False) as reader:
        pass
    with DbReader.open(kept, background=False) as reader:
        assert reader.get(b"k") == b"v"
    with pytest.raises(InvalidError):
        DbReader.open(kept, path="db", background=False)
    with pytest.raises(NotFoundError):
        DbReader.open(f"file://{tmp_path}/none", background=False)
    kept.close()
