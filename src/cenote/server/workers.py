"""Worker threads for what would hold up the loop: hashing, disks, long changes.

Owns: the pool, and `Strand`, which runs one exchange's jobs in order and one at a time.

Invariants:
1. A thread is held while there is work, never while a client is waited for: ten thousand slow
   clients need no more threads than one.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Strand", "Workers"]

T = TypeVar("T")


class Workers:
    """A bounded pool of threads that reports back to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int) -> None:
        self.loop = loop
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="cenote-worker")

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` on a thread. It must not raise."""
        self._pool.submit(job)

    def tell(self, callback: Callable[..., object], *args: object) -> None:
        """Call back on the loop, from a thread. Dropped when the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise

    def run(
        self, job: Callable[[], T], done: Callable[[T | None, BaseException | None], object]
    ) -> None:
        """Run `job` on a thread; `done(result, None)` or `done(None, error)` on the loop."""

        def work() -> None:
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - the supervisor: reported, never lost
                self.tell(done, None, error)
            else:
                self.tell(done, result, None)

        self._pool.submit(work)

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Strand:
    """Jobs in order, one at a time, on whatever thread is free."""

    __slots__ = ("_jobs", "_lock", "_running", "_workers")

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = False

    def submit(self, job: Callable[[], None]) -> None:
        """Queue `job`. It must not raise."""
        with self._lock:
            self._jobs.append(job)
            if self._running:
                return
            self._running = True
        self._workers.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job = self._jobs.popleft()
            job()
