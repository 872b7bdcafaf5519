"""Buckets as a process sees them that does not own their directory: it reads, another writes.

Owns: opening bucket files for reading beside their writer, `ports.Buckets` for such a process,
noticing that a bucket is gone.
Does not own: how a change or a request for space gets to the writer (`Owner`).

Reads never ask the writer: SQLite's snapshots, and leases the writer knows by file locks
(`leasefile`), make them safe. What the writer committed before it answered is seen by every read
that begins afterwards.

Long bodies are written here too, into regions the writer gave out; it learns of them again in the
change that stores them, or when they are given back, or when this process ends.

Invariants:
1. No connection here copies back or removes a log (`Pool.keep_log`), and no bucket file is opened
   but by SQLite, or by O_PATH: closing an ordinary descriptor would drop SQLite's locks.
2. A handle is used as long as its bucket's counter stands (`generations`); then its file must
   still be the one at its path.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from cenote.errors import ClosedError, DataError, Error, UnavailableError
from cenote.ports import BucketRecord, Change, Extent
from cenote.sqldb.bodies import SqliteBodies
from cenote.sqldb.bucketfile import ReadingIndex
from cenote.sqldb.commit import Done
from cenote.sqldb.directory import INLINE_MAX, no_bucket
from cenote.sqldb.faults import translate
from cenote.sqldb.filenames import is_file_name, path_of, scan
from cenote.sqldb.generations import Generations
from cenote.sqldb.leasefile import ForeignPins
from cenote.sqldb.packfile import FRAME_HEAD, PackFile
from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool, Reader

__all__ = ["Outpost", "Outposts", "Owner"]

T = TypeVar("T")
OPEN_MAX: Final = 256


class Owner(Protocol):
    """The process that writes, as long as it can be reached. All but `submit` may block.

    Every method raises UnavailableError when it cannot be reached.
    """

    def commit(self, bucket: str, change: Change[T]) -> T:
        """See `ports.Index.commit`."""
        ...

    def submit(self, bucket: str, change: Change[Any], done: Done) -> None:
        """See `ports.Index.submit`."""
        ...

    def reserve(self, bucket: str, size: int) -> tuple[int, int]:
        """Get a region for a body of `size` bytes: the pack's number, and where its bytes begin."""
        ...

    def give_back(self, bucket: str, extent: Extent, *, broken: bool) -> None:
        """Give back a region. Neither blocks nor raises: an owner that is gone knows of none.

        `broken`: the disk refused to sync the pack.
        """
        ...

    def create(self, record: BucketRecord) -> None:
        """See `ports.Buckets.create`."""
        ...

    def delete(self, bucket: str, decide: Change[None]) -> None:
        """See `ports.Buckets.delete`."""
        ...


class _Index(ReadingIndex):
    """`Index` that reads here and writes there."""

    __slots__ = ("_owner",)

    def __init__(self, pool: Pool, name: str, owner: Owner) -> None:
        super().__init__(pool, name)
        self._owner = owner

    def commit(self, change: Change[T]) -> T:
        return self._owner.commit(self._name, change)

    def submit(self, change: Change[T], done: Done) -> None:
        self._owner.submit(self._name, change, done)


class _Pool(Pool):
    """Connections to a file that may be moved away any time."""

    def __init__(self, path: Path, name: str, is_gone: Callable[[], bool]) -> None:
        super().__init__(path, keep_log=True)
        self._name = name
        self._is_gone = is_gone

    def _open_reader(self) -> Reader:
        try:
            return super()._open_reader()
        except (UnavailableError, DataError) as error:
            if self._is_gone():
                raise no_bucket(self._name) from error
            raise


class _BorrowedPacks(Packs):
    """Packs whose regions the owner gives out. They may be moved away any time."""

    def __init__(
        self, folder: Path, bucket: bytes, name: str, owner: Owner, is_gone: Callable[[], bool]
    ) -> None:
        super().__init__(folder, bucket, read_only=False)
        self._name = name
        self._owner = owner
        self._is_gone = is_gone

    def use(self, number: int) -> PackFile:
        try:
            return super().use(number)
        except DataError as error:
            if self._is_gone():
                raise no_bucket(self._name) from error
            raise

    def reserve(self, size: int) -> tuple[PackFile, int]:
        number, offset = self._owner.reserve(self._name, size)
        return self.use(number), offset - FRAME_HEAD

    def punch(self, number: int, offset: int, size: int) -> None:
        pack = self._files.get(number)
        broken = pack is not None and pack.full
        self._owner.give_back(self._name, Extent(number, offset, size, 0), broken=broken)

    def settled(self, number: int) -> None:
        """The owner keeps count."""


class Outpost:
    """A bucket read here and written there: `ports.Bucket`."""

    def __init__(
        self,
        name: str,
        path: Path,
        own: Path,
        owner: Owner,
        is_gone: Callable[[], bool],
        *,
        inline_max: int,
        spool_base: int,
    ) -> None:
        """Open the bucket file at `path`. `is_gone` tells whether the bucket is being deleted.

        Raises NotFoundError, DataError, UnavailableError.
        """
        self.name = name
        self._path = path
        self._marker = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._pool = _Pool(path, self.name, is_gone)
            with self._pool.reading() as reader:
                bucket_id, own_inline_max = reader.one("SELECT id, inline_max FROM bucket")
        except BaseException:
            os.close(self._marker)
            raise
        self._packs = _BorrowedPacks(
            path.with_name(f"{self.name}.packs"), bucket_id, self.name, owner, is_gone
        )
        self.bodies = SqliteBodies(
            self._pool,
            self._packs,
            ForeignPins(own / "leases" / bucket_id.hex()),
            self.name,
            own / "spool",
            inline_max if own_inline_max is None else own_inline_max,
            spool_base,
        )
        self.index = _Index(self._pool, self.name, owner)
        self.generation = (-1, 0)

    def stands(self) -> bool:
        """Tell whether the file at the path is still the one that was opened."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._marker))
        except FileNotFoundError:
            return False

    def rest(self) -> None:
        """Close what is idle; the next use opens it again."""
        self._pool.rest()
        self._packs.rest()

    def retire(self, *, dropped: bool = False) -> None:
        """Close everything once who has the handle is done. `dropped`: the bucket is gone."""
        marker, self._marker = self._marker, -1
        if marker >= 0:
            os.close(marker)
        if dropped:
            self._packs.close(dropped=True)
            self._pool.close(dropped=True)
        else:
            self._pool.retire()
            self._packs.retire()


class Outposts:
    """`ports.Buckets` of a directory that another process has open for writing. Thread-safe."""

    def __init__(
        self,
        root: str | Path,
        owner: Owner,
        generations: Generations,
        *,
        spool_base: int,
        inline_max: int = INLINE_MAX,
    ) -> None:
        """`spool_base` keeps this process's spool files apart: multiples of 2^40."""
        self.root = Path(root)
        self._own = self.root / ".cenote"
        self._owner = owner
        self._generations = generations
        self._inline_max = inline_max
        self._spool_base = spool_base
        self._lock = threading.RLock()
        self._open: OrderedDict[str, Outpost] = OrderedDict()
        self._closed = False

    def open(self, name: str) -> Outpost:
        """Return the open bucket. See `ports.Buckets`. Cost: 0.5 us once it is open."""
        outpost = self._open.get(name)
        if outpost is not None:
            slot, seen = outpost.generation
            if self._generations.at(slot) == seen:
                return outpost
        with self._lock:
            return self._renew(name)

    def _renew(self, name: str) -> Outpost:
        if self._closed:
            raise ClosedError(f"directory {self.root} is closed")
        slot = self._generations.slot(name)
        seen = self._generations.at(slot)
        outpost = self._open.get(name)
        if seen & 1:
            if self._generations.is_going(name):
                raise no_bucket(name)
            raise UnavailableError(f"bucket {name} is being deleted", kind="busy")
        if outpost is not None and outpost.stands():
            outpost.generation = (slot, seen)
            self._open.move_to_end(name)
            return outpost
        if outpost is not None:
            del self._open[name]
            outpost.retire(dropped=True)
        outpost = self._open_file(name)
        outpost.generation = (slot, seen)
        self._open[name] = outpost
        if len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)[1].retire()
        return outpost

    def _open_file(self, name: str) -> Outpost:
        if not is_file_name(name):
            raise no_bucket(name)
        path = path_of(self.root, name)
        if path.is_symlink() or not path.is_file():
            raise no_bucket(name)
        try:
            self._spool_base += 1 << 24  # a handle's own numbers
            return Outpost(
                name,
                path,
                self._own,
                self._owner,
                partial(self._is_gone, name),
                inline_max=self._inline_max,
                spool_base=self._spool_base,
            )
        except FileNotFoundError as error:
            raise no_bucket(name) from error
        except OSError as error:
            raise translate(error, f"opening bucket {name}") from error

    def _is_gone(self, name: str) -> bool:
        if self._generations.at(self._generations.slot(name)) & 1:
            return self._generations.is_going(name)
        return not path_of(self.root, name).exists()

    def names(self) -> list[str]:
        """Return the names of all buckets, sorted."""
        return [name for name, note in scan(self.root, self._skips) if note is None]

    def _skips(self, name: str, look: Callable[[], str | None]) -> str | None:
        with self._lock:
            return None if name in self._open else look()

    def create(self, record: BucketRecord) -> Outpost:
        """Make a bucket. See `ports.Buckets`. Blocks: not for the event loop's thread."""
        self._owner.create(record)
        return self.open(record.name)

    def delete(self, name: str, decide: Change[None]) -> None:
        """Delete a bucket. See `ports.Buckets`. Blocks: not for the event loop's thread."""
        self.open(name)
        self._owner.delete(name, decide)

    def change_owner(self, owner: Owner) -> None:
        """Let go of all handles: who writes is another now, or nobody for a while."""
        with self._lock:
            self._owner = owner
            outposts = list(self._open.values())
            self._open.clear()
        for outpost in outposts:
            outpost.retire()

    def rest(self) -> None:
        """Close what is idle in every bucket, and what is no longer there."""
        with self._lock:
            outposts = list(self._open.items())
        for name, outpost in outposts:
            outpost.rest()
            slot, seen = outpost.generation
            if self._generations.at(slot) != seen:
                try:
                    self.open(name)
                except Error:
                    continue

    def close(self) -> None:
        """Close every bucket. Harmless when repeated."""
        with self._lock:
            self._closed = True
            outposts = list(self._open.values())
            self._open.clear()
        for outpost in outposts:
            outpost.retire()
