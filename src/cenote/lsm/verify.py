"""Looking at a whole database: whether every file is what the others say it is.

Owns: what must hold between files; the report. Does not own: what must hold within a table
(`verify_table`) or a log file (`format.wal`).

What is looked at: the latest manifest, those of its checkpoints, every table they name, with all
its bytes; the log from the replay mark on; the compactions file; the checkpoints by which a clone
holds its parents' files; what lies in the folders and is named by nobody.

Invariants:
1. It writes nothing, and one damaged file does not end it.
2. A sound database has no problems, also while others write, compact and collect in it: a file that
   goes meanwhile counts only when the latest manifest still names it at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from cenote.base import Rand, SystemRand
from cenote.errors import DataError, Error, NotFoundError
from cenote.lsm.format import (
    FileKind,
    Manifest,
    Segment,
    SstHandle,
    SstView,
    decode_tracker,
    decode_wal,
    parse_name,
)
from cenote.lsm.gc.mark import used_tables
from cenote.lsm.keys import prefix_successor
from cenote.lsm.manifest.store import CompactionsStore, ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.projection import seen_span
from cenote.lsm.verify_table import TableFacts, check_table
from cenote.lsm.wal.files import WalFiles

__all__ = ["Problem", "Report", "verify"]

_ROUNDS_MAX: Final = 5


class Problem(Struct, frozen=True, order=True):
    """Something that must not be: where, a stable code, and a sentence."""

    path: str
    kind: str
    message: str


class Report(Struct, frozen=True):
    """What was found. `orphans` are tables that nobody names: of a flush or a compaction that is
    under way, or that never ended; collectors delete them."""

    manifest: int
    tables: int = 0
    rows: int = 0
    size: int = 0
    wal_files: int = 0
    wal_rows: int = 0
    checkpoints: int = 0
    problems: tuple[Problem, ...] = ()
    orphans: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


def verify(
    place: Place, *, rand: Rand | None = None, progress: Callable[[str], None] | None = None
) -> Report:
    """Read a whole database and report.

    `progress` is told of each file before it is read. Raises NotFoundError(kind="no_database"), and
    DataError when the latest manifest itself cannot be read; UnavailableError.
    Cost: every byte of every table is read. Memory: some MiB and an index.
    """
    manifests = ManifestStore(place.store, place.root, rand=rand or SystemRand())
    for _ in range(_ROUNDS_MAX):
        number = manifests.refresh().number
        report = _Verifying(place, manifests, rand or SystemRand(), progress).run()
        if report.is_sound or manifests.refresh().number == number:
            break
    return report


class _Verifying:
    def __init__(
        self,
        place: Place,
        manifests: ManifestStore,
        rand: Rand,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._place = place
        self._manifests = manifests
        self._rand = rand
        self._progress = progress
        self._problems: set[Problem] = set()
        self._facts: dict[str, TableFacts | None] = {}
        self._wal_files = self._wal_rows = 0

    def run(self) -> Report:
        latest = self._manifests.refresh()
        manifest = latest.value
        kept = self._kept(manifest)
        listed = self._listed()
        for number, each in sorted({latest.number: manifest, **kept}.items()):
            self._check_manifest(self._manifests.path(number), each)
        self._check_parents(manifest)
        self._check_log(manifest)
        made = self._check_compactions()
        if self._boundary() >= latest.number:
            self._note(
                self._manifests.path(latest.number), "boundary", "the boundary has passed it"
            )
        used = used_tables(manifest) | made
        for each in kept.values():
            used |= used_tables(each)
        facts = [each for each in self._facts.values() if each is not None]
        return Report(
            manifest=latest.number,
            tables=len(facts),
            rows=sum(each.rows for each in facts),
            size=sum(each.size for each in facts),
            wal_files=self._wal_files,
            wal_rows=self._wal_rows,
            checkpoints=len(manifest.checkpoints),
            problems=tuple(sorted(self._problems)),
            orphans=tuple(self._place.table(sst_id) for sst_id in listed if sst_id not in used),
        )

    def _note(self, path: str, kind: str, message: str) -> None:
        self._problems.add(Problem(path, kind, message))

    def _note_error(self, path: str, error: Error) -> None:
        kind = "missing_file" if isinstance(error, NotFoundError) else error.kind
        self._note(path, kind, error.message)

    def _boundary(self) -> int:
        try:
            return self._manifests.boundary.read()
        except DataError as error:
            self._note_error(self._place.path("gc/manifest.boundary"), error)
            return 0

    def _listed(self) -> list[str]:
        base = self._place.path("")
        found = []
        for meta in self._place.store.list(self._place.path(FileKind.TABLE.value)):
            name = parse_name(meta.path[len(base) :])
            if name is not None and name.kind is FileKind.TABLE:
                found.append(str(name.id))
        return found

    def _kept(self, manifest: Manifest) -> dict[int, Manifest]:
        found = {}
        for checkpoint in manifest.checkpoints:
            number = checkpoint.manifest_id
            try:
                found[number] = self._manifests.read(number)
            except (DataError, NotFoundError) as error:
                self._note_error(self._manifests.path(number), error)
                continue
            self._check_kept_log(found[number])
        return found

    # Tables.

    def _check_manifest(self, path: str, manifest: Manifest) -> None:
        if manifest.sequence_tracker is not None:
            try:
                decode_tracker(manifest.sequence_tracker)
            except DataError as error:
                self._note_error(path, error)
        paths = self._place.tables(manifest)
        handles = {handle.id: handle for handle in manifest.ssts}
        for sst_id, handle in handles.items():
            self._check_table(paths[sst_id], handle)
        run_ids = [run.id for tree in manifest.trees() for run in tree.runs]
        if len(set(run_ids)) < len(run_ids):
            self._note(path, "run_ids", "two sorted runs have one id")
        for segment in (Segment(b"", manifest.tree), *manifest.segments):
            layers: list[Sequence[SstView]] = [[view] for view in segment.tree.l0]
            layers += [run.views for run in segment.tree.runs]
            for layer in layers:
                self._check_layer(path, segment.prefix, layer, handles)
            self._check_ages(path, layers, handles, paths, manifest.last_l0_seq)

    def _check_table(self, path: str, handle: SstHandle) -> None:
        if path in self._facts:
            return
        if self._progress is not None:
            self._progress(path)
        self._facts[path] = None
        try:
            self._facts[path] = check_table(self._place.store, path, handle)
        except (DataError, NotFoundError) as error:
            self._note_error(path, error)

    def _check_layer(
        self,
        path: str,
        prefix: bytes,
        views: Sequence[SstView],
        handles: dict[str, SstHandle],
    ) -> None:
        """Check that views rise by key, and lie in their segment."""
        stop = prefix_successor(prefix) if prefix else None
        last: bytes | None = b""
        for view in views:
            span = seen_span(view, handles[view.sst_id])
            if span is None:
                continue
            low, end = span
            # One key may end a file and begin the next.
            if last is None or (low < last and low + b"\0" != last):
                self._note(path, "run_order", f"the files of a run overlap at {low!r}")
            if prefix and (low < prefix or (stop is not None and (end is None or end > stop))):
                self._note(path, "segment", f"a file reaches beyond its segment {prefix!r}")
            last = end

    def _check_ages(
        self,
        path: str,
        layers: Sequence[Sequence[SstView]],
        handles: dict[str, SstHandle],
        paths: dict[str, str],
        last_seq: int,
    ) -> None:
        """Check that where layers share keys, the newer one's rows are newer."""
        known = [list(self._seen(layer, handles, paths)) for layer in layers]
        for layer in known:
            for low, _, facts in layer:
                if facts.seq_max > last_seq:
                    self._note(
                        path, "last_seq", f"rows from {low!r} on are newer than the manifest says"
                    )
        for newer, older in pairwise(known):
            for low, end, facts in newer:
                for other_low, other_end, other in older:
                    apart = (end is not None and end <= other_low) or (
                        other_end is not None and other_end <= low
                    )
                    if not apart and facts.seq_min <= other.seq_max:
                        self._note(
                            path, "layer_order", f"older rows lie above newer ones at {low!r}"
                        )

    def _seen(
        self, layer: Sequence[SstView], handles: dict[str, SstHandle], paths: dict[str, str]
    ) -> Iterator[tuple[bytes, bytes | None, TableFacts]]:
        for view in layer:
            facts = self._facts.get(paths[view.sst_id])
            span = seen_span(view, handles[view.sst_id])
            if facts is not None and span is not None:
                yield (*span, facts)

    # The rest.

    def _check_log(self, manifest: Manifest) -> None:
        wal = WalFiles(self._place.wal_store, self._place.root)
        wanted = manifest.replay_after_wal_id + 1
        last_seq = 0
        for number, meta in wal.listed(manifest.replay_after_wal_id):
            if number != wanted:
                self._note(wal.path(wanted), "wal_gap", "a log file is missing before a later one")
            wanted = number + 1
            self._wal_files += 1
            if not meta.size:
                continue
            if self._progress is not None:
                self._progress(meta.path)
            try:
                rows = decode_wal(self._place.wal_store.get(meta.path).data)
            except (DataError, NotFoundError) as error:
                self._note_error(meta.path, error)
                continue
            if rows and rows[0][2] <= last_seq:
                self._note(meta.path, "row_order", "a log file is older than the one before it")
            self._wal_rows += len(rows)
            last_seq = rows[-1][2] if rows else last_seq

    def _check_kept_log(self, manifest: Manifest) -> None:
        wal = WalFiles(self._place.wal_store, self._place.root)
        after, last = manifest.replay_after_wal_id, manifest.wal_id_last_seen
        if last <= after:
            return
        found = {number for number, _ in wal.listed(after)}
        newest = max(found, default=0)
        for number in range(after + 1, min(last, newest) + 1):
            if number not in found:
                self._note(wal.path(number), "missing_file", "a checkpoint needs this log file")

    def _check_parents(self, manifest: Manifest) -> None:
        used = used_tables(manifest)
        for external in manifest.external_dbs:
            if used.isdisjoint(external.sst_ids) or external.final_checkpoint is None:
                continue
            parent = ManifestStore(self._place.store, external.path, rand=self._rand)
            try:
                held = parent.refresh().value.checkpoints
            except (DataError, NotFoundError) as error:
                self._note_error(parent.path(1), error)
                continue
            if all(each.id != external.final_checkpoint for each in held):
                self._note(
                    external.path or ".",
                    "not_held",
                    f"nothing keeps the files that {self._place.name} reads there",
                )

    def _check_compactions(self) -> set[str]:
        """Return the tables that compactions say they made."""
        store = CompactionsStore(self._place.store, self._place.root, rand=self._rand)
        try:
            latest = store.load()
        except DataError as error:
            self._note_error(self._place.path(FileKind.COMPACTIONS.value), error)
            return set()
        if latest is None:
            return set()
        made = {out.handle.id for each in latest.value.recent for out in each.outputs}
        for each in latest.value.recent:
            if each.context is not None:
                made |= {
                    out.handle.id for part in each.context.subcompactions for out in part.outputs
                }
        return made
