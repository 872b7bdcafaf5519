"""The `slatedb` package as a contender of `engine`."""

from __future__ import annotations

import asyncio
import json
from itertools import count as counter
from typing import Any

import slatedb.uniffi as slate

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

EVERYTHING = slate.KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False)
MEMTABLE = slate.FlushOptions(flush_type=slate.FlushType.MEM_TABLE)
# Its best way to scan: large read-ahead, several requests at once.
AHEAD = slate.ScanOptions(
    durability_filter=slate.DurabilityLevel.MEMORY,
    dirty=False,
    read_ahead_bytes=4 * 2**20,
    cache_blocks=False,
    max_fetch_tasks=4,
)


class Engine:
    """One process' databases. `place`: a folder, or None for memory."""

    def __init__(self, place: str | None, rows: int) -> None:
        self.place = place
        self.rows = rows
        self.db: Any = None
        self.name = ""
        self.stores: dict[str, Any] = {}
        self.numbers = counter()

    def store(self) -> Any:
        if self.place is not None and self.place.startswith("s3://"):
            return slate.ObjectStore.resolve(self.place)
        if self.place is not None:
            return slate.ObjectStore.resolve("file:///")
        if "memory" not in self.stores:
            self.stores["memory"] = slate.ObjectStore.resolve("memory:///")
        return self.stores["memory"]

    def path(self, name: str) -> str:
        if self.place is None or self.place.startswith("s3://"):
            return name
        return f"{self.place}/{name}".lstrip("/")

    async def open(self, name: str, interval_ms: int = 100, plain: bool = False) -> None:
        """Open a database, new or not, after closing the last one; `plain`: as a user would."""
        if self.db is not None:
            await self.db.shutdown()
            self.db = None
        self.name = name
        settings = slate.Settings.default()
        values: dict[str, Any] = (
            {}
            if plain
            else {
                "flush_interval": f"{interval_ms}ms",
                "garbage_collector_options": None,
                "compactor_options.poll_interval": "50ms",
                "compactor_options.commit_compacted_interval": "50ms",
                "compactor_options.worker.compactions_poll_interval": "50ms",
            }
        )
        for option, said in values.items():
            settings.set(option, json.dumps(said))
        builder = slate.DbBuilder(self.path(name), self.store())
        builder.with_settings(settings)
        self.db = await builder.build()

    async def close(self) -> None:
        if self.db is not None:
            await self.db.shutdown()
            self.db = None

    def fresh(self, count: int) -> list[bytes]:
        return keys(count, next(self.numbers) * 10_000_000)

    # Into memory and out of it.

    async def put(self, count: int) -> Times:
        names, put, body = self.fresh(count), self.db.put, value(1)

        async def work() -> None:
            for name in names:
                await put(name, body)

        return await clocked(work, count)

    async def put_tasks(self, count: int) -> Times:
        put, body = self.db.put, value(2)
        parts = tasks_of(self.fresh(count))

        async def one(names: Any) -> None:
            for name in names:
                await put(name, body)

        return await clocked(lambda: asyncio.gather(*map(one, parts)), count)

    async def batch(self, count: int, size: int) -> Times:
        names, body, write = self.fresh(count), value(3), self.db.write

        async def work() -> None:
            for at in range(0, count, size):
                batch = slate.WriteBatch()
                for name in names[at : at + size]:
                    batch.put(name, body)
                await write(batch)

        return await clocked(work, count)

    async def fill(self, count: int) -> Times:
        """Have rows in memory, from 0 on."""
        batch = slate.WriteBatch()
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
        names, begin, body = self.fresh(count), self.db.begin, value(4)
        level = slate.IsolationLevel.SNAPSHOT

        async def work() -> None:
            for name in names:
                txn = await begin(level)
                await txn.get(name)
                await txn.put(name, body)
                await txn.commit()

        return await clocked(work, count)

    # Durable.

    async def durable(self, count: int) -> Times:
        names, put, body = self.fresh(count), self.db.put, value(5)

        async def work() -> None:
            for name in names:
                await (await put(name, body)).await_durable()

        return await clocked(work, count)

    async def durable_tasks(self, count: int) -> Times:
        put, body = self.db.put, value(6)
        parts = tasks_of(self.fresh(count))

        async def one(names: Any) -> None:
            for name in names:
                await (await put(name, body)).await_durable()

        return await clocked(lambda: asyncio.gather(*map(one, parts)), count)

    async def put_flush(self, count: int) -> Times:
        names, put, flush, body = self.fresh(count), self.db.put, self.db.flush, value(7)

        async def work() -> None:
            for name in names:
                await put(name, body)
                await flush()

        return await clocked(work, count)

    async def put_memtable(self) -> None:
        """Have one row in a file of level 0."""
        await self.db.put(self.fresh(1)[0], value(8))
        await self.db.flush_with_options(MEMTABLE)

    # Files.

    async def load(self, parts: int) -> Times:
        """Write all rows in batches of 1000, in so many flushes that overlap."""
        dealt = rows_in_parts(self.rows, parts)

        async def work() -> None:
            for part in dealt:
                for at in range(0, len(part), 1000):
                    batch = slate.WriteBatch()
                    for name, body in part[at : at + 1000]:
                        batch.put(name, body)
                    await self.db.write(batch)
                await self.db.flush_with_options(MEMTABLE)

        return await clocked(work, self.rows)

    async def compact(self) -> Times:
        """Merge level 0 into one run by its own compactor, which is asked to look every 50 ms."""
        admin = slate.AdminBuilder(self.path(self.name), self.store()).build()
        state = await admin.read_manifest(None)
        sources = [slate.SourceId.SST_VIEW(view.id) for view in state.l0]
        spec = slate.CompactionSpec.TIERED(segment=b"", sources=sources, destination=0)

        async def work() -> None:
            await admin.submit_compaction(spec)
            while (await admin.read_manifest(None)).l0:
                await asyncio.sleep(0.01)

        return await clocked(work, self.rows)

    async def scan(self) -> Times:
        """The way that gives most rows in the least time."""

        async def work() -> None:
            scan, seen = await self.db.scan_with_options(EVERYTHING, AHEAD), 0
            while batch := await scan.next_batch(1000):
                seen += len(batch)
            assert seen == self.rows, seen

        return await clocked(work, self.rows)

    async def scan_rows(self, count: int) -> Times:
        """One row after the other."""

        async def work() -> None:
            scan = await self.db.scan(EVERYTHING)
            for _ in range(count):
                await scan.next()

        return await clocked(work, count)

    async def seek(self, count: int) -> Times:
        """Go to a key and read 100 rows."""
        names = sampled(count, self.rows - 200, next(self.numbers))

        async def work() -> None:
            for name in names:
                span = slate.KeyRange(
                    start=name, start_inclusive=True, end=None, end_inclusive=False
                )
                batch = await (await self.db.scan(span)).next_batch(100)
                assert len(batch) == 100

        return await clocked(work, count)
