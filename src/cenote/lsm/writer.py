"""The writer of a database: it takes rows, gives them numbers, makes them durable.

Owns: the sequence numbers, the one lock rows are taken under, the view reads begin with, when a
memtable is frozen, back-pressure, what a snapshot pins, the end.
Does not own: becoming the writer (`takeover`), the log's files (`wal.writer`), table files
(`flush`), what is read (`view`).

A write takes the lock, gets the next number, goes into the memtable and into what waits for the
log, and is published by one assignment. Whoever wants it durable calls `commit`.

Invariants:
1. Sequence numbers rise by the order of the lock; all rows of one write have one number, are
   published together, and are in one log file.
2. Creation times never fall, whatever the clock does.
3. The view is one value: the memtables that are not in its manifest, above the tables that are.
   A manifest that holds a memtable's rows takes that memtable's place in one assignment.
4. A writer that was fenced, or whose flush cannot go on, raises ClosedError from every call.
5. Versions a pin or a reader of durable rows may read are not let go.

Locks, in the order they are taken: the flush's turn, the log's turn, the manifests' lock, the
writer's lock, the jobs' lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cenote.base import Clock, Rand
from cenote.errors import ClosedError, Error, InvalidError, UnavailableError
from cenote.lsm.entry import MERGE, TOMBSTONE, Row
from cenote.lsm.flush import Flusher, layout_of
from cenote.lsm.format import SEQ_MAX, Checkpoint, Manifest, UlidMint, mint_uuid
from cenote.lsm.guard import Guard
from cenote.lsm.jobs import FLUSH, Job, Jobs
from cenote.lsm.manifest.state import FlushMark, add_checkpoint
from cenote.lsm.manifest.store import ManifestStore, check_epochs
from cenote.lsm.memtable import Memtable
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import Ttl, expiry_of
from cenote.lsm.plan import PENDING, Pending
from cenote.lsm.pressure import Pressure
from cenote.lsm.segments import SegmentExtractor, segment_of
from cenote.lsm.settings import DbSettings
from cenote.lsm.tables import Tables
from cenote.lsm.tracker import Tracker
from cenote.lsm.view import View
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.writer import Callback, WalWriter
from cenote.lsm.writer_jobs import FlushJob, LogJob
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.batch import Op
    from cenote.lsm.format import BloomPolicy
    from cenote.lsm.merge import MergeOperator
    from cenote.lsm.place import Place

__all__ = ["Writer", "Written"]

_SOON: Final = 16  # log files that make a close flush the memtable, so that the next open is quick
_STALL_SECONDS: Final = 60.0


class Written:
    """A write that was taken: its number, its time, and whether it is durable yet."""

    __slots__ = ("_writer", "created_ms", "seq")

    def __init__(self, writer: Writer, seq: int, created_ms: int) -> None:
        self._writer = writer
        self.seq = seq
        self.created_ms = created_ms

    @property
    def is_durable(self) -> bool:
        """Whether it outlives this process and this machine."""
        return self._writer.durable_seq >= self.seq

    def wait(self) -> None:
        """Return when it is durable. Raises as `Writer.commit`."""
        self._writer.commit(self.seq)

    def __repr__(self) -> str:
        return f"<Written seq={self.seq} created_ms={self.created_ms}>"


class Writer:
    """The one writer of a database. Thread-safe. Made by `open`.

    `view` is what reads begin with, `last_seq` the newest write that is published.
    """

    def __init__(
        self,
        place: Place,
        settings: DbSettings,
        manifests: ManifestStore,
        manifest: Version[Manifest],
        *,
        guard: Guard,
        tables: Tables,
        merge_operator: MergeOperator | None,
        segment_extractor: SegmentExtractor | None,
        filter_policies: Sequence[BloomPolicy] | None,
        clock: Clock,
        rand: Rand,
        metrics: Metrics,
        background: bool,
    ) -> None:
        self.place = place
        self.settings = settings
        self.manifests = manifests
        self.tables = tables
        self.clock = clock
        self.rand = rand
        self.metrics = metrics
        self.merge_operator = merge_operator
        self.segment_extractor = segment_extractor
        self.background = background
        self.epoch = manifest.value.writer_epoch
        self.compactor_epoch = manifest.value.compactor_epoch
        self.jobs = Jobs(clock, self._job_failed)
        self.mint = UlidMint(clock, rand)
        self.job_errors: dict[str, BaseException] = {}
        # Called under the lock with the number and the operations of each write, when set.
        self.noting: Callable[[int, Sequence[Op]], None] | None = None
        self.quiet = True
        self.layout = layout_of(settings, filter_policies)
        self.last_seq = manifest.value.last_l0_seq
        self.tracker = Tracker(manifest.value.sequence_tracker)
        self._guard = guard
        self._noted = False
        self._lock = threading.Lock()
        self._relieved = threading.Condition(self._lock)
        self._flush_turn = threading.RLock()
        self._memtable = Memtable(manifest.value.replay_after_wal_id + 1)
        self._frozen_bytes = 0
        self._freeze_at = settings.l0_sst_size
        self._adopted = manifest.number
        self._tick = manifest.value.last_l0_clock_tick
        self._ttl = settings.default_ttl_ms
        self._pins: dict[int, int] = {}
        self._pin_min: int | None = None
        self._wal: WalWriter | None = None
        self._log: WalWriter | None = None  # the same, when rows go into it
        self._flushed_seq = self.last_seq
        self._barred = False
        self._waiting: list[tuple[int, Callback]] = []
        self._stalled_at: float | None = None
        self._stalled: list[Callable[[], None]] = []
        self._flush_error: Error | None = None
        self._error: ClosedError | None = None
        self._closing = False
        self.view = View(tables, manifest.value, (self._memtable,))
        self._flusher = Flusher(
            place,
            manifests,
            writer_epoch=self.epoch,
            layout=self.layout,
            extractor=segment_extractor,
            mint=self.mint,
        )
        self.jobs.add(LogJob(self, settings.flush_interval_ms / 1000), "log")
        self.jobs.add(FlushJob(self), FLUSH)

    # The beginning; see `cenote.lsm.opening`.

    def begin_log(self, files: WalFiles, next_number: int) -> None:
        """Write log files from `next_number` on."""
        self._wal = WalWriter(
            files,
            next_number=next_number,
            durable_seq=self.last_seq,
            lock=self._lock,
            codec=self.settings.file_codec,
            clock=self.clock,
            rand=self.rand,
            prove=self._prove,
        )
        if self.settings.wal_enabled:
            self._log = self._wal

    def replay(self, number: int, rows: Sequence[Row]) -> None:
        """Take the rows of a log file that are not in table files; flush what fills a memtable."""
        wal = self._wal
        if not rows or wal is None:
            return
        stored = self.view.manifest.last_l0_seq
        fresh = rows if rows[0][2] > stored else [row for row in rows if row[2] > stored]
        with self._lock:
            memtable = self._memtable
            memtable.insert_rows(fresh, SEQ_MAX)
            self._tick = max(self._tick, memtable.last_tick)
            self.last_seq = max(self.last_seq, rows[-1][2])
            if rows[-1][4] is not None:
                self.tracker.note(rows[-1][2], rows[-1][4])
            wal.durable_seq = self.last_seq
            wal.written.append((number, self.last_seq))
            full = memtable.size >= self._freeze_at and self._freeze()
        if full:
            self._flush_up_to(self.last_seq, full=True)

    def replayed(self, fence: int) -> None:
        """Note that all up to the log file `fence`, the fence of this writer, was replayed."""
        self._flushed_seq = self.last_seq
        if self._wal is not None:
            self._wal.written.append((fence, self.last_seq))

    def _prove(self) -> None:
        check_epochs(self.manifests.refresh().value, self.epoch)

    # Writing.

    def write(
        self,
        ops: Sequence[Op],
        *,
        check: Callable[[], None] | None = None,
        seq: int | None = None,
    ) -> Written:
        """Take some operations, all of them or none, and publish them together.

        Requires: one operation per key. `check` is called under the lock, before anything is
        taken, and may raise. `seq` is the number to give, which must be above every earlier one.
        Waits while memtables are full. Raises ClosedError, InvalidError, what `check` raises, and
        UnavailableError when flushing makes no progress; then nothing was written.
        """
        while True:
            written = self.try_write(ops, check=check, seq=seq)
            if not isinstance(written, Pending):
                return written
            self._wait_relieved()

    def try_write(
        self,
        ops: Sequence[Op],
        *,
        check: Callable[[], None] | None = None,
        seq: int | None = None,
    ) -> Written | Pending:
        """As `write`, but PENDING instead of waiting: then nothing was written."""
        self._prepare(ops)
        with self._lock:
            if self._barred and not self._admit():
                return PENDING
            if check is not None:
                check()
            number = self.last_seq + 1
            if seq is not None:
                if seq < number:
                    raise InvalidError(
                        f"the sequence number {seq} is not above {self.last_seq}", kind="seq"
                    )
                number = seq
            now = self.clock.now_ms()
            if now < self._tick:
                now = self._tick
            if not ops:
                return Written(self, self.last_seq, now)
            rows = self._rows(ops, number, now)
            memtable = self._memtable
            memtable.insert_rows(rows, self._keep_from())
            self._tick = now
            log = self._log
            if log is not None:
                log.rows += rows
            if self.noting is not None:
                self.noting(number, ops)
            if now >= self.tracker.next_ms:
                self.tracker.note(number, now)
            self.last_seq = number
            if memtable.size >= self._freeze_at:
                self._freeze()
        if self.quiet:
            self._wake_log()
        return Written(self, number, now)

    def write_one(
        self,
        key: bytes,
        value: bytes,
        kind: int,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
    ) -> Written | Pending:
        """As `try_write` of one operation, at half the cost."""
        if self.noting is not None or self.segment_extractor is not None or kind == MERGE:
            return self.try_write([(key, value, kind, ttl_ms, expire_at_ms)])  # type: ignore[list-item]
        with self._lock:
            if self._barred and not self._admit():
                return PENDING
            now = self.clock.now_ms()
            if now < self._tick:
                now = self._tick
            expire_ts: int | None = None
            if ttl_ms is not None or expire_at_ms is not None:
                expire_ts = expiry_of(ttl_ms, expire_at_ms, None, now)
            elif self._ttl is not None and kind != TOMBSTONE:
                expire_ts = now + self._ttl
            number = self.last_seq + 1
            memtable = self._memtable
            memtable.insert(key, value, number, kind, now, expire_ts, self._keep_from())
            self._tick = now
            log = self._log
            if log is not None:
                log.rows.append((key, value, number, kind, now, expire_ts))
            if now >= self.tracker.next_ms:
                self.tracker.note(number, now)
            self.last_seq = number
            if memtable.size >= self._freeze_at:
                self._freeze()
        if self.quiet:
            self._wake_log()
        return Written(self, number, now)

    def _prepare(self, ops: Sequence[Op]) -> None:
        extractor = self.segment_extractor
        if extractor is not None:
            for op in ops:
                segment_of(extractor, op[0])
        if not self._noted and MERGE in [op[2] for op in ops]:
            if self.merge_operator is None:
                raise InvalidError(
                    "the database was opened without a merge operator",
                    kind="no_merge_operator",
                    hint="pass merge_operator= to open",
                )
            self._guard.note_operator(self.merge_operator.name)
            self._noted = True

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

    def _keep_from(self) -> int:
        durable = self.durable_seq
        pinned = self._pin_min
        return durable if pinned is None or durable < pinned else pinned

    def _admit(self) -> bool:
        """Whether a write may pass after all. Requires: the lock. Raises ClosedError."""
        if self._error is not None:
            raise self._error
        if self._stalled_at is None:
            self._stalled_at = self.clock.monotonic()
            self.metrics.stalls += 1
        return False

    def _wait_relieved(self) -> None:
        """Wait until writes are admitted. Raises UnavailableError when flushing fails."""
        if not self.background:
            self.flush_frozen()
            return
        self.jobs.wake(FlushJob.name)
        with self._relieved:
            self._relieved.wait_for(
                lambda: not self._barred or self._error is not None or self._flush_error,
                _STALL_SECONDS,
            )
            if self._error is not None or not self._barred:
                return
            error = self._flush_error
        raise UnavailableError(
            "memtables are full, and "
            + (f"flushing them fails: {error.message}" if error else "level 0 is full"),
            kind=error.kind if error else "stalled",
            hint=None if error else "is there a compactor?",
        )

    def when_relieved(self, callback: Callable[[], None]) -> None:
        """Have `callback` called once writes are admitted again, or will raise why they are not.

        From any thread, maybe from this one before the return.
        """
        with self._lock:
            if self._barred and self._error is None:
                self._stalled.append(callback)
                return
        callback()

    def _freeze(self) -> bool:
        """Freeze the memtable, if it has rows. Requires: the lock."""
        memtable = self._memtable
        if not memtable.count:
            return False
        memtable.freeze()
        self._frozen_bytes += memtable.size
        wal = self._wal
        self._memtable = Memtable(1 if wal is None else wal.next_number)
        self.view = self.view.with_memtables((self._memtable, *self.view.memtables))
        self._press()
        self.jobs.wake(FlushJob.name)
        return True

    def _press(self) -> list[Callable[[], None]]:
        """Work out the back-pressure anew; return who is to be told. Requires: the lock."""
        left = self.settings.unflushed_size_max - self._frozen_bytes
        self._freeze_at = max(min(self.settings.l0_sst_size, left), 1)
        self._barred = left <= 0 or self._error is not None
        if self._barred and self._error is None:
            return []
        if self._stalled_at is not None:
            self.metrics.stall_ms += int((self.clock.monotonic() - self._stalled_at) * 1000)
            self._stalled_at = None
        told, self._stalled = self._stalled, []
        self._relieved.notify_all()
        return told

    # Durability.

    @property
    def durable_seq(self) -> int:
        """The newest write that is durable, with all before it."""
        log = self._log
        return self._flushed_seq if log is None else log.durable_seq

    def commit(self, seq: int) -> None:
        """Return when all writes up to `seq` are durable, doing what is needed in this thread.

        Raises ClosedError; UnavailableError with `effect_unknown`: the writes stay, are seen, and
        are tried again.
        """
        log = self._log
        if log is None:
            if self._flushed_seq < seq:
                self.flush_memtable()
            return
        try:
            log.commit(seq)
        except ClosedError as error:
            self._shut(error)
            raise
        if log.next_number - self._memtable.first_wal_id >= self.settings.wal_files_max:
            self._freeze_now()

    def when_durable(self, seq: int, callback: Callback) -> None:
        """Have `callback` called with None when `seq` is durable, or with the error.

        From any thread, maybe from this one before the return; it must not block. This starts
        nothing: call `commit` in a thread that may block.
        """
        log = self._log
        if log is not None:
            log.when_durable(seq, callback)
            return
        with self._lock:
            error = self._error
            if self._flushed_seq < seq and error is None:
                self._waiting.append((seq, callback))
                return
        callback(error if self._flushed_seq < seq else None)

    @property
    def wal_pending(self) -> bool:
        """Whether rows wait for the log."""
        return self._log is not None and self._log.pending

    def flush_wal(self) -> None:
        """Make durable all that was written before the call. Raises as `commit`."""
        self.require_open()
        self.commit(self.last_seq)

    def flush_memtable(self) -> None:
        """Write all that is in memory before the call to level 0.

        Waits while level 0 is full and a compactor works here. Raises as `commit`, and
        UnavailableError(kind="l0_full").
        """
        self.require_open()
        self._flush_up_to(self._freeze_now(), waits=True)

    def _flush_up_to(self, seq: int, *, waits: bool = False, full: bool = False) -> None:
        while self.frozen_count and self.view.memtables[-1].last_seq <= seq:
            self.flush_frozen(waits=waits, full=full)

    def flush_frozen(self, *, waits: bool = False, full: bool = False) -> bool:
        """Write the oldest frozen memtable to level 0; tell whether there was one.

        Leaves it when level 0 is full: raises UnavailableError(kind="l0_full"), after waiting for
        the compactor here if `waits`; with `full` it is written all the same. Raises as `commit`.
        """
        with self._flush_turn:
            memtables = self.view.memtables
            if len(memtables) < 2:
                return False
            if self.l0_full and not full:
                self._make_room(waits)
            memtable = memtables[-1]
            try:
                self._flush(memtable)
            except ClosedError as error:
                self._shut(error)
                raise
            except Error as error:
                self._note_flush_error(error)
                raise
            self._flush_error = None
            self.metrics.memtables_flushed += 1
            return True

    def _flush(self, memtable: Memtable) -> None:
        wal, known = self._wal, self.view.manifest
        replay_after, seen = known.replay_after_wal_id, known.wal_id_last_seen
        if wal is not None:
            wal.commit(memtable.last_seq)
            replay_after = wal.last_file_up_to(memtable.last_seq) or replay_after
            seen = wal.next_number - 1
        pinned = self._pin_min
        keep_from = memtable.last_seq if pinned is None else min(pinned, memtable.last_seq)
        mark = FlushMark(
            replay_after_wal_id=replay_after,
            wal_id_last_seen=seen,
            last_l0_clock_tick=max(memtable.last_tick, known.last_l0_clock_tick),
            last_l0_seq=memtable.last_seq,
            recent_snapshot_min_seq=keep_from,
            sequence_tracker=self.tracker.encoded(memtable.last_seq),
        )
        made = self._flusher.flush(memtable, keep_from, mark)
        self.adopt(made)
        if wal is not None:
            wal.proved()
            wal.forget_up_to(replay_after)

    def _make_room(self, waits: bool) -> None:
        """See that level 0 takes another file. Raises UnavailableError(kind="l0_full")."""
        self.refresh()
        if waits and self.background and self.settings.compactor.enabled:
            with self._relieved:
                self._relieved.wait_for(
                    lambda: not self.l0_full or self._error is not None, _STALL_SECONDS
                )
            self.require_open()
        if self.l0_full:
            raise UnavailableError(
                f"level 0 holds {self.settings.l0_max_ssts} files or more",
                kind="l0_full",
                hint="compact it, or raise l0_max_ssts",
            )

    def _note_flush_error(self, error: Error) -> None:
        with self._lock:
            self._flush_error = error
            told, self._stalled = self._stalled, []
            self._relieved.notify_all()
        for callback in told:
            callback()

    def _freeze_now(self) -> int:
        """Freeze the memtable; return the number up to which all is in frozen ones."""
        with self._lock:
            self._freeze()
            return self.last_seq

    # The manifest.

    def adopt(self, version: Version[Manifest]) -> None:
        """Read from this manifest from now on, if it is newer than the one that is read from.

        Memtables whose rows it has in table files are let go. A later writer's ends this one.
        """
        manifest = version.value
        if manifest.writer_epoch > self.epoch:
            self._shut(_fenced(manifest.writer_epoch, self.epoch))
            return
        if version.number <= self._adopted:
            return
        forest = self.tables.forest(manifest)
        with self._lock:
            if version.number <= self._adopted:
                return
            self._adopted = version.number
            active, *frozen = self.view.memtables
            kept = [each for each in frozen if each.last_seq > manifest.last_l0_seq]
            self.view = View(self.tables, manifest, (active, *kept), forest=forest)
            self._flushed_seq = max(self._flushed_seq, manifest.last_l0_seq)
            self._frozen_bytes = sum(each.size for each in kept)
            told = self._press()
            durable = [each for each in self._waiting if each[0] <= self._flushed_seq]
            self._waiting = [each for each in self._waiting if each[0] > self._flushed_seq]
            self._relieved.notify_all()
        for relieved in told:
            relieved()
        for _, callback in durable:
            callback(None)
        if kept:
            self.jobs.wake(FlushJob.name)

    def refresh(self) -> Version[Manifest]:
        """Look for a newer manifest, and read from it. Raises ClosedError, UnavailableError."""
        latest = self.manifests.refresh()
        self.adopt(latest)
        self.require_open()
        return latest

    def checkpoint(self, name: str | None = None, lifetime_ms: int | None = None) -> Checkpoint:
        """Keep the database as it is now, for `lifetime_ms` or until it is deleted.

        All that was written before the call is flushed first and is in it. Raises as
        `flush_memtable`.
        """
        self.require_open()
        self._flush_up_to(self._freeze_now(), full=True)
        now_s = self.clock.now_ms() // 1000
        expires = None if lifetime_ms is None else now_s + -(-lifetime_ms // 1000)
        made = Checkpoint(mint_uuid(self.rand), 0, now_s, expires, name)

        def edit(manifest: Manifest, number: int) -> Manifest | None:
            nonlocal made
            if any(each.id == made.id for each in manifest.checkpoints):
                return None  # by this very change, whose reply was lost
            made = replace(made, manifest_id=number)
            return add_checkpoint(manifest, made)

        try:
            self.adopt(self.manifests.edit(edit, writer_epoch=self.epoch))
        except ClosedError as error:
            self._shut(error)
            raise
        return made

    # What is read.

    def pin(self, seq: int | None = None) -> int:
        """Keep what is seen at `seq` (None: now) until `unpin`; return the number."""
        with self._lock:
            number = self.last_seq if seq is None else seq
            self._pins[number] = self._pins.get(number, 0) + 1
            if self._pin_min is None or number < self._pin_min:
                self._pin_min = number
            return number

    def unpin(self, seq: int) -> None:
        """Let go of a pin."""
        with self._lock:
            left = self._pins[seq] - 1
            if left:
                self._pins[seq] = left
                return
            del self._pins[seq]
            if seq == self._pin_min:
                self._pin_min = min(self._pins, default=None)

    @property
    def pins(self) -> int:
        """How many pins there are."""
        return sum(self._pins.values())

    @property
    def frozen_count(self) -> int:
        """How many memtables wait to be flushed."""
        return len(self.view.memtables) - 1

    @property
    def l0_count(self) -> int:
        """How many files level 0 has, in the tree that has most."""
        return max(len(tree.l0) for tree in self.view.manifest.trees())

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

    # The end.

    @property
    def closed_reason(self) -> str | None:
        """Why everything raises ClosedError; None while it does not."""
        return None if self._error is None else self._error.reason

    def require_open(self) -> None:
        """Raise ClosedError when the writer is closed, fenced or failed."""
        if self._error is not None:
            raise self._error

    def close(self, *, flush: bool = True) -> None:
        """End: make everything durable (with `flush`), stop the jobs.

        Harmless when repeated. Raises what flushing raises, the writer being closed all the same;
        ClosedError only when it was fenced with writes that are not durable.
        """
        with self._lock:
            first, self._closing = not self._closing, True
            error = self._error
            if error is None:  # writes are refused from here on
                self._error = ClosedError("the database is closed", reason="clean")
                self._barred = True
        if not first:
            return
        self.jobs.stop(_STALL_SECONDS)
        try:
            if error is not None and self.durable_seq < self.last_seq:
                raise error
            if error is None and flush:
                self._last_flush()
        finally:
            self._shut(ClosedError("the database is closed", reason="clean"))

    def abandon(self) -> None:
        """End without writing anything: the open failed half way."""
        self._closing = True
        self._shut(ClosedError("the database was not opened", reason="failed"))

    def _last_flush(self) -> None:
        wal = self._wal
        if self._log is not None:
            self._log.commit(self.last_seq)
        if self._log is None or (wal is not None and len(wal.written) >= _SOON):
            self._flush_up_to(self._freeze_now(), full=True)

    def _shut(self, error: ClosedError) -> None:
        """Fail every call from now on. The first reason stays."""
        with self._lock:
            if self._error is None:
                self._error = error
            error = self._error
            told = self._press()
            waiting, self._waiting = self._waiting, []
        if self._wal is not None:
            self._wal.fail(error)
        for relieved in told:
            relieved()
        for _, callback in waiting:
            callback(error)
        self.jobs.stop(0)

    def _job_failed(self, job: Job, error: BaseException) -> None:
        self.job_errors[job.name] = error
        if isinstance(error, ClosedError):
            self._shut(error)
        elif job.name in (LogJob.name, FlushJob.name):
            failed = ClosedError(f"the database's job {job.name} failed: {error}", reason="failed")
            failed.__cause__ = error
            self._shut(failed)

    def _wake_log(self) -> None:
        self.quiet = False
        if self._log is not None:
            self.jobs.wake(LogJob.name)


def _fenced(stored: int, ours: int) -> ClosedError:
    return ClosedError(
        f"another writer claimed epoch {stored}; this one's is {ours}",
        reason="fenced",
        epoch=stored,
    )
