"""A reader sees what is durable, whatever becomes of the files meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from reader_scene import Scene
from writing import Concat, delete, merge, op, put

from cenote.base import SeededRand
from cenote.errors import (
    ClosedError,
    DataError,
    NotFoundError,
    UnavailableError,
)
from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.place import Place
from cenote.lsm.reader import AsyncDbReader, DbReader
from cenote.objstore import (
    ReadOnlyStore,
    RecordingStore,
)


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
