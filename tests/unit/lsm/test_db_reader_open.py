"""Opening readers, what they cost, what they say of themselves."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reader_scene import Scene
from writing import Concat, FirstThree, merge, opened, put

from cenote.base import ManualClock, SeededRand
from cenote.errors import (
    ClosedError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from cenote.lsm.db import Db
from cenote.lsm.format import BloomPolicy
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import open_place
from cenote.lsm.reader import AsyncDbReader, DbReader
from cenote.lsm.settings import ReaderSettings
from cenote.objstore import (
    Fault,
    FaultyStore,
    MemoryStore,
    RecordingStore,
)


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    for reader in made.readers:
        reader.close()
    made.writer.close()


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
