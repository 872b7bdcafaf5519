"""Which files of a database may go.

Owns: the decision, as a function of what a collector saw.
Does not own: looking, or deleting (`gc.sweep`).

What may go, when it is older than a set age:

- a manifest that is neither the latest nor a checkpoint's;
- a compactions file that is not the latest;
- a log file with rows, below the latest manifest's replay mark, and outside what a checkpoint's
  manifest would replay; a fence only when the caller says so, and when it is older than the time
  for which a writer trusts that nobody took over: one that slept through a takeover has the
  fence's number for its next file, and must find it taken or look whether it is still the writer;
- a table file that neither the latest manifest nor a checkpoint's names, that no compaction has
  made so far, and that cannot be on its way into a manifest.

What is on its way: a writer makes table files in the order of their ULIDs and adds them in that
order, so a file as young as the newest level 0 file, or younger, may still be added. A compaction's
output is younger than the compaction's own id, so a file as young as one that is under way may be
its output. These two rules need no clock to be right. Where a foreign worker's clock is behind the
one that named its compaction, `SKEW_MAX_MS` is allowed.

Requires of the looking: the tables are listed first, then the compactions are read, then the
manifest. So a listed file whose compaction is over by then is in the manifest, or in none again.

Invariants:
1. What may go at one moment may go at any later one: whoever was paused between looking and
   deleting does no harm.
2. Ages are told by the store's clock, at both ends: see `gc.sweep` for `now_ms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cenote.lsm.format import (
    Compaction,
    Compactions,
    CompactionStatus,
    Manifest,
    ulid_time_ms,
)
from cenote.lsm.manifest.state import newest_l0_id
from cenote.lsm.wal.writer import PROOF_SECONDS
from cenote.objstore import Version

__all__ = [
    "FENCE_AGE_MIN_MS",
    "SKEW_MAX_MS",
    "Marked",
    "NumberedFile",
    "Seen",
    "TableFile",
    "detachable",
    "mark",
    "used_tables",
]

SKEW_MAX_MS: Final = 900_000
FENCE_AGE_MIN_MS: Final = round(2_000 * PROOF_SECONDS)

_UNDER_WAY: Final = frozenset(
    {CompactionStatus.SCHEDULED, CompactionStatus.RUNNING, CompactionStatus.COMPACTED}
)


@dataclass(frozen=True, slots=True)
class NumberedFile:
    """A manifest, a compactions file or a log file in a listing."""

    number: int
    size: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table file in a listing."""

    id: str
    size: int
    modified_ms: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a collector saw. `kept` are the manifests of the latest one's checkpoints, by number."""

    manifest: Version[Manifest]
    kept: Mapping[int, Manifest]
    compactions: Version[Compactions] | None = None
    manifests: Sequence[NumberedFile] = ()
    compactions_files: Sequence[NumberedFile] = ()
    wal: Sequence[NumberedFile] = ()
    tables: Sequence[TableFile] = ()


@dataclass(frozen=True, slots=True)
class Marked:
    """The files that may go, in the order of their names."""

    manifests: tuple[NumberedFile, ...] = ()
    compactions: tuple[NumberedFile, ...] = ()
    wal: tuple[NumberedFile, ...] = ()
    tables: tuple[TableFile, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.manifests or self.compactions or self.wal or self.tables)

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self.manifests) + len(self.compactions) + len(self.wal) + len(self.tables)

    @property
    def size(self) -> int:
        """How many bytes they are."""
        numbered = (*self.manifests, *self.compactions, *self.wal)
        return sum(file.size for file in numbered) + sum(file.size for file in self.tables)


def mark(seen: Seen, now_ms: int, *, age_min_ms: int, fences: bool = False) -> Marked:
    """Return what may go at `now_ms`. Nothing of a database that is still being cloned may."""
    if not seen.manifest.value.initialized:
        return Marked()
    limit = now_ms - age_min_ms
    fence_limit = min(limit, now_ms - FENCE_AGE_MIN_MS)

    def old(files: Iterable[NumberedFile]) -> list[NumberedFile]:
        return [file for file in files if file.modified_ms < limit]

    latest = seen.manifest.number
    manifests = [
        file
        for file in old(seen.manifests)
        if file.number < latest and file.number not in seen.kept
    ]
    compactions: list[NumberedFile] = []
    if seen.compactions is not None:
        last = seen.compactions.number
        compactions = [file for file in old(seen.compactions_files) if file.number < last]
    return Marked(
        tuple(manifests),
        tuple(compactions),
        tuple(file for file in old(seen.wal) if _log_may_go(file, seen, fences, fence_limit)),
        tuple(_tables(seen, limit)),
    )


def _log_may_go(file: NumberedFile, seen: Seen, fences: bool, fence_limit: int) -> bool:
    # The file of the mark itself stays: who replays from there may look whether it is there.
    if file.number >= seen.manifest.value.replay_after_wal_id:
        return False
    if not file.size and not (fences and file.modified_ms < fence_limit):
        return False
    return not any(
        kept.replay_after_wal_id < file.number <= kept.wal_id_last_seen
        for kept in seen.kept.values()
    )


def _tables(seen: Seen, limit: int) -> list[TableFile]:
    manifest = seen.manifest.value
    newest = newest_l0_id(manifest)
    if newest is None:
        return []  # a first flush may be under way, and nothing tells its file from another
    used = used_tables(manifest)
    for kept in seen.kept.values():
        used |= used_tables(kept)
    limits = [ulid_time_ms(newest)]
    output_limit = limit
    if seen.compactions is not None:
        for compaction in seen.compactions.value.recent:
            used |= _made_by(compaction)
            if compaction.status in _UNDER_WAY:
                begun = ulid_time_ms(compaction.id) - SKEW_MAX_MS
                limits.append(begun)
                output_limit = min(output_limit, begun)
    youngest = min(limits)
    return [
        file
        for file in seen.tables
        if file.modified_ms < output_limit
        and ulid_time_ms(file.id) < youngest
        and file.id not in used
    ]


def used_tables(manifest: Manifest) -> set[str]:
    """Return the ids of the table files that the views of a manifest name."""
    return {view.sst_id for tree in manifest.trees() for view in tree.views()}


def _made_by(compaction: Compaction) -> set[str]:
    """Return the ids of the table files that a compaction says it made."""
    made = {output.handle.id for output in compaction.outputs}
    if compaction.context is not None:
        for part in compaction.context.subcompactions:
            made |= {output.handle.id for output in part.outputs}
    return made if compaction.status in _UNDER_WAY else set()


def detachable(manifest: Manifest, kept: Mapping[int, Manifest]) -> list[str]:
    """Return the final checkpoints, in the parents of a clone, that it needs no more.

    A parent is needed while the latest manifest or a checkpoint's has a view of one of its files.
    """
    needed: set[str] = set()
    for each in (manifest, *kept.values()):
        used = used_tables(each)
        needed |= {
            external.final_checkpoint
            for external in each.external_dbs
            if external.final_checkpoint is not None and not used.isdisjoint(external.sst_ids)
        }
    return [
        external.final_checkpoint
        for external in manifest.external_dbs
        if external.final_checkpoint is not None and external.final_checkpoint not in needed
    ]
