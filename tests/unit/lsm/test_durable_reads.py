"""Reads of what is durable, while other threads write and commit the same keys."""

from __future__ import annotations

import threading

from cenote import Db


def test_what_is_durable_is_never_missed() -> None:
    """A version that is durable when a read begins may be the one that the next write lets go."""
    with Db.open("memory://") as db:
        db.put(b"key", b"0")
        stop = threading.Event()
        seen: list[int] = []

        def read() -> None:
            while not stop.is_set():
                value = db.get(b"key", durable_only=True)
                seen.append(-1 if value is None else int(value))

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(1, 3000):
            db.put(b"key", b"%d" % number, durable=number % 3 == 0)
        stop.set()
        for thread in threads:
            thread.join()
        assert seen
        assert min(seen) >= 0
        assert db.status().pins == 0
