"""A store that fails at each request in turn, before or after its effect; a store that is full.

The same small history is played once for each request it makes. What fails is tried again by the
caller, as a program would; then the database is whole, and so is a second one that opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import ClosedError, UnavailableError
from cenote.lsm import (
    Collector,
    Compactor,
    CompactorSettings,
    Db,
    DbReader,
    DbSettings,
    GcSettings,
    Place,
    verify,
)
from cenote.objstore import AroundStore, Call, Fault, FaultyStore, MemoryStore, ObjectStore

SETTINGS = DbSettings(
    block_size=1024,
    block_cache_size=0,
    filter_rows_min=0,
    compactor=CompactorSettings(sources_min=2, checkpoint_lifetime_ms=1000),
    gc=GcSettings(enabled=False, age_min_ms=0),
)


class Append:
    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return (existing or b"") + b"".join(operands)


class Nth:
    """A plan that fails one request, by its place among all."""

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.passed = 0
        self.failed = ""

    def __call__(self, call: Call) -> Fault | None:
        self.passed += 1
        if self.passed != self.number:
            return None
        self.failed = f"{call.op} {call.path}"
        return self.fault


class History:
    """Writes, flushes, compactions, a checkpoint, a collection: each tried until it succeeds."""

    def __init__(self, objects: MemoryStore, plan: Callable[[Call], Fault | None]) -> None:
        self.clock = ManualClock()
        self.rand = SeededRand(5)
        self.objects = objects
        self.store: ObjectStore = FaultyStore(objects, plan, clock=self.clock)
        self.state: dict[bytes, bytes] = {}

    def open(self, store: ObjectStore | None = None) -> Db:
        return Db.open(
            store or self.store,
            path="db",
            settings=SETTINGS,
            merge_operator=Append(),
            clock=self.clock,
            rand=self.rand,
            background=False,
        )

    def place(self, store: ObjectStore) -> Place:
        return Place(store, "db", store)

    def again(self, act: Callable[[], object]) -> object:
        """Do it, and once more if the store failed."""
        try:
            return act()
        except UnavailableError:
            self.clock.advance(1)
            return act()

    def write(self, db: Db, key: bytes, operand: bytes) -> None:
        """Merge once, however often it takes: what may have been written is not written again."""
        self.clock.advance(0.01)
        before = db.status().last_seq
        try:
            db.merge(key, operand)
        except UnavailableError as error:
            assert (db.status().last_seq > before) == error.effect_unknown
            if error.effect_unknown:
                self.again(db.flush)
            else:
                db.merge(key, operand)
        self.state[key] = self.state.get(key, b"") + operand
        assert self.again(lambda: db.get(key)) == self.state[key]

    def play(self) -> None:
        db = self.again(self.open)
        assert isinstance(db, Db)
        assert self.again(lambda: dict(db.scan())) == {}
        for number in range(3):
            self.write(db, b"a", b"%d." % number)
            self.write(db, b"k%d" % number, b"v" * 300)
            self.again(db.flush_memtable)
            assert self.again(lambda: dict(db.scan())) == self.state
        self.again(db.compact)
        self.write(db, b"a", b"c.")
        kept = self.again(db.checkpoint)
        at_checkpoint = dict(self.state)
        self.clock.advance(100)
        collector = Collector(self.place(self.store), SETTINGS.gc, clock=self.clock, rand=self.rand)
        self.again(collector.collect)
        self.write(db, b"a", b"g.")
        self.again(db.flush_memtable)
        self.again(db.compact)
        self.write(db, b"z", b"last")
        assert self.again(lambda: dict(db.scan())) == self.state
        self.again(lambda: self.look_at(kept.id, at_checkpoint))  # type: ignore[attr-defined]
        with suppress(UnavailableError):
            db.close()
        self.check(at_checkpoint, kept.id)  # type: ignore[attr-defined]

    def look_at(self, checkpoint: str, state: dict[bytes, bytes]) -> None:
        with DbReader.open(
            self.place(self.store),
            checkpoint=checkpoint,
            merge_operator=Append(),
            clock=self.clock,
            rand=self.rand,
            background=False,
        ) as reader:
            assert dict(reader.scan()) == state

    def check(self, at_checkpoint: dict[bytes, bytes], checkpoint: str) -> None:
        """Look at what is left, from a store that is sound."""
        with self.open(self.objects) as db:
            assert dict(db.scan()) == self.state
            with Compactor.open(
                self.place(self.objects),
                SETTINGS,
                merge_operator=Append(),
                clock=self.clock,
                rand=self.rand,
                background=False,
            ) as compactor:
                compactor.compact()
            assert dict(db.scan()) == self.state
        self.store = self.objects
        self.look_at(checkpoint, at_checkpoint)
        report = verify(self.place(self.objects))
        assert report.is_sound, report


def requests_of_a_history() -> int:
    plan = Nth(0, Fault.BEFORE)
    History(MemoryStore(clock=ManualClock()), plan).play()
    return plan.passed


def play_all(fault: Fault, first: int, step: int) -> None:
    count = requests_of_a_history()
    assert count > 60
    for number in range(first, count + 1, step):
        plan = Nth(number, fault)
        try:
            History(MemoryStore(clock=ManualClock()), plan).play()
        except BaseException as error:
            error.add_note(f"request {number} failed ({fault.value}): {plan.failed}")
            raise


def test_a_request_that_was_not_sent() -> None:
    play_all(Fault.BEFORE, 1, 3)


def test_a_request_whose_answer_was_lost() -> None:
    play_all(Fault.AFTER, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
def test_every_request(fault: Fault) -> None:
    play_all(fault, 1, 1)


class FullStore(AroundStore):
    """Takes no new bytes while it is full."""

    full = False

    def _around(self, call, run):
        if self.full and call.is_write and not call.op.startswith("delete"):
            raise UnavailableError(f"no space left for {call.path}", kind="disk_full")
        return run()

    async def _around_async(self, call, run):
        return await run()


def test_a_full_store() -> None:
    store = FullStore(MemoryStore(clock=ManualClock()))
    history = History(store.inner, Nth(0, Fault.BEFORE))
    db = history.open(store)
    db.merge(b"a", b"before")
    store.full = True
    for _ in range(3):
        with pytest.raises(UnavailableError) as info:
            db.merge(b"a", b"+")
        assert info.value.kind == "disk_full"
    with pytest.raises(UnavailableError):
        db.flush_memtable()
    with pytest.raises(UnavailableError):
        db.checkpoint()
    assert db.get(b"a") == b"before+++"
    assert db.get(b"a", durable_only=True) == b"before"
    store.full = False
    db.merge(b"a", b"!")
    assert db.get(b"a", durable_only=True) == b"before+++!"
    db.flush_memtable()
    store.full = True
    with pytest.raises(UnavailableError):
        history.open(store)
    store.full = False
    db.put(b"b", b"still the writer")
    db.close()
    with history.open(store) as again:
        assert dict(again.scan()) == {b"a": b"before+++!", b"b": b"still the writer"}


def test_a_store_that_never_takes_anything() -> None:
    store = FullStore(MemoryStore(clock=ManualClock()))
    store.full = True
    history = History(store.inner, Nth(0, Fault.BEFORE))
    with pytest.raises(UnavailableError):
        history.open(store)
    assert list(store.inner.list()) == []


def test_closing_over_a_store_that_fails_says_so() -> None:
    store = FullStore(MemoryStore(clock=ManualClock()))
    history = History(store.inner, Nth(0, Fault.BEFORE))
    db = history.open(store)
    db.put(b"a", b"1")
    db.put(b"a", b"2", durable=False)
    store.full = True
    with pytest.raises(UnavailableError):
        db.close()
    with pytest.raises(ClosedError):
        db.put(b"a", b"3")
    db.close()
    store.full = False
    with history.open(store) as again:
        assert again.get(b"a") == b"1"
