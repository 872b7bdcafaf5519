"""What only the asynchronous face promises: when it suspends, who shares a put, cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest

import cenote
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm import AsyncDb, DbSettings, WriteBatch
from cenote.objstore import AroundStore, Call, MemoryStore, ObjectStore

T = TypeVar("T")

QUIET = DbSettings(flush_interval_ms=3_600_000)


class Gate(AroundStore):
    """A store whose conditional puts wait while the gate is shut, in whatever thread."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.opened = threading.Event()
        self.opened.set()
        self.arrived = threading.Event()
        self.puts: list[str] = []
        self.error: BaseException | None = None

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if call.op == "put_if_absent":
            self.arrived.set()
            assert self.opened.wait(30)
            error, self.error = self.error, None
            if error is not None:
                raise error
            self.puts.append(call.path)
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()

    async def wait_for_arrival(self) -> None:
        while not self.arrived.is_set():
            await asyncio.sleep(0.001)


def at_once(call: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns, which must not suspend."""
    try:
        call.send(None)
    except StopIteration as end:
        return end.value
    finally:
        call.close()
    raise AssertionError("it suspended")


def test_what_needs_no_wait_does_not_suspend() -> None:
    async def main() -> None:
        async with await AsyncDb.open("memory://") as db:
            await db.put(b"file", b"v")
            await db.flush_memtable()
            assert at_once(db.put(b"k", b"v", durable=False)).seq == 2
            assert at_once(db.write(WriteBatch().put(b"k2", b"v"), durable=False)).seq == 3
            assert at_once(db.delete(b"k2", durable=False)).seq == 4
            assert at_once(db.get(b"k")) == b"v"
            assert at_once(db.get(b"none")) is None
            assert at_once(db.get(b"file")) == b"v"  # fetched, from a store that answers at once
            assert at_once(db.get_many([b"k", b"file"])) == [b"v", b"v"]
            assert at_once(db.scan().next_batch()) == [(b"file", b"v"), (b"k", b"v")]
            assert at_once(db.snapshot().get(b"k")) == b"v"
            txn = db.transaction()
            txn.put(b"t", b"v")
            assert at_once(txn.get(b"t")) == b"v"
            assert at_once(txn.commit(durable=False)).seq == 5
            await db.flush()
            assert at_once(db.flush()) is None  # nothing waits any more

    asyncio.run(main())


@pytest.mark.parametrize("inline", [True, False])
def test_those_of_one_turn_share_a_put(inline: bool) -> None:
    async def main() -> None:
        memory = MemoryStore()
        gate = Gate(memory)
        async with await AsyncDb.open(memory if inline else gate, settings=QUIET) as db:
            gate.puts.clear()
            before = db.metrics().value("wal_puts")
            written = await asyncio.gather(*[db.put(b"%d" % each, b"") for each in range(50)])
            assert all(each.is_durable for each in written)
            assert db.metrics().value("wal_puts") - before == 1
            assert len(gate.puts) == (0 if inline else 1)

    asyncio.run(main())


def test_those_who_come_during_a_put_share_the_next() -> None:
    async def main() -> None:
        gate = Gate(MemoryStore())
        async with await AsyncDb.open(gate, settings=QUIET) as db:
            gate.puts.clear()
            gate.arrived.clear()
            gate.opened.clear()
            first = asyncio.create_task(db.put(b"first", b""))
            await gate.wait_for_arrival()
            others = [asyncio.create_task(db.put(b"%d" % each, b"")) for each in range(20)]
            await asyncio.sleep(0)
            assert at_once(db.get(b"7")) == b""  # seen, and the loop is free
            gate.opened.set()
            await asyncio.gather(first, *others)
            assert len(gate.puts) == 2

    asyncio.run(main())


def test_cancelling_a_put_stops_the_wait_and_nothing_else() -> None:
    async def main() -> None:
        memory = MemoryStore()
        gate = Gate(memory)
        async with await AsyncDb.open(gate, settings=QUIET) as db:
            gate.arrived.clear()
            gate.opened.clear()
            cancelled = asyncio.create_task(db.put(b"cancelled", b"v"))
            kept = asyncio.create_task(db.put(b"kept", b"v"))
            await gate.wait_for_arrival()
            late = asyncio.create_task(db.put(b"late", b"v"))
            await asyncio.sleep(0)
            cancelled.cancel()
            late.cancel()
            for each in (cancelled, late):
                with pytest.raises(asyncio.CancelledError):
                    await each
            assert not kept.done()
            gate.opened.set()
            assert (await kept).is_durable
            assert await db.get(b"cancelled") == b"v"
            assert await db.get(b"late") == b"v"
            assert (await db.put(b"after", b"v")).seq == 4
        async with await AsyncDb.open(memory) as db:
            entries = [entry async for entry in db.scan().entries()]
            assert [(each.key, each.seq) for each in entries] == [
                (b"after", 4),
                (b"cancelled", 1),
                (b"kept", 2),
                (b"late", 3),
            ]

    asyncio.run(main())


def test_a_timeout_of_asyncio_works() -> None:
    async def main() -> None:
        gate = Gate(MemoryStore())
        async with await AsyncDb.open(gate, settings=QUIET) as db:
            gate.opened.clear()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await db.put(b"k", b"v")
            written = await db.put(b"k", b"v", durable=False)
            with pytest.raises(UnavailableError) as caught:
                await written.wait(0.01)
            assert caught.value.kind == "timeout"
            gate.opened.set()
            await written.wait(30)
            assert written.is_durable
            assert await db.get(b"k") == b"v"

    asyncio.run(main())


def test_an_error_of_the_put_goes_to_all_who_wait_for_it() -> None:
    async def main() -> None:
        memory = MemoryStore()
        gate = Gate(memory)
        async with await AsyncDb.open(gate, settings=QUIET) as db:
            gate.error = UnavailableError("no", effect_unknown=False)
            found = await asyncio.gather(
                *[db.put(b"%d" % each, b"") for each in range(5)], return_exceptions=True
            )
            assert [type(each) for each in found] == [UnavailableError] * 5
            assert all(each.effect_unknown for each in found)  # type: ignore[union-attr]
            await db.flush()
        async with await AsyncDb.open(memory) as db:
            assert len([key async for key in db.scan()]) == 5

    asyncio.run(main())


def test_a_fence_goes_to_all_who_wait() -> None:
    async def main() -> None:
        memory = MemoryStore()
        db = await AsyncDb.open(Gate(memory), settings=QUIET)
        async with await AsyncDb.open(memory):
            found = await asyncio.gather(
                *[db.put(b"%d" % each, b"") for each in range(5)], return_exceptions=True
            )
            assert [getattr(each, "reason", None) for each in found] == ["fenced"] * 5
            with pytest.raises(ClosedError):
                await db.close()

    asyncio.run(main())


def test_several_event_loops_use_one_database() -> None:
    async def fill(db: AsyncDb, name: bytes) -> None:
        await asyncio.gather(*[db.put(name + b"%d" % each, name) for each in range(50)])
        assert len([key async for key, _ in db.scan(prefix=name)]) == 50

    for store in (MemoryStore(), Gate(MemoryStore())):
        db = asyncio.run(_open(store))
        failures: list[BaseException] = []

        def loop(name: bytes, db: AsyncDb = db, failed: list[BaseException] = failures) -> None:
            try:
                asyncio.run(fill(db, name))
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)

        threads = [threading.Thread(target=loop, args=(b"%d/" % each,)) for each in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert db.status().last_seq == db.status().durable_seq == 200
        asyncio.run(db.close())


async def _open(store: ObjectStore) -> AsyncDb:
    return await AsyncDb.open(store, settings=QUIET)


def test_an_open_that_is_cancelled_is_closed() -> None:
    async def main() -> None:
        memory = MemoryStore()
        gate = Gate(memory)
        gate.opened.clear()
        opening = asyncio.create_task(AsyncDb.open(gate, background=False))
        await gate.wait_for_arrival()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        gate.opened.set()
        while len(gate.puts) < 2:  # the epoch, and the fence
            await asyncio.sleep(0.001)
        async with await AsyncDb.open(memory) as db:
            await db.put(b"k", b"v")
            await asyncio.sleep(0.01)
            await db.put(b"k", b"v")

    asyncio.run(main())


def test_cancelled_batches_of_a_scan_are_not_lost() -> None:
    async def main() -> None:
        memory = MemoryStore()
        settings = {"block_size": 1024, "block_cache_size": 0}
        async with await AsyncDb.open(memory, settings=settings) as db:
            batch = WriteBatch()
            for number in range(500):
                batch.put(b"%04d" % number, b"x" * 50)
            await db.write(batch)
            await db.flush_memtable()
        async with await AsyncDb.open(_Yielding(memory), settings=settings) as db:
            scan = db.scan()
            found: list[bytes] = []
            for turn in range(10_000):
                task = asyncio.create_task(scan.next_batch(30))
                for _ in range(turn % 9):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    pairs = await task
                except asyncio.CancelledError:
                    pairs = await scan.next_batch(30) if turn % 3 == 0 else []
                    if turn % 3:
                        continue
                if not pairs:
                    break
                found += [key for key, _ in pairs]
            assert found == [b"%04d" % number for number in range(500)]

    asyncio.run(main())


class _Yielding(AroundStore):
    """A store whose fetches give way some times."""

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        for _ in range(3):
            await asyncio.sleep(0)
        return await run()


def test_back_pressure_suspends_and_is_relieved() -> None:
    async def main() -> None:
        settings = {"l0_sst_size": 1000, "unflushed_size_max": 2000}
        async with await AsyncDb.open(Gate(MemoryStore()), settings=settings) as db:
            await asyncio.gather(
                *[db.put(b"%03d" % each, b"x" * 500, durable=False) for each in range(100)]
            )
            assert db.status().last_seq == 100
            assert db.metrics().value("stalls") > 0
            assert len([key async for key in db.scan()]) == 100

    asyncio.run(main())


def test_tasks_and_threads_count_together() -> None:
    async def main() -> None:
        async with await AsyncDb.open("memory://") as db:

            async def add(count: int) -> None:
                done = 0
                while done < count:
                    try:
                        async with db.transaction() as txn:
                            value = int(await txn.get(b"n", b"0"))
                            await asyncio.sleep(0)
                            txn.put(b"n", b"%d" % (value + 1))
                        done += 1
                    except cenote.TransactionConflictError:
                        pass

            await asyncio.gather(
                *[add(10) for _ in range(8)],
                *[asyncio.to_thread(asyncio.run, add(10)) for _ in range(2)],
            )
            assert await db.get(b"n") == b"100"

    asyncio.run(main())
