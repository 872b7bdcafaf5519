"""Making a database out of others without copying their tables.

Owns: the order of the requests, so that a clone that was interrupted can be repeated.
Does not own: what the clone's manifest says (`projection`).

    1 hold each source by a checkpoint: the one that was named, or a new one of five minutes
    2 where a part or a union is made: write what the sources' logs hold as tables of the clone
    3 make the clone's manifest 1, not initialized: nobody opens it, nobody collects in it
    4 give each parent a checkpoint without end, whose id manifest 1 tells
    5 copy the log files of a single whole source
    6 make the clone's next manifest, initialized

A repeated call finds manifest 1 and goes on at step 4; one that finds the clone initialized checks
that it is of the same sources, and is done.

Invariants:
1. What a clone reads in a parent is held there by a checkpoint before the clone can be opened.
2. A clone holds all that was durable at its checkpoint, the log included.
3. All sources and the clone are in one store, and their logs in one store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cenote.base import Clock, Rand
from cenote.errors import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from cenote.lsm.checkpoints import Checkpoints, checkpoint_edit, find_checkpoint
from cenote.lsm.entry import Row, row_order
from cenote.lsm.format import (
    Checkpoint,
    Manifest,
    SstHandle,
    SstLayout,
    SstView,
    UlidMint,
    encode_sst,
    mint_uuid,
)
from cenote.lsm.guard import Guard
from cenote.lsm.keys import KeyRange
from cenote.lsm.manifest.state import newest_l0_id, replace_tree, tree_of, with_ssts
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.projection import Source, cloned, projected, united
from cenote.lsm.wal.files import WalFiles
from cenote.objstore import Version

__all__ = ["CloneSource", "clone", "detach"]

_HOLD_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class CloneSource:
    """A database to clone: its root in the store, a checkpoint's id or name (None: all that is
    durable now), the keys to take (None: all)."""

    path: str
    checkpoint: str | None = None
    range: KeyRange | None = None


def clone(
    place: Place, sources: Sequence[CloneSource], *, clock: Clock, rand: Rand
) -> Version[Manifest]:
    """Make the database at `place` out of others in the same store; return its manifest.

    Several sources must not share keys. Repeating an interrupted call finishes it.
    Raises NotFoundError (kinds "no_database", "no_such_checkpoint"), AlreadyExistsError (kind
    "database_exists": something else is there), InvalidError, UnsupportedError, UnavailableError.
    """
    return _Cloning(place, sources, clock, rand).run()


class _Cloning:
    def __init__(
        self, place: Place, sources: Sequence[CloneSource], clock: Clock, rand: Rand
    ) -> None:
        paths = [source.path for source in sources]
        if not sources:
            raise InvalidError("a clone has at least one source", kind="invalid_clone")
        if place.root in paths or len(set(paths)) < len(paths):
            raise InvalidError("a clone and its sources are different paths", kind="invalid_clone")
        self._place = place
        self._sources = sources
        self._clock = clock
        self._rand = rand
        self._mint = UlidMint(clock, rand)
        self._manifests = ManifestStore(place.store, place.root, rand=rand)

    def run(self) -> Version[Manifest]:
        found = self._manifests.load()
        if found is None:
            made = self._first()
            found = self._manifests.update(lambda current: made if current is None else None)
        self._check_attached(found.value)
        for external in found.value.external_dbs:
            if external.final_checkpoint is not None:
                self._hold(external.path, external.source_checkpoint, external.final_checkpoint)
        if found.value.initialized:
            return found
        self._guard()
        self._copy_log(found.value)
        return self._manifests.edit(
            lambda manifest, _: (
                None if manifest.initialized else replace(manifest, initialized=True)
            )
        )

    def _place_of(self, path: str) -> Place:
        return replace(self._place, root=path, owned=())

    def _first(self) -> Manifest:
        sources = []
        for wanted in self._sources:
            source = self._look(wanted)
            if wanted.range is not None or len(self._sources) > 1:
                source = self._part(source, wanted.range or KeyRange())
            sources.append(source)

        def new_id() -> str:
            return mint_uuid(self._rand)

        if len(sources) == 1:
            return cloned(sources[0], new_id)
        return united(sources, new_id, self._mint.mint)

    def _look(self, wanted: CloneSource) -> Source:
        """Return a source, held by a checkpoint."""
        place = self._place_of(wanted.path)
        manifests = ManifestStore(place.store, place.root, rand=self._rand)
        latest = manifests.refresh().value
        if not latest.initialized:
            raise UnavailableError(
                f"the source {wanted.path} is a clone that is not finished", kind="not_initialized"
            )
        Guard(place, self._rand).check(latest, None)
        if wanted.checkpoint is not None:
            held = find_checkpoint(latest, wanted.checkpoint)
        else:
            checkpoints = Checkpoints(
                place, clock=self._clock, rand=self._rand, manifests=manifests
            )
            held = checkpoints.create(lifetime_ms=_HOLD_MS)
        manifest = manifests.read(held.manifest_id)
        if manifest.wal_store_uri is not None:
            if not place.has_wal_store:
                raise InvalidError(
                    f"the log of {wanted.path} is in a store of its own",
                    kind="wal_store",
                    hint="name it with wal=",
                )
            manifest = replace(manifest, wal_store_uri=None)
        return Source(wanted.path, held.id, manifest)

    def _part(self, source: Source, span: KeyRange) -> Source:
        """Return a source's part in `span`; what is in its log becomes tables of the clone.

        A log file cannot be read in part, so it is not copied.
        """
        manifest = source.manifest
        rows = self._log_rows(source, span)
        made = projected(manifest, span)
        seen = max(manifest.replay_after_wal_id, manifest.wal_id_last_seen)
        made = replace(made, replay_after_wal_id=seen, wal_id_last_seen=seen)
        newest = newest_l0_id(manifest)
        if newest is not None:
            self._mint.raise_to(newest)
        own: set[str] = set()
        for prefix, part in _by_segment(manifest, rows).items():
            handle = self._upload(part)
            own.add(handle.id)
            tree = tree_of(made, prefix)
            tree = replace(tree, l0=(SstView(handle.id, handle.id), *tree.l0))
            made = with_ssts(replace_tree(made, prefix, tree), [handle])
        if rows:
            times = [row[4] for row in rows if row[4] is not None]
            made = replace(
                made,
                last_l0_seq=max(manifest.last_l0_seq, *(row[2] for row in rows)),
                last_l0_clock_tick=max([manifest.last_l0_clock_tick, *times]),
            )
        return replace(source, manifest=made, made=frozenset(own))

    def _log(self, path: str, manifest: Manifest) -> tuple[WalFiles, list[int]]:
        """Return the log of a source, and the files of it that its manifest names.

        The last of those may not be there: their writer had just taken the numbers. Raises
        UnsupportedError when any other is missing.
        """
        wal = WalFiles(self._place.wal_store, path)
        after, last = manifest.replay_after_wal_id, manifest.wal_id_last_seen
        if last <= after:
            return wal, []
        # The file before is there as long as the database is: it shows that this is its log.
        listed = wal.numbers(max(after - 1, 0))
        numbers = [number for number in listed if after < number <= last]
        if not listed or numbers != list(range(after + 1, after + 1 + len(numbers))):
            raise UnsupportedError(
                f"the log of {path} is not where it should be",
                kind="wal_store",
                hint="name the store it is in with wal=",
            )
        return wal, numbers

    def _log_rows(self, source: Source, span: KeyRange) -> list[Row]:
        manifest = source.manifest
        wal, numbers = self._log(source.path, manifest)
        return [
            row
            for number in numbers
            for row in wal.read(number)
            if row[2] > manifest.last_l0_seq and span.contains(row[0])
        ]

    def _upload(self, rows: list[Row]) -> SstHandle:
        made = encode_sst(sorted(rows, key=row_order), SstLayout())
        ulid = self._mint.mint()
        self._place.store.put(self._place.table(ulid), made.data)
        return SstHandle(ulid, made.info, made.version)

    def _check_attached(self, manifest: Manifest) -> None:
        """Refuse a database that is there and is no clone of these sources."""
        for source in self._sources:
            attached = [each for each in manifest.external_dbs if each.path == source.path]
            # A part that has no files of a source does not name it.
            if not attached and (manifest.initialized or len(self._sources) == 1):
                raise AlreadyExistsError(
                    f"there is a database at {self._place.name}, and it is no clone of "
                    f"{source.path}",
                    kind="database_exists",
                )

    def _hold(self, path: str, source: str, final: str) -> None:
        """Give a parent the checkpoint `final` of what its checkpoint `source` keeps."""
        made = Checkpoint(id=final, manifest_id=0, create_time_s=self._clock.now_ms() // 1000)
        try:
            ManifestStore(self._place.store, path, rand=self._rand).edit(
                checkpoint_edit(made, source=source)
            )
        except NotFoundError as error:
            raise NotFoundError(
                f"the clone at {self._place.name} cannot be finished: {error.message} in {path}",
                kind=error.kind,
                hint="delete the clone and make it again",
            ) from error

    def _guard(self) -> None:
        """Note of the clone what was noted of its sources: the log's store, who merges."""
        guard = Guard(self._place, self._rand)
        guard.check(None, None)
        for source in self._sources:
            noted = Guard(self._place_of(source.path), self._rand)
            noted.check(None, None)
            if noted.operator is not None:
                guard.note_operator(noted.operator)

    def _copy_log(self, manifest: Manifest) -> None:
        store = self._place.wal_store
        to = WalFiles(store, self._place.root)
        after = manifest.replay_after_wal_id
        numbers: list[int] = []
        if len(self._sources) == 1:
            source, numbers = self._log(self._sources[0].path, manifest)
            for number in numbers:
                store.copy(source.path(number), to.path(number))
        if after and not numbers:
            # A log that begins in the middle has the number before taken, as after a collection.
            store.put(to.path(after), b"")


def _by_segment(manifest: Manifest, rows: Sequence[Row]) -> dict[bytes, list[Row]]:
    """Return the rows by the prefix of their segment. Raises UnsupportedError for a new one."""
    if manifest.segment_extractor is None:
        return {b"": list(rows)} if rows else {}
    found: dict[bytes, list[Row]] = {}
    prefixes = [segment.prefix for segment in manifest.segments]
    for row in rows:
        prefix = next((each for each in prefixes if row[0].startswith(each)), None)
        if prefix is None:
            raise UnsupportedError(
                "the log holds keys of a segment that has no tables yet",
                kind="source_has_log",
                hint="flush the memtable of the source first",
            )
        found.setdefault(prefix, []).append(row)
    return found


def detach(place: Place, *, rand: Rand) -> tuple[str, ...]:
    """Copy what a clone reads of its parents, and have its latest manifest name its own copies.

    The next collection lets go of the parents, once no checkpoint of the clone needs them.
    Returns the parents' paths. Repeating it does no harm. Cost: a copy of each such table.
    """
    manifests = ManifestStore(place.store, place.root, rand=rand)
    latest = manifests.refresh().value
    copied: set[str] = set()
    for sst_id, path in place.tables(latest).items():
        if path != place.table(sst_id):
            place.store.copy(path, place.table(sst_id))
            copied.add(sst_id)

    def edit(manifest: Manifest, _: int) -> Manifest | None:
        parents = tuple(
            replace(each, sst_ids=tuple(one for one in each.sst_ids if one not in copied))
            for each in manifest.external_dbs
        )
        if parents == manifest.external_dbs:
            return None
        return replace(manifest, external_dbs=parents)

    manifests.edit(edit)
    return tuple(sorted({each.path for each in latest.external_dbs if each.sst_ids}))
