"""The real engine with a collector at work between any two requests, of no patience at all.

A writer, its compactor, readers, checkpoints and clones, over one store in which every request may
find that a collector was there just before. What is seen is compared with dictionaries.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from writing import Concat

from cenote.base import ManualClock, SeededRand
from cenote.errors import Error, UnavailableError
from cenote.lsm.admin import Admin
from cenote.lsm.batch import WriteBatch
from cenote.lsm.clone import CloneSource
from cenote.lsm.db import Db
from cenote.lsm.gc.mark import used_tables
from cenote.lsm.gc.sweep import Collector
from cenote.lsm.keys import Bound, BoundKind, KeyRange
from cenote.lsm.place import Place
from cenote.lsm.reader import DbReader
from cenote.lsm.settings import CompactorSettings, DbSettings, GcSettings
from cenote.objstore import AroundStore, Call, MemoryStore, ObjectStore

T = TypeVar("T")
State = dict[bytes, bytes]

KEYS = [b"k%02d" % n for n in range(30)]


class Haunted(AroundStore):
    """A store in which `visit` happens before some of the requests, but not within itself."""

    def __init__(self, inner: ObjectStore, visit: Callable[[], None], odds: Callable[[], bool]):
        super().__init__(inner)
        self._visit = visit
        self._odds = odds
        self.visiting = True

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if not self.visiting and self._odds():
            self.visiting = True
            try:
                self._visit()
            finally:
                self.visiting = False
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()


class History:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.clock = ManualClock()
        self.inner = MemoryStore(clock=self.clock)
        self.store = Haunted(self.inner, self.visit, lambda: self.chance.random() < 0.15)
        self.states: dict[int, State] = {0: {}}
        self.last = 0
        self.checkpoints: list[tuple[str, State]] = []
        self.clones: list[tuple[str, State]] = []
        self.readers: list[DbReader] = []
        self.db = self.opened()
        self.store.visiting = False

    def visit(self) -> None:
        """Collect, all that is a millisecond old."""
        self.clock.advance(self.chance.choice([0.001, 0.01, 1]))
        roots = ["db", *(root for root, _ in self.clones)]
        root = self.chance.choice(roots)
        place = Place(self.inner, root, self.inner)
        rand = SeededRand(self.chance.randrange(2**30))
        Collector(place, GcSettings(age_min_ms=0), clock=self.clock, rand=rand).collect()

    def admin(self, root: str = "db") -> Admin:
        rand = SeededRand(self.chance.randrange(2**30))
        return Admin(Place(self.store, root, self.store), clock=self.clock, rand=rand)

    def opened(self) -> Db:
        compactor = CompactorSettings(sources_min=2, sources_max=4, sst_size=2000)
        settings = DbSettings(
            compactor=compactor, gc=GcSettings(enabled=False), block_size=1024, l0_max_ssts=100
        )
        return Db.open(
            self.store,
            path="db",
            settings=settings,
            merge_operator=Concat(),
            clock=self.clock,
            rand=SeededRand(self.chance.randrange(2**30)),
            background=False,
        )

    def rows(self, root: str, checkpoint: str | None = None) -> State:
        place = Place(self.store, root, self.store)
        with DbReader.open(
            place, checkpoint=checkpoint, merge_operator=Concat(), background=False
        ) as reader:
            return scanned(reader)

    # Steps.

    def write(self) -> None:
        batch = WriteBatch()
        state = dict(self.states[self.last])
        keys = self.chance.sample(KEYS, self.chance.randint(1, 6))
        for key in keys:
            value = b"%d" % self.chance.randrange(10**6) * self.chance.randint(1, 30)
            kind = self.chance.randrange(6)
            if kind == 0:
                batch.delete(key)
                state.pop(key, None)
            elif kind == 1:
                batch.merge(key, b"m")
                state[key] = state[key] + b",m" if key in state else b"m"
            else:
                batch.put(key, value)
                state[key] = value
        written = self.db.write(batch, durable=self.chance.random() < 0.5)
        self.last = written.seq
        self.states[self.last] = state

    def flush(self) -> None:
        self.db.flush_memtable()

    def compact(self) -> None:
        self.db.compact(rewrite=self.chance.random() < 0.5)

    def step(self) -> None:
        self.db._core.writer.jobs.step()

    def take_over(self) -> None:
        if self.chance.random() < 0.5:
            self.db.flush()
            old = self.db
            self.db = self.opened()
            old._core.writer.abandon()
        else:
            self.db.close()
            self.db = self.opened()

    def wait(self) -> None:
        self.clock.advance(self.chance.choice([0.01, 1, 100, 2000]))

    def read(self) -> None:
        if len(self.readers) < 3:
            self.readers.append(
                DbReader.open(
                    Place(self.store, "db", self.store), merge_operator=Concat(), background=False
                )
            )
        reader = self.chance.choice(self.readers)
        if self.chance.random() < 0.5:
            reader.refresh()
        found = scanned(reader)
        assert found == self.states[reader.seq]
        key = self.chance.choice(KEYS)
        value = reader.get(key)
        assert value == self.states[reader.seq].get(key)

    def look(self) -> None:
        assert dict(self.db.scan()) == self.states[self.last]

    def hold(self) -> None:
        self.db.flush()
        if self.chance.random() < 0.5:
            made = self.db.checkpoint()
        else:
            made = self.admin().checkpoints.create()
        self.checkpoints.append((made.id, self.states[self.last]))

    def let_go(self) -> None:
        if self.checkpoints:
            at = self.chance.randrange(len(self.checkpoints))
            checkpoint, state = self.checkpoints.pop(at)
            assert self.rows("db", checkpoint) == state
            self.admin().checkpoints.delete(checkpoint)

    def clone(self) -> None:
        if len(self.clones) > 3:
            return
        self.db.flush()
        state = self.states[self.last]
        span = None
        if self.chance.random() < 0.5:
            span = KeyRange(Bound(BoundKind.INCLUDED, KEYS[10]), Bound())
            state = {key: value for key, value in state.items() if key >= KEYS[10]}
        root = f"clone{len(self.clones)}"
        self.admin(root).clone_of(CloneSource("db", None, span))
        self.clones.append((root, state))

    def look_at_clone(self) -> None:
        if self.clones:
            root, state = self.chance.choice(self.clones)
            if self.chance.random() < 0.2:
                self.admin(root).detach()
            assert self.rows(root) == state

    STEPS = (
        *(write, write, write, write, write, write, flush, flush, compact, step, step, wait),
        *(read, read, read, look, hold, let_go, clone, look_at_clone, take_over),
    )

    def run(self, count: int) -> None:
        for _ in range(count):
            self.chance.choice(self.STEPS)(self)
        self.end()

    def end(self) -> None:
        self.store.visiting = True
        self.db.close()
        for root, state in [("db", self.states[self.last]), *self.clones]:
            assert self.rows(root) == state
            assert self.admin(root).verify().problems == ()
        for checkpoint, state in self.checkpoints:
            assert self.rows("db", checkpoint) == state
            self.admin().checkpoints.delete(checkpoint)
        for root, _ in self.clones:
            self.admin(root).delete_db(root)
        self.clones = []
        self.clock.advance(10**6)
        self.db = self.opened()  # so that a newer level 0 file settles what is older
        self.db.put(b"end", b"1")
        self.db.compact()  # also what was left undone
        self.clock.advance(1)
        self.db.put(b"end", b"2")
        self.db.flush_memtable()
        self.db.close()
        self.clock.advance(10**6)
        self.visit()
        self.clock.advance(10**6)
        self.visit()
        admin = self.admin()
        latest = admin.manifest().value
        left = {meta.path.split("/")[-1][:-4] for meta in self.inner.list("db/compacted")}
        assert left == used_tables(latest)
        assert admin.manifests() == [admin.manifest().number]


def scanned(reader: DbReader) -> State:
    """Scan; again when the moment was collected half way."""
    while True:
        try:
            return dict(reader.scan())
        except UnavailableError as error:
            assert error.kind == "moment_gone"


def run(seed: int, count: int) -> None:
    try:
        History(seed).run(count)
    except (AssertionError, Error) as error:
        raise AssertionError(f"seed {seed}: {error!r}") from error


@pytest.mark.parametrize("seed", range(8))
def test_everybody_sees_what_is_his(seed: int) -> None:
    run(seed, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 300))
def test_everybody_sees_what_is_his_for_long(seed: int) -> None:
    run(seed, 150)
