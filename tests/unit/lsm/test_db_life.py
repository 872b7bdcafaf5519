"""What a database promises of merges, expiry, snapshots, housekeeping, its end, in both faces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from db_faces import FACES, Face, awaited, refused, rows

import cenote
from cenote.base import ManualClock, SeededRand
from cenote.errors import (
    ClosedError,
    DataError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from cenote.lsm import WriteBatch
from cenote.objstore import MemoryStore, RecordingStore

pytestmark = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)

MEMORY = "memory://"
QUIET = {"compactor": {"enabled": False}, "gc": {"enabled": False}}


class Append:
    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        if b"!" in operands:
            raise ZeroDivisionError("an operand it does not like")
        return (existing or b"") + b"".join(operands)


class Prefixes:
    name = "first-byte"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:2] if key[1:2] == b"/" else None


# Merges.


@awaited
async def test_merges_over_every_layer(face: Face) -> None:
    async with await face.open(MEMORY, merge_operator=Append()) as db:
        await db.put(b"k", b"a")
        await db.flush_memtable()
        await db.merge(b"k", b"b")
        await db.merge(b"new", b"x")
        await db.flush_memtable()
        await db.merge(b"k", b"c")
        assert await db.get(b"k") == b"abc"
        assert await rows(db.scan()) == [(b"k", b"abc"), (b"new", b"x")]
        await db.compact()
        assert await rows(db.scan(reverse=True)) == [(b"new", b"x"), (b"k", b"abc")]
        await db.delete(b"k")
        await db.merge(b"k", b"d")
        assert await db.get(b"k") == b"d"


@awaited
async def test_a_failing_merge_operator_fails_that_operation_only(face: Face) -> None:
    """In the package it is a panic, and the database is dead afterwards."""
    async with await face.open(MEMORY, merge_operator=Append()) as db:
        await db.put(b"good", b"1")
        await db.merge(b"bad", b"!")
        await refused(ZeroDivisionError, db.get(b"bad"))
        await refused(ZeroDivisionError, db.get_many([b"good", b"bad"]))
        scan = db.scan()
        await refused(ZeroDivisionError, rows(scan))
        await refused(ZeroDivisionError, db.write(WriteBatch().merge(b"x", b"!").merge(b"x", b"")))
        assert await db.get(b"x") is None
        assert await db.get(b"good") == b"1"
        await db.merge(b"good", b"2")
        await db.flush_memtable()
        assert await db.get(b"good") == b"12"
        await db.put(b"bad", b"mended")
        assert len(await rows(db.scan())) == 2
        assert db.status().closed_reason is None


@awaited
async def test_a_merge_without_an_operator_is_refused_at_once(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for call in (
            lambda: db.merge(b"k", b"1"),
            lambda: db.write(WriteBatch().merge(b"k", b"1")),
        ):
            assert (await refused(InvalidError, call())).kind == "no_merge_operator"
        assert db.status().last_seq == 0


class Nameless:
    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b""


class Unable:
    name = "unable"


@awaited
@pytest.mark.parametrize(
    "given", [Nameless(), Unable(), max], ids=["nameless", "unable", "callable"]
)
@pytest.mark.parametrize("role", ["merge_operator", "segment_extractor"])
async def test_what_is_no_operator_or_extractor_is_refused_before_anything_is_made(
    face: Face, role: str, given: Any
) -> None:
    store = MemoryStore()
    error = await refused(InvalidError, face.open(store, **{role: given}))
    assert error.kind == role
    assert error.hint is not None
    assert list(store.list("")) == []


@awaited
async def test_another_merge_operator_is_refused(face: Face) -> None:
    class Other(Append):
        name = "other"

    store = MemoryStore()
    async with await face.open(store, merge_operator=Append()) as db:
        await db.merge(b"k", b"1")
    await refused(InvalidError, face.open(store, merge_operator=Other()))
    async with await face.open(store, merge_operator=Append()) as db:
        assert await db.get(b"k") == b"1"


# Expiry.


@awaited
async def test_what_has_expired_is_not_returned(face: Face) -> None:
    """The package returns it until a compaction drops it."""
    clock = ManualClock(1_000_000)
    settings = {"default_ttl_ms": 1000}
    async with await face.open(MEMORY, clock=clock, settings=settings) as db:
        await db.put(b"default", b"")
        await db.put(b"longer", b"", ttl_ms=5000)
        await db.put(b"at", b"", expire_at_ms=1_002_000)
        await db.put(b"never", b"", ttl_ms=cenote.NEVER)
        await db.delete(b"gone")

        async def left() -> list[bytes]:
            found = [key for key, _ in await rows(db.scan())]
            every = [b"at", b"default", b"gone", b"longer", b"never"]
            values = await db.get_many(every)
            assert [key for key, value in zip(every, values, strict=True) if value is not None] == (
                found
            )
            return found

        assert len(await left()) == 4
        clock.advance(0.999)
        assert len(await left()) == 4
        clock.advance(0.001)
        assert await left() == [b"at", b"longer", b"never"]
        await db.flush_memtable()
        clock.advance(1)
        assert await left() == [b"longer", b"never"]
        clock.advance(10_000)
        assert await left() == [b"never"]


@awaited
async def test_a_wrong_expiry_is_refused(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for named in ({"ttl_ms": 0}, {"ttl_ms": -1}, {"ttl_ms": 1, "expire_at_ms": 1}):
            assert (await refused(InvalidError, db.put(b"k", b"v", **named))).kind == "invalid_ttl"
        await refused(TypeError, db.put(b"k", b"v", ttl_ms=1.5))
        error = await refused(InvalidError, db.write(WriteBatch().put(b"k", b"v", ttl_ms=-5)))
        assert error.kind == "invalid_ttl"
        assert db.status().last_seq == 0
        await db.put(b"k", b"v", ttl_ms=2**63 - 1)
        assert await db.get(b"k") == b"v"


# Snapshots.


@awaited
async def test_a_snapshot_stays_as_it_is(face: Face) -> None:
    async with await face.open(MEMORY, merge_operator=Append()) as db:
        await db.put(b"a", b"1")
        await db.put(b"b", b"1")
        await db.merge(b"m", b"1")
        async with db.snapshot() as snapshot:
            assert snapshot.seq == 3
            await db.put(b"a", b"2")
            await db.delete(b"b")
            await db.put(b"c", b"2")
            await db.merge(b"m", b"2")
            for step in ("memory", "flushed", "compacted"):
                if step == "flushed":
                    await db.flush_memtable()
                elif step == "compacted":
                    await db.compact()
                expected = [(b"a", b"1"), (b"b", b"1"), (b"m", b"1")]
                assert await rows(snapshot.scan()) == expected, step
                assert await snapshot.get_many([b"a", b"b", b"c", b"m"]) == [
                    b"1",
                    b"1",
                    None,
                    b"1",
                ]
                assert await rows(db.scan()) == [(b"a", b"2"), (b"c", b"2"), (b"m", b"12")]
            scan = snapshot.scan()
        await refused(ClosedError, snapshot.get(b"a"))
        with pytest.raises(ClosedError, match="the snapshot is closed"):
            snapshot.scan()
        scan.close()


# Keeping house.


@awaited
async def test_a_checkpoint_has_what_was_durable_only_in_the_log(face: Face) -> None:
    """One that the package's administration makes has not."""
    store = MemoryStore()
    async with await face.open(store, background=False) as db:
        await db.put(b"k", b"v")
        await db.put(b"k2", b"v", durable=False)
        checkpoint = await db.checkpoint("nightly", lifetime_ms=60_000)
        assert checkpoint.name == "nightly"
        await db.put(b"k", b"later")
        assert db.status().checkpoints == 1
    with cenote.DbReader.open(store, checkpoint=checkpoint.id) as reader:
        assert list(reader.scan()) == [(b"k", b"v"), (b"k2", b"v")]


@awaited
async def test_compaction_can_be_asked_for(face: Face) -> None:
    async with await face.open(MEMORY, background=False) as db:
        for number in range(3):
            await db.put(b"%d" % number, b"")
            await db.flush_memtable()
        assert db.status().l0_ssts == 3
        await db.compact()
        status = db.status()
        assert (status.l0_ssts, status.sorted_runs) == (0, 1)
        assert len(await rows(db.scan())) == 3


@awaited
async def test_compaction_is_refused_where_it_is_off(face: Face) -> None:
    async with await face.open(MEMORY, settings=QUIET) as db:
        error = await refused(UnsupportedError, db.compact())
        assert error.kind == "no_compactor"


@awaited
async def test_segments_part_the_keys(face: Face) -> None:
    async with await face.open(MEMORY, segment_extractor=Prefixes()) as db:
        await db.put(b"a/1", b"")
        await db.put(b"b/1", b"")
        for call in (
            lambda: db.put(b"none", b""),
            lambda: db.write(WriteBatch().put(b"a/2", b"").put(b"none", b"")),
        ):
            await refused(InvalidError, call())
        await db.flush_memtable()
        assert db.status().segments == 2
        assert [key for key, _ in await rows(db.scan())] == [b"a/1", b"b/1"]
        assert [key for key, _ in await rows(db.scan(prefix=b"b/"))] == [b"b/1"]


@awaited
async def test_metrics_have_every_figure(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        await db.put(b"k", b"v")
        await db.get(b"k")
        await rows(db.scan())
        metrics = db.metrics()
        for name in ("gets", "scans", "writes", "wal_puts", "last_seq", "durable_seq"):
            assert metrics.value(name) == 1, name
        text = metrics.exposition()
        assert "cenote_db_gets_total 1\n" in text
        assert "# TYPE cenote_db_durable_seq gauge\n" in text
        with pytest.raises(AttributeError):
            metrics.value("nothing")


@awaited
async def test_back_pressure_is_seen_and_set(face: Face) -> None:
    settings = {"l0_sst_size": 1000, "unflushed_size_max": 3000, "l0_max_ssts": 2} | QUIET
    store = MemoryStore()
    async with await face.open(store, settings=settings, background=False) as db:
        for number in range(4):
            await db.put(b"%d" % number, b"x" * 600, durable=False)
        pressure = db.status().pressure
        assert pressure.unflushed_limit == 3000
        assert pressure.unflushed_bytes > 2400
        assert not pressure.stalls
        for number in range(4, 30):  # nobody else flushes: the write that must wait does it
            try:
                await db.put(b"%d" % number, b"x" * 600, durable=False)
            except UnavailableError as error:
                assert error.kind == "l0_full"
                assert not error.effect_unknown
                break
        else:
            raise AssertionError("memory is full, and level 0 is")
        assert number > 6
        assert db.status().pressure.l0_count == db.status().pressure.l0_limit == 2
        assert db.status().pressure.stalls
        assert db.metrics().value("stalls") >= 1
        written = db.status().last_seq
    async with await face.open(store) as db:
        assert len(await rows(db.scan())) == written


# The end.


@awaited
async def test_everything_of_a_closed_database_says_so(face: Face) -> None:
    db = await face.open(MEMORY)
    await db.put(b"k", b"v")
    snapshot = db.snapshot()
    scan = db.scan()
    transaction = db.transaction()
    transaction.put(b"k", b"v")
    await db.close()
    await db.close()
    await _check_closed(db, snapshot, scan, transaction, "clean")
    assert "clean" in repr(db.inner if face.name == "sync" else db)


@awaited
async def test_everything_of_a_fenced_database_says_so(face: Face) -> None:
    """In the package a put on a fenced writer succeeds, and closing it says nothing."""
    store = MemoryStore()
    db = await face.open(store, background=False)
    await db.put(b"k", b"v")
    snapshot = db.snapshot()
    scan = db.scan()
    transaction = db.transaction()
    transaction.put(b"k", b"v")
    async with await face.open(store) as other:
        error = await refused(ClosedError, db.put(b"k", b"lost"))
        assert error.reason == "fenced"
        await _check_closed(db, snapshot, scan, transaction, "fenced")
        assert await other.get(b"k") == b"v"
        # What was written and is not durable is lost, and whoever closes it is told.
        assert (await refused(ClosedError, db.close())).reason == "fenced"


async def _check_closed(db: Any, snapshot: Any, scan: Any, transaction: Any, reason: str) -> None:
    calls = (
        lambda: db.put(b"k", b"v"),
        lambda: db.put(b"k", b"v", durable=False),
        lambda: db.delete(b"k"),
        lambda: db.write(WriteBatch().put(b"k", b"v")),
        lambda: db.get(b"k"),
        lambda: db.entry(b"k"),
        lambda: db.has(b"k"),
        lambda: db.get_many([b"k"]),
        lambda: db.flush(),
        lambda: db.flush_memtable(),
        lambda: db.checkpoint(),
        lambda: db.compact(),
        lambda: snapshot.get(b"k"),
        lambda: transaction.get(b"k"),
        lambda: transaction.commit(),
        lambda: scan.next_batch(),
    )
    for number, call in enumerate(calls):
        error = await refused(ClosedError, call())
        assert error.reason == reason, number
    for plain in (
        lambda: db.scan(),
        lambda: db.snapshot(),
        lambda: db.transaction(),
        lambda: transaction.put(b"k", b"v"),
    ):
        with pytest.raises(ClosedError) as caught:
            plain()
        assert caught.value.reason == reason
    assert db.status().closed_reason == reason
    assert db.metrics().value("writes") >= 1


# Opening.


@awaited
async def test_an_unknown_setting_is_refused(face: Face) -> None:
    """The package takes any name, and a typo is the default."""
    for settings in ({"flush_intervall_ms": 1}, {"block_size": 3}, {"codec": "rar"}, {"gc": 1}):
        error = await refused(InvalidError, face.open(MEMORY, settings=settings))
        assert error.kind == "invalid_setting"
    assert (await refused(InvalidError, face.open(MEMORY, settings=5))).kind == "invalid_setting"


@awaited
async def test_uris(face: Face, tmp_path: Any) -> None:
    """The package takes no path in a URI."""
    uri = f"file://{tmp_path}/some/db"
    async with await face.open(uri) as db:
        await db.put(b"k", b"v")
        assert uri in repr(db.inner if face.name == "sync" else db)
    async with await face.open(f"file://{tmp_path}", path="some/db") as db:
        assert await db.get(b"k") == b"v"
    for wrong in ("nothing", "file://relative", "memory://name"):
        await refused(InvalidError, face.open(wrong))


@awaited
async def test_the_logs_own_store_is_remembered(face: Face) -> None:
    """The package opens without it, and what was acknowledged is gone."""
    store, wal = MemoryStore(), MemoryStore()
    async with await face.open(store, wal=wal) as db:
        await db.put(b"k", b"v")
    await refused(InvalidError, face.open(store))
    await refused(InvalidError, face.open(store, wal=MemoryStore()))
    async with await face.open(store, wal=wal) as db:
        assert await db.get(b"k") == b"v"


@awaited
async def test_an_open_that_fails_closes_what_it_opened(face: Face, tmp_path: Any) -> None:
    async with await face.open(f"file://{tmp_path}/db", segment_extractor=Prefixes()) as db:
        await db.put(b"a/", b"v")
    await refused(InvalidError, face.open(f"file://{tmp_path}/db"))


@awaited
async def test_a_hot_call_asks_the_store_for_nothing(face: Face) -> None:
    store = RecordingStore(MemoryStore())
    async with await face.open(store, background=False) as db:
        await db.put(b"k", b"v")
        before = len(store.requests)
        await db.get(b"k")
        await db.get(b"none")
        await db.put(b"k", b"v", durable=False)
        await rows(db.scan())
        db.snapshot().close()
        db.transaction().rollback()
        db.status()
        assert len(store.requests) == before
        await db.put(b"k", b"v")
        assert [request.op for request in store.requests[before:]] == ["put_if_absent"]


@awaited
async def test_damage_is_told_and_the_database_lives(face: Face) -> None:
    store = MemoryStore()
    async with await face.open(store, settings={"block_cache_size": 0}) as db:
        await db.put(b"k", b"v" * 1000)
        await db.flush_memtable()
        [table] = [meta for meta in store.list() if "compacted/" in meta.path]
        data = bytearray(store.get(table.path).data)
        data[10] ^= 1
        store.put(table.path, bytes(data))
        await refused(DataError, db.get(b"k"))
        await refused(DataError, rows(db.scan()))
        await db.put(b"k2", b"v")
        assert await db.get(b"k2") == b"v"
        store.delete(table.path)
        await refused(NotFoundError, db.get(b"k"))


@awaited
async def test_seeded_databases_are_the_same(face: Face) -> None:
    async def made() -> dict[str, bytes]:
        clock = ManualClock()
        store = MemoryStore(clock=clock)
        options = {"clock": clock, "rand": SeededRand(5), "background": False}
        async with await face.open(store, **options) as db:
            await db.put(b"k", b"v")
            await db.flush_memtable()
        return {meta.path: store.get(meta.path).data for meta in store.list()}

    assert await made() == await made()
    await asyncio.sleep(0)
