"""What may be compacted: a specification against the manifest and what is under way.

Owns: the check beyond the manifest's own (`manifest.state`), ids of new runs, whether files can be
moved without being read.
Does not own: what is wise (`policy`).

Invariants:
1. No two compactions share a source or a destination, and of each tree at most one takes files of
   level 0: its sources are the oldest ones, so those of another could not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cenote.errors import ConflictError, InvalidError
from cenote.lsm.format import (
    Compaction,
    CompactionStatus,
    DrainSpec,
    Manifest,
    SstHandle,
    SstView,
    TieredSpec,
)
from cenote.lsm.manifest.state import check_tiered, commit_drain

__all__ = ["ACTIVE", "Spec", "check_spec", "has_room", "movable_views", "next_destination"]

Spec = TieredSpec | DrainSpec

ACTIVE = frozenset(
    (
        CompactionStatus.SUBMITTED,
        CompactionStatus.SCHEDULED,
        CompactionStatus.RUNNING,
        CompactionStatus.COMPACTED,
    )
)


def check_spec(manifest: Manifest, active: Sequence[Compaction], spec: Spec) -> None:
    """Check whether a compaction may begin beside those that are under way.

    Raises InvalidError(kind="invalid_compaction") when it never may, ConflictError with kind
    "stale_compaction" when a source is gone, "compaction_in_progress" when another is in its way.
    """
    if isinstance(spec, DrainSpec):
        commit_drain(manifest, spec)
        if not spec.l0_view_ids and not spec.sorted_runs:
            raise InvalidError("a drain without sources", kind="invalid_compaction")
    else:
        check_tiered(manifest, spec)
    for other in active:
        if spec.segment == other.spec.segment:
            both_l0 = spec.l0_view_ids and other.spec.l0_view_ids
            if both_l0 or set(spec.sorted_runs) & set(other.spec.sorted_runs):
                raise _in_progress(other)
        if (
            isinstance(spec, TieredSpec)
            and isinstance(other.spec, TieredSpec)
            and spec.destination == other.spec.destination
        ):
            raise _in_progress(other)


def _in_progress(other: Compaction) -> ConflictError:
    return ConflictError(
        f"the compaction {other.id} is in its way", kind="compaction_in_progress", other=other.id
    )


def has_room(spec: Spec, under_way: Sequence[Compaction], limit: int) -> bool:
    """Tell whether a compaction may begin beside others, of which there may be `limit`.

    One of level 0 may be above the limit, when none is under way: writers wait for it, and should
    not wait for a long one of runs.
    """
    if len(under_way) < limit:
        return True
    l0_under_way = any(each.spec.l0_view_ids for each in under_way)
    return bool(spec.l0_view_ids) and not l0_under_way and len(under_way) <= limit


def next_destination(manifest: Manifest, active: Sequence[Compaction]) -> int:
    """Return an id above all runs of all trees, and above those that are being made."""
    ids = [run.id for tree in manifest.trees() for run in tree.runs]
    ids += [each.spec.destination for each in active if isinstance(each.spec, TieredSpec)]
    return max(ids, default=-1) + 1


def movable_views(manifest: Manifest, spec: TieredSpec) -> list[SstView] | None:
    """Return the views of a compaction's sources, rising by key, when none overlaps another.

    Then they make the run as they are. Raises as `check_tiered`.
    """
    l0, runs = check_tiered(manifest, spec)
    handles = {handle.id: handle for handle in manifest.ssts}
    spans = []
    for view in (*l0, *(view for run in runs for view in run.views)):
        span = _span(view, handles[view.sst_id])
        if span is None or span[0] > span[1]:
            return None
        spans.append((span, view))
    spans.sort(key=lambda each: each[0])
    if any(b[0][0] <= a[0][1] for a, b in pairwise(spans)):
        return None
    return [view for _, view in spans]


def _span(view: SstView, handle: SstHandle) -> tuple[bytes, bytes] | None:
    """Return keys that no key seen through the view lies outside of; None: it is not known."""
    first, last = handle.info.first_entry, handle.info.last_entry
    if first is None or last is None:
        return None
    if view.visible is not None:
        start, end = view.visible.span()
        first = max(first, start)
        last = last if end is None else min(last, end)
    return first, last
