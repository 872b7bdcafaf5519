"""Group commit: all changes that wait are run in one transaction and share one sync.

Owns: the queue of changes, who runs them, what happens when the disk refuses.
Does not own: what a change writes (`txn`), the connection's settings (`pool`).

One queue, two ways to drive it:
- Threads: a caller of `commit` that finds nobody at work leads. It runs every waiting change,
  commits, wakes their owners, and when its own is done hands the lead to one that waits. No thread
  of ours is needed.
- An event loop: with a `scheduler`, `submit` asks the loop to run the waiting changes as one call
  on the loop's own thread (a statement costs microseconds, handing the interpreter from thread to
  thread costs more), then COMMIT, which is the sync, goes to a helper thread. What arrives
  meanwhile is the next group. A group's results come back in one call on the loop. A change that
  a thread waits for never runs on the loop: its thread leads, and so long ones hold up nobody.

Invariants:
1. One thread at a time runs statements or COMMIT: the holder of `_busy`.
2. A result is delivered after COMMIT returned, an error after the change's writes were undone.
3. After COMMIT, or a write, failed with an I/O error the connection is not trusted: the next
   group runs on a new one, after a probe that was committed and synced. Until then the failed
   group stands in the log, and `Doubts` keeps the bytes it names.
4. Whatever is raised while a group runs, an interrupt too, every entry has its answer and the next
   group its turn.

Why the probe: after a failed fsync the kernel may have forgotten that pages are dirty, and
answer the next fsync with success (https://wiki.postgresql.org/wiki/Fsync_Errors). The probe
rewrites the log from the last good commit on, so it overwrites what the failed group left there.
The old connection stays open until then: were it the file's only one, the next to open the file
would read the log anew, and take the failed group for a commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import apsw

from cenote.base import failpoint
from cenote.errors import ClosedError, Error, NotFoundError, UnavailableError
from cenote.ports import Change, StagedBody
from cenote.sqldb.doubts import Doubts
from cenote.sqldb.faults import is_full, translate
from cenote.sqldb.pool import Pool
from cenote.sqldb.reserve import Reserve
from cenote.sqldb.syncers import Syncers
from cenote.sqldb.txn import Txn

__all__ = ["CommitQueue", "Committed", "Done", "Scheduler"]

T = TypeVar("T")
Done = Callable[[Any, BaseException | None], None]
Scheduler = Callable[..., Any]

GROUP_MAX: Final = 256

failpoint.register(
    "commit.begun", "commit.applied", "commit.before_sync", "commit.after_sync", "commit.delivered"
)


class _Entry:
    """One change in the queue. A thread that waits for it sleeps on `gate`."""

    __slots__ = ("change", "done", "error", "finished", "gate", "result")

    def __init__(self, change: Change[Any], done: Done | None) -> None:
        self.change = change
        self.done = done
        self.gate: threading.Lock | None = None
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None


class Committed:
    """What a durable group leaves to do: space freed, staged bodies now referred to."""

    __slots__ = ("freed", "settings_changed", "taken")

    def __init__(self, freed: bool, taken: list[StagedBody], settings: bool) -> None:
        self.freed = freed
        self.taken = taken
        self.settings_changed = settings


class CommitQueue:
    """The single writer of one bucket file."""

    def __init__(
        self,
        pool: Pool,
        name: str,
        *,
        spool: Callable[[int], Any],
        after: Callable[[Committed], None],
        log_grown: Callable[[int], bool],
        reserve: Reserve | None,
        make_room: Callable[[], object],
        doubts: Doubts,
        syncers: Syncers,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._pool = pool
        self._name = name
        self._spool = spool
        self._after = after
        self._log_grown = log_grown
        self._reserve = reserve
        self._make_room = make_room
        self._making_room = False
        self._doubts = doubts
        self._syncers = syncers
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._queue: deque[_Entry] = deque()
        self._alone: deque[threading.Lock] = deque()
        self._busy = False
        self._closed = False
        self._gone = False
        self._writer: tuple[apsw.Connection, Txn] | None = None
        self._distrusted: apsw.Connection | None = None
        self._suspect = False
        self.groups = 0
        self.changes = 0

    # Callers.

    def commit(self, change: Change[T]) -> T:
        """Run `change`, durable when it returns. See `ports.Index.commit`."""
        entry = _Entry(change, None)
        with self._lock:
            self._admit()
            self._queue.append(entry)
            if self._busy:
                gate = entry.gate = threading.Lock()
                gate.acquire()
            else:
                gate = None
                self._busy = True
        interrupt = None if gate is None else _wait(gate)  # until done, or the lead is ours
        if not entry.finished:
            interrupt = self._lead(entry) or interrupt
        if interrupt is not None:
            raise interrupt
        if entry.error is not None:
            try:
                raise entry.error
            finally:
                del entry  # else the traceback and the frame keep each other alive
        return cast(T, entry.result)

    def commit_own(self, change: Callable[[Txn], T]) -> T:
        """Like `commit`, for a change that needs more than `ports.IndexTxn` offers."""
        return self.commit(cast(Change[T], change))

    def submit(self, change: Change[T], done: Done) -> None:
        """Queue `change`; `done` is called once. See `ports.Index.submit`.

        With a scheduler `done` runs on the loop; without, on whichever thread led the group.
        """
        entry = _Entry(change, done)
        with self._lock:
            self._admit()
            self._queue.append(entry)
            if self._busy:
                return
            self._busy = True
        self._start_next()

    def run_alone(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on the writing connection between groups, outside any transaction.

        For checkpoints and vacuum. Raises as `commit`. Blocks the calling thread.
        """
        with self._lock:
            self._admit()
            gate = threading.Lock() if self._busy else None
            if gate is None:
                self._busy = True
            else:
                gate.acquire()
                self._alone.append(gate)
        if gate is not None:
            gate.acquire()  # until `_pass_on` hands the writer over
        try:
            return work(self._ready()[0])
        except (apsw.Error, OSError) as error:
            if not isinstance(error, apsw.FullError):
                self._distrust()
            raise translate(error, f"tending bucket {self._name}") from error
        finally:
            self._pass_on()

    def use_scheduler(self, scheduler: Scheduler | None) -> None:
        """Change what drives submitted changes. Waits until nobody is at work.

        Requires: a loop that is being left still runs its callbacks, or has nothing queued.
        """
        with self._lock:
            while self._busy:
                self._idle.wait()
            self._scheduler = scheduler

    def rest(self) -> bool:
        """Close the connection if nobody needs it now; tell whether it is closed."""
        with self._lock:
            if self._busy or self._suspect:
                return False
            self._drop_connection()
            return True

    def close(self) -> None:
        """Finish what is queued, then refuse everything."""
        with self._lock:
            self._closed = True
            while self._busy:
                self._idle.wait()
            self._drop_connection()

    def _admit(self) -> None:
        if self._gone:
            raise self._deleted()
        if self._closed:
            raise ClosedError(f"bucket {self._name} is closed")

    def _deleted(self) -> NotFoundError:
        return NotFoundError(f"bucket {self._name} was deleted", kind="no_such_bucket")

    # Who works.

    def _lead(self, entry: _Entry) -> BaseException | None:
        """Run groups until `entry` is done; return what interrupted this thread, if anything."""
        interrupt: BaseException | None = None
        while not entry.finished:
            interrupt = self._run_group(self._take()) or interrupt
        self._pass_on()
        return interrupt

    def _run_group(self, batch: list[_Entry]) -> BaseException | None:
        interrupt: BaseException | None = None
        try:
            if self._apply(batch):
                self._seal(batch)
        except BaseException as error:  # noqa: BLE001 - the supervisor: told to all who wait
            self._abandon(batch, error)
            if not isinstance(error, Exception):
                interrupt = error
        self._deliver(batch)
        return interrupt

    def _take(self) -> list[_Entry]:
        with self._lock:
            queue = self._queue
            return [queue.popleft() for _ in range(min(len(queue), GROUP_MAX))]

    def _take_for_loop(self) -> list[_Entry]:
        """Take what stands before the first change of a waiting thread: that one leads next."""
        with self._lock:
            queue = self._queue
            batch: list[_Entry] = []
            while queue and len(batch) < GROUP_MAX and queue[0].gate is None:
                batch.append(queue.popleft())
            return batch

    def _pass_on(self) -> None:
        with self._lock:
            if self._alone:
                self._alone.popleft().release()
                return
            if not self._queue:
                self._busy = False
                self._idle.notify_all()
                return
            heir = next((entry for entry in self._queue if entry.gate is not None), None)
        if heir is not None and heir.gate is not None:
            heir.gate.release()
        else:
            self._start_next()

    def _start_next(self) -> None:
        if self._scheduler is not None:
            self._scheduler(self._pump)
        else:
            self._syncers.run(self._work)

    def _call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        if self._scheduler is None:
            raise ClosedError(f"bucket {self._name} lost its event loop")
        self._scheduler(call, *arguments)

    def _work(self) -> None:
        """Without a loop: run groups on a helper thread until a waiting thread can lead."""
        self._run_group(self._take())
        self._pass_on()

    def _pump(self, finished: list[_Entry] | None = None) -> None:
        """On the loop: start the next group, then hand out the results of the last one."""
        batch = [] if self._alone else self._take_for_loop()
        if batch:
            try:
                syncing = self._apply(batch)
            except BaseException as error:  # noqa: BLE001 - the supervisor
                self._abandon(batch, error)
                syncing = False
            if syncing:
                self._syncers.run(self._sync, batch)
        if finished:
            self._call_back(finished)
        if not batch:
            self._pass_on()
        elif not syncing:
            self._wake(batch)
            self._call_soon(self._pump, batch)

    def _sync(self, batch: list[_Entry]) -> None:
        """In a helper thread: make the group durable."""
        try:
            self._seal(batch)
        except BaseException as error:  # noqa: BLE001 - the supervisor
            self._abandon(batch, error)
        self._wake(batch)
        self._call_soon(self._pump, batch)

    def _abandon(self, batch: list[_Entry], error: BaseException) -> None:
        """Give up a group something unforeseen broke off: nobody knows whether it was committed."""
        self._undo(error)
        for entry in batch:
            if entry.error is None:
                entry.error = UnavailableError(
                    f"writing bucket {self._name} was broken off", kind="io", effect_unknown=True
                )
                entry.error.__cause__ = error

    # The group.

    def _apply(self, batch: list[_Entry]) -> bool:
        """Run a group's statements; tell whether there is something to COMMIT.

        When it returns False every entry has its error, and nothing is left open.
        """
        if self._gone:  # by the group before, while these were waiting already
            for entry in batch:
                entry.error = self._deleted()
            return False
        try:
            self._run_statements(batch)
        except (apsw.Error, OSError, Error) as error:
            self._rescue(batch, error)
            return False
        return True

    def _run_statements(self, batch: list[_Entry]) -> None:
        connection, txn = self._ready()
        while True:
            txn.start_group()
            connection.execute("BEGIN IMMEDIATE")
            failpoint.hit("commit.begun")
            for entry in batch:
                if entry.error is not None:
                    continue
                try:
                    entry.result = txn.run(entry.change)
                    if txn.grows and self._reserve is not None and self._reserve.is_spent:
                        raise apsw.FullError("what is left is for deleting")
                except BaseException as error:  # noqa: BLE001 - it goes to the change's owner
                    for fault in (error, error.__cause__):
                        if isinstance(fault, apsw.FullError | apsw.IOError):
                            raise fault from None
                    entry.error = (
                        translate(error, f"writing bucket {self._name}")
                        if isinstance(error, apsw.Error | OSError)
                        else error
                    )
                    if txn.wrote:
                        break
            else:
                txn.finish_group()
                failpoint.hit("commit.applied")
                return
            # A change wrote and then raised: run the others again without it.
            connection.execute("ROLLBACK")

    def _seal(self, batch: list[_Entry]) -> None:
        """COMMIT the group and settle what it leaves to do."""
        connection, txn = self._ready()
        try:
            failpoint.hit("commit.before_sync")
            connection.execute("COMMIT")
        except (apsw.Error, OSError) as error:
            self._rescue(batch, error)
            return
        failpoint.hit("commit.after_sync")
        self.groups += 1
        self.changes += len(batch)
        if txn.closing:
            self._gone = True
        if txn.freed or txn.taken or txn.settings_changed:
            self._after(Committed(txn.freed, txn.taken, txn.settings_changed))

    def _rescue(self, batch: list[_Entry], error: apsw.Error | OSError | Error) -> None:
        """Undo a failed group, then try its changes one by one: a big one must fail alone.

        Refused ones are decided anew too: the reason may have been a write that was undone.
        One that only removes things is tried again with the space kept back for it, and with a
        log that was copied back, so that it is written where it has its blocks already.
        """
        removes = self._writer is not None and not self._writer[1].grows
        self._undo(error)
        if len(batch) > 1 and isinstance(error, apsw.FullError | apsw.IOError | OSError):
            for entry in batch:
                entry.error = None
                if self._apply([entry]):
                    self._seal([entry])
            return
        if removes and is_full(error) and not self._making_room:
            self._making_room = True
            try:
                self._make_room()
                self._copy_log_back()
                if self._apply(batch):
                    self._seal(batch)
            finally:
                self._making_room = False
            return
        for entry in batch:
            if isinstance(error, Error):
                entry.error = error
            else:
                entry.error = translate(error, f"writing bucket {self._name}")
                entry.error.__cause__ = error

    def _copy_log_back(self) -> None:
        try:
            self._ready()[0].wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.Error, OSError):
            return  # it went as far as there was room; the change is tried all the same

    def _undo(self, error: BaseException) -> None:
        if not isinstance(error, apsw.FullError):
            self._distrust()
        if self._writer is not None and self._writer[0].in_transaction:
            try:
                self._writer[0].execute("ROLLBACK")
            except apsw.Error:
                self._distrust()

    def _distrust(self) -> None:
        self._suspect = True
        self._doubts.begin()

    def _deliver(self, batch: list[_Entry]) -> None:
        self._wake(batch)
        if self._scheduler is not None:
            called = [entry for entry in batch if entry.done is not None]
            if called:
                self._scheduler(self._call_back, called)
        else:
            self._call_back(batch)
        failpoint.hit("commit.delivered")

    def _wake(self, batch: list[_Entry]) -> None:
        """Wake the threads that wait for these changes."""
        for entry in batch:
            if entry.done is None:
                entry.finished = True
                if entry.gate is not None:
                    entry.gate.release()

    def _call_back(self, batch: list[_Entry]) -> None:
        for entry in batch:
            if entry.done is not None:
                if entry.error is None:
                    entry.done(entry.result, None)
                else:
                    entry.done(None, entry.error)

    # The connection.

    def _ready(self) -> tuple[apsw.Connection, Txn]:
        """Return a writing connection that can be trusted. Raises apsw.Error or OSError."""
        if self._suspect and self._writer is not None:
            self._distrusted, self._writer = self._writer[0], None
        if self._writer is None:
            connection = self._pool.writer()
            connection.set_wal_hook(self._on_log)
            if self._suspect:
                try:
                    # See the head of this module.
                    connection.execute("UPDATE counter SET value=value+1 WHERE name='body'")
                except apsw.Error:
                    connection.close()
                    raise
                self._suspect = False
                self._drop_connection()
                self._doubts.end()
            self._writer = (connection, Txn(connection, self._name, self._spool))
        return self._writer

    def _drop_connection(self) -> None:
        writer, self._writer = self._writer, None
        distrusted, self._distrusted = self._distrusted, None
        if writer is not None:
            writer[0].close()
        if distrusted is not None:
            distrusted.close()

    def _on_log(self, connection: apsw.Connection, name: str, pages: int) -> int:
        if self._log_grown(pages):
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error:
                return 0  # the commit itself is durable: raised here, it would be called failed
        return 0


def _wait(gate: threading.Lock) -> BaseException | None:
    """Wait until the gate opens whatever comes between; return what came."""
    interrupt: BaseException | None = None
    while True:
        try:
            gate.acquire()
        except BaseException as error:  # noqa: BLE001 - raised by the caller, later
            interrupt = error
        else:
            return interrupt
