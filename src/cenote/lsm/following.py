"""Seeing a database from outside of its writer: its tables, and its log replayed on top.

Owns: what is seen, moving on to what is durable by now, what to do when files go meanwhile.
Does not own: the calls (`reader`), reading a view (`view`).

What is seen is one immutable value, replaced whole: a manifest's tables, and memtables of the log
files above them. Log files hold whole batches, and are taken in their order without a gap; so who
reads, sees what was durable at one moment, and no half of a batch.

A collector may delete, between two looks, what the last one saw. Then a fetch of a read fails:
`FollowingStore`, through which reads fetch, moves on first, so that the reading finds a newer view.

Invariants:
1. Nothing is ever written.
2. What is seen never goes back, and is never a mixture of two moments.
3. Rows that a manifest's tables hold are in no memtable above them: a merge operand counts once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from cenote.base import Clock, Rand
from cenote.errors import (
    ClosedError,
    DataError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from cenote.lsm.checkpoints import find_checkpoint
from cenote.lsm.entry import Row
from cenote.lsm.format import SEQ_MAX, Manifest
from cenote.lsm.guard import Guard
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.memtable import Memtable
from cenote.lsm.place import Place
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.lsm.wal.ahead import read_ahead
from cenote.lsm.wal.files import WalFiles
from cenote.objstore import AroundStore, Call, ObjectMeta, ObjectStore, Version

__all__ = ["Follower", "FollowingStore", "Sight"]

T = TypeVar("T")

_TRIES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Layer:
    """A memtable of log rows, never changed; `last_seq` is the greatest sequence number in it."""

    memtable: Memtable
    last_seq: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen: `number` is the manifest's, `wal` the last log file replayed, `seq` the newest
    sequence number."""

    view: View
    number: int
    wal: int
    seq: int
    layers: tuple[Layer, ...] = ()


class Follower:
    """What is seen of the database at `place`. Thread-safe; call `begin` first."""

    def __init__(
        self,
        place: Place,
        tables: Callable[[ObjectStore], Tables],
        store: ObjectStore,
        *,
        checkpoint: str | None,
        replay: bool,
        operator: str | None,
        clock: Clock,
        rand: Rand,
        threads: bool,
    ) -> None:
        """`tables` makes the tables of the store they fetch by, which fetches from `store`.

        `operator` is a merge operator's name.

        With `checkpoint`, an id or a name, what that holds is seen for ever. `threads`: whether
        log files may be read by several.
        """
        self.place = place
        self.store = FollowingStore(store, self)
        self.checkpoint = checkpoint
        self._tables = tables(self.store)
        self._replay = replay
        self._threads = threads
        self._operator = operator
        self._clock = clock
        self._manifests = ManifestStore(place.store, place.root, rand=rand)
        self._wal = WalFiles(place.wal_store, place.root)
        self._guard = Guard(place, rand)
        self._lock = threading.Lock()
        self._sight: Sight | None = None
        self.looked_ms = 0
        self.closed = False

    @property
    def sight(self) -> Sight:
        """What is seen now. Raises ClosedError after `close`, and before `begin`."""
        sight = self._sight
        if sight is None or self.closed:
            raise ClosedError("the reader is closed")
        return sight

    def begin(self) -> None:
        """Look for the first time.

        Raises NotFoundError (kinds "no_database", "no_such_checkpoint"), UnavailableError (kind
        "not_initialized" for a clone that is not finished), InvalidError(kind="wal_store",
        "merge_operator"), DataError. Cost: a listing and two reads; a listing of the log, and a
        read of each of its files that are to be replayed.
        """
        latest = self._manifests.refresh()
        if not latest.value.initialized:
            raise UnavailableError(
                "the database is a clone that is not finished", kind="not_initialized"
            )
        self._guard.compare(self._operator)
        if self.checkpoint is not None:
            self._sight = self._fixed(latest.value, self.checkpoint)
            self.looked_ms = self._clock.now_ms()
            return
        self._sight = self._next(None, latest)
        self.looked_ms = self._clock.now_ms()

    def advance(self) -> bool:
        """See what is durable by now; tell whether that is anything new.

        Raises DataError, UnavailableError; then what is seen stays as it was.
        """
        if self.checkpoint is not None:
            self._check_checkpoint(self.checkpoint)
            return False
        with self._lock:
            old = self._sight
            self._sight = new = self._next(old)
            self.looked_ms = self._clock.now_ms()
            return old is None or new is not old

    def close(self) -> None:
        """See nothing any more."""
        self.closed = True

    def _next(self, old: Sight | None, latest: Version[Manifest] | None = None) -> Sight:
        """Return what is to be seen after `old`; `latest` is the manifest, if it was just read."""
        reason = ""
        for _ in range(_TRIES_MAX):
            latest = latest or self._manifests.refresh()
            number, manifest = latest.number, latest.value
            after = manifest.replay_after_wal_id
            if old is not None:
                after = max(after, old.wal)
            try:
                listed = self._listed(manifest, after, first=old is None)
                reason = _gap(after, listed)
                if not reason:
                    rows = self._read_rows(listed, manifest.last_l0_seq)
                    wal = listed[-1][0] if listed else after
                    return self._moved(old, Version(number, manifest), rows, wal)
            except NotFoundError as error:
                reason = error.message
            latest = None  # collected meanwhile: a later manifest says so
        raise DataError(f"the log has a gap: {reason}", kind="wal_gap")

    def _listed(
        self, manifest: Manifest, after: int, *, first: bool
    ) -> list[tuple[int, ObjectMeta]]:
        """Return the log files above `after`.

        At the first look, refuse a database whose log must have files and has none: the one that a
        replay starts after is never collected, so they are in another store.
        """
        if not self._replay:
            return []
        if not first:
            return self._wal.listed(after)
        listed = self._wal.listed(max(after - 1, 0))
        seen = max(after, manifest.wal_id_last_seen)
        if seen and not listed and not manifest.external_dbs and manifest.writer_epoch:
            raise InvalidError(
                f"the manifest tells of {seen} log files, and there is none",
                kind="wal_store",
                hint="its log may be in a store of its own: pass wal=",
            )
        return [each for each in listed if each[0] > after]

    def _moved(
        self, old: Sight | None, latest: Version[Manifest], rows: list[Row], wal: int
    ) -> Sight:
        same = old is not None and old.number == latest.number
        if old is not None and same and not rows:
            return old if old.wal == wal else replace(old, wal=wal)
        layers = () if old is None else old.layers
        if not same:
            layers = _above(layers, latest.value.last_l0_seq)
        if rows:
            layers = _joined(layers, _layer(rows))
        memtables = [layer.memtable for layer in layers]
        if old is not None and same:
            view = old.view.with_memtables(memtables)
        else:
            view = View(self._tables, latest.value, memtables)
        seq = max([latest.value.last_l0_seq, *(layer.last_seq for layer in layers)])
        if old is not None:
            seq = max(seq, old.seq)
        return Sight(view, latest.number, wal, seq, layers)

    def _read_rows(self, listed: Sequence[tuple[int, ObjectMeta]], above: int) -> list[Row]:
        """Return the rows above a sequence number in some log files, in their order."""
        numbers = [number for number, meta in listed if meta.size]
        read = self._wal.read
        rows: list[Row] = []
        for found in read_ahead(read, numbers) if self._threads else map(read, numbers):
            rows += [row for row in found if row[2] > above]
        return rows

    def _fixed(self, latest: Manifest, checkpoint: str) -> Sight:
        """Return what a checkpoint holds."""
        held = find_checkpoint(latest, checkpoint)
        try:
            manifest = self._manifests.read(held.manifest_id)
        except NotFoundError as error:
            raise _gone(checkpoint) from error
        version = Version(held.manifest_id, manifest)
        after, last = manifest.replay_after_wal_id, manifest.wal_id_last_seen
        listed = []
        if self._replay and last > after:
            listed = [each for each in self._wal.listed(after) if each[0] <= last]
            if reason := _gap(after, listed):
                raise DataError(f"the log of the checkpoint has a gap: {reason}", kind="wal_gap")
        rows = self._read_rows(listed, manifest.last_l0_seq)
        return self._moved(None, version, rows, last)

    def _check_checkpoint(self, checkpoint: str) -> None:
        """Raise NotFoundError(kind="no_such_checkpoint") when the checkpoint is there no more."""
        find_checkpoint(self._manifests.refresh().value, checkpoint)

    def missed(self, path: str) -> None:
        """Move on after an object was not there.

        Raises DataError(kind="missing_file") when what is seen by then still needs it;
        NotFoundError(kind="no_such_checkpoint") when the checkpoint is gone; as `advance`.
        """
        if self._sight is None:
            return
        self.advance()
        if path in self.place.tables(self.sight.view.manifest).values():
            raise DataError(
                f"the file {path} is missing, and the database needs it",
                kind="missing_file",
                path=path,
            )


def _gap(after: int, listed: Sequence[tuple[int, ObjectMeta]]) -> str:
    """Say which file is missing before the last one that is there; "" when none is."""
    for wanted, (number, _) in enumerate(listed, after + 1):
        if number != wanted:
            return f"file {wanted} is missing, and {number} is there"
    return ""


def _gone(checkpoint: str) -> NotFoundError:
    return NotFoundError(
        f"the checkpoint {checkpoint} is gone, and what it held was collected",
        kind="no_such_checkpoint",
        id=checkpoint,
    )


def _layer(rows: Sequence[Row]) -> Layer:
    """Make a layer of rows; those of a key come by rising sequence number."""
    memtable = Memtable()
    # Nobody reads a layer at an older number, so that only the newest versions are kept.
    memtable.insert_rows(rows, SEQ_MAX)
    return Layer(memtable, max(row[2] for row in rows))


def _joined(layers: tuple[Layer, ...], newest: Layer) -> tuple[Layer, ...]:
    """Put a layer on top; small ones become one, so that there are few of them."""
    left = list(layers)
    while left and left[0].memtable.count < 2 * newest.memtable.count:
        older = left.pop(0)
        rows = older.memtable.rows()[::-1] + newest.memtable.rows()[::-1]
        newest = _layer(rows)
    return (newest, *left)


def _above(layers: tuple[Layer, ...], seq: int) -> tuple[Layer, ...]:
    """Return the layers without what is at or below a sequence number."""
    kept = []
    for layer in layers:
        if layer.last_seq <= seq:
            continue
        rows = layer.memtable.rows()[::-1]
        above = [row for row in rows if row[2] > seq]
        kept.append(layer if len(above) == len(rows) else _layer(above))
    return tuple(kept)


class FollowingStore(AroundStore):
    """A store whose reader moves on when an object is missing, before it learns of it."""

    def __init__(self, inner: ObjectStore, follower: Follower) -> None:
        super().__init__(inner)
        self._follower = follower

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        try:
            return run()
        except NotFoundError:
            self._follower.missed(call.path)
            raise

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        try:
            return await run()
        except NotFoundError:
            await asyncio.to_thread(self._follower.missed, call.path)
            raise
