"""Locks and threads that give the turn away, in place of those that would stop the whole world.

Owns: what stands for `threading.Lock`, `RLock`, `Condition`, `Event` and `Thread` inside a world,
and for the queue of an executor's work.

A task that waits for a real lock would wait with the turn in its hand, and whoever holds the lock
could never go on. `simulated_threading` puts these in the place of `threading`'s while a world
runs: a task that makes a lock or a thread gets one of these, anybody else a real one. A thread that
a task makes is a task of the same machine.

Invariants:
1. A free lock is taken without giving the turn away: locks add no interleavings of their own, only
   store requests and sleeping do.
2. Of several that wait, chance picks who is next.
3. In a dying task waiting for a lock raises Crash; giving one back always succeeds.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from cenote.testing.sim.world import Crash, Task, World, current_task

__all__ = ["SimCondition", "SimEvent", "SimLock", "SimQueue", "SimThread", "simulated_threading"]


class SimLock:
    """Stands for `Lock`, and with `reentrant` for `RLock`."""

    def __init__(self, world: World, *, reentrant: bool = False) -> None:
        self._world = world
        self._reentrant = reentrant
        self._holder: Task | str | None = None
        self._depth = 0
        self._waiting: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        task = current_task()
        if task is not None and task.is_doomed:
            if not blocking:
                return False  # a finalizer, which must not raise
            raise Crash(task.machine.name)
        me = task or "outside"
        if self._holder is me and self._reentrant:
            self._depth += 1
            return True
        deadline = None if timeout < 0 else self._world.now + timeout
        while self._holder is not None:
            if not blocking or (deadline is not None and self._world.now >= deadline):
                return False
            if task is None:
                break  # the world is over, and so is whoever held it
            self._waiting.append(task)
            try:
                left = None if deadline is None else deadline - self._world.now
                self._world.block("a lock", left)
            finally:
                self._waiting.remove(task)
        self._holder, self._depth = me, 1
        return True

    def release(self) -> None:
        task = current_task()
        if self._holder is not (task or "outside"):
            if task is not None and task.is_doomed:
                return
            if self._reentrant or self._holder is None:
                raise RuntimeError("release of a lock that is not held")
        self._depth -= 1
        if self._depth <= 0:
            self._holder = None
            if self._waiting:
                self._world.wake(self._world.dice.choice(self._waiting))

    def locked(self) -> bool:
        return self._holder is not None

    def _is_owned(self) -> bool:
        return self._holder is (current_task() or "outside")

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class SimCondition:
    """Stands for `Condition`."""

    def __init__(self, world: World, lock: Any = None) -> None:
        self._world = world
        self._lock = SimLock(world, reentrant=True) if lock is None else lock
        self._waiting: list[Task] = []
        self._notified: set[int] = set()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return bool(self._lock.acquire())

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        task = current_task()
        if task is None:
            raise RuntimeError("somebody outside of the world waits in it")
        depth = self._lock._depth
        self._lock._depth = 1
        self._lock.release()
        self._waiting.append(task)
        notified = False
        deadline = None if timeout is None else self._world.now + timeout
        try:
            while not (notified := id(task) in self._notified):
                left = None if deadline is None else deadline - self._world.now
                if left is not None and left <= 0:
                    break
                self._world.block("a condition", left)
        finally:
            self._waiting.remove(task)
            self._notified.discard(id(task))
        self._lock.acquire()
        self._lock._depth = depth
        return notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        deadline = None if timeout is None else self._world.now + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - self._world.now
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        for task in [t for t in self._waiting if id(t) not in self._notified][:n]:
            self._notified.add(id(task))
            self._world.wake(task)

    def notify_all(self) -> None:
        self.notify(len(self._waiting))


class SimEvent:
    """Stands for `Event`."""

    def __init__(self, world: World) -> None:
        self._changed = SimCondition(world, SimLock(world))
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._is_set, timeout))


class SimQueue:
    """Stands for `queue.SimpleQueue`, through which an executor hands out its work."""

    def __init__(self, world: World) -> None:
        self._changed = SimCondition(world)
        self._items: deque[Any] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        self._items.append(item)
        self._changed.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not block:
            timeout = 0
        with self._changed:
            if not self._changed.wait_for(lambda: self._items, timeout):
                raise queue.Empty
            return self._items.popleft()

    def get_nowait(self) -> Any:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class SimThread:
    """Stands for `Thread`: a task of the machine it was made on."""

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str = "thread",
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        self.name = name
        self.daemon = daemon
        self._main = partial(target or (lambda: None), *args, **(kwargs or {}))
        self._task: Task | None = None

    def start(self) -> None:
        maker = current_task()
        if maker is None:
            raise RuntimeError("the world has stopped")
        self._task = maker.machine.spawn(self.name, self._main)
        self._task.thread = self

    def join(self, timeout: float | None = None) -> None:
        caller = current_task()
        if self._task is not None and caller is not None:
            caller.machine.world.join([self._task], timeout)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.is_done


@contextmanager
def simulated_threading() -> Iterator[None]:
    """Let tasks get simulated locks and threads from `threading` for the length of a block.

    Not for two worlds at once in one process.
    """
    names = ("Lock", "RLock", "Condition", "Event", "Thread", "current_thread")
    real = {name: getattr(threading, name) for name in names}
    real["SimpleQueue"] = queue.SimpleQueue
    executors = logging.getLogger("concurrent.futures")

    def chosen(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def maker(*args: Any, **kwargs: Any) -> Any:
            task = current_task()
            if task is None:
                return real[name](*args, **kwargs)
            return make(task.machine.world, *args, **kwargs)

        return maker

    makers: dict[str, Callable[..., Any]] = {
        "Lock": SimLock,
        "RLock": lambda world: SimLock(world, reentrant=True),
        "Condition": SimCondition,
        "Event": SimEvent,
        "Thread": lambda _, *args, **kwargs: SimThread(*args, **kwargs),
    }

    def current_thread() -> Any:
        task = current_task()
        return real["current_thread"]() if task is None or task.thread is None else task.thread

    try:
        for name, make in makers.items():
            setattr(threading, name, chosen(name, make))
        threading.current_thread = current_thread
        queue.SimpleQueue = chosen("SimpleQueue", SimQueue)  # type: ignore[misc, assignment]
        executors.disabled = True  # a worker that dies is no news here
        yield
    finally:
        queue.SimpleQueue = real["SimpleQueue"]  # type: ignore[misc]
        executors.disabled = False
        for name in names:
            setattr(threading, name, real[name])
