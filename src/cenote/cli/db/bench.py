"""`cenote db bench`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import click
from msgspec import Struct

from cenote.base import SystemClock, SystemRand
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import as_uri, json_option
from cenote.lsm import Db, WriteBatch
from cenote.objstore import RecordingStore, open_store

__all__ = ["command"]

BATCH = 1000


class Measured(Struct, frozen=True):
    """What one workload took. Times in microseconds; `requests` are those to the store."""

    name: str
    count: int
    per_second: float
    p50_us: float
    p99_us: float
    requests: int


@click.command("bench")
@click.argument("uri", default="memory://")
@click.option("--rows", default=20_000, show_default=True, type=click.IntRange(1, 10**9))
@click.option("--value-size", default=100, show_default=True, type=click.IntRange(0, 2**30))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 256))
@click.option("--durable", default=200, show_default=True, help="Durable puts, of each kind.")
@json_option
def command(
    uri: str, rows: int, value_size: int, threads: int, durable: int, as_json: bool
) -> None:
    """Measure writes and reads.

    Works in a new database in a folder of its own below URI, and removes it. A line tells how many
    operations, how many a second, the median and the 99th percentile, and the requests to
    the store it took.
    """
    with open_store(as_uri(uri)) as opened, Sheet(prompt=True) as sheet:
        store = RecordingStore(opened, keeps_list=False)
        root = f"cenote-bench-{SystemRand().bytes(8).hex()}"
        try:
            with Db.open(store, path=root) as db:
                bench = _Bench(db, store, rows, value_size, threads, durable)
                for name, run in bench.workloads():
                    _print(sheet, bench.measure(name, run), as_json)
        finally:
            opened.delete_many([meta.path for meta in opened.list(root)])


def _print(sheet: Sheet, found: Measured, as_json: bool) -> None:
    if as_json:
        sheet.json(found)
        return
    sheet.line(
        f"{found.name:<26} {found.count:>9}  {found.per_second:>11,.0f}/s"
        f"  p50 {found.p50_us:>9,.1f} us  p99 {found.p99_us:>9,.1f} us  {found.requests:>6} req"
    )


class _Bench:
    """Workloads on one database. Each returns how long every operation took, in seconds."""

    def __init__(
        self,
        db: Db,
        store: RecordingStore,
        rows: int,
        value_size: int,
        threads: int,
        durable: int,
    ) -> None:
        self._db = db
        self._store = store
        self._rows = rows
        self._value = SystemRand().bytes(value_size)
        self._threads = threads
        self._durable = durable
        self._clock = SystemClock()

    def workloads(self) -> list[tuple[str, Callable[[], tuple[int, list[float]]]]]:
        """Return the names of the workloads and what runs them, in order."""
        return [
            ("durable puts", self._durable_puts),
            (f"durable puts, {self._threads} threads", self._durable_puts_together),
            ("puts", self._puts),
            (f"batches of {BATCH}", self._batches),
            ("gets", self._gets),
            ("gets of what is absent", self._misses),
            ("flush", self._flush),
            ("gets from tables", self._gets),
            ("scan", self._scan),
        ]

    def measure(self, name: str, run: Callable[[], tuple[int, list[float]]]) -> Measured:
        """Run a workload."""
        before = sum(self._store.counts.values())
        started = self._clock.monotonic()
        count, times = run()
        seconds = self._clock.monotonic() - started
        requests = sum(self._store.counts.values()) - before
        times.sort()
        return Measured(
            name,
            count,
            count / max(seconds, 1e-9),
            times[len(times) // 2] * 1e6,
            times[len(times) * 99 // 100] * 1e6,
            requests,
        )

    def _timed(self, numbers: range, call: Callable[[bytes], object]) -> list[float]:
        clock = self._clock.monotonic
        times = []
        for number in numbers:
            key = b"%012d" % (number * 7919 % self._rows)
            started = clock()
            call(key)
            times.append(clock() - started)
        return times

    def _durable_puts(self) -> tuple[int, list[float]]:
        times = self._timed(range(self._durable), lambda key: self._db.put(key, self._value))
        return self._durable, times

    def _durable_puts_together(self) -> tuple[int, list[float]]:
        def some(_: int) -> list[float]:
            return self._durable_puts()[1]

        with ThreadPoolExecutor(self._threads) as pool:
            times = [one for each in pool.map(some, range(self._threads)) for one in each]
        return len(times), times

    def _puts(self) -> tuple[int, list[float]]:
        def put(key: bytes) -> None:
            self._db.put(key, self._value, durable=False)

        times = self._timed(range(self._rows), put)
        self._db.flush()
        return self._rows, times

    def _batches(self) -> tuple[int, list[float]]:
        clock = self._clock.monotonic
        times = []
        for start in range(0, self._rows, BATCH):
            began = clock()
            batch = WriteBatch()
            for number in range(start, min(start + BATCH, self._rows)):
                batch.put(b"%012d" % number, self._value)
            self._db.write(batch)
            times.append(clock() - began)
        return self._rows, times

    def _gets(self) -> tuple[int, list[float]]:
        return self._rows, self._timed(range(self._rows), self._db.get)

    def _misses(self) -> tuple[int, list[float]]:
        return self._rows, self._timed(range(self._rows), lambda key: self._db.get(key + b"-"))

    def _flush(self) -> tuple[int, list[float]]:
        started = self._clock.monotonic()
        self._db.flush_memtable()
        return 1, [self._clock.monotonic() - started]

    def _scan(self) -> tuple[int, list[float]]:
        started = self._clock.monotonic()
        count = sum(len(batch) for batch in self._db.scan().batches(BATCH))
        return count, [self._clock.monotonic() - started]
