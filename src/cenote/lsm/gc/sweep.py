"""Deleting what a database needs no more: one collection, and a job of them.

Owns: looking, in the order that marking wants; the boundary before the deletion; letting go of
checkpoints whose time is over and of parents that a clone needs no more.
Does not own: what may go (`gc.mark`).

One collection: list the tables, read the compactions, drop expired checkpoints, read the latest
manifest and those of its checkpoints, list the rest; mark; raise the boundaries; delete manifests,
compactions files, log files, tables; detach from parents.

The time is the lesser of the collector's clock and the store's. The store's is learned by writing
`cenote/clock` below the root and looking when that was; this is done only when something would go,
so that a collector that finds nothing writes nothing.

Invariants:
1. A boundary is raised to the highest number to be deleted before that number is deleted.
2. When a manifest that a checkpoint names cannot be read, nothing is deleted: what it needs is
   unknown. DataError(kind="missing_manifest").
3. A parent lets go of its checkpoint before the clone forgets the parent, so that a crash between
   the two is mended by the next collection, and nothing is kept for ever.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Final

from msgspec import Struct

from cenote.base import Clock, Rand
from cenote.errors import DataError, NotFoundError, UnsupportedError
from cenote.lsm.format import FileKind, Manifest, parse_name, table_name
from cenote.lsm.gc.mark import Marked, NumberedFile, Seen, TableFile, detachable, mark, used_tables
from cenote.lsm.manifest.state import drop_checkpoints, expired_checkpoints
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.settings import GcSettings
from cenote.lsm.wal.files import WalFiles
from cenote.objstore import Version

__all__ = ["CLOCK_NAME", "Collected", "Collector", "GcJob", "let_go"]

CLOCK_NAME: Final = "cenote/clock"
_READS_MAX: Final = 5


class Collected(Struct, frozen=True):
    """What a collection deleted, or would have: counts of files, and bytes.

    `checkpoints` are the ids of those whose time was over, `detached` the paths of parents that
    were let go of.
    """

    manifests: int = 0
    compactions: int = 0
    wal: int = 0
    tables: int = 0
    size: int = 0
    checkpoints: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many files."""
        return self.manifests + self.compactions + self.wal + self.tables


class Collector:
    """Collects the garbage of one database. Any number of them may run anywhere. Thread-safe."""

    def __init__(
        self,
        place: Place,
        settings: GcSettings,
        *,
        clock: Clock,
        rand: Rand,
        manifests: ManifestStore | None = None,
        compactions: CompactionsStore | None = None,
    ) -> None:
        """Collect at `place`. A writer passes its own two stores, so that both know the same."""
        self._place = place
        self._settings = settings
        self._clock = clock
        self._rand = rand
        self._manifests = manifests or ManifestStore(place.store, place.root, rand=rand)
        self._compactions = compactions or CompactionsStore(place.store, place.root, rand=rand)
        self._wal = WalFiles(place.wal_store, place.root)
        self._kept: dict[int, Manifest] = {}
        self._lock = threading.Lock()

    def collect(self, *, dry_run: bool = False) -> Collected:
        """Delete what nobody needs; with `dry_run` only tell.

        Raises NotFoundError(kind="no_database"); DataError, when what is there cannot be read, and
        nothing was deleted; UnavailableError, when some may have been. Repeating it does no harm.
        """
        with self._lock:
            now_ms = self._clock.now_ms()
            seen, expired = self._look(now_ms, dry_run=True)
            marked = self._mark(seen, now_ms)
            if dry_run or not (marked or expired):
                return _told(marked, tuple(expired), self._detach(seen, dry_run))
            now_ms = min(now_ms, self._store_clock_ms())
            if expired:
                seen, expired = self._look(now_ms, dry_run=False)
            marked = self._mark(seen, now_ms)
            self._delete(marked)
            return _told(marked, tuple(expired), self._detach(seen, dry_run))

    def _mark(self, seen: Seen, now_ms: int) -> Marked:
        settings = self._settings
        return mark(seen, now_ms, age_min_ms=settings.age_min_ms, fences=settings.fences)

    def _store_clock_ms(self) -> int:
        path = self._place.path(CLOCK_NAME)
        self._place.store.put(path, self._rand.bytes(8).hex().encode())
        return self._place.store.head(path).modified_ms

    def _look(self, now_ms: int, *, dry_run: bool) -> tuple[Seen, list[str]]:
        """See the database, in the order that `gc.mark` requires; drop expired checkpoints."""
        tables = self._list_tables()
        compactions = self._compactions.load()
        latest = self._manifests.refresh()
        expired = expired_checkpoints(latest.value, now_ms // 1000)
        if not latest.value.initialized:
            expired = []
        if expired and not dry_run:
            self._manifests.edit(lambda m, _: _without_expired(m, now_ms // 1000))
        seen = Seen(
            manifest=latest,
            kept={},
            compactions=compactions,
            manifests=self._list_numbered(FileKind.MANIFEST),
            compactions_files=self._list_numbered(FileKind.COMPACTIONS),
            wal=[NumberedFile(n, meta.size, meta.modified_ms) for n, meta in self._wal.listed()],
            tables=tables,
        )
        gone = expired if dry_run else []
        latest, kept = self._read_kept(gone)
        return replace(seen, manifest=latest, kept=kept), expired

    def _read_kept(self, gone: list[str]) -> tuple[Version[Manifest], dict[int, Manifest]]:
        """Return the latest manifest, and those of its checkpoints but the ones that are `gone`."""
        error: NotFoundError | None = None
        for _ in range(_READS_MAX):
            latest = self._manifests.refresh()
            numbers = {each.manifest_id for each in latest.value.checkpoints if each.id not in gone}
            try:
                found = {n: self._kept.get(n) or self._manifests.read(n) for n in sorted(numbers)}
            except NotFoundError as missing:
                error = missing  # its checkpoint may have gone meanwhile
                continue
            self._kept = found
            return latest, found
        raise DataError(
            "a manifest that a checkpoint names is gone",
            kind="missing_manifest",
            hint="delete the checkpoint",
        ) from error

    def _list_tables(self) -> list[TableFile]:
        found = []
        base = self._place.path("")
        for meta in self._place.store.list(self._place.path(FileKind.TABLE.value)):
            name = parse_name(meta.path[len(base) :])
            if name is not None and name.kind is FileKind.TABLE:
                found.append(TableFile(str(name.id), meta.size, meta.modified_ms))
        return found

    def _list_numbered(self, kind: FileKind) -> list[NumberedFile]:
        found = []
        base = self._place.path("")
        for meta in self._place.store.list(self._place.path(kind.value)):
            name = parse_name(meta.path[len(base) :])
            if name is not None and name.kind is kind:
                found.append(NumberedFile(int(name.id), meta.size, meta.modified_ms))
        return found

    def _delete(self, marked: Marked) -> None:
        store = self._place.store
        if marked.manifests:
            self._manifests.boundary.advance(marked.manifests[-1].number)
            store.delete_many([self._manifests.path(file.number) for file in marked.manifests])
        if marked.compactions:
            self._compactions.boundary.advance(marked.compactions[-1].number)
            store.delete_many([self._compactions.path(file.number) for file in marked.compactions])
        if marked.wal:
            paths = [self._wal.path(file.number) for file in marked.wal]
            self._place.wal_store.delete_many(paths)
        if marked.tables:
            store.delete_many([self._place.path(table_name(file.id)) for file in marked.tables])

    def _detach(self, seen: Seen, dry_run: bool) -> tuple[str, ...]:
        """Let go of the parents that a clone needs no more; return their paths."""
        manifest = seen.manifest.value
        if not manifest.initialized:
            return ()
        finals = set(detachable(manifest, seen.kept))
        detached = [each for each in manifest.external_dbs if each.final_checkpoint in finals]
        if detached and not dry_run:
            for external in detached:
                parent = ManifestStore(self._place.store, external.path, rand=self._rand)
                let_go(parent, external.final_checkpoint)
            self._manifests.edit(lambda m, _: _without_parents(m, finals))
        return tuple(each.path for each in detached)


def _told(marked: Marked, expired: tuple[str, ...], detached: tuple[str, ...]) -> Collected:
    return Collected(
        manifests=len(marked.manifests),
        compactions=len(marked.compactions),
        wal=len(marked.wal),
        tables=len(marked.tables),
        size=marked.size,
        checkpoints=expired,
        detached=detached,
    )


def _without_expired(manifest: Manifest, now_s: int) -> Manifest | None:
    # Asked of the latest manifest, since a checkpoint may have been refreshed meanwhile.
    expired = expired_checkpoints(manifest, now_s)
    return drop_checkpoints(manifest, expired) if expired else None


def let_go(parent: ManifestStore, checkpoint: str | None) -> None:
    """Drop a checkpoint that kept a parent's files for a clone, if it is there."""

    def edit(manifest: Manifest, _: int) -> Manifest | None:
        if all(each.id != checkpoint for each in manifest.checkpoints):
            return None
        return drop_checkpoints(manifest, [checkpoint] if checkpoint else [])

    with suppress(NotFoundError):  # the parent was deleted whole
        parent.edit(edit)


def _without_parents(manifest: Manifest, finals: set[str]) -> Manifest | None:
    """Forget parents; those that a later manifest uses stay (no change gives a view back)."""
    used = used_tables(manifest)
    left = tuple(
        each
        for each in manifest.external_dbs
        if each.final_checkpoint not in finals or not used.isdisjoint(each.sst_ids)
    )
    if len(left) == len(manifest.external_dbs):
        return None
    return replace(manifest, external_dbs=left)


class GcJob:
    """A collector that runs once an interval.

    What it meets in the files is kept in `last_error`, and does not end it: the next collection
    may find it mended.
    """

    name: Final = "gc"

    def __init__(self, collector: Collector, settings: GcSettings, clock: Clock) -> None:
        """The first collection is one interval from now."""
        self._collector = collector
        self._interval_s = settings.interval_ms / 1000
        self._clock = clock
        self._next = clock.monotonic() + self._interval_s
        self.last: Collected | None = None
        self.runs = self.deleted = self.deleted_bytes = 0  # since the beginning
        self.last_error: DataError | UnsupportedError | NotFoundError | None = None

    def due(self, now: float) -> float | None:
        """Return when the next collection begins."""
        return self._next

    def run(self) -> bool:
        """Collect. Raises UnavailableError."""
        try:
            self.last = self._collector.collect()
            self.runs += 1
            self.deleted += self.last.count
            self.deleted_bytes += self.last.size
            self.last_error = None
        except (DataError, UnsupportedError, NotFoundError) as error:
            self.last_error = error
        self._next = self._clock.monotonic() + self._interval_s
        return False
