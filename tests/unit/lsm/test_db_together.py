"""Everything at once on a directory: money moves, rows come, files are merged and collected.

The law: the sum over all accounts is constant, in every scan and snapshot, and after a reopening.
"""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path

import pytest

import cenote
from cenote.lsm import AsyncDb, WriteBatch, open_place, verify

ACCOUNTS = 40
SETTINGS = {
    "l0_sst_size": 30_000,
    "unflushed_size_max": 90_000,
    "l0_max_ssts": 6,
    "block_size": 1024,
    "block_cache_size": 200_000,
    "flush_interval_ms": 20,
    "compactor": {"sources_min": 2, "sst_size": 200_000, "checkpoint_lifetime_ms": 1000},
    "gc": {"interval_ms": 100, "age_min_ms": 50},
}


class Bank:
    """Accounts in a database, and those who use it."""

    def __init__(self, db: AsyncDb, seed: int, rounds: int) -> None:
        self.db = db
        self.rand = random.Random(seed)
        self.rounds = rounds

    async def found(self) -> None:
        batch = WriteBatch()
        for number in range(ACCOUNTS):
            batch.put(b"account/%02d" % number, b"100")
        await self.db.write(batch)

    async def move(self) -> None:
        rand, moved = self.rand, 0
        while moved < self.rounds:
            one, two = (b"account/%02d" % each for each in rand.sample(range(ACCOUNTS), 2))
            amount = rand.randint(1, 9)
            isolation = "serializable" if rand.random() < 0.5 else "snapshot"
            try:
                async with self.db.transaction(isolation) as txn:  # type: ignore[arg-type]
                    left, right = int(await txn.get(one, b"")), int(await txn.get(two, b""))
                    if rand.random() < 0.3:
                        await asyncio.sleep(0)
                    txn.put(one, b"%d" % (left - amount))
                    txn.put(two, b"%d" % (right + amount))
                moved += 1
            except cenote.TransactionConflictError:
                pass

    async def fill(self) -> None:
        rand = self.rand
        for _ in range(self.rounds * 3):
            put = self.db.put(
                b"row/%04d" % rand.randrange(2000), rand.randbytes(200), durable=rand.random() < 0.3
            )
            task = asyncio.ensure_future(put)
            if rand.random() < 0.05:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def check(self) -> None:
        for _ in range(self.rounds // 2):
            assert await self.sum(self.db) == ACCOUNTS * 100
            async with self.db.snapshot() as snapshot:
                assert await self.sum(snapshot) == ACCOUNTS * 100
                await asyncio.sleep(0.01)
                assert await self.sum(snapshot, reverse=True) == ACCOUNTS * 100
            keys = [key async for key, _ in self.db.scan(prefix=b"row/")]
            assert keys == sorted(set(keys))

    async def sum(self, reads: cenote.lsm.AsyncSnapshot | AsyncDb, reverse: bool = False) -> int:
        scan = reads.scan(prefix=b"account/", reverse=reverse)
        return sum([int(value) async for _, value in scan])

    async def everything(self) -> None:
        await asyncio.gather(
            *[self.move() for _ in range(3)],
            *[self.fill() for _ in range(4)],
            self.check(),
            self.check(),
        )


@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 30), *[pytest.param(seed, 300, marks=pytest.mark.slow) for seed in range(2, 6)]],
)
def test_money_is_neither_made_nor_lost(seed: int, rounds: int, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/db"
    failed: list[BaseException] = []

    async def main() -> list[tuple[bytes, bytes]]:
        async with await AsyncDb.open(uri, settings=SETTINGS) as db:
            await Bank(db, seed, rounds).found()

            def on_another_loop() -> None:
                try:
                    asyncio.run(Bank(db, seed + 1000, rounds).everything())
                except BaseException as error:  # noqa: BLE001 - told below
                    failed.append(error)

            thread = threading.Thread(target=on_another_loop)
            thread.start()
            await Bank(db, seed, rounds).everything()
            await asyncio.to_thread(thread.join)
            status = db.status()
            assert (status.pins, status.transaction_keys, status.failed_jobs) == (0, 0, {})
            return [pair async for pair in db.scan()]

    end = asyncio.run(main())
    assert not failed, failed[0]
    assert not verify(open_place(uri)).problems
    with cenote.Db.open(uri) as db:
        assert list(db.scan()) == end
        assert sum(int(value) for _, value in db.scan(prefix=b"account/")) == ACCOUNTS * 100
