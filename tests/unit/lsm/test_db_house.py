"""Compaction, the cache, the change feed and collection by a database's faces."""

from __future__ import annotations

from typing import Any

import pytest
from db_faces import FACES, Face, awaited, refused, rows

import cenote
from cenote.base import ManualClock
from cenote.errors import ClosedError, ConflictError, DataError, InvalidError
from cenote.lsm import PUT, TOMBSTONE, Compactor, Entry, TieredSpec, Verdict, WriteBatch, open_place
from cenote.lsm.format import SstInfo
from cenote.objstore import MemoryStore, RecordingStore

pytestmark = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)


def manifest_of(db: Any) -> Any:
    return getattr(db, "inner", db)._writer.view.manifest


async def with_three_files(face: Face, store: Any, **options: Any) -> Any:
    db = await face.open(store, background=False, **options)
    for number in range(3):
        await db.put(b"old", b"%d" % number)
        await db.put(b"%d" % number, b"v")
        await db.flush_memtable()
    return db


@awaited
async def test_only_the_oldest_files_may_be_compacted(face: Face) -> None:
    """The package does the two newest of three, and the third is gone."""
    store = MemoryStore()
    async with await with_three_files(face, store) as db:
        views = [view.id for view in manifest_of(db).tree.l0]
        for wrong in (views[:2], views[:1], [views[0], views[2]], views[::-1]):
            error = await refused(InvalidError, db.compact(TieredSpec(tuple(wrong), (), 0)))
            assert error.kind == "invalid_compaction"
        await refused(ConflictError, db.compact(TieredSpec(("01ARZ3NDEKTSV4RRFFQ69G5FAV",), (), 0)))
        assert db.status().l0_ssts == 3
        await db.compact(TieredSpec(tuple(views[1:]), (), 0))
        assert (db.status().l0_ssts, db.status().sorted_runs) == (1, 1)
        expected = [(b"0", b"v"), (b"1", b"v"), (b"2", b"v"), (b"old", b"2")]
        assert await rows(db.scan()) == expected
    async with await face.open(store) as db:
        assert await rows(db.scan()) == expected


@awaited
async def test_a_small_compaction_makes_one_file_with_a_filter(face: Face) -> None:
    """The package makes three of 50 KB, none of which has enough rows for one."""
    async with await face.open(MemoryStore(), background=False) as db:
        for part in range(3):
            batch = WriteBatch()
            for number in range(part, 1500, 3):
                batch.put(b"%04d" % number, b"x" * 30)
            await db.write(batch)
            await db.flush_memtable()
        await db.compact()
        [table] = manifest_of(db).ssts
        info: SstInfo = table.info
        assert info.filter_size
        assert len(await rows(db.scan())) == 1500


@awaited
async def test_compaction_of_what_is_old_begins_by_itself(face: Face) -> None:
    async with await face.open(MemoryStore(), background=False) as db:
        for number in range(8):
            await db.put(b"%d" % number, b"v")
            await db.flush_memtable()
        jobs = getattr(db, "inner", db)._writer.jobs
        while jobs.step("compact"):
            pass
        assert db.status().sorted_runs == 1
        assert db.status().l0_ssts < 8
        assert len(await rows(db.scan())) == 8
        assert db.metrics().value("compactions") >= 1


@awaited
async def test_rewriting_drops_what_has_expired(face: Face) -> None:
    clock = ManualClock(1_000_000)
    async with await face.open(MemoryStore(), background=False, clock=clock) as db:
        await db.put(b"gone", b"x" * 10_000, ttl_ms=1000)
        await db.put(b"stays", b"v")
        await db.compact()
        before = db.status().stored_bytes
        clock.advance(10)
        await db.put(b"later", b"v")  # the clock in the files is that of the writes
        await db.compact()
        await db.compact(rewrite=True)
        assert db.status().stored_bytes < before - 9000
        assert [key for key, _ in await rows(db.scan())] == [b"later", b"stays"]


@awaited
async def test_a_filter_decides_what_compactions_keep(face: Face) -> None:
    class Odd:
        name = "odd"
        fails = True

        def decide(self, entry: Entry) -> Verdict | bytes:
            if self.fails:
                raise ZeroDivisionError
            return Verdict.KEEP if int(entry.key) % 2 else Verdict.DROP

    keep = Odd()
    async with await face.open(MemoryStore(), background=False, compaction_filter=keep) as db:
        for number in range(4):
            await db.put(b"%d" % number, b"v")
        await refused(ZeroDivisionError, db.compact())
        assert len(await rows(db.scan())) == 4
        await db.put(b"5", b"v")
        assert db.status().closed_reason is None


@awaited
async def test_warm_ranges_need_no_request(face: Face) -> None:
    store = RecordingStore(MemoryStore())
    async with await face.open(store, settings={"block_size": 1024}) as db:
        batch = WriteBatch()
        for number in range(1000):
            batch.put(b"%04d" % number, b"x" * 30)
        await db.write(batch)
        await db.flush_memtable()

        async def requests() -> int:
            before = len(store.requests)
            assert len(await rows(db.scan(b"0100", b"0200"))) == 100
            assert await db.get(b"0150") == b"x" * 30
            return len(store.requests) - before

        assert await db.warm(b"0100", b"0200") > 3000
        assert await requests() == 0
        db.evict(prefix=b"0")
        assert await requests() > 0
        db.evict()
        assert await db.warm(blocks=False) > 0
        assert db.metrics().value("cache_bytes") > 0
        with pytest.raises(TypeError):
            db.evict(prefix="0")


@awaited
async def test_flushed_files_may_be_kept_at_once(face: Face) -> None:
    for keeps in (False, True):
        store = RecordingStore(MemoryStore())
        async with await face.open(store, settings={"cache_on_flush": keeps}) as db:
            await db.put(b"k", b"v")
            await db.flush_memtable()
            before = len(store.requests)
            assert await db.get(b"k") == b"v"
            assert (len(store.requests) == before) is keeps


@awaited
async def test_the_change_feed(face: Face) -> None:
    async with await face.open(MemoryStore(), background=False) as db:
        await db.put(b"a", b"1")
        await db.write(WriteBatch().put(b"b", b"2").delete(b"a"))
        await db.put(b"c", b"not durable yet", durable=False)

        async def feed(**named: Any) -> list[tuple[int, int, bytes]]:
            changes = db.changes(**named)
            if face.name == "async":
                return [(each.seq, each.kind, each.key) async for each in await changes]
            return [(each.seq, each.kind, each.key) for each in changes]

        assert await feed() == [(1, PUT, b"a"), (2, PUT, b"b"), (2, TOMBSTONE, b"a")]
        assert await feed(after_seq=1) == [(2, PUT, b"b"), (2, TOMBSTONE, b"a")]
        await db.flush()
        assert await feed(after_seq=2) == [(3, PUT, b"c")]
        with pytest.raises(InvalidError):
            await feed(after_seq=1, after_wal=1)


@awaited
async def test_garbage_is_collected_by_the_writer(face: Face) -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    settings = {"gc": {"interval_ms": 60_000, "age_min_ms": 1000}}
    db = await with_three_files(face, store, clock=clock, settings=settings)
    async with db:
        await db.compact()
        before = len(list(store.list()))
        # The files it merged are kept for a while, for readers.
        clock.advance(3_600)
        jobs = getattr(db, "inner", db)._writer.jobs
        assert not jobs.step("nothing")
        jobs.step("gc")
        clock.advance(60)
        jobs.step("gc")
        assert len(list(store.list())) < before
        assert db.metrics().value("gc_deleted") >= 3
        assert db.metrics().value("gc_runs") == 2
        assert len(await rows(db.scan())) == 4
        if face.name == "sync":
            with pytest.raises(DataError, match=r"gone|collected"):
                list(db.changes(after_seq=0))


@awaited
async def test_a_compactor_that_is_fenced_leaves_the_database(face: Face) -> None:
    store = MemoryStore()
    async with await with_three_files(face, store) as db:
        with Compactor.open(open_place(store), background=False) as other:
            await refused(ClosedError, db.compact())
            await db.put(b"k", b"v")
            assert await db.get(b"k") == b"v"
            assert db.status().closed_reason is None
            other.compact()
        await db.put(b"k2", b"v")
        assert len(await rows(db.scan())) == 6
    with cenote.DbReader.open(store) as reader:
        assert len(list(reader.scan())) == 6


@awaited
async def test_reads_go_on_when_their_files_were_compacted_and_collected(face: Face) -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    settings = {
        "block_size": 1024,
        "block_cache_size": 0,
        "readahead_max": 4096,
        "gc": {"interval_ms": 60_000, "age_min_ms": 1000},
        "compactor": {"checkpoint_lifetime_ms": 1000},
    }
    async with await face.open(store, background=False, clock=clock, settings=settings) as db:
        for part in range(3):
            batch = WriteBatch()
            for number in range(part, 1500, 3):
                batch.put(b"%04d" % number, b"x" * 40)
            await db.write(batch)
            await db.flush_memtable()
        snapshot = db.snapshot()
        transaction = db.transaction()
        transaction.put(b"0500+", b"own")
        scans = [
            db.scan(),
            db.scan(reverse=True),
            snapshot.scan(),
            transaction.scan(),
            transaction.scan(b"0400", b"0900", reverse=True),
        ]
        begun = [await scan.next_batch(50) for scan in scans]
        await db.write(WriteBatch().delete(b"0700").put(b"0701", b"new").put(b"0701+", b"new"))
        before = {meta.path for meta in store.list() if "compacted/" in meta.path}
        clock.advance(3600)
        await db.compact()
        await db.put(b"9999", b"later")  # what is no older than the newest file may be on its way
        await db.flush_memtable()
        jobs = getattr(db, "inner", db)._writer.jobs
        for _ in range(3):
            clock.advance(3600)
            jobs.step("gc")
        assert not {meta.path for meta in store.list()} & before
        found = [first + await rows(scan) for first, scan in zip(begun, scans, strict=True)]
        old = [(b"%04d" % number, b"x" * 40) for number in range(1500)]
        own = sorted([*old, (b"0500+", b"own")])
        assert found[0] == found[2] == old
        assert found[1] == old[::-1]
        assert found[3] == own
        assert found[4] == [pair for pair in own if b"0400" <= pair[0] < b"0900"][::-1]
        assert await snapshot.get(b"0700") == b"x" * 40
        assert await transaction.get(b"0701") == b"x" * 40
        assert await db.get(b"0701") == b"new"
