"""Transactions over a database, in both faces; and many of them against a serial order."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Sequence
from typing import Any

import pytest
from db_faces import FACES, Face, awaited, refused, rows

import cenote
from cenote.base import ManualClock
from cenote.errors import ClosedError, InvalidError, TransactionConflictError, UnavailableError
from cenote.lsm import WriteBatch
from cenote.objstore import Fault, FaultyStore, MemoryStore, scripted

both = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)

MEMORY = "memory://"


class Sum:
    name = "sum"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b"%d" % (int(existing or 0) + sum(map(int, operands)))


@both
@awaited
async def test_it_reads_one_moment_and_its_own_writes(face: Face) -> None:
    async with await face.open(MEMORY, merge_operator=Sum()) as db:
        for key in (b"a", b"b", b"c", b"d"):
            await db.put(key, b"1")
        async with db.transaction() as txn:
            assert txn.seq == 4
            await db.put(b"a", b"other")
            assert await txn.get(b"a") == b"1"
            txn.put(b"b", b"2")
            txn.delete(b"c")
            txn.merge(b"d", b"10")
            txn.merge(b"d", b"100")
            txn.merge(b"e", b"5")
            txn.put(b"f", b"7")
            txn.merge(b"f", b"1")
            seen = {b"a": b"1", b"b": b"2", b"d": b"111", b"e": b"5", b"f": b"8"}
            assert dict(await rows(txn.scan())) == seen
            assert await rows(txn.scan(reverse=True)) == sorted(seen.items(), reverse=True)
            assert await rows(txn.scan(b"b", b"e")) == [(b"b", b"2"), (b"d", b"111")]
            assert await rows(txn.scan(prefix=b"f")) == [(b"f", b"8")]
            every = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
            assert await txn.get_many(every) == [seen.get(key) for key in every]
            assert [await txn.get(key) for key in every] == [seen.get(key) for key in every]
            assert (await txn.entry(b"b")).seq == 0
            assert not await txn.has(b"c")
            # Others see nothing of it.
            assert await db.get(b"b") == b"1"
        assert await rows(db.scan()) == sorted((seen | {b"a": b"other"}).items())
        assert (await db.entry(b"b")).seq == (await db.entry(b"f")).seq == 6


@both
@awaited
async def test_own_writes_over_files_and_memory(face: Face) -> None:
    """Every place a row can be, with own writes before, between and after, both ways."""
    rand = random.Random(3)
    async with await face.open(MEMORY, settings={"block_size": 1024}) as db:
        model = {}
        for number in range(600):
            key = b"%04d" % rand.randrange(1000)
            model[key] = b"%d" % number
            await db.put(key, model[key], durable=False)
            if number in (200, 400):
                await db.flush_memtable()
        txn = db.transaction()
        for _ in range(200):
            key = b"%04d" % rand.randrange(1100)
            if rand.random() < 0.3:
                txn.delete(key)
                model.pop(key, None)
            else:
                model[key] = b"own"
                txn.put(key, b"own")
        expected = sorted(model.items())
        assert await rows(txn.scan()) == expected
        assert await rows(txn.scan(reverse=True)) == expected[::-1]
        for _ in range(30):
            low, high = sorted(b"%04d" % rand.randrange(1100) for _ in range(2))
            part = [pair for pair in expected if low <= pair[0] < high]
            assert await rows(txn.scan(low, high)) == part
            scan = txn.scan(reverse=True)
            scan.seek(high)
            assert (
                await scan.next_batch(5) == [pair for pair in expected if pair[0] <= high][::-1][:5]
            )
            scan = txn.scan()
            await scan.next_batch(rand.randrange(1, 20))
            scan.seek(low)
            assert await scan.next_batch(5) == [pair for pair in expected if pair[0] >= low][:5]
        await txn.commit()
        assert await rows(db.scan()) == expected


@both
@awaited
async def test_a_scan_sees_the_writes_made_before_it_began(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        await db.put(b"a", b"")
        async with db.transaction() as txn:
            count = 0
            async for key, _ in txn.scan():
                txn.put(key + b"+", b"")
                count += 1
            assert count == 1
            assert len(await rows(txn.scan())) == 2


@both
@awaited
async def test_expiry_of_own_writes(face: Face) -> None:
    clock = ManualClock(1000)
    async with await face.open(MEMORY, clock=clock, settings={"default_ttl_ms": 50}) as db:
        async with db.transaction() as txn:
            txn.put(b"past", b"", expire_at_ms=999)
            txn.put(b"default", b"")
            txn.put(b"never", b"", ttl_ms=cenote.NEVER)
            assert [key for key, _ in await rows(txn.scan())] == [b"default", b"never"]
            assert (await txn.entry(b"default")).expire_ts == 1050
        assert await db.get(b"past") is None
        clock.advance(1)
        assert [key for key, _ in await rows(db.scan())] == [b"never"]


@both
@awaited
async def test_write_conflicts(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        one, two = db.transaction(), db.transaction()
        one.put(b"k", b"1")
        two.put(b"k", b"2")
        assert (await one.commit()).seq == 1
        error = await refused(TransactionConflictError, two.commit())
        assert error.context["key"] == b"k"
        assert (await refused(ClosedError, two.get(b"k"))).message == (
            "the transaction is rolled back"
        )
        await refused(ClosedError, one.commit())
        three = db.transaction()
        three.put(b"k", b"3")
        await db.put(b"k", b"plain writes count too")
        await refused(TransactionConflictError, three.commit())
        four = db.transaction()
        four.put(b"k", b"4")
        await db.write(WriteBatch().put(b"x", b"").delete(b"k"))
        await refused(TransactionConflictError, four.commit())
        assert db.metrics().value("transaction_conflicts") == 3


@both
@awaited
async def test_isolation_decides_whether_reads_conflict(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        await db.put(b"r", b"")
        for isolation, conflict in (("snapshot", False), ("serializable", True)):
            for read in ("get", "get_many", "missing", "scan", "phantom", "entry"):
                txn = db.transaction(isolation)
                if read == "get":
                    await txn.get(b"r")
                elif read == "get_many":
                    await txn.get_many([b"r"])
                elif read == "missing":
                    await txn.get(b"new")
                elif read == "entry":
                    await txn.has(b"r")
                else:
                    await rows(txn.scan(b"n", b"s"))
                txn.put(b"w", b"")
                await db.put(b"new" if read in ("missing", "phantom") else b"r", b"")
                if conflict:
                    await refused(TransactionConflictError, txn.commit())
                else:
                    await txn.commit()
                await db.delete(b"new")
        assert db.status().transaction_keys == 0
        with pytest.raises(InvalidError):
            db.transaction("dirty")


@both
@awaited
async def test_a_range_counts_as_far_as_it_was_walked(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        for number in range(100):
            await db.put(b"%02d" % number, b"", durable=False)

        async def conflicts(key: bytes, reverse: bool = False, *, seek: bool = False) -> bool:
            txn = db.transaction("serializable")
            scan = txn.scan(reverse=reverse)
            await scan.next_batch(10)
            if seek:
                scan.seek(b"50")
                await scan.next_batch(10)
            txn.put(b"w", b"")
            await db.put(key, b"")
            try:
                await txn.commit()
            except TransactionConflictError:
                return True
            return False

        assert await conflicts(b"00")
        assert await conflicts(b"09")
        assert not await conflicts(b"099")
        assert not await conflicts(b"50")
        assert await conflicts(b"95", reverse=True)
        assert not await conflicts(b"50", reverse=True)
        assert await conflicts(b"05", seek=True)
        assert not await conflicts(b"30", seek=True)
        assert await conflicts(b"55", seek=True)
        assert not await conflicts(b"70", seek=True)


@both
@awaited
async def test_marks_widen_and_narrow_what_conflicts(face: Face) -> None:
    async with await face.open(MEMORY, merge_operator=Sum()) as db:
        txn = db.transaction()
        txn.mark_read(b"guard")
        txn.put(b"w", b"")
        await db.put(b"guard", b"")
        await refused(TransactionConflictError, txn.commit())
        one, two = db.transaction(), db.transaction()
        for each in (one, two):
            each.merge(b"n", b"1")
            each.unmark_write(b"n")
        await one.commit()
        await two.commit()
        assert await db.get(b"n") == b"2"


@both
@awaited
async def test_reads_of_own_writes_are_no_reads_of_others(face: Face) -> None:
    async with await face.open(MEMORY, merge_operator=Sum()) as db:
        txn = db.transaction("serializable")
        txn.put(b"k", b"1")
        txn.unmark_write(b"k")
        assert await txn.get(b"k") == b"1"
        await db.put(b"k", b"2")
        await txn.commit()
        txn = db.transaction("serializable")
        txn.merge(b"k", b"1")
        txn.unmark_write(b"k")
        assert await txn.get(b"k") == b"2"  # what is below was read
        await db.put(b"k", b"3")
        await refused(TransactionConflictError, txn.commit())


@both
@awaited
async def test_the_end_of_a_block_commits_and_an_exception_rolls_back(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        async with db.transaction() as txn:
            txn.put(b"a", b"")
        with pytest.raises(ZeroDivisionError):
            async with db.transaction() as txn:
                txn.put(b"b", b"")
                raise ZeroDivisionError
        async with db.transaction() as txn:
            txn.put(b"c", b"")
            txn.rollback()
        async with db.transaction() as txn:
            txn.put(b"d", b"")
            await txn.commit()
        assert [key for key, _ in await rows(db.scan())] == [b"a", b"d"]
        async with db.transaction("serializable") as txn:
            await rows(txn.scan())
            await db.put(b"e", b"")
        assert await db.transaction().commit() is None  # nothing was written
        assert "committed" in repr(txn.inner if face.name == "sync" else txn)
        assert db.status().pins == 0


@both
@awaited
async def test_a_forgotten_transaction_lets_go(face: Face) -> None:
    async with await face.open(MEMORY) as db:
        txn = db.transaction()
        txn.put(b"k", b"")
        await db.put(b"k", b"")
        assert db.status().transaction_keys == 1
        assert db.status().pins == 1
        del txn
        gc.collect()
        assert db.status().transaction_keys == 0
        assert db.status().pins == 0


@both
@awaited
async def test_a_failing_commit_can_be_repeated_or_mended(face: Face) -> None:
    class Picky(Sum):
        name = "picky"

        def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
            if b"!" in operands:
                raise ZeroDivisionError
            return super().merge(key, existing, operands)

    async with await face.open(MEMORY, merge_operator=Picky()) as db:
        txn = db.transaction()
        txn.put(b"k", b"1")
        txn.merge(b"k", b"!")
        await refused(ZeroDivisionError, txn.get(b"k"))
        await refused(ZeroDivisionError, rows(txn.scan()))
        await refused(ZeroDivisionError, txn.commit())
        txn.put(b"k", b"2")
        await txn.commit()
        assert await db.get(b"k") == b"2"
    async with await face.open(MEMORY) as db:
        txn = db.transaction()
        with pytest.raises(InvalidError):
            txn.merge(b"k", b"1")


@both
@awaited
async def test_a_commit_whose_put_fails_is_committed_and_says_so(face: Face) -> None:
    memory = MemoryStore()
    faults: list[Fault | None] = []
    store = FaultyStore(memory, scripted(iter(lambda: faults.pop(0) if faults else None, 0)))
    async with await face.open(store, background=False) as db:
        txn = db.transaction()
        txn.put(b"k", b"v")
        faults.append(Fault.AFTER)
        assert (await refused(UnavailableError, txn.commit())).effect_unknown
        await refused(ClosedError, txn.commit())
        assert await db.get(b"k") == b"v"
        await db.flush()
    async with await face.open(memory) as db:
        assert await db.get(b"k") == b"v"


@both
@awaited
async def test_a_commit_is_one_batch(face: Face) -> None:
    store = MemoryStore()
    async with await face.open(store, background=False) as db:
        txn = db.transaction()
        for number in range(50):
            txn.put(b"%02d" % number, b"")
        written = await txn.commit(durable=False)
        assert not written.is_durable
        await db.close(flush=False)
    async with await face.open(store) as db:
        assert await rows(db.scan()) == []


@pytest.mark.parametrize("isolation", ["snapshot", "serializable"])
@pytest.mark.parametrize("seed", range(6))
def test_many_at_once_are_as_if_one_after_the_other(isolation: Any, seed: int) -> None:
    """Serializable ones replay, in the order of their commits, to the same reads and the same end.

    Those of the weaker isolation lose no update: each key's writer saw the version it replaced.
    """

    async def main() -> None:
        rand = random.Random(seed)
        store = MemoryStore()
        settings = {"l0_sst_size": 4096, "block_size": 1024}
        committed: list[tuple[int, list[Any], dict[bytes, bytes | None]]] = []
        async with await cenote.AsyncDb.open(store, settings=settings) as db:

            async def one(number: int) -> None:
                txn = db.transaction(isolation)
                reads: list[Any] = []
                writes: dict[bytes, bytes | None] = {}
                try:
                    for step in range(rand.randint(1, 6)):
                        key = b"%02d" % rand.randrange(20)
                        action = rand.random()
                        if action < 0.4:
                            reads.append(("get", key, await txn.get(key)))
                        elif action < 0.55:
                            low, high = sorted((key, b"%02d" % rand.randrange(20)))
                            count = rand.choice([1, 3, 1000])
                            found = await txn.scan(low, high).next_batch(count)
                            reads.append(("scan", (low, high, count), found))
                        elif action < 0.9:
                            value = b"%d.%d" % (number, step)
                            if isolation == "snapshot":
                                reads.append(("get", key, await txn.get(key)))
                            txn.put(key, value)
                            writes[key] = value
                            reads.append(("own", key, value))
                        else:
                            if isolation == "snapshot":
                                reads.append(("get", key, await txn.get(key)))
                            txn.delete(key)
                            writes[key] = None
                            reads.append(("own", key, None))
                        if rand.random() < 0.7:
                            await asyncio.sleep(0)
                    written = await txn.commit(durable=rand.random() < 0.5)
                except TransactionConflictError:
                    return
                if written is not None:
                    committed.append((written.seq, reads, writes))

            async def row(first: int) -> None:
                for number in range(first, first + 25):
                    await one(number)
                    if number % 10 == 9 and rand.random() < 0.3:
                        await db.flush_memtable()

            await asyncio.gather(*[row(25 * each) for each in range(8)])
            end = dict([pair async for pair in db.scan()])
            assert db.status().transaction_keys == 0
            conflicts = db.metrics().value("transaction_conflicts")
        assert len(committed) > 30, seed
        assert conflicts > 0, seed
        _replay(committed, end, whole=isolation == "serializable", seed=seed)
        async with await cenote.AsyncDb.open(store) as db:
            assert dict([pair async for pair in db.scan()]) == end

    asyncio.run(main())


def _replay(
    committed: list[tuple[int, list[Any], dict[bytes, bytes | None]]],
    end: dict[bytes, bytes],
    *,
    whole: bool,
    seed: int,
) -> None:
    model: dict[bytes, bytes] = {}
    for _, reads, writes in sorted(committed, key=lambda each: each[0]):
        own = dict(model)
        mine: set[bytes] = set()
        for kind, what, found in reads:
            if kind == "own":
                mine.add(what)
                if found is None:
                    own.pop(what, None)
                else:
                    own[what] = found
            elif kind == "get":
                if whole or (what in writes and what not in mine):
                    assert own.get(what) == found, seed
            elif whole:
                low, high, count = what
                expected = sorted(pair for pair in own.items() if low <= pair[0] < high)
                assert expected[:count] == found, seed
        for key, value in writes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    assert model == end, seed
