"""Which compactions are worth doing.

Owns: the schedulers' contract, the size-tiered one, the compaction of everything.
Does not own: whether a compaction is allowed (`spec`), when it is done.

The size-tiered policy, tree by tree: level 0 first, the oldest files, as soon as there are enough,
into a new run; and runs that stand side by side and are of like size, into one. While runs of the
size that level 0 makes pile up, these come first: more of them would slow every read, and a full
level 0 lets writers wait until it is emptied.

Invariants:
1. Pure: the same manifest and the same compactions under way give the same proposals.
2. What is proposed is allowed: `check_spec` takes all of it, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cenote.lsm.compact.spec import Spec, next_destination
from cenote.lsm.format import Compaction, Manifest, SortedRun, SstView, TieredSpec, Tree

__all__ = ["Scheduler", "SizeTiered", "full_spec"]


class Scheduler(Protocol):
    """Chooses compactions. Pure; what it proposes is checked before it is done."""

    def propose(self, manifest: Manifest, active: Sequence[Compaction]) -> Sequence[Spec]:
        """Return compactions to begin, the most urgent first. `active` are under way."""
        ...


@dataclass(frozen=True, slots=True)
class SizeTiered:
    """See the module. `ratio`: the next older run is at most so many times the smallest taken."""

    sources_min: int = 4
    sources_max: int = 8
    ratio: float = 4.0

    def propose(self, manifest: Manifest, active: Sequence[Compaction]) -> Sequence[Spec]:
        """Return compactions of all trees, those of the fullest level 0 first."""
        sizes = {handle.id: handle.info.data_size for handle in manifest.ssts}
        destination = next_destination(manifest, active)
        trees = [(b"", manifest.tree)]
        trees += [(segment.prefix, segment.tree) for segment in manifest.segments]
        trees.sort(key=lambda each: -len(each[1].l0))
        proposed: list[Spec] = []
        for segment, tree in trees:
            if not tree.l0 and len(tree.runs) < self.sources_min:
                continue
            busy = [each.spec for each in active if each.spec.segment == segment]
            group = self._runs(tree.runs, sizes, busy)
            piling = len(group) >= self.sources_max and group[0] is tree.runs[0]
            l0 = [] if piling or any(spec.l0_view_ids for spec in busy) else self._l0(tree)
            if l0:
                ids = tuple(view.id for view in l0)
                proposed.append(TieredSpec(ids, (), destination, segment))
                destination += 1
            if group:
                run_ids = tuple(run.id for run in group)
                proposed.append(TieredSpec((), run_ids, run_ids[-1], segment))
        return proposed

    def _l0(self, tree: Tree) -> list[SstView]:
        """Return the oldest files of level 0, newest first; none while there are too few."""
        count = min(len(tree.l0), self.sources_max)
        while count >= self.sources_min:
            taken = tree.l0[len(tree.l0) - count :]
            if all(view.id != taken[0].id for view in tree.l0[: len(tree.l0) - count]):
                return list(taken)
            count -= 1
        return []

    def _runs(
        self, runs: Sequence[SortedRun], sizes: dict[str, int], busy: Sequence[Spec]
    ) -> list[SortedRun]:
        """Return the newest runs side by side that are of like size; none while they are few."""
        taken = {run for spec in busy for run in spec.sorted_runs}
        for start in range(len(runs)):
            group: list[SortedRun] = []
            smallest = 0
            for run in runs[start : start + self.sources_max]:
                size = sum(sizes[view.sst_id] for view in run.views)
                if run.id in taken or (group and size > self.ratio * smallest):
                    break
                smallest = size if not group else min(smallest, size)
                group.append(run)
            if len(group) >= self.sources_min:
                return group
        return []


def full_spec(
    manifest: Manifest, segment: bytes, active: Sequence[Compaction], *, rewrite: bool = False
) -> TieredSpec | None:
    """Return the compaction of all files of a tree into one run, None when they are one already.

    `rewrite`: also then, so that what has expired meanwhile goes.
    """
    trees = {each.prefix: each.tree for each in manifest.segments}
    tree = trees.get(segment, Tree()) if segment else manifest.tree
    if not tree.l0 and len(tree.runs) < (1 if rewrite else 2):
        return None
    runs = tuple(run.id for run in tree.runs)
    destination = runs[-1] if runs else next_destination(manifest, active)
    return TieredSpec(tuple(view.id for view in tree.l0), runs, destination, segment)
