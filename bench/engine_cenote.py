"""`cenote.AsyncDb` as a contender of `engine`."""

from __future__ import annotations

import asyncio
import os
from itertools import count as counter
from typing import Any

import cenote
from bench.engine_data import (
    Times,
    clocked,
    key,
    keys,
    missing,
    rows_in_parts,
    sampled,
    tasks_of,
    value,
)

# Compactions when they are asked for; everything else as it is.
QUIET = {"compactor": {"sources_min": 1000, "sources_max": 1000}, "gc": {"enabled": False}}


class Engine:
    """One process' databases. `place`: a folder, or None for memory."""

    def __init__(self, place: str | None, rows: int) -> None:
        self.place = place
        self.rows = rows
        self.db: Any = None
        self.name = ""
        self.stores: dict[str, Any] = {}
        self.numbers = counter()

    async def open(self, name: str, interval_ms: int = 100, plain: bool = False) -> None:
        """Open a database, new or not, after closing the last one; `plain`: as a user would."""
        if self.db is not None:
            await self.db.close()
            self.db = None
        self.name = name
        settings = {} if plain else {**QUIET, "flush_interval_ms": interval_ms}
        if self.place is not None and self.place.startswith("s3://"):
            uri = f"{self.place}/{name}?endpoint={os.environ['AWS_ENDPOINT']}&allow_http=true"
            self.db = await cenote.AsyncDb.open(uri, settings=settings)
            return
        if self.place is not None:
            self.db = await cenote.AsyncDb.open(f"file://{self.place}/{name}", settings=settings)
            return
        if name not in self.stores:
            from cenote.objstore import MemoryStore

            self.stores[name] = MemoryStore()
        self.db = await cenote.AsyncDb.open(self.stores[name], path="db", settings=settings)

    async def close(self) -> None:
        if self.db is not None:
            await self.db.close()
            self.db = None

    def fresh(self, count: int) -> list[bytes]:
        return keys(count, next(self.numbers) * 10_000_000)

    # Into memory and out of it.

    async def put(self, count: int) -> Times:
        names, put, body = self.fresh(count), self.db.put, value(1)

        async def work() -> None:
            for name in names:
                await put(name, body, durable=False)

        return await clocked(work, count)

    async def put_tasks(self, count: int) -> Times:
        put, body = self.db.put, value(2)
        parts = tasks_of(self.fresh(count))

        async def one(names: Any) -> None:
            for name in names:
                await put(name, body, durable=False)

        return await clocked(lambda: asyncio.gather(*map(one, parts)), count)

    async def batch(self, count: int, size: int) -> Times:
        names, body, write = self.fresh(count), value(3), self.db.write

        async def work() -> None:
            for at in range(0, count, size):
                batch = cenote.WriteBatch()
                for name in names[at : at + size]:
                    batch.put(name, body)
                await write(batch, durable=False)

        return await clocked(work, count)

    async def fill(self, count: int) -> Times:
        """Have rows in memory, from 0 on."""
        batch = cenote.WriteBatch()
        for at in range(count):
            batch.put(key(at), value(at))
        await self.db.write(batch)
        return 0.0, 0.0

    async def get(self, count: int, of: int) -> Times:
        names, get = sampled(count, of, next(self.numbers)), self.db.get

        async def work() -> None:
            for name in names:
                await get(name)

        return await clocked(work, count)

    async def get_tasks(self, count: int, of: int) -> Times:
        get = self.db.get
        parts = tasks_of(sampled(count, of, next(self.numbers)))

        async def one(names: Any) -> None:
            for name in names:
                await get(name)

        return await clocked(lambda: asyncio.gather(*map(one, parts)), count)

    async def miss(self, count: int, of: int) -> Times:
        names, get = missing(count, of), self.db.get

        async def work() -> None:
            for name in names:
                await get(name)

        return await clocked(work, count)

    async def first_touch(self, count: int) -> Times:
        """Open anew, and get keys of blocks that nobody has read."""
        await self.open(self.name)
        step = self.rows // (count + 1)
        await self.db.get(key(0))
        get = self.db.get

        async def work() -> None:
            for at in range(1, count + 1):
                await get(key(at * step))

        return await clocked(work, count)

    async def transaction(self, count: int) -> Times:
        names, begin, body = self.fresh(count), self.db.transaction, value(4)

        async def work() -> None:
            for name in names:
                txn = begin()
                await txn.get(name)
                txn.put(name, body)
                await txn.commit(durable=False)

        return await clocked(work, count)

    # Durable.

    async def durable(self, count: int) -> Times:
        names, put, body = self.fresh(count), self.db.put, value(5)

        async def work() -> None:
            for name in names:
                await put(name, body)

        return await clocked(work, count)

    async def durable_tasks(self, count: int) -> Times:
        put, body = self.db.put, value(6)
        parts = tasks_of(self.fresh(count))

        async def one(names: Any) -> None:
            for name in names:
                await put(name, body)

        return await clocked(lambda: asyncio.gather(*map(one, parts)), count)

    async def put_flush(self, count: int) -> Times:
        names, put, flush, body = self.fresh(count), self.db.put, self.db.flush, value(7)

        async def work() -> None:
            for name in names:
                await put(name, body, durable=False)
                await flush()

        return await clocked(work, count)

    async def put_memtable(self) -> None:
        """Have one row in a file of level 0."""
        await self.db.put(self.fresh(1)[0], value(8))
        await self.db.flush_memtable()

    # Files.

    async def load(self, parts: int) -> Times:
        """Write all rows in batches of 1000, in so many flushes that overlap."""
        dealt = rows_in_parts(self.rows, parts)

        async def work() -> None:
            for part in dealt:
                for at in range(0, len(part), 1000):
                    batch = cenote.WriteBatch()
                    for name, body in part[at : at + 1000]:
                        batch.put(name, body)
                    await self.db.write(batch, durable=False)
                await self.db.flush_memtable()

        return await clocked(work, self.rows)

    async def compact(self) -> Times:
        return await clocked(self.db.compact, self.rows)

    async def scan(self) -> Times:
        """The way that gives most rows in the least time."""

        async def work() -> None:
            scan, seen = self.db.scan(), 0
            while batch := await scan.next_batch(1000):
                seen += len(batch)
            assert seen == self.rows, seen

        return await clocked(work, self.rows)

    async def scan_rows(self, count: int) -> Times:
        """One row after the other."""

        async def work() -> None:
            seen = 0
            async for _ in self.db.scan():
                seen += 1
                if seen == count:
                    break

        return await clocked(work, count)

    async def seek(self, count: int) -> Times:
        """Go to a key and read 100 rows."""
        names = sampled(count, self.rows - 200, next(self.numbers))

        async def work() -> None:
            for name in names:
                scan = self.db.scan(name)
                batch = await scan.next_batch(100)
                assert len(batch) == 100
                scan.close()

        return await clocked(work, count)
