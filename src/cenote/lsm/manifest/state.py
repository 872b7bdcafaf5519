"""Changes of a manifest, as functions from one to the next.

Owns: what a flush, a compaction, a drain and a checkpoint change, and what each must find.
Does not own: reading and making manifests (`manifest.store`), whether a change is wise.

Every function takes the latest manifest, whoever made it, and leaves alone what is not its own: a
flush adds files and moves the log's marks, a compaction replaces exactly the views it names.

Invariants:
1. A change that was made already is not made twice: where the manifest shows it, the function
   returns the manifest as it is.
2. The sources of a compaction are named by id, and each must be there, where the rule wants it:
   level 0 views the oldest ones, runs side by side. Otherwise newer rows would sink below older
   ones, or files that nobody read would be dropped.
3. `ssts` holds exactly the files that some view names, once; `external_dbs` lists no others.
4. A segment whose last file was compacted or drained away stays, empty, until the next flush takes
   it out: a writer of the reference implementation that does not find it would put back the files
   it remembers. Only writers take segments out.

Why not a watermark ("all up to this file were compacted"), as the reference implementation has: it
drops files that were never read when the compacted ones are not the oldest. The watermark is
written for its sake, and trusted by nobody here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cenote.errors import ConflictError, InvalidError, NotFoundError
from cenote.lsm.format import (
    EMPTY_TRACKER,
    Checkpoint,
    DrainSpec,
    Manifest,
    OutputSst,
    Segment,
    SortedRun,
    SstHandle,
    SstView,
    TieredSpec,
    Tree,
)

__all__ = [
    "FlushMark",
    "L0Addition",
    "add_checkpoint",
    "add_l0",
    "check_tiered",
    "commit_drain",
    "commit_move",
    "commit_tiered",
    "drop_checkpoints",
    "expired_checkpoints",
    "new_manifest",
    "newest_l0_id",
    "refresh_checkpoint",
    "replace_tree",
    "tree_of",
]


@dataclass(frozen=True, slots=True)
class L0Addition:
    """A table file to be added, and the prefix of its segment (empty: the root tree)."""

    handle: SstHandle
    segment: bytes = b""


@dataclass(frozen=True, slots=True)
class FlushMark:
    """What the manifest says of the log after a flush; see `format.manifest`."""

    replay_after_wal_id: int
    wal_id_last_seen: int
    last_l0_clock_tick: int
    last_l0_seq: int
    recent_snapshot_min_seq: int
    sequence_tracker: bytes | None = EMPTY_TRACKER


def new_manifest(segment_extractor: str | None = None) -> Manifest:
    """Return the manifest of a database in which nothing was written."""
    return Manifest(segment_extractor=segment_extractor)


def tree_of(manifest: Manifest, segment: bytes) -> Tree:
    """Return a segment's tree (the root's for the empty prefix); an empty one if there is none."""
    if not segment:
        return manifest.tree
    for each in manifest.segments:
        if each.prefix == segment:
            return each.tree
    return Tree()


def replace_tree(manifest: Manifest, segment: bytes, tree: Tree | None) -> Manifest:
    """Return the manifest with another tree for a segment; None removes the segment.

    `ssts` is left alone: see `with_ssts`.
    """
    if not segment:
        return replace(manifest, tree=tree or Tree())
    segments = [each for each in manifest.segments if each.prefix != segment]
    if tree is not None:
        segments.append(Segment(segment, tree))
    return replace(manifest, segments=tuple(sorted(segments, key=lambda each: each.prefix)))


def with_ssts(manifest: Manifest, added: Iterable[SstHandle] = ()) -> Manifest:
    """Return the manifest with `ssts` as its views want it, from what it has and `added`."""
    named = {view.sst_id for tree in manifest.trees() for view in tree.views()}
    handles = {handle.id: handle for handle in manifest.ssts}
    for handle in added:
        handles.setdefault(handle.id, handle)
    return replace(
        manifest,
        ssts=tuple(handle for handle in handles.values() if handle.id in named),
        external_dbs=tuple(
            replace(each, sst_ids=tuple(sst_id for sst_id in each.sst_ids if sst_id in named))
            for each in manifest.external_dbs
        ),
    )


def newest_l0_id(manifest: Manifest) -> str | None:
    """Return the greatest id of a level 0 file there is or was; None: there was none.

    A writer's new files must have ids above it (`UlidMint.raise_to`): by that a collector knows
    which files may be on their way into a manifest.
    """
    ids = [tree.last_compacted for tree in manifest.trees() if tree.last_compacted is not None]
    for tree in manifest.trees():
        for view in tree.l0:
            ids += (view.id, view.sst_id)
    return max(ids, default=None)


def add_l0(manifest: Manifest, additions: Sequence[L0Addition], mark: FlushMark) -> Manifest:
    """Add the files of one memtable, oldest rows first, at the head of level 0.

    A mark never moves back: of each number the greater counts.
    Requires: the caller is the only writer, so that rows up to `last_l0_seq` are in files already:
    a manifest that has `mark.last_l0_seq` or more was made by this very change.
    """
    if additions and manifest.last_l0_seq >= mark.last_l0_seq:
        return manifest
    for addition in additions:
        tree = tree_of(manifest, addition.segment)
        view = SstView(addition.handle.id, addition.handle.id)
        tree = replace(tree, l0=(view, *tree.l0))
        manifest = replace_tree(manifest, addition.segment, tree)
    manifest = with_ssts(manifest, [addition.handle for addition in additions])
    return replace(
        manifest,
        segments=tuple(each for each in manifest.segments if each.tree.l0 or each.tree.runs),
        replay_after_wal_id=max(manifest.replay_after_wal_id, mark.replay_after_wal_id),
        wal_id_last_seen=max(manifest.wal_id_last_seen, mark.wal_id_last_seen),
        last_l0_clock_tick=max(manifest.last_l0_clock_tick, mark.last_l0_clock_tick),
        last_l0_seq=max(manifest.last_l0_seq, mark.last_l0_seq),
        recent_snapshot_min_seq=mark.recent_snapshot_min_seq,
        sequence_tracker=mark.sequence_tracker,
    )


def check_tiered(manifest: Manifest, spec: TieredSpec) -> tuple[list[SstView], list[SortedRun]]:
    """Return the sources of a compaction, newest first.

    Raises ConflictError(kind="stale_compaction") when a source is gone, and InvalidError(kind=
    "invalid_compaction") when the sources may not be compacted together, or not into
    `destination`: the least id of the source runs, or, when there are none, an id that no run of
    any tree has, above those of its own tree.
    """
    tree = tree_of(manifest, spec.segment)
    l0 = [view for view in tree.l0 if view.id in set(spec.l0_view_ids)]
    runs = [run for run in tree.runs if run.id in set(spec.sorted_runs)]
    if len(l0) != len(spec.l0_view_ids) or len(runs) != len(spec.sorted_runs):
        raise ConflictError("a source of the compaction is gone", kind="stale_compaction")
    if not l0 and not runs:
        raise _refused("it has no sources")
    if tuple(view.id for view in l0) != spec.l0_view_ids:
        raise _refused("its level 0 files are not named from the newest to the oldest")
    if tuple(run.id for run in runs) != spec.sorted_runs:
        raise _refused("its runs are not named from the newest to the oldest")
    if l0 and list(tree.l0[len(tree.l0) - len(l0) :]) != l0:
        raise _refused("its level 0 files are not the oldest ones")
    places = [tree.runs.index(run) for run in runs]
    if any(b != a + 1 for a, b in pairwise(places)) or (l0 and places and places[0] != 0):
        raise _refused("newer runs lie between its sources")
    if runs:
        if spec.destination != runs[-1].id:
            raise _refused("its destination is not the oldest run it merges")
    elif any(spec.destination <= run.id for run in tree.runs):
        raise _refused("its destination is not above all runs")
    elif any(spec.destination == run.id for each in manifest.trees() for run in each.runs):
        raise _refused("its destination is a run of another segment")
    return l0, runs


def _refused(reason: str) -> InvalidError:
    return InvalidError(f"the compaction is refused: {reason}", kind="invalid_compaction")


def commit_tiered(manifest: Manifest, spec: TieredSpec, outputs: Sequence[OutputSst]) -> Manifest:
    """Put a compaction's output in the place of its sources; no output: they are just removed.

    Raises as `check_tiered`, and when the outputs do not rise by key.
    """
    l0, runs = check_tiered(manifest, spec)
    for one, two in pairwise(outputs):
        last, first = one.handle.info.last_entry, two.handle.info.first_entry
        if last is not None and first is not None and first < last:
            raise _refused("its files overlap")
    views = tuple(SstView(output.handle.id, output.handle.id, output.visible) for output in outputs)
    manifest = _replace_sources(manifest, spec, l0, runs, views)
    return with_ssts(manifest, [output.handle for output in outputs])


def commit_move(manifest: Manifest, spec: TieredSpec, views: Sequence[SstView]) -> Manifest:
    """Make the sources of a compaction, which do not overlap, its run, as they are.

    Requires: `views` are those of the sources, rising by key. Raises as `check_tiered`.
    """
    l0, runs = check_tiered(manifest, spec)
    moved = [view for run in runs for view in run.views]
    if sorted(view.id for view in (*l0, *moved)) != sorted(view.id for view in views):
        raise _refused("what is moved is not what it names")
    return with_ssts(_replace_sources(manifest, spec, l0, runs, tuple(views)))


def _replace_sources(
    manifest: Manifest,
    spec: TieredSpec,
    l0: Sequence[SstView],
    runs: Sequence[SortedRun],
    views: tuple[SstView, ...],
) -> Manifest:
    tree = tree_of(manifest, spec.segment)
    left = tree.l0[: len(tree.l0) - len(l0)]
    _check_watermark(l0, left)
    kept = [run for run in tree.runs if run not in runs]
    if views:
        kept.append(SortedRun(spec.destination, views))
        kept.sort(key=lambda run: -run.id)
    tree = Tree(left, tuple(kept), l0[0].id if l0 else tree.last_compacted)
    return replace_tree(manifest, spec.segment, tree)


def _check_watermark(gone: Sequence[SstView], left: Sequence[SstView]) -> None:
    """Refuse to take away a view whose id another one has, which can be after a union.

    Others cut level 0 at the newest view that has the id of the newest one that went.
    """
    if gone and any(view.id == gone[0].id for view in left):
        raise _refused("a newer level 0 file has the id of one of its sources")


def commit_drain(manifest: Manifest, spec: DrainSpec) -> Manifest:
    """Remove the views and runs that a drain names. What is left may be an empty segment.

    Raises ConflictError(kind="stale_compaction"), InvalidError(kind="invalid_compaction").
    """
    if not spec.segment:
        raise _refused("only a segment can be drained")
    tree = tree_of(manifest, spec.segment)
    l0 = [view for view in tree.l0 if view.id in set(spec.l0_view_ids)]
    runs = [run for run in tree.runs if run.id in set(spec.sorted_runs)]
    if len(l0) != len(spec.l0_view_ids) or len(runs) != len(spec.sorted_runs):
        raise ConflictError("a source of the drain is gone", kind="stale_compaction")
    left = Tree(
        tuple(view for view in tree.l0 if view not in l0),
        tuple(run for run in tree.runs if run not in runs),
        l0[0].id if l0 else tree.last_compacted,
    )
    # What is older than a file that goes must go too: else its deleted keys would come back.
    old_l0 = left.l0 and l0 and tree.l0.index(left.l0[-1]) > tree.l0.index(l0[0])
    if old_l0 or (left.runs and (l0 or (runs and left.runs[-1].id < runs[0].id))):
        raise _refused("older files of the segment are not drained with it")
    _check_watermark(l0, left.l0)
    return with_ssts(replace_tree(manifest, spec.segment, left))


def add_checkpoint(manifest: Manifest, checkpoint: Checkpoint) -> Manifest:
    """Add a checkpoint, or return the manifest as it is when it has it."""
    if any(each.id == checkpoint.id for each in manifest.checkpoints):
        return manifest
    return replace(manifest, checkpoints=(*manifest.checkpoints, checkpoint))


def refresh_checkpoint(manifest: Manifest, checkpoint: str, expire_time_s: int | None) -> Manifest:
    """Let a checkpoint live until another time, None for ever. Raises NotFoundError."""
    if all(each.id != checkpoint for each in manifest.checkpoints):
        raise NotFoundError(
            f"there is no checkpoint {checkpoint}", kind="no_such_checkpoint", id=checkpoint
        )
    changed = [
        replace(each, expire_time_s=expire_time_s) if each.id == checkpoint else each
        for each in manifest.checkpoints
    ]
    return replace(manifest, checkpoints=tuple(changed))


def expired_checkpoints(manifest: Manifest, now_s: int) -> list[str]:
    """Return the ids of the checkpoints whose time is over."""
    return [
        each.id
        for each in manifest.checkpoints
        if each.expire_time_s is not None and each.expire_time_s <= now_s
    ]


def drop_checkpoints(manifest: Manifest, checkpoints: Iterable[str]) -> Manifest:
    """Remove checkpoints by id; those that are not there are gone already."""
    gone = set(checkpoints)
    return replace(
        manifest, checkpoints=tuple(each for each in manifest.checkpoints if each.id not in gone)
    )
