"""A few threads that wait for the disk on behalf of others.

Owns: starting them when there is work and none is free, and stopping them.

Invariants:
1. At most `count` threads; none before the first piece of work.
2. Work is run in order of arrival and must not raise: whoever hands it over keeps its own errors.

Why not `concurrent.futures`: a Future costs 10 us a piece, as much as the rest of a commit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Syncers"]

_Work = tuple[Callable[..., None], tuple[Any, ...]]


class Syncers:
    """The threads. Thread-safe."""

    def __init__(self, count: int = 4, name: str = "cenote-sync") -> None:
        self._count = count
        self._name = name
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._waiting = 0
        self._closed = False

    def run(self, work: Callable[..., None], *arguments: Any) -> None:
        """Run `work(*arguments)` on one of the threads."""
        with self._lock:
            if self._waiting > 0:
                self._waiting -= 1
            elif len(self._threads) < self._count and not self._closed:
                self._start()
        self._queue.put((work, arguments))

    def offer(self, work: Callable[..., None], *arguments: Any) -> bool:
        """Run `work(*arguments)` if a thread is free for it now; tell whether it will be run.

        Requires: the threads are given no work by `run`.
        """
        with self._lock:
            if self._waiting > 0:
                self._waiting -= 1
            elif len(self._threads) < self._count and not self._closed:
                self._start()
            else:
                return False
            self._queue.put((work, arguments))  # before what `close` puts there
        return True

    def _start(self) -> None:
        number = len(self._threads)
        thread = threading.Thread(target=self._loop, name=f"{self._name}-{number}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Let the threads finish what is queued, and end. Harmless when repeated."""
        with self._lock:
            self._closed = True
            self._waiting = 0
            threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def _loop(self) -> None:
        while True:
            item = self._queue.get()
            if item is None:
                return
            work, arguments = item
            work(*arguments)
            del item, work, arguments
            with self._lock:
                self._waiting += 1
