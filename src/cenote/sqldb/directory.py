"""A directory of buckets: `ROOT/NAME.sqlite3`, `ROOT/NAME.packs/`, and our own `ROOT/.cenote/`.

Owns: the lock that keeps a second writer out, making, opening and dropping buckets, how many are
awake, the threads they share.
Does not own: what is in a bucket (`bucketfile`).

`.cenote/lock` is locked (`tenure`) as long as the directory is open for writing, and
`.cenote/reserve` keeps space back for deleting on a full disk. Buckets are built in
`.cenote/new/` and dropped by way of `.cenote/trash/`; both, and `.cenote/spool/` and
`.cenote/leases/`, are emptied at the next opening. One file more may stand in `.cenote/`, made
like a bucket and in no listing: `LOCK_TABLES`, which holds cells and no objects.

Invariants:
1. A bucket exists when its `.sqlite3` file stands in ROOT, whole: it is linked there only after
   it was synced, and never over another.
2. Dropping moves the packs out first: packs without an index are never ours to delete. Then the
   file, then its log: a file without its log may be an older state, with all that was in it.
3. A name that is not 3 to 63 of `a-z 0-9 . -` never reaches the file system.
4. Other programs' files are left alone; `notes` tells of them.
5. Who makes or drops a bucket holds its name (`_changing`) and not the lock: it waits for the disk
   and for commits, and an event loop that must finish those may be asking for another bucket.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import apsw

from cenote.base import Rand, SystemRand, failpoint
from cenote.errors import (
    AlreadyExistsError,
    ClosedError,
    DataError,
    DeniedError,
    InvalidError,
    NotFoundError,
)
from cenote.ports import BucketRecord, Change
from cenote.sqldb.bodies import INLINE_LIMIT
from cenote.sqldb.bucketfile import BucketFile
from cenote.sqldb.commit import Scheduler
from cenote.sqldb.faults import translate
from cenote.sqldb.filenames import (
    LOCK_TABLES,
    SUFFIX,
    is_bucket_file,
    is_file_name,
    path_of,
    scan,
)
from cenote.sqldb.housekeeper import Housekeeper
from cenote.sqldb.idleness import Idleness
from cenote.sqldb.packfile import sync_folder
from cenote.sqldb.packs import PACK_SIZE
from cenote.sqldb.reserve import Reserve
from cenote.sqldb.schema import create_tables, header_verdict
from cenote.sqldb.syncers import Syncers
from cenote.sqldb.tenure import Tenure, make_root, take_lock

__all__ = ["INLINE_MAX", "Directory", "no_bucket"]

INLINE_MAX: Final = 32 << 10
AWAKE_MAX: Final = 64

failpoint.register(
    "create.built",
    "create.linked",
    "create.synced",
    "drop.closed",
    "drop.packs_moved",
    "drop.file_moved",
    "drop.moved",
    "drop.synced",
)


class Directory:
    """An open directory of buckets. Thread-safe. A context manager."""

    def __init__(
        self,
        root: str | Path,
        *,
        read_only: bool = False,
        create: bool = False,
        inline_max: int = INLINE_MAX,
        awake_max: int = AWAKE_MAX,
        pack_size: int = PACK_SIZE,
        background: bool = True,
        rand: Rand | None = None,
        scheduler: Scheduler | None = None,
        tenure: Tenure | None = None,
    ) -> None:
        """Open the directory at `root`, making it when `create` is set.

        `inline_max` bytes is what a body may have to be kept in the SQLite file, where a bucket
        does not say otherwise. `awake_max` buckets keep descriptors open. With `background` false
        no thread tends the buckets: call `maintain`. With a `tenure` the lock is held already, and
        other processes of the same family may read the buckets (`outpost`).
        Raises NotFoundError (kind "no_such_directory"), ConflictError (kind "directory_locked")
        when another process writes to it, DeniedError (kind "read_only"), UnavailableError.
        """
        self.root = Path(root)
        self.read_only = read_only
        self.inline_max = min(inline_max, INLINE_LIMIT)
        self._awake_max = awake_max
        self._pack_size = pack_size
        self._rand = rand or SystemRand()
        self._scheduler = scheduler
        self._own = self.root / ".cenote"
        self._lock = threading.RLock()
        self._awake: OrderedDict[str, BucketFile] = OrderedDict()
        self._changing: set[str] = set()
        self._changed = threading.Condition(self._lock)
        self._open: OrderedDict[str, BucketFile] = OrderedDict()
        self._closed = False
        self._syncers = Syncers()
        self._housekeeper = Housekeeper() if background else None
        self._idleness = Idleness(lambda: list(self._open.values()))
        self._lock_fd = -1
        self._tenure = tenure
        self._reserve: Reserve | None = None
        if not read_only:
            if create:
                make_root(self.root)
            self._prepare()
        elif not self.root.is_dir():
            raise NotFoundError(f"{self.root} is not a directory", kind="no_such_directory")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Opening.

    def _prepare(self) -> None:
        tenure = self._tenure
        if tenure is None:
            self._lock_fd = take_lock(self.root)
        try:
            for name in ("new", "trash"):
                _empty(self._own / name)
            if tenure is None or tenure.fresh:
                for name in ("spool", "leases"):
                    _empty(self._own / name)
            else:
                tenure.generations.settle()
        except OSError as error:
            self._unlock()
            raise translate(error, f"clearing {self._own}") from error
        ask = self._housekeeper.ask if self._housekeeper is not None else None
        self._reserve = Reserve(self._own / "reserve", wants_tending=ask)

    def _unlock(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    # Buckets.

    def names(self) -> list[str]:
        """Return the names of all buckets, sorted. Cost: 10 us a bucket."""
        return [name for name, note in self._scan() if note is None]

    def notes(self) -> list[str]:
        """Return a sentence for each file that looks like a bucket and is not served."""
        return [f"{self.root / name}: {note}" for name, note in self._scan() if note is not None]

    def _scan(self) -> list[tuple[str, str | None]]:
        self._require_open()
        return scan(self.root, self._skip_open)

    def _skip_open(self, name: str, look: Callable[[], str | None]) -> str | None:
        with self._lock:
            return None if name in self._open else look()

    def open(self, name: str) -> BucketFile:
        """Return the open bucket, opening it when needed. The handle stays good until dropped.

        Raises NotFoundError (kind "no_such_bucket"), DataError for another program's file,
        FormatVersionError, UnavailableError, ClosedError. Cost: 1 us once it is open.
        """
        bucket = self._open.get(name)
        if bucket is None:
            with self._lock:
                self._require_open()
                bucket = self._open.get(name)
                if bucket is None:
                    if name in self._changing:
                        raise no_bucket(name)
                    bucket = self._open[name] = self._open_file(name)
                    if self._housekeeper is not None:
                        self._housekeeper.ask(self._idleness)
        bucket.beats = 0
        try:
            self._open.move_to_end(name)
            self._awake.move_to_end(name)
        except KeyError:
            self._wake(name, bucket)
        return bucket

    def _open_file(self, name: str) -> BucketFile:
        if not is_file_name(name):
            raise no_bucket(name)
        path = path_of(self.root, name)
        if path.is_symlink() or not path.is_file():
            raise no_bucket(name)
        with path.open("rb") as file:
            note = header_verdict(file.read(100))
        if note is not None:
            raise DataError(f"{path}: {note}", kind="foreign_file", bucket=name)
        return BucketFile(
            path,
            spool_folder=self._own / "spool",
            inline_max=self.inline_max,
            syncers=self._syncers,
            scheduler=self._scheduler,
            wants_tending=None
            if self.read_only or not self._housekeeper
            else self._housekeeper.ask,
            reserve=self._reserve,
            read_only=self.read_only,
            pack_size=self._pack_size,
            leases_folder=self._own / "leases" if self._tenure is not None else None,
            alone=self._tenure is None or self._tenure.fresh,
        )

    def _wake(self, name: str, bucket: BucketFile) -> None:
        """Count a bucket among those with descriptors, and let the one used longest ago rest."""
        with self._lock:
            if self._open.get(name) is not bucket:
                raise no_bucket(name)
            self._awake[name] = bucket
            if len(self._awake) > self._awake_max:
                self._awake.popitem(last=False)[1].rest()

    def create(self, record: BucketRecord) -> BucketFile:
        """Make a bucket and return it open.

        Atomic: it exists whole, or not at all. Durable when it returns.
        Raises InvalidError (kind "invalid_bucket_name"), AlreadyExistsError (kind "bucket_exists"),
        DataError when foreign files stand in the way, DeniedError, UnavailableError.
        """
        if not is_file_name(record.name):
            raise InvalidError(f"{record.name!r} is not a bucket name", kind="invalid_bucket_name")
        self._require_writable()
        name = record.name
        with self._lock:
            while name in self._changing:
                self._changed.wait()
            self._require_open()
            if name in self._open:
                raise _exists(name)
            self._changing.add(name)
        try:
            self._make(record)
        except BaseException:
            self._let_go(name)
            raise
        with self._lock:
            self._let_go(name)
            return self.open(name)

    def _let_go(self, name: str) -> None:
        with self._lock:
            self._changing.discard(name)
            self._changed.notify_all()

    def _make(self, record: BucketRecord) -> None:
        # Nothing of this name is open here: a look into the file costs SQLite no locks.
        target = path_of(self.root, record.name)
        try:
            if target.is_symlink() or (target.exists() and not is_bucket_file(target)):
                raise AlreadyExistsError(
                    f"{target} is another program's file",
                    kind="foreign_file",
                    hint="move it away, or choose another name",
                )
            if target.exists():
                raise _exists(record.name)
            if (self.root / f"{record.name}.packs").exists():
                raise DataError(
                    f"{self.root / record.name}.packs stands there without its index",
                    kind="foreign_file",
                    hint="move it away, or put its .sqlite3 file back",
                )
            self._build(record, target)
        except FileExistsError as error:
            raise _exists(record.name) from error
        except (OSError, apsw.Error) as error:
            raise translate(error, f"making bucket {record.name}") from error

    def _build(self, record: BucketRecord, target: Path) -> None:
        bucket_id = self._rand.bytes(16)
        new = self._own / "new" / f"{bucket_id.hex()}{SUFFIX}"
        try:
            connection = apsw.Connection(str(new))
            try:
                create_tables(connection)
                connection.execute(
                    "INSERT INTO bucket VALUES(?,?,?,?,?,?)",
                    (
                        bucket_id,
                        record.name,
                        record.created_ms,
                        record.region,
                        record.owner,
                        record.inline_max,
                    ),
                )
            finally:
                connection.close()
            _sync_file(new)
            failpoint.hit("create.built")
            for tail in ("-wal", "-shm"):  # of a bucket that was dropped half way
                target.with_name(target.name + tail).unlink(missing_ok=True)
            os.link(new, target)
            failpoint.hit("create.linked")
            sync_folder(target.parent)
            failpoint.hit("create.synced")
        finally:
            new.unlink(missing_ok=True)

    def file_names(self) -> list[str]:
        """Return the names of all buckets, and the lock tables' when they have a file."""
        names = self.names()
        return [*names, LOCK_TABLES] if path_of(self.root, LOCK_TABLES).exists() else names

    def adopt(self, name: str, file: Path) -> None:
        """Take the file of bucket `name` in, its packs beside it: both are moved here.

        Requires: nobody has it open, it is synced, and there is no bucket of its name.
        Atomic: the bucket exists whole, or not at all. Raises AlreadyExistsError, OSError.
        """
        self._require_writable()
        target = path_of(self.root, name)
        with self._lock:
            if target.exists() or name in self._changing:
                raise _exists(name)
            packs = file.with_name(f"{file.name.removesuffix(SUFFIX)}.packs")
            if packs.exists():
                packs.rename(target.with_name(packs.name))
            for tail in ("-wal", "-shm"):
                target.with_name(target.name + tail).unlink(missing_ok=True)
            os.link(file, target)
            file.unlink()
            sync_folder(target.parent)

    def delete(self, name: str, decide: Change[None]) -> None:
        """Remove a bucket and all its files, if `decide` lets it go. See `ports.Buckets`."""
        self._require_writable()
        self.open(name).index.commit(decide)
        self.drop(name)

    def drop(self, name: str) -> None:
        """Remove a bucket and all its files.

        Requires: the caller decided, in a change that called `close_bucket`, that it may go.
        Durable when it returns; a crash before leaves the bucket there, empty.
        Raises NotFoundError, DeniedError, UnavailableError.
        """
        self._require_writable()
        with self._lock:
            bucket = self.open(name)
            del self._open[name]
            self._awake.pop(name, None)
            self._changing.add(name)
        try:
            if self._housekeeper is not None:
                self._housekeeper.forget(bucket)
            bucket.close(dropped=True)
            failpoint.hit("drop.closed")
            trash = self._own / "trash" / self._rand.bytes(8).hex()
            generations = self._tenure.generations if self._tenure is not None else None
            if generations is not None:
                generations.begin(name)
            try:
                trash.mkdir()
                self._move_out(name, trash)
                failpoint.hit("drop.synced")
            except OSError as error:
                raise translate(error, f"dropping bucket {name}") from error
            finally:
                if generations is not None:
                    generations.end(name)
        finally:
            self._let_go(name)
        shutil.rmtree(trash, ignore_errors=True)

    def _move_out(self, name: str, trash: Path) -> None:
        file = path_of(self.root, name)
        packs = file.with_name(f"{file.name.removesuffix(SUFFIX)}.packs")
        if packs.exists():
            packs.rename(trash / packs.name)
            sync_folder(file.parent)
        failpoint.hit("drop.packs_moved")
        file.rename(trash / file.name)
        failpoint.hit("drop.file_moved")
        sync_folder(file.parent)
        for tail in ("-wal", "-shm"):  # were they left here, `_build` would remove them
            path = file.with_name(file.name + tail)
            if path.exists():
                path.rename(trash / path.name)
        failpoint.hit("drop.moved")

    # The whole.

    def groups(self) -> tuple[int, int]:
        """Return how many groups were committed since the start, and how many changes in them.

        Buckets that were deleted no longer count.
        """
        counts = [bucket.index.groups() for bucket in list(self._open.values())]
        return sum(groups for groups, _ in counts), sum(changes for _, changes in counts)

    def maintain(self) -> None:
        """Do all background work there is in every open bucket. Raises UnavailableError."""
        for bucket in list(self._open.values()):
            bucket.maintain()
        if self._reserve is not None:
            self._reserve.tend()

    def sweep_spools(self, process: int) -> None:
        """Remove what a process of our family left in the spool when it ended. See `Outposts`."""
        for path in (self._own / "spool").iterdir():
            number = path.name.removesuffix(".spool").rpartition(".")[2]
            if number.isdecimal() and int(number) >> 40 == process:
                path.unlink(missing_ok=True)

    def use_scheduler(self, scheduler: Scheduler | None) -> None:
        """Let an event loop drive the commits of all buckets, or no longer.

        `scheduler(callable, *arguments)` must run it soon on the loop, from whatever thread it is
        called: `loop.call_soon_threadsafe`.
        """
        with self._lock:
            self._scheduler = scheduler
            for bucket in self._open.values():
                bucket.use_scheduler(scheduler)

    def close(self) -> None:
        """Close every bucket, end the threads, give the lock up. Harmless when repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            while self._changing:
                self._changed.wait()
            buckets = list(self._open.values())
            self._open.clear()
            self._awake.clear()
        if self._housekeeper is not None:
            self._housekeeper.close()
        for bucket in buckets:
            bucket.close()
        self._syncers.close()
        self._unlock()

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"directory {self.root} is closed")

    def _require_writable(self) -> None:
        if self.read_only:
            raise DeniedError(f"{self.root} is open read-only", kind="read_only")


def _exists(name: str) -> AlreadyExistsError:
    return AlreadyExistsError(f"bucket {name} exists already", kind="bucket_exists", bucket=name)


def no_bucket(name: str) -> NotFoundError:
    """Make the error of a bucket that is not there."""
    return NotFoundError(f"bucket {name} does not exist", kind="no_such_bucket", bucket=name)


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
