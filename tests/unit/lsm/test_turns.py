"""Of many threads that wait for the log, one puts for all, and none is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from writing import contents, opened, put

from cenote.base import SystemClock
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm.wal import turns as turns_module
from cenote.lsm.wal.turns import Turns
from cenote.objstore import AroundStore, Call, MemoryStore


class Held(AroundStore):
    """A store whose log files wait at a gate."""

    def __init__(self, inner: MemoryStore) -> None:
        super().__init__(inner)
        self.gate = threading.Semaphore(0)
        self.arrived = threading.Semaphore(0)
        self.puts = 0
        self.error: UnavailableError | None = None

    def _around(self, call: Call, run: Callable[[], Any]) -> Any:
        if call.op == "put_if_absent" and "/wal/" in call.path and call.sends:
            self.puts += 1
            self.arrived.release()
            self.gate.acquire()
            if self.error is not None:
                raise self.error
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
        return await run()


def started(count: int, work: Callable[[int], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if holds():
            return
        pause.wait(0.01)
    pytest.fail("it never came to that")


def test_all_that_came_during_a_put_go_with_the_next() -> None:
    store = Held(MemoryStore())
    writer = opened(store)
    first = started(1, lambda n: put(writer, b"first", b"") and None)
    assert store.arrived.acquire(timeout=30)
    others = started(20, lambda n: put(writer, b"%02d" % n, b"") and None)
    until(lambda: writer.last_seq == 21)
    store.gate.release()
    assert store.arrived.acquire(timeout=30)
    until(lambda: writer.durable_seq == 1)
    store.gate.release(30)
    for thread in first + others:
        thread.join(30)
        assert not thread.is_alive()
    assert store.puts == 2
    store.gate.release(30)
    assert len(contents(store.inner)) == 21


def test_a_failed_put_is_told_to_all_it_was_for_and_to_nobody_else() -> None:
    store = Held(MemoryStore())
    writer = opened(store)
    failed: list[int] = []

    def work(n: int) -> None:
        try:
            put(writer, b"%02d" % n, b"")
        except UnavailableError:
            failed.append(n)

    first = started(1, work)
    assert store.arrived.acquire(timeout=30)
    others = started(10, lambda n: work(n + 1))
    until(lambda: writer.last_seq == 11)
    store.error = UnavailableError("lost", effect_unknown=True)
    store.gate.release()
    first[0].join(30)
    assert failed == [0]
    store.error = None
    store.gate.release(30)
    for thread in others:
        thread.join(30)
    assert failed == [0]
    assert writer.durable_seq == 11
    assert len(contents(store.inner)) == 11


def test_all_who_wait_learn_of_a_fence() -> None:
    store = Held(MemoryStore())
    writer = opened(store)
    fenced: list[int] = []

    def work(n: int) -> None:
        try:
            put(writer, b"%02d" % n, b"")
        except ClosedError:
            fenced.append(n)

    threads = started(1, work)
    assert store.arrived.acquire(timeout=30)
    threads += started(10, work)
    until(lambda: writer.last_seq == 11)
    opened(store.inner, seed=2)
    store.gate.release(30)
    for thread in threads:
        thread.join(30)
    assert len(fenced) == 11


def test_threads_that_come_back_together_share_slow_puts() -> None:
    class Slow(AroundStore):
        puts = 0

        def _around(self, call: Call, run: Callable[[], Any]) -> Any:
            if call.op == "put_if_absent" and "/wal/" in call.path:
                self.puts += 1
                SystemClock().sleep(0.005)
            return run()

        async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
            return await run()

    store = Slow(MemoryStore())
    writer = opened(store, clock=SystemClock())

    def work(n: int) -> None:
        for each in range(20):
            put(writer, b"%d:%d" % (n, each), b"")

    for thread in started(16, work):
        thread.join(60)
    assert len(contents(store.inner)) == 320
    assert store.puts < 160


def test_who_is_interrupted_while_he_waits_is_not_given_the_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gate:
        """A lock at which a signal arrives."""

        def acquire(self) -> None:
            raise KeyboardInterrupt

    class Waiting(turns_module._Waiting):
        __slots__ = ()

        def __init__(self, seq: int) -> None:
            super().__init__(seq)
            self.gate = Gate()  # type: ignore[assignment]

    turns = Turns()
    assert turns.take(1)
    monkeypatch.setattr(turns_module, "_Waiting", Waiting)
    with pytest.raises(KeyboardInterrupt):
        turns.take(2)
    turns.end(1, 0.0)
    assert turns.take(3)


def test_without_a_log_one_flush_is_for_all_that_came_before_it() -> None:
    class Flushes(AroundStore):
        def __init__(self, inner: MemoryStore) -> None:
            super().__init__(inner)
            self.gate = threading.Semaphore(0)
            self.arrived = threading.Semaphore(0)
            self.puts = 0

        def _around(self, call: Call, run: Callable[[], Any]) -> Any:
            if call.op == "put" and "/compacted/" in call.path:
                self.puts += 1
                self.arrived.release()
                self.gate.acquire()
            return run()

        async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
            return await run()

    store = Flushes(MemoryStore())
    writer = opened(store, wal_enabled=False)
    first = started(1, lambda n: put(writer, b"first", b"") and None)
    assert store.arrived.acquire(timeout=30)
    others = started(10, lambda n: put(writer, b"%02d" % n, b"") and None)
    until(lambda: writer.last_seq == 11)
    store.gate.release(30)
    for thread in first + others:
        thread.join(30)
        assert not thread.is_alive()
    assert store.puts == 2
    assert writer.durable_seq == 11
