"""Taking rows: the numbers, the memtables, the view.

Owns: sequence numbers, creation times, what is in memory, the view reads begin with, pins.
Does not own: when writers wait (`admission`), durability, table files, the end (`flushing`,
`writer`, which are built on this).

A write takes the lock, gets the next number, goes into the memtable and into what waits for the
log, and is published by one assignment.

Invariants:
1. Sequence numbers rise in the order of the lock; all rows of one write have one number and are
   published together.
2. Creation times never fall, whatever the clock does.
3. The view is one value: the memtables that are not in its manifest, above the tables that are.
   A manifest that holds a memtable's rows takes that memtable's place in one assignment.
4. Versions that a pin or a reader of durable rows may read are not let go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from cenote.base import Clock
from cenote.errors import InvalidError, UnavailableError
from cenote.lsm.admission import Admission
from cenote.lsm.entry import MERGE, TOMBSTONE, Row
from cenote.lsm.format import SEQ_MAX, Manifest
from cenote.lsm.guard import Guard
from cenote.lsm.memtable import ROW_OVERHEAD, Memtable
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import Ttl, expiry_of
from cenote.lsm.plan import PENDING, Pending
from cenote.lsm.pressure import Pressure
from cenote.lsm.segments import SegmentExtractor, segment_of
from cenote.lsm.settings import DbSettings
from cenote.lsm.tables import Tables
from cenote.lsm.tracker import Tracker
from cenote.lsm.view import View
from cenote.lsm.wal.writer import WalWriter

if TYPE_CHECKING:
    from cenote.lsm.batch import Op
    from cenote.lsm.merge import MergeOperator

__all__ = ["Intake", "Written"]


class Written(NamedTuple):
    """A write that was taken: its number, and its time."""

    seq: int
    created_ms: int


class Intake(Admission):
    """What a writer has in memory. Thread-safe.

    `view` is what reads begin with, `last_seq` the newest write that is published. `noting`, when
    it is set, is called under the lock with the number and the operations of each write.
    """

    def __init__(
        self,
        settings: DbSettings,
        manifest: Manifest,
        *,
        guard: Guard,
        tables: Tables,
        merge_operator: MergeOperator | None,
        segment_extractor: SegmentExtractor | None,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        super().__init__(settings, clock, metrics)
        self.tables = tables
        self.merge_operator = merge_operator
        self.segment_extractor = segment_extractor
        self.noting: Callable[[int, Sequence[Op]], None] | None = None
        self.tracker = Tracker(manifest.sequence_tracker)
        self.last_seq = manifest.last_l0_seq
        self.view = View(tables, manifest, (Memtable(manifest.replay_after_wal_id + 1),))
        self._guard = guard
        self._operator_noted = False
        self._memtable = self.view.memtables[0]
        self._tick = manifest.last_l0_clock_tick
        self._ttl = settings.default_ttl_ms
        self._pins: dict[int, int] = {}
        self._pin_min = SEQ_MAX
        self._unpinned: deque[int] = deque()
        self._log: WalWriter | None = None
        self._flushed_seq = self.last_seq
        self.log_asleep = True  # whether the log's job has to be woken by the next write

    # What is done elsewhere.

    def _frozen(self) -> None:
        """A memtable waits to be flushed. Called under the lock."""
        raise NotImplementedError

    def _wake_log(self) -> None:
        """Rows wait for the log, and its job is asleep."""
        raise NotImplementedError

    # Writing.

    def try_write(
        self,
        ops: Sequence[Op],
        *,
        check: Callable[[], None] | None = None,
        seq: int | None = None,
    ) -> Written | Pending:
        """Take some operations, all of them or none, and publish them together.

        Requires: one operation per key. `check` is called under the lock, before anything is
        taken, and may raise. `seq` is the number to give, which must be above every earlier one.
        Returns PENDING when memtables are full: then nothing was written.
        Raises ClosedError, InvalidError, what `check` raises.
        """
        self._prepare(ops)
        with self._lock:
            if self._barred and not self._admitted():
                return PENDING
            if check is not None:
                check()
            number = self.last_seq + 1
            if seq is not None:
                if not number <= seq <= SEQ_MAX:
                    raise InvalidError(
                        f"the sequence number {seq} is not above {self.last_seq}", kind="seq"
                    )
                number = seq
            now = self.clock.now_ms()
            if now < self._tick:
                now = self._tick
            if not ops:
                return Written(self.last_seq, now)
            rows = self._rows(ops, number, now)
            log = self._log
            keep_from = self._flushed_seq if log is None else log.durable_seq
            memtable = self._memtable
            self._tick = now
            try:
                memtable.insert_rows(rows, min(keep_from, self._pin_min))
                if log is not None:
                    log.rows += rows
                self.last_seq = number
            except BaseException:
                self._finish(rows)
                raise
            noting = self.noting
            if noting is not None:
                noting(number, ops)
            if now >= self.tracker.next_ms:
                self.tracker.note(number, now)
            self.metrics.writes += 1
            if memtable.size >= self._freeze_at:
                self._freeze()
        if self.log_asleep:
            self._wake_log()
        return Written(number, now)

    def write_one(
        self,
        key: bytes,
        value: bytes,
        kind: int,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
    ) -> tuple[int, int] | Pending:
        """Take one operation, as `try_write` does, at half the cost.

        Returns the fields of a `Written`, which would cost as much again.
        """
        if kind == MERGE or self.segment_extractor is not None:
            return self.try_write([(key, value, kind, ttl_ms, expire_at_ms)])
        with self._lock:
            if self._barred and not self._admitted():
                return PENDING
            now = self.clock.now_ms()
            if now < self._tick:
                now = self._tick
            else:
                self._tick = now
            expire_ts: int | None = None
            if ttl_ms is not None or expire_at_ms is not None:
                expire_ts = expiry_of(ttl_ms, expire_at_ms, None, now)
            elif self._ttl is not None and kind != TOMBSTONE:
                expire_ts = now + self._ttl
            number = self.last_seq + 1
            log = self._log
            memtable = self._memtable
            try:
                # What follows is `Memtable.insert`, without the call.
                chains = memtable.chains
                old = chains.get(key)
                if old is not None:
                    keep_from = self._flushed_seq if log is None else log.durable_seq
                    old = memtable.kept(key, old, number, kind, min(keep_from, self._pin_min))
                chains[key] = (number, kind, value, now, expire_ts, old)
                memtable.size = size = memtable.size + len(key) + len(value) + ROW_OVERHEAD
                if log is not None:
                    log.rows.append((key, value, number, kind, now, expire_ts))
                self.last_seq = number
            except BaseException:
                self._finish([(key, value, number, kind, now, expire_ts)])
                raise
            noting = self.noting
            if noting is not None:
                noting(number, [(key, value, kind, ttl_ms, expire_at_ms)])
            if now >= self.tracker.next_ms:
                self.tracker.note(number, now)
            self.metrics.writes += 1
            if size >= self._freeze_at:
                self._freeze()
        if self.log_asleep:
            self._wake_log()
        return number, now

    def _finish(self, rows: list[Row]) -> None:
        """Take the rows of a write that a signal broke off, so that it is not half there.

        Requires: the lock. What was done already is done again, which changes nothing.
        """
        log, memtable = self._log, self._memtable
        memtable.insert_rows(rows, 0)
        if log is not None and (not log.rows or log.rows[-1] != rows[-1]):
            log.rows += rows
        self.last_seq = rows[-1][2]
        noting = self.noting
        if noting is not None:
            noting(self.last_seq, [(row[0], row[1], row[3], None, None) for row in rows])

    def _prepare(self, ops: Sequence[Op]) -> None:
        extractor = self.segment_extractor
        if extractor is not None:
            for op in ops:
                segment_of(extractor, op[0])
        if not self._operator_noted and MERGE in [op[2] for op in ops]:
            if self.merge_operator is None:
                raise InvalidError(
                    "the database was opened without a merge operator",
                    kind="no_merge_operator",
                    hint="pass merge_operator= to open",
                )
            try:
                self._guard.note_operator(self.merge_operator.name)
            except UnavailableError as error:
                # Whatever is unknown of the note: of the write nothing was taken.
                raise UnavailableError(
                    f"the merge operator could not be noted: {error.message}",
                    kind=error.kind,
                    hint="write it again",
                ) from error
            self._operator_noted = True

    def _rows(self, ops: Sequence[Op], seq: int, now: int) -> list[Row]:
        default = None if self._ttl is None else now + self._ttl
        return [
            (
                key,
                value,
                seq,
                kind,
                now,
                (default if kind != TOMBSTONE else None)
                if ttl is None and at is None
                else expiry_of(ttl, at, None, now),
            )
            for key, value, kind, ttl, at in ops
        ]

    # Memtables.

    def _freeze(self) -> bool:
        """Freeze the memtable, if it has rows. Requires: the lock."""
        memtable = self._memtable
        if not memtable.chains:
            return False
        self._take_unpinned()
        memtable.last_seq, memtable.last_tick = self.last_seq, self._tick
        memtable.freeze()
        self._frozen_bytes += memtable.size
        log = self._log
        self._memtable = Memtable(1 if log is None else log.next_number)
        self.view = self.view.with_memtables((self._memtable, *self.view.memtables))
        self._press()
        self._frozen()
        return True

    def _freeze_now(self) -> int:
        """Freeze the memtable; return the number up to which all is in frozen ones."""
        with self._lock:
            self._freeze()
            return self.last_seq

    # What is read.

    def pin(self, seq: int | None = None) -> int:
        """Keep what is seen at `seq` (None: now) until `unpin`; return the number."""
        with self._lock:
            self._take_unpinned()
            number = self.last_seq if seq is None else seq
            self._pins[number] = self._pins.get(number, 0) + 1
            if number < self._pin_min:
                self._pin_min = number
            return number

    def unpin(self, seq: int) -> None:
        """Let go of a pin. Takes no lock that is held: a finalizer may call it anywhere."""
        self._unpinned.append(seq)
        if self._lock.acquire(blocking=False):
            try:
                self._take_unpinned()
            finally:
                self._lock.release()

    def _take_unpinned(self) -> None:
        """Count the pins that were let go. Requires: the lock."""
        pins, unpinned = self._pins, self._unpinned
        if not unpinned:
            return
        while unpinned:
            seq = unpinned.popleft()
            pins[seq] -= 1
            if not pins[seq]:
                del pins[seq]
        self._pin_min = min(pins, default=SEQ_MAX)

    @property
    def pins(self) -> int:
        """How many pins there are."""
        with self._lock:
            self._take_unpinned()
            return sum(self._pins.values())

    @property
    def frozen_count(self) -> int:
        """How many memtables wait to be flushed."""
        return len(self.view.memtables) - 1

    @property
    def l0_count(self) -> int:
        """How many files level 0 has, in the tree that has most."""
        return max([len(tree.l0) for tree in self.view.manifest.trees()])

    @property
    def l0_full(self) -> bool:
        """Whether memtables have to wait for a compaction."""
        return self.l0_count >= self.settings.l0_max_ssts

    def pressure(self) -> Pressure:
        """Return how hard the writer is pressed."""
        with self._lock:
            stalled, error = self._stalled_at, self._flush_error
            return Pressure(
                unflushed_bytes=self._frozen_bytes + self._memtable.size,
                unflushed_limit=self.settings.unflushed_size_max,
                frozen=self.frozen_count,
                unlogged_rows=0 if self._log is None else len(self._log.rows),
                l0_count=self.l0_count,
                l0_limit=self.settings.l0_max_ssts,
                stalled_for=None if stalled is None else self.clock.monotonic() - stalled,
                last_error=None if error is None else error.message,
            )
