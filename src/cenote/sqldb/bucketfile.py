"""One bucket: its SQLite file and its packs, opened together.

Owns: putting the parts together, the background work of one bucket (`tend`).
Does not own: which buckets there are (`directory`).

Opened lazily: a bucket nobody uses has no descriptors. `rest` closes them again, and any use opens
them anew, so a handle stays good until the bucket is closed or dropped.

Invariants:
1. Recovery ran before the bucket is handed out for writing.
2. The log is copied back (checkpoint) off the path of commits, and stays bounded: above `LOG_MAX`
   the writer stops for one checkpoint, after which it begins the log again.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import apsw

from cenote.errors import DeniedError, Error, UnavailableError
from cenote.ports import BodyWriter, Change, ObjectRecord, StagedBody
from cenote.sqldb.bodies import SqliteBodies
from cenote.sqldb.check import Finding, check_bucket
from cenote.sqldb.commit import CommitQueue, Committed, Done, Scheduler
from cenote.sqldb.doubts import Doubts
from cenote.sqldb.faults import translate
from cenote.sqldb.leasefile import LeaseFile
from cenote.sqldb.packs import PACK_SIZE, Packs
from cenote.sqldb.pins import Pins
from cenote.sqldb.pool import Pool
from cenote.sqldb.reclaim import Reclaim
from cenote.sqldb.recover import recover_packs
from cenote.sqldb.reserve import Reserve
from cenote.sqldb.rows import valued_object_of
from cenote.sqldb.schema import PAGE_SIZE
from cenote.sqldb.syncers import Syncers
from cenote.sqldb.view import OBJECT_VALUE, Snapshot

__all__ = ["BucketFile", "ReadingIndex", "SqliteIndex"]

T = TypeVar("T")
log = logging.getLogger("cenote.sqldb")
LOG_SOME: Final = (8 << 20) // PAGE_SIZE  # pages of log worth a checkpoint
LOG_MAX: Final = (64 << 20) // PAGE_SIZE
_VACUUM_STEP: Final = 512  # pages
_VACUUM_FROM: Final = 128


class ReadingIndex:
    """The reading half of an `Index`. Thread-safe."""

    __slots__ = ("_name", "_pool")

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._name = name

    def read(self) -> Snapshot:
        """Open a consistent view. See `ports.Index`."""
        return Snapshot(self._pool, self._name)

    def object_value(self, key: str, size_max: int) -> tuple[ObjectRecord, bytes | None] | None:
        """`IndexView.object_value` without opening a view: one statement sees one commit anyway.

        Cost: 5 us for 1 KiB.
        """
        reader = self._pool.acquire()
        try:
            rows = reader.execute(OBJECT_VALUE, (size_max, key)).fetchall()
        except apsw.Error as error:
            raise translate(error, f"reading bucket {self._name}") from error
        finally:
            self._pool.release(reader)
        return valued_object_of(key, rows[0]) if rows else None


class SqliteIndex(ReadingIndex):
    """`Index` of one bucket file. Thread-safe."""

    __slots__ = ("_queue", "_read_only")

    def __init__(self, pool: Pool, name: str, queue: CommitQueue, *, read_only: bool) -> None:
        super().__init__(pool, name)
        self._queue = queue
        self._read_only = read_only

    def commit(self, change: Change[T]) -> T:
        """Run `change` and return its result once it is durable. See `ports.Index`."""
        if self._read_only:
            self._refuse()
        return self._queue.commit(change)

    def submit(self, change: Change[T], done: Done) -> None:
        """Like `commit`, without blocking. See `ports.Index`."""
        if self._read_only:
            self._refuse()
        self._queue.submit(change, done)

    def groups(self) -> tuple[int, int]:
        """Return how many groups were committed, and how many changes were in them."""
        return self._queue.groups, self._queue.changes

    def _refuse(self) -> NoReturn:
        raise DeniedError(f"bucket {self._name} is open read-only", kind="read_only")


class _ReadOnlyBodies(SqliteBodies):
    """Bodies beside a writer that may be another process, and does not know of us."""

    _guarded = False

    def writer(self, size: int, algorithms: object = ()) -> BodyWriter:
        raise DeniedError(f"bucket {self._name} is open read-only", kind="read_only")

    def stage(self, data: bytes, algorithms: object = ()) -> StagedBody:
        raise DeniedError(f"bucket {self._name} is open read-only", kind="read_only")


class BucketFile:
    """An open bucket: `name`, `index`, `bodies`."""

    beats = 0  # seconds since somebody asked for the bucket: see `idleness`

    def __init__(
        self,
        path: Path,
        *,
        spool_folder: Path,
        inline_max: int,
        syncers: Syncers,
        scheduler: Scheduler | None = None,
        wants_tending: Callable[[BucketFile], None] | None = None,
        reserve: Reserve | None = None,
        read_only: bool = False,
        pack_size: int = PACK_SIZE,
        leases_folder: Path | None = None,
        alone: bool = True,
    ) -> None:
        """Open the bucket file at `path` and, for writing, put right what a kill left.

        With `leases_folder` other processes may be reading the bucket (`outpost`); `alone` says
        that none does yet.

        `wants_tending` is called from any thread when `tend` has something to do; without it the
        log is copied back by the committing thread. `reserve` is the space kept back for
        deleting on a full disk.
        Raises NotFoundError, DataError, FormatVersionError, UnavailableError.
        """
        self.name = path.name.removesuffix(".sqlite3")
        self.path = path
        self.read_only = read_only
        self._wants_tending = wants_tending
        self._reserve = reserve
        self._inline_default = inline_max
        self._log_pages = 0
        self._freed = False
        self._tending = threading.Lock()
        self._changes_seen = -1
        self._pool = Pool(path, read_only=read_only, keep_log=leases_folder is not None)
        if not read_only:
            self._pool.writer().close()  # migrates, and plays back the log
        with self._pool.reading() as reader:
            bucket_id, own_inline_max = reader.one("SELECT id, inline_max FROM bucket")
        self._leases: LeaseFile | None = None
        if leases_folder is not None:
            self._leases = LeaseFile(leases_folder / bucket_id.hex())
        self._pins = Pins(self._leases)
        self._packs = Packs(
            path.with_name(f"{self.name}.packs"),
            bucket_id,
            read_only=read_only,
            pack_size=pack_size,
        )
        self._doubts = Doubts(self._pool, self._packs, ask=self._ask)
        kind = _ReadOnlyBodies if read_only else SqliteBodies
        self.bodies: SqliteBodies = kind(
            self._pool,
            self._packs,
            self._pins,
            self.name,
            spool_folder,
            inline_max if own_inline_max is None else own_inline_max,
            doubts=self._doubts,
        )
        self._queue = self._make_queue(syncers, scheduler)
        self.index = SqliteIndex(self._pool, self.name, self._queue, read_only=read_only)
        self._reclaim = Reclaim(
            self._pool, self._packs, self._pins, self._doubts, self.bodies, self._queue
        )
        if not read_only:
            self._recover(alone)

    def _make_queue(self, syncers: Syncers, scheduler: Scheduler | None) -> CommitQueue:
        return CommitQueue(
            self._pool,
            self.name,
            spool=self.bodies.open_spool,
            after=self._committed,
            log_grown=self._log_grown,
            reserve=self._reserve,
            make_room=self._make_room,
            doubts=self._doubts,
            syncers=syncers,
            scheduler=scheduler,
        )

    def _recover(self, alone: bool) -> None:
        try:
            recover_packs(self._pool, self._packs, alone=alone)
        except (OSError, apsw.Error) as error:
            raise translate(error, f"recovering bucket {self.name}") from error
        self._freed = self._is_owed()
        if self._freed:
            self._ask()

    def copy_to(self, folder: Path) -> None:
        """Copy the bucket's file and packs into `folder`, as they are between two commits.

        Nothing is committed meanwhile. Raises UnavailableError, NotFoundError.
        """

        def copy(_: object) -> None:
            target = apsw.Connection(str(folder / self.path.name))
            try:
                with (
                    self._pool.reading() as reader,
                    target.backup("main", reader.connection, "main") as backup,
                ):
                    backup.step()
            finally:
                target.close()
            packs = self.path.with_name(f"{self.name}.packs")
            if packs.exists():
                shutil.copytree(packs, folder / packs.name)

        try:
            self.index.commit(copy)
        except (OSError, apsw.Error) as error:
            raise translate(error, f"copying bucket {self.name}") from error

    # After a commit. Called by the committing thread: must be quick and not raise.

    def _committed(self, committed: Committed) -> None:
        for staged in committed.taken:
            self.bodies.taken(staged)
        if committed.settings_changed:
            try:
                with self._pool.reading() as reader:
                    own = reader.one("SELECT inline_max FROM bucket")[0]
            except (apsw.Error, Error) as error:
                log.warning(
                    "the new settings of %s wait for its next opening: %s", self.name, error
                )
            else:
                self.bodies.inline_max = self._inline_default if own is None else own
        if committed.freed and not self._freed:
            self._freed = True
            if self._wants_tending is not None:
                self._wants_tending(self)

    def _log_grown(self, pages: int) -> bool:
        """Take note of the log's length; tell whether the committing thread must copy it back."""
        before, self._log_pages = self._log_pages, pages
        if pages < LOG_SOME:
            return False
        if self._wants_tending is None:
            return True
        if before < LOG_SOME or pages % 256 < pages - before:
            self._wants_tending(self)
        return False

    def _is_owed(self) -> bool:
        """Tell whether an earlier process left space to be given back."""
        with self._pool.reading() as reader:
            return bool(
                reader.one(
                    "SELECT EXISTS(SELECT 1 FROM freed)"
                    " OR EXISTS(SELECT 1 FROM pack WHERE sealed AND live=0)"
                )[0]
            )

    def _ask(self) -> None:
        if self._wants_tending is not None:
            self._wants_tending(self)

    def _make_room(self) -> bool:
        """The disk is full: give up the reserve, and ask for what space tending can free.

        Returns whether there was a reserve to give up.
        """
        spent = self._reserve is not None and self._reserve.spend()
        self._log_pages = max(self._log_pages, LOG_SOME)
        self._freed = True
        if self._wants_tending is not None:
            self._wants_tending(self)
        return spent

    # Background work.

    def tend(self) -> bool:
        """Do a bounded piece of background work; tell whether to come again soon.

        Copies the log back, gives freed space back, shrinks the file when nobody writes.
        Raises UnavailableError when the disk refuses.
        """
        if self.read_only:
            return False
        with self._tending:
            if self._doubts.is_open:
                self._with_room(lambda: self._queue.run_alone(_probe))
            self._settle_doubts()
            more = starved = self._reserve is not None and self._reserve.is_spent
            if starved:  # then the log's own blocks count too
                self._queue.run_alone(_truncate_log)
                self._log_pages = 0
            elif self._log_pages >= LOG_SOME:
                self._with_room(self._checkpoint)
            if self._freed:
                self._freed = False
                self._freed = self._reclaim.step() or self._freed
                more = more or self._freed
            return self._shrink() or more

    def maintain(self) -> None:
        """Do all background work there is now, and copy the log back whole."""
        quiet = 0
        while quiet < 2:  # shrinking waits for one call without commits
            self._freed = True
            before = self._queue.changes
            again = self.tend()
            quiet = 0 if again and self._queue.changes != before else quiet + 1
        if not self.read_only:
            self._with_room(lambda: self._queue.run_alone(_truncate_log))
            self._log_pages = 0

    def _settle_doubts(self) -> None:
        try:
            self._doubts.step()
        except (OSError, apsw.Error) as error:
            raise translate(error, f"giving space of bucket {self.name} back") from error

    def _checkpoint(self) -> None:
        if self._log_pages >= LOG_MAX:
            self._queue.run_alone(_copy_log)
            self._log_pages = 0
            return
        try:
            connection = self._pool.writer()
            try:
                _copy_log(connection)
            finally:
                connection.close()
        except apsw.Error as error:
            raise translate(error, f"copying the log of bucket {self.name} back") from error
        # What is left is known at the next commit; if none comes, all was copied.
        self._log_pages = 0

    def _shrink(self) -> bool:
        """Give free pages of the SQLite file back, when nobody wrote since the last look."""
        changes = self._queue.changes
        quiet, self._changes_seen = changes == self._changes_seen, changes
        with self._pool.reading() as reader:
            free = reader.one("PRAGMA freelist_count")[0]
        if free < _VACUUM_FROM:
            return False
        if quiet:
            self._with_room(lambda: self._queue.run_alone(_shrink_some))
        return True

    def _with_room(self, work: Callable[[], None]) -> None:
        """Do work that frees space in the end but needs some first, once more with the reserve."""
        try:
            work()
        except UnavailableError as error:
            if error.kind != "disk_full" or not self._make_room():
                raise
            work()

    def check(self, *, deep: bool = False) -> list[Finding]:
        """Compare everything stored with every rule; see `check`. `deep` reads every byte."""
        return check_bucket(self._pool, self._packs, self.name, deep=deep)

    def use_scheduler(self, scheduler: Scheduler | None) -> None:
        """Let an event loop drive commits from now on, or no longer. See `commit`."""
        self._queue.use_scheduler(scheduler)

    def rest(self) -> None:
        """Close what is idle; the next use opens it again."""
        self._queue.rest()
        self._pool.rest()
        self._packs.rest()
        if self._leases is not None and self._tending.acquire(blocking=False):
            try:
                self._leases.rest()
            finally:
                self._tending.release()

    def close(self, *, dropped: bool = False) -> None:
        """Finish what is queued, then close. Open leases stay good until they are closed.

        `dropped`: the bucket was deleted; who still has the handle hears no_such_bucket.
        """
        self._queue.close()
        if self._leases is not None:
            with self._tending:
                self._leases.remove()
            self._pool.keep_log = dropped
            if not dropped:
                self._pool.rest()
                with suppress(apsw.Error, Error):  # then the next opening does it
                    self._pool.writer().close()  # the last one: it copies back and removes the log
        self._packs.close(dropped=dropped)
        self._pool.close(dropped=dropped)


def _probe(connection: apsw.Connection) -> None:
    """Do nothing: a connection that is handed out has ended all doubt."""


def _copy_log(connection: apsw.Connection) -> None:
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def _truncate_log(connection: apsw.Connection) -> None:
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        _copy_log(connection)  # a reader is in the way: next time


def _shrink_some(connection: apsw.Connection) -> None:
    try:
        connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_STEP})").fetchall()
    except apsw.FullError:
        # The log of the move itself did not fit: give its space back first, and move less.
        _truncate_log(connection)
        connection.execute("PRAGMA incremental_vacuum(16)").fetchall()
