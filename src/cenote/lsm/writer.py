"""The writer of a database: it makes durable what was taken, until it ends.

Owns: beginning with a log, who waits for it, the jobs, the end.
Does not own: taking rows (`intake`), moving them to table files (`flushing`), becoming the writer
(`takeover`), the log's files (`wal.writer`), what is read (`view`).

Invariants:
1. All rows of one write are in one log file, and in the files of one memtable.
2. A writer that was fenced, or whose flush cannot go on, raises ClosedError from every call.

Locks, in the order they are taken: the flush's turn, the log's turn, the manifests' lock, the
writer's lock, the jobs' lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from cenote.errors import ClosedError, UnavailableError
from cenote.lsm.admission import STALL_SECONDS, unflushed
from cenote.lsm.entry import Row
from cenote.lsm.flushing import Flushing, Parts
from cenote.lsm.format import SEQ_MAX, Manifest
from cenote.lsm.intake import Written
from cenote.lsm.jobs import FLUSH, Job, Jobs
from cenote.lsm.manifest.store import check_epochs
from cenote.lsm.plan import Pending
from cenote.lsm.refreshing import RefreshingStore
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.writer import Callback, Moment, WalWriter
from cenote.lsm.writer_jobs import FlushJob, LogJob
from cenote.objstore import Version

if TYPE_CHECKING:
    from cenote.lsm.batch import Op

__all__ = ["Writer"]

_SOON: Final = 16  # log files that make a close flush the memtable, so that the next open is quick


class Writer(Flushing):
    """The one writer of a database. Thread-safe. Made by `cenote.lsm.opening.open_writer`."""

    def __init__(self, parts: Parts, manifest: Version[Manifest], *, background: bool) -> None:
        super().__init__(parts, manifest)
        settings = self.settings
        self.background = background
        self.reads = RefreshingStore(self.tables.store, self.refresh)  # what reads fetch through
        self.jobs = Jobs(self.clock, self._job_failed)
        self.job_errors: dict[str, BaseException] = {}
        self._closing = False
        if settings.wal_enabled:
            self.jobs.add(LogJob(self, settings.flush_interval_ms / 1000), "log")
        self.jobs.add(FlushJob(self), FLUSH)

    @property
    def log(self) -> WalWriter | None:
        """The log, when rows go into it."""
        return self._log

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
        """Wait until writes are admitted; without jobs running, flush a memtable instead.

        Raises UnavailableError, never with `effect_unknown`: no write was taken.
        """
        if self.background:
            self.wait_relieved()
            return
        try:
            self.flush_frozen()
        except UnavailableError as error:
            raise unflushed(error) from error

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
            with self._flush_turn:  # who waited for it may find that one flush was for all
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

    # The end.

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
