"""A database and its process: threads, interrupts, forks, finalizers."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

import cenote
from cenote.errors import ClosedError, TransactionConflictError, UnavailableError
from cenote.lsm import Db, WriteBatch
from cenote.objstore import (
    AroundStore,
    Call,
    MemoryStore,
    ObjectStore,
    RecordingStore,
)


def in_threads(*works: Callable[[], None]) -> None:
    """Run each in a thread; raise what any of them raised."""
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_threads_write_read_scan_and_flush_at_once() -> None:
    store = MemoryStore()
    settings = {"l0_sst_size": 20_000, "block_size": 1024}
    with Db.open(store, settings=settings) as db:
        done = threading.Event()
        running = threading.Barrier(6)
        counted = threading.Semaphore(0)

        def write(name: bytes) -> None:
            running.wait()
            try:
                for number in range(200):
                    value = b"%d" % number
                    db.write(
                        WriteBatch().put(name + b"/low", value).put(name + b"/high", value),
                        durable=number % 20 == 0,
                    )
                    db.put(name + b"/%03d" % number, b"x" * 100, durable=False)
                    assert db.get(name + b"/low") == value
            finally:
                counted.release()

        def look() -> None:
            running.wait()
            while not done.is_set():
                for reads in (db.snapshot(), db):
                    found = dict(reads.scan())
                    for name in (b"a", b"b", b"c"):
                        assert found.get(name + b"/low") == found.get(name + b"/high")
                        numbers = [k for k in found if k[:1] == name and k[2:].isdigit()]
                        assert numbers == [name + b"/%03d" % each for each in range(len(numbers))]

        def finish() -> None:
            for _ in range(3):
                counted.acquire()
            done.set()

        in_threads(
            *[lambda name=name: write(name) for name in (b"a", b"b", b"c")],  # type: ignore[misc]
            look,
            look,
            lambda: (running.wait(), db.flush_memtable(), db.compact())[0],  # type: ignore[arg-type,return-value]
            finish,
        )
        expected = dict(db.scan())
        assert len(expected) == 606
    with Db.open(store) as db:
        assert dict(db.scan()) == expected


def test_threads_count_by_transactions() -> None:
    with Db.open("memory://") as db:

        def add() -> None:
            done = 0
            while done < 50:
                try:
                    with db.transaction("serializable") as txn:
                        txn.put(b"n", b"%d" % (int(txn.get(b"n", b"0")) + 1))
                    done += 1
                except TransactionConflictError:
                    pass

        in_threads(add, add, add, add)
        assert db.get(b"n") == b"200"
        assert db.status().transaction_keys == 0


def test_threads_share_puts_of_the_log() -> None:
    store = RecordingStore(MemoryStore())
    with Db.open(store, settings={"flush_interval_ms": 3_600_000}) as db:
        before = len(store.requests)

        def write() -> None:
            for _ in range(50):
                db.put(b"k", b"v")

        in_threads(*[write] * 8)
        assert db.status().durable_seq == 400
        assert len(store.requests) - before <= 400


class Interrupting(AroundStore):
    """A store that is interrupted before or after the puts one asks for."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.before = self.after = False

    def _around(self, call: Call, run: Callable[[], Any]) -> Any:
        if call.op == "put_if_absent" and self.before:
            self.before = False
            raise KeyboardInterrupt
        result = run()
        if call.op == "put_if_absent" and self.after:
            self.after = False
            raise KeyboardInterrupt
        return result

    async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
        return await run()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_in_the_middle_of_a_put_loses_and_doubles_nothing(when: str) -> None:
    memory = MemoryStore()
    store = Interrupting(memory)
    with Db.open(store, background=False) as db:
        db.put(b"a", b"1")
        setattr(store, when, True)
        with pytest.raises(KeyboardInterrupt):
            db.put(b"b", b"2")
        assert db.get(b"b") == b"2"
        assert db.put(b"c", b"3").seq == 3
        assert db.status().durable_seq == 3
    with Db.open(memory) as db:
        assert [(row.key, row.seq) for row in db.scan().entries()] == [
            (b"a", 1),
            (b"b", 2),
            (b"c", 3),
        ]


def test_an_interrupt_on_the_event_loop_leaves_nobody_waiting() -> None:
    import asyncio

    memory = MemoryStore()
    loop = asyncio.new_event_loop()
    try:
        db = loop.run_until_complete(cenote.AsyncDb.open(memory, background=False))
        writer = db._writer
        commit = writer.commit

        def interrupted(seq: int) -> None:
            writer.commit = commit  # type: ignore[method-assign]
            raise KeyboardInterrupt

        writer.commit = interrupted  # type: ignore[method-assign]
        waiting = loop.create_task(db.put(b"k", b"v"))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(waiting)
        with pytest.raises(UnavailableError, match="interrupted") as caught:
            loop.run_until_complete(waiting)
        assert caught.value.effect_unknown
        loop.run_until_complete(db.put(b"k2", b"v"))
        loop.run_until_complete(db.close())
    finally:
        loop.close()
    with Db.open(memory) as again:
        assert list(again.scan()) == [(b"k", b"v"), (b"k2", b"v")]


def test_a_forked_child_is_told_that_the_database_is_its_parents() -> None:
    store = MemoryStore()
    with Db.open(store) as db:
        db.put(b"k", b"v", durable=False)
        lock = db._writer._lock
        with lock:  # as if a thread had it
            child = os.fork()
            if child == 0:
                os._exit(_in_child(db))
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert db.put(b"k2", b"v").is_durable
        assert len(list(db.scan())) == 2


def _in_child(db: Db) -> int:
    """Return how many calls did not raise ClosedError(reason="failed")."""
    wrong = 0
    for call in (
        lambda: db.put(b"k", b"child"),
        lambda: db.put(b"k", b"child", durable=False),
        lambda: db.get(b"k"),
        lambda: db.scan(),
        lambda: db.flush(),
        lambda: db.transaction(),
    ):
        try:
            call()
        except ClosedError as error:
            wrong += error.reason != "failed" or "fork" not in str(error)
        else:
            wrong += 1
    db.close()
    return wrong


def test_finalizers_run_anywhere_without_a_deadlock() -> None:
    """Cycles of scans, snapshots and transactions are collected in the middle of writes."""
    with Db.open("memory://", background=False) as db:
        before = gc.get_threshold()
        gc.set_threshold(5, 2, 2)
        try:
            for number in range(300):
                for made in (db.scan(), db.snapshot(), db.transaction()):
                    cycle: list[Any] = [made]
                    cycle.append(cycle)
                db.put(b"%d" % (number % 10), b"v", durable=number % 50 == 0)
        finally:
            gc.set_threshold(*before)
        del made, cycle
        gc.collect()
        assert db.status().pins == 0
        assert db.status().transaction_keys == 0


def test_a_wait_with_a_timeout() -> None:
    with Db.open("memory://", settings={"flush_interval_ms": 5}) as db:
        written = db.put(b"k", b"v", durable=False)
        written.wait(30)
        assert written.is_durable
    with Db.open("memory://", settings={"flush_interval_ms": 3_600_000}) as db:
        written = db.put(b"k", b"v", durable=False)
        with pytest.raises(UnavailableError) as caught:
            written.wait(0.01)
        assert caught.value.kind == "timeout"
        assert caught.value.effect_unknown
        written.wait()
        written.wait(0.01)
    with pytest.raises(ClosedError):
        db.put(b"k", b"v", durable=False)


def test_an_error_raised_many_times_does_not_grow() -> None:
    store = MemoryStore()
    closed = Db.open(store, background=False)
    closed.close()
    fenced = Db.open(store, background=False)
    with Db.open(store):
        for db in (closed, fenced):
            depths = set()
            for _ in range(20):
                for call in (
                    lambda db=db: db.put(b"k", b"v"),
                    lambda db=db: db.get(b"k"),
                    lambda db=db: db.flush(),
                ):
                    with pytest.raises(ClosedError) as caught:
                        call()
                    depths.add(len(caught.traceback))
                    del caught
            assert max(depths) < 12
        with pytest.raises(ClosedError):
            fenced.close()


def test_importing_the_package_imports_no_engine() -> None:
    import subprocess
    import sys

    program = "import cenote, sys; print([n for n in sys.modules if n.startswith('cenote.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
    for name in cenote.__all__:
        assert getattr(cenote, name) is not None
    with pytest.raises(AttributeError):
        cenote.nothing  # noqa: B018
