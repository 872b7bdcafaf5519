"""Threads on one open database, switched as often as the interpreter can: nobody sees half a write.

The simulation interleaves at requests of the store; here threads are stopped anywhere.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cenote.errors import TransactionConflictError
from cenote.lsm import CompactorSettings, Db, DbReader, DbSettings, GcSettings, WriteBatch
from cenote.objstore import MemoryStore

ACCOUNTS = 6
SUM = 600
TRIPLES = 3
SETTINGS = DbSettings(
    l0_sst_size=6_000,
    unflushed_size_max=24_000,
    wal_files_max=30,
    block_size=1024,
    block_cache_size=20_000,
    filter_rows_min=0,
    compactor=CompactorSettings(sources_min=2, sst_size=4_000),
    gc=GcSettings(interval_ms=200, age_min_ms=50),
)


class Add:
    name = "add"

    def merge(self, key: bytes, existing: bytes | None, operands: list[bytes]) -> bytes:
        return b"%d" % (int(existing or b"0") + sum(map(int, operands)))


@contextmanager
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class Field:
    """The threads, until the time is over or one of them fails."""

    def __init__(self, db: Db, store: MemoryStore, seconds: float) -> None:
        self.db = db
        self.store = store
        self.deadline = time.monotonic() + seconds
        self.errors: list[BaseException] = []
        self.done = 0
        self.added = [0] * TRIPLES

    @property
    def goes_on(self) -> bool:
        return not self.errors and time.monotonic() < self.deadline

    def run(self, *mains: Callable[[random.Random], None]) -> None:
        threads = [
            threading.Thread(target=self._guarded, args=(main, random.Random(number)))
            for number, main in enumerate(mains)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _guarded(self, main: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            while self.goes_on:
                main(rng)
                self.done += 1
        except BaseException as error:  # noqa: BLE001 - told by `run`
            self.errors.append(error)

    # Writers.

    def transfer(self, rng: random.Random) -> None:
        source, target = (b"bank/%d" % n for n in rng.sample(range(ACCOUNTS), 2))
        try:
            with self.db.transaction(rng.choice(["snapshot", "serializable"])) as txn:
                held = [int(txn.get(name) or b"0") for name in (source, target)]
                txn.put(source, b"%d" % (held[0] - 1))
                txn.put(target, b"%d" % (held[1] + 1))
        except TransactionConflictError:
            pass

    def write_triple(self, rng: random.Random) -> None:
        """One key of three writers' own, always written with its two twins."""
        number = rng.randrange(TRIPLES)
        value = b"%d" % rng.randrange(1 << 30)
        batch = WriteBatch()
        for twin in range(3):
            batch.put(b"twin/%d/%d" % (number, twin), value)
        batch.merge(b"sum/a", b"1").merge(b"sum/b", b"1")
        self.db.write(batch, durable=rng.random() < 0.3)

    def count_up(self, number: int) -> Callable[[random.Random], None]:
        key = b"own/%d" % number

        def main(rng: random.Random) -> None:
            self.added[number] += 1
            value = b"%d" % self.added[number]
            self.db.put(key, value, durable=rng.random() < 0.3)
            assert self.db.get(key) == value
            self.db.put(b"fill/%d" % rng.randrange(200), bytes(rng.randrange(100)), durable=False)
            if rng.random() < 0.2:
                self.db.delete(b"fill/%d" % rng.randrange(200), durable=False)

        return main

    # Readers.

    def look(self, rng: random.Random) -> None:
        if rng.random() < 0.5:
            self.check(dict(self.db.scan(reverse=rng.random() < 0.5)))
            return
        with self.db.snapshot() as snapshot:
            state = dict(snapshot.scan())
            self.check(state)
            for key in rng.sample(sorted(state), 5):
                assert snapshot.get(key) == state[key], key
            assert dict(snapshot.scan(prefix=b"sum")) == {
                key: value for key, value in state.items() if key.startswith(b"sum")
            }

    def follow(self) -> Callable[[random.Random], None]:
        reader = DbReader.open(self.store, path="db", merge_operator=Add(), background=False)
        last = 0

        def main(rng: random.Random) -> None:
            nonlocal last
            reader.refresh()
            state = dict(reader.scan())
            self.check(state)
            assert int(state.get(b"sum/a", b"0")) >= last
            last = int(state.get(b"sum/a", b"0"))
            time.sleep(0.01)

        return main

    def keep_house(self, rng: random.Random) -> None:
        rng.choice([self.db.flush, self.db.flush_memtable, self.db.compact])()
        time.sleep(rng.random() * 0.05)

    def check(self, state: dict[bytes, bytes]) -> None:
        held = sum(int(value) for key, value in state.items() if key.startswith(b"bank/"))
        assert held == SUM, state
        for number in range(TRIPLES):
            assert len({state.get(b"twin/%d/%d" % (number, twin)) for twin in range(3)}) == 1
        assert state.get(b"sum/a") == state.get(b"sum/b")


def race(seconds: float) -> None:
    store = MemoryStore()
    with switching_often():
        db = Db.open(store, path="db", settings=SETTINGS, merge_operator=Add())
        batch = WriteBatch()
        for number in range(ACCOUNTS):
            batch.put(b"bank/%d" % number, b"%d" % (SUM // ACCOUNTS))
        db.write(batch)
        field = Field(db, store, seconds)
        field.run(
            field.transfer,
            field.transfer,
            field.write_triple,
            field.write_triple,
            field.count_up(0),
            field.count_up(1),
            field.look,
            field.look,
            field.follow(),
            field.keep_house,
        )
        state = dict(db.scan())
        field.check(state)
        db.close()
        with Db.open(store, path="db", settings=SETTINGS, merge_operator=Add()) as again:
            assert dict(again.scan()) == state
    assert field.done > 20


def test_threads() -> None:
    race(2.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_threads_for_long() -> None:
    race(60.0)
