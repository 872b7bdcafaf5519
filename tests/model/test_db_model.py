"""Every operation of a database, against a dictionary that is plainly right.

The model is a list of what happened to each key since its last put or delete; what is read of it
is worked out anew each time, since rows expire as the clock moves. A crash may lose writes that
nobody was told are durable, newest first; here, where one thread does all, exactly those.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cenote.base import ManualClock, SeededRand
from cenote.errors import ClosedError, InvalidError, TransactionConflictError
from cenote.lsm import (
    Admin,
    CloneSource,
    Collector,
    CompactorSettings,
    Db,
    DbReader,
    DbSettings,
    GcSettings,
    Place,
    WriteBatch,
    Written,
    verify,
)
from cenote.objstore import MemoryStore

KEYS = st.sampled_from(
    [
        b"a",
        b"a\x00",
        b"a\x00\x00",
        b"ab",
        b"abc",
        b"b",
        b"ba",
        b"c",
        b"\xfe\xff",
        b"\xff",
        b"\xff\xff",
    ]
)
BOUNDS = st.none() | KEYS | st.sampled_from([b"", b"aa", b"b\x00", b"\xff\xff\xff"])
PREFIXES = st.sampled_from([b"", b"a", b"a\x00", b"ab", b"b", b"\xff", b"zz"])
VALUES = st.binary(max_size=12) | st.binary(min_size=300, max_size=400)
TTLS = st.none() | st.none() | st.sampled_from([1, 1000, 5000])
DURABLE = st.booleans()

SETTINGS = DbSettings(
    l0_sst_size=600,
    l0_max_ssts=100,
    unflushed_size_max=10**6,
    block_size=1024,
    filter_rows_min=0,
    compactor=CompactorSettings(sources_min=2, sources_max=4, sst_size=800),
    gc=GcSettings(enabled=False, age_min_ms=0),
)


class Append:
    name = "append"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return (existing or b"") + b"".join(operands)


class FirstByte:
    """Segments by the first byte of a key."""

    name = "first"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:1]


@dataclass(frozen=True)
class Step:
    """What happened to a key: a put, or a merge on top."""

    value: bytes
    expires: int | None
    is_put: bool


Chains = dict[bytes, tuple[Step, ...]]


def changed(
    chains: Chains, ops: Sequence[tuple[str, bytes, bytes, int | None]], now: int
) -> Chains:
    after = dict(chains)
    for deed, key, value, ttl in ops:
        expires = None if ttl is None else now + ttl
        if deed == "put":
            after[key] = (Step(value, expires, True),)
        elif deed == "delete":
            after.pop(key, None)
        else:
            after[key] = (*after.get(key, ()), Step(value, expires, False))
    return after


def seen(chains: Chains, now: int) -> dict[bytes, bytes]:
    """What a reader sees now."""
    found = {}
    for key, chain in chains.items():
        alive = [step.value for step in chain if step.expires is None or step.expires > now]
        if alive:
            found[key] = b"".join(alive)
    return dict(sorted(found.items()))


def within(
    state: dict[bytes, bytes], start: bytes | None, end: bytes | None, prefix: bytes | None
) -> Iterator[tuple[bytes, bytes]]:
    for key, value in state.items():
        if (
            (start is None or key >= start)
            and (end is None or key < end)
            and (prefix is None or key.startswith(prefix))
        ):
            yield key, value


OPS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "merge"]), KEYS, VALUES, st.none()),
    min_size=1,
    max_size=5,
)


class DbMachine(RuleBasedStateMachine):
    """The database and its model, step by step."""

    extractor: FirstByte | None = None

    @initialize(
        codec=st.sampled_from(["none", "zlib"]),
        cache=st.sampled_from([0, 3000, 2**20]),
        wal=st.sampled_from([True, True, False]),
    )
    def begin(self, codec: str, cache: int, wal: bool) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.rand = SeededRand(1)
        self.settings = msgspec.structs.replace(
            SETTINGS, codec=codec, block_cache_size=cache, wal_enabled=wal
        )
        self.states: list[Chains] = [{}]  # after each write
        self.seqs = [0]  # the number of each write
        self.snapshots: list[tuple[object, Chains]] = []
        self.checkpoints: list[tuple[str, Chains]] = []
        self.reader: DbReader | None = None
        self.clones = 0
        self.db = self.opened()

    def opened(self, root: str = "db") -> Db:
        return Db.open(
            self.store,
            path=root,
            settings=self.settings,
            merge_operator=Append(),
            segment_extractor=self.extractor,
            clock=self.clock,
            rand=self.rand,
            background=False,
        )

    @property
    def now(self) -> int:
        return self.clock.now_ms()

    @property
    def chains(self) -> Chains:
        return self.states[-1]

    @property
    def state(self) -> dict[bytes, bytes]:
        return seen(self.chains, self.now)

    @property
    def durable(self) -> int:
        """How many writes are durable."""
        return bisect_right(self.seqs, self.db.status().durable_seq) - 1

    def wrote(
        self, ops: Sequence[tuple[str, bytes, bytes, int | None]], written: Written, durable: bool
    ) -> None:
        assert written.is_durable or not durable
        assert written.seq > self.seqs[-1]
        self.states.append(changed(self.chains, ops, self.now))
        self.seqs.append(written.seq)

    # Writing.

    @rule(key=KEYS, value=VALUES, ttl=TTLS, durable=DURABLE)
    def put(self, key: bytes, value: bytes, ttl: int | None, durable: bool) -> None:
        written = self.db.put(key, value, ttl_ms=ttl, durable=durable)
        self.wrote([("put", key, value, ttl)], written, durable)

    @rule(key=KEYS, durable=DURABLE)
    def delete(self, key: bytes, durable: bool) -> None:
        written = self.db.delete(key, durable=durable)
        self.wrote([("delete", key, b"", None)], written, durable)

    @rule(key=KEYS, value=VALUES, ttl=TTLS, durable=DURABLE)
    def merge(self, key: bytes, value: bytes, ttl: int | None, durable: bool) -> None:
        written = self.db.merge(key, value, ttl_ms=ttl, durable=durable)
        self.wrote([("merge", key, value, ttl)], written, durable)

    @rule(ops=OPS, durable=DURABLE)
    def batch(self, ops: list[tuple[str, bytes, bytes, int | None]], durable: bool) -> None:
        batch = WriteBatch()
        for deed, key, value, _ in ops:
            if deed == "delete":
                batch.delete(key)
            else:
                getattr(batch, deed)(key, value)
        self.wrote(ops, self.db.write(batch, durable=durable), durable)
        with pytest.raises(InvalidError):
            self.db.write(batch)

    @rule(seconds=st.sampled_from([0.001, 1, 10]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    # Transactions.

    @rule(
        ops=OPS,
        reads=st.lists(KEYS, max_size=3),
        other=st.none() | st.tuples(KEYS, VALUES),
        serializable=st.booleans(),
        commit=st.booleans(),
    )
    def transaction(
        self,
        ops: list[tuple[str, bytes, bytes, int | None]],
        reads: list[bytes],
        other: tuple[bytes, bytes] | None,
        serializable: bool,
        commit: bool,
    ) -> None:
        begun = self.chains
        own = begun
        transaction = self.db.transaction("serializable" if serializable else "snapshot")
        for key in reads:
            assert transaction.get(key) == seen(begun, self.now).get(key)
        if other is not None:
            self.wrote([("put", *other, None)], self.db.put(*other), True)
        for deed, key, value, _ in ops:
            if deed == "delete":
                transaction.delete(key)
            else:
                getattr(transaction, deed)(key, value)
            own = changed(own, [(deed, key, value, None)], self.now)
        assert dict(transaction.scan()) == seen(own, self.now)
        assert transaction.get(ops[0][1]) == seen(own, self.now).get(ops[0][1])
        assert self.db.get(ops[0][1]) == self.state.get(ops[0][1])
        if not commit:
            transaction.rollback()
            return
        wrote = {key for _, key, _, _ in ops}
        # The scan above read every key.
        conflicts = other is not None and (serializable or other[0] in wrote)
        if conflicts:
            with pytest.raises(TransactionConflictError):
                transaction.commit()
            return
        written = transaction.commit()
        assert written is not None
        self.wrote(ops, written, True)

    # Reading.

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4))
    def get(self, keys: list[bytes]) -> None:
        state = self.state
        assert self.db.get_many(keys) == [state.get(key) for key in keys]
        for key in keys:
            assert self.db.get(key) == state.get(key)
            assert (key in self.db) == (key in state)
            entry = self.db.entry(key)
            assert (None if entry is None else entry.value) == state.get(key)
        durable = seen(self.states[self.durable], self.now)
        assert self.db.get(keys[0], durable_only=True) == durable.get(keys[0])

    @rule(start=BOUNDS, end=BOUNDS, reverse=st.booleans())
    def scan(self, start: bytes | None, end: bytes | None, reverse: bool) -> None:
        if start is not None and end is not None and start > end:
            start, end = end, start
        expected = list(within(self.state, start, end, None))
        if reverse:
            expected.reverse()
        assert list(self.db.scan(start, end, reverse=reverse)) == expected

    @rule(prefix=PREFIXES, reverse=st.booleans())
    def scan_prefix(self, prefix: bytes, reverse: bool) -> None:
        expected = list(within(self.state, None, None, prefix))
        if reverse:
            expected.reverse()
        assert list(self.db.scan(prefix=prefix, reverse=reverse)) == expected

    @rule(to=KEYS, taken=st.integers(0, 3), reverse=st.booleans())
    def seek(self, to: bytes, taken: int, reverse: bool) -> None:
        expected = list(self.state.items())
        if reverse:
            expected.reverse()
        scan = self.db.scan(reverse=reverse)
        first = [pair for _, pair in zip(range(taken), scan, strict=False)]
        assert first == expected[:taken]
        if first and (first[-1][0] <= to if reverse else first[-1][0] >= to):
            return  # a seek goes on, never back
        scan.seek(to)
        assert list(scan) == [p for p in expected if (p[0] <= to if reverse else p[0] >= to)]

    @rule()
    def take_snapshot(self) -> None:
        self.snapshots.append((self.db.snapshot(), self.chains))

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data(), key=KEYS, close=st.booleans())
    def read_snapshot(self, data: st.DataObject, key: bytes, close: bool) -> None:
        at = data.draw(st.integers(0, len(self.snapshots) - 1))
        snapshot, chains = self.snapshots[at]
        expected = seen(chains, self.now)
        assert dict(snapshot.scan()) == expected
        assert snapshot.get(key) == expected.get(key)
        if close:
            snapshot.close()
            del self.snapshots[at]

    # What moves bytes and changes nothing.

    @rule()
    def flush(self) -> None:
        self.db.flush()
        assert self.durable == len(self.states) - 1

    @rule()
    def flush_memtable(self) -> None:
        self.db.flush_memtable()
        assert self.durable == len(self.states) - 1

    @rule()
    def compact(self) -> None:
        self.db.compact()
        assert self.durable == len(self.states) - 1

    @rule()
    def do_jobs(self) -> None:
        for _ in range(5):
            self.db._writer.jobs.step()

    @rule()
    def collect(self) -> None:
        place = Place(self.store, "db", self.store)
        Collector(place, self.settings.gc, clock=self.clock, rand=self.rand).collect()

    # The end, and what comes after.

    @rule()
    def reopen(self) -> None:
        self.leave_snapshots()
        self.db.close()
        assert self.durable == len(self.states) - 1
        with pytest.raises(ClosedError):
            self.db.get(b"a")
        self.db = self.opened()
        assert dict(self.db.scan()) == self.state

    @rule()
    def crash(self) -> None:
        self.snapshots.clear()
        at = self.durable
        del self.states[at + 1 :], self.seqs[at + 1 :]
        old, self.db = self.db, self.opened()
        assert dict(self.db.scan()) == self.state
        with pytest.raises(ClosedError) as info:
            old.put(b"a", b"from the grave")
        assert info.value.reason == "fenced"

    def leave_snapshots(self) -> None:
        for snapshot, _ in self.snapshots:
            snapshot.close()
        self.snapshots.clear()

    # Other ways to look.

    def reader_of(self, **where: object) -> DbReader:
        return DbReader.open(
            self.store,
            path="db",
            merge_operator=Append(),
            clock=self.clock,
            rand=self.rand,
            background=False,
            **where,
        )

    @rule()
    def read(self) -> None:
        if self.reader is None:
            self.reader = self.reader_of()
        self.reader.refresh()
        expected = seen(self.states[self.durable], self.now)
        assert dict(self.reader.scan()) == expected
        assert list(self.reader.scan(reverse=True)) == list(reversed(expected.items()))
        assert self.reader.get(b"ab") == expected.get(b"ab")

    @rule(lifetime=st.sampled_from([None, 10**9]))
    def make_checkpoint(self, lifetime: int | None) -> None:
        made = self.db.checkpoint(lifetime_ms=lifetime)
        assert self.durable == len(self.states) - 1
        self.checkpoints.append((made.id, self.chains))

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data(), delete=st.booleans())
    def read_checkpoint(self, data: st.DataObject, delete: bool) -> None:
        at = data.draw(st.integers(0, len(self.checkpoints) - 1))
        checkpoint, chains = self.checkpoints[at]
        with self.reader_of(checkpoint=checkpoint) as reader:
            assert dict(reader.scan()) == seen(chains, self.now)
        if delete:
            self.admin().checkpoints.delete(checkpoint)
            del self.checkpoints[at]

    def admin(self, root: str = "db") -> Admin:
        return Admin(Place(self.store, root, self.store), clock=self.clock, rand=self.rand)

    @precondition(lambda self: self.checkpoints and self.clones < 3)
    @rule(data=st.data(), key=KEYS, value=VALUES)
    def clone(self, data: st.DataObject, key: bytes, value: bytes) -> None:
        checkpoint, chains = data.draw(st.sampled_from(self.checkpoints))
        self.clones += 1
        root = f"clone{self.clones}"
        self.admin(root).clone_of(CloneSource("db", checkpoint))
        with self.opened(root) as db:
            assert dict(db.scan()) == seen(chains, self.now)
            db.put(key, value)
            after = changed(chains, [("put", key, value, None)], self.now)
            db.flush_memtable()
            db.compact()
            assert dict(db.scan()) == seen(after, self.now)
        assert self.db.get(key) == self.state.get(key)

    @invariant()
    def agrees(self) -> None:
        assert dict(self.db.scan()) == self.state

    def teardown(self) -> None:
        if not hasattr(self, "db"):
            return
        self.leave_snapshots()
        if self.reader is not None:
            self.reader.close()
        self.db.close()
        report = verify(Place(self.store, "db", self.store))
        assert report.is_sound, report


class SegmentedMachine(DbMachine):
    extractor = FirstByte()


QUICK = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LONG = settings(QUICK, max_examples=400, stateful_step_count=80)


class TestDb(DbMachine.TestCase):
    settings = QUICK


class TestSegmentedDb(SegmentedMachine.TestCase):
    settings = QUICK


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestDbLong(DbMachine.TestCase):
    settings = LONG


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestSegmentedDbLong(SegmentedMachine.TestCase):
    settings = LONG
