"""What a database promises of writes, reads, scans and batches, in both of its faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from db_faces import FACES, Face, awaited, refused, rows

from cenote.base import ManualClock
from cenote.errors import (
    ClosedError,
    InvalidError,
    UnavailableError,
)
from cenote.lsm import Entry, WriteBatch
from cenote.objstore import Fault, FaultyStore, MemoryStore, scripted

pytestmark = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)

MEMORY = "memory://"
QUIET = {"compactor": {"enabled": False}, "gc": {"enabled": False}}


class Append:
    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        if b"!" in operands:
            raise ZeroDivisionError("an operand it does not like")
        return (existing or b"") + b"".join(operands)


# Writing and reading.


@awaited
async def test_what_is_put_is_got(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        written = await db.put(b"k", b"v")
        assert written.seq == 1
        assert written.is_durable
        assert await db.get(b"k") == b"v"
        assert await db.get(b"none") is None
        assert await db.get(b"none", b"-") == b"-"
        assert await db.has(b"k")
        assert not await db.has(b"none")
        assert await db.get_many([b"k", b"none", b"k"]) == [b"v", None, b"v"]
        await db.delete(b"k")
        assert await db.get(b"k") is None
        await db.put(b"empty", b"")
        assert await db.get(b"empty", b"-") == b""


@awaited
async def test_all_of_it_is_there_after_any_way_into_files(face: Face) -> None:
    store = MemoryStore()
    expected = {}
    async with await face.open(store) as db:
        for number in range(300):
            key = b"%03d" % number
            expected[key] = b"value of %d" % number
            await db.put(key, expected[key], durable=False)
            if number % 100 == 50:
                await db.flush_memtable()
        await db.delete(b"007")
        del expected[b"007"]
        assert dict(await rows(db.scan())) == expected
        await db.compact()
        assert dict(await rows(db.scan())) == expected
        await db.put(b"late", b"in the log only")
        expected[b"late"] = b"in the log only"
    async with await face.open(store) as db:
        assert await rows(db.scan()) == sorted(expected.items())
        assert await db.get_many(list(expected)) == list(expected.values())
        assert await db.get(b"007") is None


@awaited
async def test_an_entry_tells_when_it_was_written(face: Face) -> None:
    clock = ManualClock(1000)
    async with await face.open(MEMORY, clock=clock) as db:
        written = await db.put(b"k", b"v", ttl_ms=500)
        assert written.created_ms == 1000
        assert await db.entry(b"k") == Entry(b"k", b"v", 1, 0, 1000, 1500)
        assert await db.entry(b"none") is None
        assert await rows(db.scan().entries()) == [Entry(b"k", b"v", 1, 0, 1000, 1500)]


@awaited
async def test_text_is_refused_and_told_what_to_do(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for call in (
            lambda: db.put("k", b"v"),
            lambda: db.put(b"k", "v"),
            lambda: db.get("k"),
            lambda: db.get_many(["k"]),
            lambda: db.delete("k"),
            lambda: db.has("k"),
        ):
            error = await refused(TypeError, call())
            assert "bytes, not str" in str(error)
            assert "encode" in str(error)
        with pytest.raises(TypeError, match="a prefix is bytes, not str"):
            db.scan(prefix="k")
        with pytest.raises(TypeError, match="bytes, not int"):
            WriteBatch().put(1, b"")  # type: ignore[arg-type]
        assert await rows(db.scan()) == []


@awaited
async def test_buffers_are_taken_as_they_are_now(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        buffer = bytearray(b"before")
        await db.put(memoryview(b"k"), buffer)
        buffer[:] = b"after!"
        assert await db.get(bytearray(b"k")) == b"before"


@awaited
async def test_an_empty_key_is_refused(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for call in (db.put(b"", b"v"), db.get(b""), db.delete(b"")):
            assert (await refused(InvalidError, call)).kind == "empty_key"


@awaited
async def test_a_sequence_number_for_every_write(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        assert (await db.put(b"a", b"")).seq == 1
        assert (await db.write(WriteBatch().put(b"b", b"").put(b"c", b""))).seq == 2
        assert (await db.entry(b"b")).seq == (await db.entry(b"c")).seq == 2
        assert (await db.delete(b"a")).seq == 3


# Durability.


@awaited
async def test_durable_is_said_at_the_write(face: Face) -> None:
    async with await face.open(MEMORY, background=False) as db:
        written = await db.put(b"k", b"v", durable=False)
        assert not written.is_durable
        assert await db.get(b"k") == b"v"
        assert await db.get(b"k", durable_only=True) is None
        assert await rows(db.scan(durable_only=True)) == []
        await written.wait()
        assert written.is_durable
        assert await db.get(b"k", durable_only=True) == b"v"
        assert await rows(db.scan(durable_only=True)) == [(b"k", b"v")]


@awaited
async def test_the_durable_version_is_seen_below_a_newer_one(face: Face) -> None:
    async with await face.open(MEMORY, background=False) as db:
        await db.put(b"k", b"old")
        await db.put(b"k", b"new", durable=False)
        assert await db.get(b"k") == b"new"
        assert await db.get(b"k", durable_only=True) == b"old"
        assert (await db.entry(b"k", durable_only=True)).value == b"old"
        assert await rows(db.scan(durable_only=True)) == [(b"k", b"old")]


@awaited
async def test_what_is_not_durable_is_lost_only_without_a_flush(face: Face) -> None:
    store = MemoryStore()
    db = await face.open(store, background=False)
    await db.put(b"a", b"1", durable=False)
    await db.flush()
    await db.put(b"b", b"2", durable=False)
    await db.close(flush=False)
    async with await face.open(store) as db:
        assert await rows(db.scan()) == [(b"a", b"1")]
        await db.put(b"c", b"3", durable=False)
    async with await face.open(store) as db:
        assert await rows(db.scan()) == [(b"a", b"1"), (b"c", b"3")]


@awaited
async def test_without_a_log_a_durable_put_flushes(face: Face) -> None:
    """The package's own wait for durability never ends there before somebody flushes."""
    store = MemoryStore()
    async with await face.open(store, settings={"wal_enabled": False}) as db:
        written = await db.put(b"k", b"v")
        assert written.is_durable
        assert db.status().l0_ssts == 1
    async with await face.open(store) as db:
        assert await db.get(b"k") == b"v"


@awaited
async def test_a_put_of_the_log_whose_reply_is_lost_is_told_and_not_doubled(face: Face) -> None:
    memory = MemoryStore()
    faults: list[Fault | None] = []
    store = FaultyStore(memory, scripted(iter(lambda: faults.pop(0) if faults else None, 0)))
    async with await face.open(store, background=False) as db:
        faults += [Fault.AFTER]
        error = await refused(UnavailableError, db.put(b"k", b"v"))
        assert error.effect_unknown
        assert await db.get(b"k") == b"v"
        assert (await db.put(b"k2", b"v2")).seq == 2
        faults += [Fault.BEFORE]
        assert (await refused(UnavailableError, db.put(b"k3", b"v3"))).effect_unknown
        await db.flush()
    async with await face.open(memory) as db:
        assert [key for key, _ in await rows(db.scan())] == [b"k", b"k2", b"k3"]
        assert (await db.entry(b"k3")).seq == 3


@awaited
async def test_a_snapshot_reads_what_is_durable_of_its_moment(face: Face) -> None:
    async with await face.open(MEMORY, background=False) as db:
        await db.put(b"a", b"1")
        await db.put(b"a", b"2", durable=False)
        async with db.snapshot() as snapshot:
            await db.put(b"b", b"", durable=False)
            for durable, moment in (([(b"a", b"1")], False), ([(b"a", b"2")], True)):
                if moment:
                    await db.put(b"a", b"3")
                assert await rows(snapshot.scan(durable_only=True)) == durable
                assert await snapshot.get_many([b"a"], durable_only=True) == [durable[0][1]]
                assert await snapshot.get(b"a", durable_only=True) == durable[0][1]
                assert await snapshot.get(b"a") == b"2"


# Scans.


@awaited
async def test_ranges(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        batch = WriteBatch()
        keys = [b"a", b"a\x00", b"ab", b"b", b"\xff", b"\xff\xff", b"\xff\xff\x01"]
        for key in keys:
            batch.put(key, key)
        await db.write(batch)

        async def found(*args: Any, **named: Any) -> list[bytes]:
            forth = [key for key, _ in await rows(db.scan(*args, **named))]
            back = [key for key, _ in await rows(db.scan(*args, reverse=True, **named))]
            assert back == forth[::-1]
            return forth

        assert await found() == sorted(keys)
        assert await found(b"a\x00", b"b") == [b"a\x00", b"ab"]
        assert await found(b"b", b"b") == []
        assert await found(None, b"b") == [b"a", b"a\x00", b"ab"]
        assert await found(b"b") == [b"b", b"\xff", b"\xff\xff", b"\xff\xff\x01"]
        assert await found(prefix=b"a") == [b"a", b"a\x00", b"ab"]
        assert await found(prefix=b"\xff\xff") == [b"\xff\xff", b"\xff\xff\x01"]
        assert await found(b"a\x01", prefix=b"a") == [b"ab"]
        assert await found(None, b"ab", prefix=b"a") == [b"a", b"a\x00"]
        assert await found(prefix=b"") == sorted(keys)
        with pytest.raises(InvalidError, match="ends before it starts"):
            db.scan(b"b", b"a")
        with pytest.raises(InvalidError, match="readahead"):
            db.scan(readahead=0)


@awaited
async def test_a_scan_reads_the_moment_it_was_begun_at(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for number in range(200):
            await db.put(b"%03d" % number, b"old", durable=False)
        scan = db.scan()
        first = await scan.next_batch(10)
        for number in range(200):
            await db.put(b"%03d" % number, b"new", durable=False)
        await db.delete(b"150")
        await db.put(b"1000", b"new")
        await db.flush_memtable()
        left = await rows(scan)
        assert len(first) + len(left) == 200
        assert {value for _, value in first + left} == {b"old"}


@awaited
@pytest.mark.parametrize("flushed", [False, True], ids=["memory", "files"])
async def test_a_scan_jumps_forth_and_back(face: Face, flushed: bool) -> None:
    async with await face.open(MEMORY, settings={"block_size": 1024}) as db:
        batch = WriteBatch()
        for number in range(1000):
            batch.put(b"%04d" % number, b"x" * 20)
        await db.write(batch)
        if flushed:
            await db.flush_memtable()
        scan = db.scan(b"0100", b"0900")

        async def key() -> bytes:
            found = await scan.next_batch(1)
            return found[0][0] if found else b""

        assert await key() == b"0100"
        scan.seek(b"0105")
        assert await key() == b"0105"
        scan.seek(b"08")
        assert await key() == b"0800"
        scan.seek(b"0200")  # the package refuses to go back
        assert await key() == b"0200"
        scan.seek(b"0050")
        assert await key() == b"0100"
        scan.seek(b"0950")
        assert await key() == b""
        scan.seek(b"0899")
        assert [each for each, _ in await rows(scan)] == [b"0899"]
        scan.seek(b"0898")
        assert len(await rows(scan)) == 2

        back = db.scan(b"0100", b"0900", reverse=True)
        assert (await back.next_batch(1))[0][0] == b"0899"
        back.seek(b"0500")
        assert (await back.next_batch(2))[1][0] == b"0499"
        back.seek(b"07005")
        assert (await back.next_batch(1))[0][0] == b"0700"
        back.seek(b"09")
        assert len(await rows(back)) == 800
        with pytest.raises(InvalidError):
            back.seek(b"")


@awaited
async def test_the_ways_to_read_a_scan_may_be_mixed(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for number in range(20):
            await db.put(b"%02d" % number, b"", durable=False)
        scan = db.scan()
        assert (await scan.__anext__())[0] == b"00"
        assert [key for key, _ in await scan.next_batch(3)] == [b"01", b"02", b"03"]
        async for key, _ in scan:
            assert key == b"04"
            break
        async for entry in scan.entries():
            assert entry.key == b"05"
            break
        batches = await rows(scan.batches(6))
        assert [len(batch) for batch in batches] == [6, 6, 2]
        assert await scan.next_batch() == []
        assert (await refused(InvalidError, db.scan().next_batch(0))).kind == "invalid_count"
        await refused(StopAsyncIteration, scan.__anext__())


@awaited
async def test_a_closed_scan_says_so(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        await db.put(b"k", b"v")
        async with db.scan() as scan:
            pass
        await refused(ClosedError, scan.next_batch())
        assert db.status().pins == 0


@awaited
async def test_scans_let_go_of_what_they_pin(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        await db.put(b"k", b"v")
        scan = db.scan()
        assert db.status().pins == 1
        del scan
        assert db.status().pins == 0
        async for _ in db.scan():
            assert db.status().pins == 1
        snapshot = db.snapshot()
        assert db.status().pins == 1
        snapshot.close()
        snapshot.close()
        assert db.status().pins == 0


# Batches.


@awaited
async def test_a_batch_is_one_write(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        batch = WriteBatch().put(b"a", b"1").put(b"b", b"1").delete(b"b").put(b"a", b"2")
        assert len(batch) == 2
        await db.write(batch)
        assert await rows(db.scan()) == [(b"a", b"2")]
        assert (await refused(InvalidError, db.write(batch))).kind == "batch_used"
        with pytest.raises(InvalidError, match="written already"):
            batch.put(b"c", b"")
        assert "written" in repr(batch)
        assert (await db.write(WriteBatch())).seq == 1


@awaited
async def test_merges_of_a_batch_add_up(face: Face) -> None:
    store = MemoryStore()
    async with await face.open(store, merge_operator=Append()) as db:
        await db.put(b"below", b"0")
        batch = WriteBatch().merge(b"below", b"1").merge(b"below", b"2")
        batch.put(b"put", b"0").merge(b"put", b"1")
        batch.put(b"deleted", b"x").delete(b"deleted").merge(b"deleted", b"1")
        batch.merge(b"dropped", b"1").put(b"dropped", b"2")
        await db.write(batch)
        expected = [(b"below", b"012"), (b"deleted", b"1"), (b"dropped", b"2"), (b"put", b"01")]
        assert await rows(db.scan()) == expected
        error = await refused(
            InvalidError,
            db.write(WriteBatch().merge(b"k", b"1", ttl_ms=5).merge(b"k", b"2")),
        )
        assert error.kind == "mixed_expiry"
    async with await face.open(store, merge_operator=Append()) as db:
        assert await rows(db.scan()) == expected
