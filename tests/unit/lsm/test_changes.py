"""The change feed: every durable row once, in order, or an error that says that some are gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from writing import Concat, delete, merge, op, opened, put

from cenote.base import ManualClock, SeededRand, SystemClock
from cenote.errors import DataError, InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE
from cenote.lsm.gc.sweep import Collector
from cenote.lsm.place import Place
from cenote.lsm.settings import GcSettings
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.reader import AsyncChanges, Changes
from cenote.lsm.writer import Writer
from cenote.objstore import MemoryStore


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.writer: Writer = opened(self.store, clock=self.clock, merge_operator=Concat())

    def changes(self, **given: int) -> Changes:
        return Changes(WalFiles(self.store, "db"), clock=self.clock, **given)

    def collect(self) -> None:
        self.clock.advance(86_400)
        place = Place(self.store, "db", self.store)
        settings = GcSettings(age_min_ms=0)
        Collector(place, settings, clock=self.clock, rand=SeededRand(1)).collect()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.writer.close()


def test_rows_come_in_the_order_they_became_durable(scene: Scene) -> None:
    put(scene.writer, b"b", b"1")
    put(scene.writer, b"a", b"2")
    delete(scene.writer, b"b")
    merge(scene.writer, b"m", b"x")
    found = list(scene.changes())
    assert [(each.key, each.value, each.seq, each.kind) for each in found] == [
        (b"b", b"1", 1, PUT),
        (b"a", b"2", 2, PUT),
        (b"b", b"", 3, TOMBSTONE),
        (b"m", b"x", 4, MERGE),
    ]
    assert found[0].create_ts == scene.clock.now_ms()
    assert [each.wal for each in found] == sorted(each.wal for each in found)


def test_it_goes_on_where_it_was(scene: Scene) -> None:
    feed = scene.changes()
    assert list(feed) == []
    put(scene.writer, b"a", b"1")
    assert [each.key for each in feed] == [b"a"]
    assert list(feed) == []
    put(scene.writer, b"b", b"1")
    again = scene.changes(after_wal=feed.position)
    assert [each.key for each in again] == [each.key for each in feed] == [b"b"]


def test_what_is_not_durable_is_no_change(scene: Scene) -> None:
    put(scene.writer, b"a", b"1", durable=False)
    assert list(scene.changes()) == []


def test_batches_stay_together_and_fences_are_passed_over(scene: Scene) -> None:
    scene.writer.commit(scene.writer.write([op(b"a"), op(b"b")]).seq)
    scene.writer.close()
    scene.writer = opened(scene.store, clock=scene.clock)
    scene.writer.commit(scene.writer.write([op(b"c")]).seq)
    batches = list(scene.changes().batches())
    assert [[each.key for each in batch] for batch in batches] == [[b"a", b"b"], [b"c"]]
    assert batches[0][0].seq == batches[0][1].seq


@pytest.mark.parametrize("seq", range(12))
def test_it_begins_after_any_sequence_number(scene: Scene, seq: int) -> None:
    for n in range(10):
        put(scene.writer, b"k%d" % n, b"v", durable=n % 3 == 0)
    scene.writer.flush_wal()
    assert [each.seq for each in scene.changes(after_seq=seq)] == list(range(seq + 1, 11))


def test_a_flush_loses_no_change(scene: Scene) -> None:
    feed = scene.changes()
    for n in range(5):
        put(scene.writer, b"k%d" % n, b"v")
        scene.writer.flush_memtable()
    assert [each.seq for each in feed] == [1, 2, 3, 4, 5]


def test_collected_changes_are_a_gap_and_not_silence(scene: Scene) -> None:
    slow = scene.changes()
    behind = scene.changes()
    put(scene.writer, b"k", b"v")
    assert next(iter(behind)).seq == 1
    for n in range(5):
        put(scene.writer, b"k%d" % n, b"v")
        scene.writer.flush_memtable()
    scene.collect()
    for feed in (slow, behind):
        with pytest.raises(DataError) as caught:
            list(feed)
        assert caught.value.kind == "gap"
        with pytest.raises(DataError):
            list(feed)
    for given in ({"after_seq": 1}, {"after_wal": behind.position}):
        with pytest.raises(DataError) as caught:
            scene.changes(**given)
        assert caught.value.kind == "gap"
    assert [each.seq for each in scene.changes(after_seq=5)] == [6]
    assert [each.seq for each in scene.changes(after_seq=6)] == []
    assert [each.seq for each in scene.changes()] == [6]


def test_a_position_that_is_not_there_is_an_error(scene: Scene) -> None:
    for given in ({"after_wal": 1000}, {"after_wal": -1}, {"after_wal": 1, "after_seq": 1}):
        with pytest.raises(InvalidError):
            scene.changes(**given)


def test_following_waits_for_changes_and_ends_when_closed() -> None:
    store = MemoryStore()
    writer = opened(store)
    feed = Changes(WalFiles(store, "db"), clock=SystemClock())
    seen: list[int] = []

    def read() -> None:
        for change in feed.follow():
            seen.append(change.seq)
            if len(seen) == 3:
                feed.close()

    thread = threading.Thread(target=read)
    thread.start()
    for n in range(3):
        put(writer, b"k%d" % n, b"v")
    thread.join(30)
    assert seen == [1, 2, 3]
    assert list(feed) == []
    writer.close()


def test_following_gives_up_after_a_time(scene: Scene) -> None:
    put(scene.writer, b"k", b"v")
    begun = scene.clock.monotonic()
    assert [each.seq for each in scene.changes().follow(timeout_ms=5000)] == [1]
    assert scene.clock.monotonic() - begun == pytest.approx(5.0)


def test_an_event_loop_reads_them_too(scene: Scene) -> None:
    for n in range(3):
        put(scene.writer, b"k%d" % n, b"v")

    async def main() -> None:
        feed = AsyncChanges(scene.changes(), scene.clock)
        assert [change.seq async for change in feed] == [1, 2, 3]
        put(scene.writer, b"more", b"v")
        assert [change.seq async for change in feed.follow(timeout_ms=100)] == [4]
        assert feed.position == AsyncChanges(scene.changes(after_seq=4), scene.clock).position + 1
        feed.close()
        assert [change async for change in feed.follow()] == []

    asyncio.run(main())
