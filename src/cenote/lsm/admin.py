"""Looking after a database from outside: what its files say, and what may be asked of them.

Owns: the calls, deleting a database.
Does not own: what they do (`checkpoints`, `clone`, `gc`, `verify`, `compact`).

None of this needs the database to be open, nor disturbs a writer that has it open, but for
`delete_db`, which shuts it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ConflictError, InvalidError, NotFoundError
from cenote.lsm.checkpoints import Checkpoints, log_end
from cenote.lsm.clone import CloneSource, clone, detach
from cenote.lsm.compact.setup import submit
from cenote.lsm.compact.spec import Spec
from cenote.lsm.format import Compactions, FileKind, Manifest, UlidMint
from cenote.lsm.gc.sweep import Collected, Collector, let_go
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore, claim_writer
from cenote.lsm.place import Place, open_place
from cenote.lsm.settings import GcSettings
from cenote.lsm.tracker import Tracker
from cenote.lsm.verify import Report, verify
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.reader import Changes
from cenote.objstore import ObjectStore, Version

__all__ = ["Admin"]

_BATCH: Final = 1000


class Admin:
    """Looks after the database at a place. Thread-safe; a context manager.

    >>> import cenote
    >>> from cenote.lsm.admin import Admin
    >>> from cenote.objstore import MemoryStore
    >>> store = MemoryStore()
    >>> with cenote.Db.open(store) as db:
    ...     _ = db.put(b"k", b"v")
    ...     with Admin.open(store) as admin:
    ...         made = admin.checkpoints.create("friday")
    ...         admin.verify().is_sound, [each.name for each in admin.checkpoints.listed()]
    (True, ['friday'])
    """

    def __init__(
        self, place: Place, *, clock: Clock | None = None, rand: Rand | None = None
    ) -> None:
        self.place = place
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()
        self._manifests = ManifestStore(place.store, place.root, rand=self._rand)
        self._compactions = CompactionsStore(place.store, place.root, rand=self._rand)
        self.checkpoints = Checkpoints(
            place, clock=self._clock, rand=self._rand, manifests=self._manifests
        )

    @classmethod
    def open(
        cls,
        where: str | ObjectStore,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
    ) -> Self:
        """Look after the database at `where`, which need not be there yet. Cost: no request."""
        return cls(open_place(where, path, wal=wal, clock=clock, rand=rand), clock=clock, rand=rand)

    def close(self) -> None:
        """Close what a URI opened. Harmless when repeated."""
        self.place.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # What its files say.

    def manifests(self) -> list[int]:
        """Return the numbers of the manifests there are."""
        return self._manifests.numbers()

    def manifest(self, number: int | None = None) -> Version[Manifest]:
        """Return a manifest, the latest by default. Raises NotFoundError, DataError."""
        if number is None:
            return self._manifests.refresh()
        return Version(number, self._manifests.read(number))

    def compactions_files(self) -> list[int]:
        """Return the numbers of the compactions files there are."""
        return self._compactions.numbers()

    def compactions(self, number: int | None = None) -> Version[Compactions] | None:
        """Return the state of compactions, the latest by default; None when there is none yet.

        Raises NotFoundError for a number that is not there, DataError.
        """
        if number is None:
            return self._compactions.load()
        return Version(number, self._compactions.read(number))

    def second_of(self, seq: int, *, later: bool = False) -> int | None:
        """Return about when `seq` was written, in seconds since the epoch; None if unknown.

        The second of the last sample at or before it; `later`: of the first at or after it. There
        is a sample a minute, of what is in table files.
        """
        return self._tracker().second_of(seq, later=later)

    def seq_of(self, second: int, *, later: bool = False) -> int | None:
        """Return about which sequence number was the newest at `second`; None if unknown.

        That of the last sample at or before it; `later`: of the first at or after it.
        """
        return self._tracker().seq_of(second, later=later)

    def _tracker(self) -> Tracker:
        return Tracker(self._manifests.refresh().value.sequence_tracker)

    def changes(self, *, after_wal: int | None = None, after_seq: int | None = None) -> Changes:
        """Return the change feed. Raises as `Changes`."""
        files = WalFiles(self.place.wal_store, self.place.root)
        return Changes(files, after_wal=after_wal, after_seq=after_seq, clock=self._clock)

    def verify(self) -> Report:
        """Read the whole database, and compare. Raises as `verify`."""
        return verify(self.place, rand=self._rand)

    # What may be asked.

    def submit(self, spec: Spec) -> str:
        """Ask for a compaction; return its id. A compactor does it when it comes to it.

        Raises InvalidError(kind="invalid_compaction") when it would harm, whoever does it;
        ConflictError when its sources are gone, or another compaction is in its way.
        """
        return submit(self._manifests, self._compactions, spec, UlidMint(self._clock, self._rand))

    def collect(self, settings: GcSettings | None = None, *, dry_run: bool = False) -> Collected:
        """Delete what nobody needs; with `dry_run` only tell. Raises as `Collector.collect`."""
        collector = Collector(
            self.place, settings or GcSettings(), clock=self._clock, rand=self._rand
        )
        return collector.collect(dry_run=dry_run)

    def clone_of(self, *sources: CloneSource) -> Version[Manifest]:
        """Make the database here out of others in the same store. Raises as `clone`."""
        return clone(self.place, sources, clock=self._clock, rand=self._rand)

    def detach(self) -> tuple[str, ...]:
        """Copy what the database here, a clone, reads of its parents. See `clone.detach`."""
        return detach(self.place, rand=self._rand)

    def delete_db(self, confirm: str, *, with_checkpoints: bool = False) -> int:
        """Delete the database; return how many objects were.

        `confirm` is its root in the store, once more. A database with checkpoints that never
        expire is refused, since clones may read it by them, unless `with_checkpoints`.
        A writer that has it open is shut out first, but nobody keeps it from being made anew.
        Other objects below the root are left alone. Not atomic: repeat it until it succeeds.
        Raises InvalidError(kind="not_confirmed"), ConflictError(kind="has_checkpoints"),
        NotFoundError(kind="no_database"), UnavailableError.
        """
        place = self.place
        if confirm != place.root:
            raise InvalidError(
                f"to delete the database, repeat its root, {place.root!r}", kind="not_confirmed"
            )
        latest = self._manifests.load()
        if latest is None:
            count = sum(self._delete(kind) for kind in _FOLDERS)
            if not count:
                raise NotFoundError(f"there is no database at {place.name}", kind="no_database")
            return count
        lasting = [each.id for each in latest.value.checkpoints if each.expire_time_s is None]
        if lasting and not with_checkpoints:
            raise ConflictError(
                f"the database has {len(lasting)} checkpoints that never expire, by which clones "
                "may read it",
                kind="has_checkpoints",
                hint="delete them first, or pass with_checkpoints=True",
            )
        if latest.value.initialized:
            self._shut_out(latest.value)
        for external in latest.value.external_dbs:
            let_go(
                ManifestStore(place.store, external.path, rand=self._rand),
                external.final_checkpoint,
            )
        return sum(self._delete(kind) for kind in _FOLDERS)

    def _shut_out(self, manifest: Manifest) -> None:
        """Fence whoever writes: its next log file and its next manifest fail."""
        claim_writer(self._manifests, compactor=True, first=Manifest)
        wal = WalFiles(self.place.wal_store, self.place.root)
        end = log_end(wal, manifest.replay_after_wal_id)
        with suppress(ConflictError):  # it was quicker: its next manifest fails all the same
            wal.put_fence(end + 1, self._rand.bytes(16).hex())

    def _delete(self, folder: str) -> int:
        stores = {id(store): store for store in (self.place.store, self.place.wal_store)}
        count = 0
        for store in stores.values():
            for paths in _batched(store, self.place.path(folder)):
                store.delete_many(paths)
                count += len(paths)
        return count


# The manifests last: until they are gone, a call that was cut off can be repeated.
_FOLDERS: Final = (
    FileKind.TABLE.value,
    FileKind.COMPACTIONS.value,
    FileKind.WAL.value,
    "gc",
    "cenote",
    FileKind.MANIFEST.value,
)


def _batched(store: ObjectStore, folder: str) -> Iterator[list[str]]:
    while paths := [meta.path for meta in store.list_page(folder, limit=_BATCH).objects]:
        yield paths
