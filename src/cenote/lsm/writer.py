"""The writer of a database: it makes durable what was taken, and moves it to table files.

Owns: the log and who waits for it, the flush of memtables, adopting manifests, checkpoints, the
end.
Does not own: taking rows (`intake`), becoming the writer (`takeover`), the log's files
(`wal.writer`), table files (`flush`), what is read (`view`).

Invariants:
1. All rows of one write are in one log file, and in the files of one memtable.
2. A memtable is flushed when its last row is in the log, oldest first.
3. A writer that was fenced, or whose flush cannot go on, raises ClosedError from every call.

Locks, in the order they are taken: the flush's turn, the log's turn, the manifests' lock, the
writer's lock, the jobs' lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cenote.base import Clock, Rand
from cenote.errors import ClosedError, Error, UnavailableError
from cenote.lsm.entry import Row
from cenote.lsm.flush import Flusher, layout_of
from cenote.lsm.format import SEQ_MAX, Checkpoint, Manifest, UlidMint, mint_uuid
from cenote.lsm.guard import Guard
from cenote.lsm.intake import STALL_SECONDS, Intake, Written
from cenote.lsm.jobs import FLUSH, Job, Jobs
from cenote.lsm.manifest.state import FlushMark, add_checkpoint, newest_l0_id
from cenote.lsm.manifest.store import ManifestStore, check_epochs
from cenote.lsm.memtable import Memtable
from cenote.lsm.metrics import Metrics
from cenote.lsm.plan import Pending
from cenote.lsm.refreshing import RefreshingStore
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import DbSettings
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.writer import Callback, Moment, WalWriter, moment_of
from cenote.lsm.warm import admit_file
from cenote.lsm.writer_jobs import FlushJob, LogJob
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.batch import Op
    from cenote.lsm.format import BloomPolicy
    from cenote.lsm.merge import MergeOperator
    from cenote.lsm.place import Place

__all__ = ["Writer"]

_SOON: Final = 16  # log files that make a close flush the memtable, so that the next open is quick


class Writer(Intake):
    """The one writer of a database. Thread-safe. Made by `cenote.lsm.opening.open_writer`."""

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
        super().__init__(
            settings,
            manifest.value,
            guard=guard,
            tables=tables,
            merge_operator=merge_operator,
            segment_extractor=segment_extractor,
            clock=clock,
            metrics=metrics,
        )
        self.place = place
        self.reads = RefreshingStore(place.store, self.refresh)  # what reads fetch through
        self.manifests = manifests
        self.rand = rand
        self.background = background
        self.epoch = manifest.value.writer_epoch
        self.compactor_epoch = manifest.value.compactor_epoch
        self.layout = layout_of(settings, filter_policies)
        self.mint = UlidMint(clock, rand)
        newest = newest_l0_id(manifest.value)
        if newest is not None:
            self.mint.raise_to(newest)  # collectors tell what is on its way by the order of ids
        self.jobs = Jobs(clock, self._job_failed)
        self.job_errors: dict[str, BaseException] = {}
        self._adopted = manifest.number
        self._wal: WalWriter | None = None  # the log, also when no rows go into it
        self._waiting: list[tuple[int, Callback]] = []  # without a log
        self._closing = False
        self._flush_turn = threading.RLock()
        self._flusher = Flusher(
            place,
            manifests,
            writer_epoch=self.epoch,
            layout=self.layout,
            extractor=segment_extractor,
            mint=self.mint,
        )
        if settings.cache_on_flush:
            self._flusher.admit = lambda handle, data: admit_file(
                tables.open(handle, place.table(handle.id)), data
            )
        if settings.wal_enabled:
            self.jobs.add(LogJob(self, settings.flush_interval_ms / 1000), "log")
        self.jobs.add(FlushJob(self), FLUSH)

    # The beginning; see `cenote.lsm.opening`.

    def begin_log(self, files: WalFiles, next_number: int, proved: Moment) -> None:
        """Write log files from `next_number` on. The epoch was ours at the moment `proved`."""
        self._wal = WalWriter(
            files,
            next_number=next_number,
            durable_seq=self.last_seq,
            lock=self._lock,
            codec=self.settings.file_codec,
            clock=self.clock,
            rand=self.rand,
            prove=self._prove,
            proved=proved,
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
        """Take some operations as `try_write` does, and wait while memtables are full.

        Raises UnavailableError, too, when flushing makes no progress; then nothing was written.
        """
        while True:
            written = self.try_write(ops, check=check, seq=seq)
            if not isinstance(written, Pending):
                return written
            self.relieve()

    def relieve(self) -> None:
        """Wait until writes are admitted; without jobs running, flush a memtable instead."""
        if self.background:
            self.wait_relieved()
        else:
            self.flush_frozen()

    def _frozen(self) -> None:
        self.jobs.wake(FlushJob.name)

    def _wake_log(self) -> None:
        self.log_asleep = False
        if self._log is not None:
            self.jobs.wake(LogJob.name)

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
            error = self.error
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
        keep_from = min(self._pin_min, memtable.last_seq)
        mark = FlushMark(
            replay_after_wal_id=replay_after,
            wal_id_last_seen=seen,
            last_l0_clock_tick=max(memtable.last_tick, known.last_l0_clock_tick),
            last_l0_seq=memtable.last_seq,
            recent_snapshot_min_seq=keep_from,
            sequence_tracker=self.tracker.encoded(memtable.last_seq),
        )
        before = moment_of(self.clock)
        made = self._flusher.flush(memtable, keep_from, mark)
        self.adopt(made)
        if wal is not None:
            wal.proved(before)
            wal.forget_up_to(replay_after)

    def _make_room(self, waits: bool) -> None:
        """See that level 0 takes another file. Raises UnavailableError(kind="l0_full")."""
        self.refresh()
        if waits and self.background and self.settings.compactor.enabled:
            with self._changed:
                self._changed.wait_for(
                    lambda: not self.l0_full or self.error is not None, STALL_SECONDS
                )
            self.require_open()
        if self.l0_full:
            raise UnavailableError(
                f"level 0 holds {self.settings.l0_max_ssts} files or more",
                kind="l0_full",
                hint="compact it, or raise l0_max_ssts",
            )

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
            self._changed.notify_all()
        for relieved in told:
            relieved(None)
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

    # The end.

    @property
    def log(self) -> WalWriter | None:
        """The log, when rows go into it."""
        return self._log

    @property
    def flusher(self) -> Flusher:
        """What writes its memtables."""
        return self._flusher

    @property
    def manifest_version(self) -> int:
        """The number of the manifest that is read from."""
        return self._adopted

    def disown(self) -> None:
        """End in a forked child: the parent's threads are not here, and its locks may be held."""
        self.error = ClosedError(
            "the database was opened before a fork: it is the parent's",
            reason="failed",
            hint="open databases after forking",
        )
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._barred = self._closing = True
        self.background = False
        if self._wal is not None:
            self._wal.error = self.error

    @property
    def closed_reason(self) -> str | None:
        """Why everything raises ClosedError; None while it does not."""
        return None if self.error is None else self.error.reason

    def require_open(self) -> None:
        """Raise ClosedError when the writer is closed, fenced or failed."""
        if self.error is not None:
            raise self.error.with_traceback(None)  # one error, raised many times

    def close(self, *, flush: bool = True) -> None:
        """End: make everything durable (with `flush`), stop the jobs.

        Harmless when repeated. Raises what flushing raises, the writer being closed all the same;
        ClosedError only when it was fenced with writes that are not durable.
        """
        with self._lock:
            first, self._closing = not self._closing, True
            error = self.error
            if error is None:  # writes are refused from here on
                self.error = ClosedError("the database is closed", reason="clean")
                self._barred = True
        if not first:
            return
        self.jobs.stop(STALL_SECONDS)
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
        """Fail every call from now on. The first reason stays, but for "clean": who was fenced
        while he closed has to be told so."""
        with self._lock:
            if self.error is None or self.error.reason == "clean":
                self.error = error
            else:
                error = self.error
            told = self._press()
            waiting, self._waiting = self._waiting, []
        if self._wal is not None:
            self._wal.fail(error)
        for relieved in told:
            relieved(None)
        for _, callback in waiting:
            callback(error)
        self.jobs.stop(0)

    def _job_failed(self, job: Job, error: BaseException) -> None:
        if isinstance(error, ClosedError) and error.reason == "clean":
            return  # it met the close, whose last flush is still to come
        self.job_errors[job.name] = error
        if isinstance(error, ClosedError):
            self._shut(error)
        elif job.name in (LogJob.name, FlushJob.name):
            failed = ClosedError(f"the database's job {job.name} failed: {error}", reason="failed")
            failed.__cause__ = error
            self._shut(failed)


def _fenced(stored: int, ours: int) -> ClosedError:
    return ClosedError(
        f"another writer claimed epoch {stored}; this one's is {ours}",
        reason="fenced",
        epoch=stored,
    )
