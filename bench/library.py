"""`cenote.Store` in process: puts and gets of 1 KiB a second, from one thread and from many.

    python -m bench library [--rounds 5] [--seconds 2]

Every put is durable when it returns; threads that put at the same time share the sync.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from itertools import count

import cenote
from bench.rounds import median, options, play, scratch, table

BUCKET = "bench"
SIZE = 1024
THREADS = (1, 16, 64)


def hammer(work: Callable[[int], object], threads: int, seconds: float) -> float:
    """Call `work` with ever new numbers from some threads; calls a second."""
    numbers = count()
    done = [0] * threads
    began = time.perf_counter()
    end = began + seconds

    def loop(at: int) -> None:
        while time.perf_counter() < end:
            work(next(numbers))
            done[at] += 1

    crew = [threading.Thread(target=loop, args=(at,)) for at in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    return sum(done) / (time.perf_counter() - began)


def main() -> int:
    args = options(__doc__).parse_args()
    body = os.urandom(SIZE)
    with scratch(args.folder) as folder, cenote.Store(folder / "store") as store:
        store.create_bucket(BUCKET)
        for number in range(1000):
            store.put_object(BUCKET, f"k{number:05}", body)
        rounds = count()

        def puts(threads: int) -> Callable[[], float]:
            def run() -> float:
                prefix = next(rounds)
                return hammer(
                    lambda number: store.put_object(BUCKET, f"{prefix}/{number}", body),
                    threads,
                    args.seconds,
                )

            return run

        def gets(threads: int) -> Callable[[], float]:
            return lambda: hammer(
                lambda number: store.read_object(BUCKET, f"k{number % 1000:05}"),
                threads,
                args.seconds,
            )

        contenders = {f"put, {threads} threads": puts(threads) for threads in THREADS}
        contenders |= {f"get, {threads} threads": gets(threads) for threads in (1, 4)}
        results = play(contenders, args.rounds)
    table(
        ["cenote.Store, 1 KiB", "calls/s", "best"],
        [[name, f"{median(seen):,.0f}", f"{max(seen):,.0f}"] for name, seen in results.items()],
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
