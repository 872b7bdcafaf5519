"""Tasks on one open database, some of them cancelled: nobody sees half a write."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import pytest

from cenote.base import SeededRand
from cenote.errors import TransactionConflictError
from cenote.lsm import AsyncDb, CompactorSettings, Db, DbSettings, GcSettings, WriteBatch
from cenote.objstore import Latency, MemoryStore, ObjectStore, SlowStore

ACCOUNTS = 6
SUM = 600
SETTINGS = DbSettings(
    l0_sst_size=6_000,
    unflushed_size_max=24_000,
    wal_files_max=30,
    block_size=1024,
    block_cache_size=20_000,
    filter_rows_min=0,
    compactor=CompactorSettings(sources_min=2, sst_size=4_000),
    gc=GcSettings(interval_ms=200, age_min_ms=50),
)


class Tasks:
    """What each task does, again and again."""

    def __init__(self, db: AsyncDb, seconds: float) -> None:
        self.db = db
        self.deadline = time.monotonic() + seconds
        self.done = 0
        self.acknowledged = 0

    async def again(self, main, rng: random.Random) -> None:
        while time.monotonic() < self.deadline:
            await main(rng)
            self.done += 1
            await asyncio.sleep(0)

    async def transfer(self, rng: random.Random) -> None:
        source, target = (b"bank/%d" % n for n in rng.sample(range(ACCOUNTS), 2))
        with contextlib.suppress(TransactionConflictError):
            async with self.db.transaction("serializable") as txn:
                held = [int(await txn.get(name) or b"0") for name in (source, target)]
                txn.put(source, b"%d" % (held[0] - 1))
                txn.put(target, b"%d" % (held[1] + 1))

    async def write_twins(self, rng: random.Random) -> None:
        value = rng.randbytes(rng.randrange(1, 60))
        batch = WriteBatch().put(b"twin/0", value).put(b"twin/1", value)
        batch.put(b"fill/%d" % rng.randrange(300), value)
        await self.db.write(batch, durable=rng.random() < 0.5)

    async def hurry(self, rng: random.Random) -> None:
        """Give up in the middle of something."""
        main = rng.choice([self.transfer, self.write_twins, self.look, self.write_twins])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rng.random() * 0.01):
                await main(rng)

    async def count(self, rng: random.Random) -> None:
        await self.db.put(b"count", b"%d" % (self.acknowledged + 1))
        self.acknowledged += 1
        assert await self.db.get(b"count") == b"%d" % self.acknowledged

    async def look(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            check({key: value async for key, value in self.db.scan(reverse=rng.random() < 0.5)})
            return
        async with self.db.snapshot() as snapshot:
            state = {key: value async for key, value in snapshot.scan()}
            check(state)
            for key in rng.sample(sorted(state), 3):
                assert await snapshot.get(key) == state[key]

    async def keep_house(self, rng: random.Random) -> None:
        await rng.choice([self.db.flush, self.db.flush_memtable, self.db.compact])()
        await asyncio.sleep(rng.random() * 0.05)


def check(state: dict[bytes, bytes]) -> None:
    held = sum(int(value) for key, value in state.items() if key.startswith(b"bank/"))
    assert held == SUM, state
    assert state.get(b"twin/0") == state.get(b"twin/1")


async def race(store: ObjectStore, seconds: float) -> dict[bytes, bytes]:
    async with await AsyncDb.open(store, path="db", settings=SETTINGS) as db:
        batch = WriteBatch()
        for number in range(ACCOUNTS):
            batch.put(b"bank/%d" % number, b"%d" % (SUM // ACCOUNTS))
        await db.write(batch)
        tasks = Tasks(db, seconds)
        mains = [tasks.count, tasks.keep_house, tasks.look, tasks.look]
        mains += [tasks.transfer, tasks.write_twins, tasks.hurry, tasks.hurry] * 6
        async with asyncio.TaskGroup() as group:
            for number, main in enumerate(mains):
                group.create_task(tasks.again(main, random.Random(number)))
        assert tasks.done > len(mains)
        state = {key: value async for key, value in db.scan()}
        check(state)
        assert state[b"count"] == b"%d" % tasks.acknowledged
        return state


@pytest.mark.parametrize("slow_store", [False, True])
def test_tasks(slow_store: bool) -> None:
    play(1.5, slow_store)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tasks_for_long() -> None:
    play(40.0, True)


def play(seconds: float, slow_store: bool) -> None:
    objects = MemoryStore()
    store: ObjectStore = objects
    if slow_store:
        store = SlowStore(objects, Latency(1.0, 2.0, spread=0.9), rand=SeededRand(1))
    state = asyncio.run(race(store, seconds))
    with Db.open(objects, path="db", settings=SETTINGS) as db:
        assert dict(db.scan()) == state
