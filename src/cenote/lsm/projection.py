"""Manifests of clones: all of a database, the part of it in a range, or several that do not meet.

Owns: what a clone's first manifest says, as functions of its sources' manifests.
Does not own: reading or writing any of it (`clone`).

Invariants:
1. A view of a part keeps its id; where two sources bring the same id, the later one gets a new one,
   since a compaction names its sources by them.
2. Every file of a clone is its own, or one of a parent's that an external database lists.
3. Sources of a union hold no key twice. Their sorted runs are numbered anew, so that ids fall
   within a tree and are unique in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from cenote.errors import DataError, InvalidError
from cenote.lsm.format import (
    ExternalDb,
    Manifest,
    Segment,
    SortedRun,
    SstHandle,
    SstView,
    Tree,
)
from cenote.lsm.keys import Bound, BoundKind, KeyRange
from cenote.lsm.manifest.state import with_ssts

__all__ = ["Source", "cloned", "intersection", "projected", "united"]


@dataclass(frozen=True, slots=True)
class Source:
    """A parent: its root in the store, the checkpoint that holds it, the manifest of that.

    `made` are the ids of tables in the manifest that were made for the clone, below its own root.
    """

    path: str
    checkpoint: str
    manifest: Manifest
    made: frozenset[str] = frozenset()


def intersection(one: KeyRange | None, other: KeyRange | None) -> KeyRange | None:
    """Return the keys in both ranges (None: all keys); it may be empty."""
    if one is None or other is None:
        return one or other
    start = max(one.start, other.start, key=_start_order)
    return KeyRange(start, min(one.end, other.end, key=_end_order))


def _start_order(bound: Bound) -> tuple[bool, bytes, bool]:
    kind = bound.kind
    return kind is not BoundKind.UNBOUNDED, bound.key, kind is BoundKind.EXCLUDED


def _end_order(bound: Bound) -> tuple[bool, bytes, bool]:
    kind = bound.kind
    return kind is BoundKind.UNBOUNDED, bound.key, kind is BoundKind.INCLUDED


def seen_span(view: SstView, handle: SstHandle) -> tuple[bytes, bytes | None] | None:
    """Return the keys that are seen of a file, half-open; None when there are none."""
    low = handle.info.first_entry or b""
    last = handle.info.last_entry
    stop = None if last is None else last + b"\0"
    if view.visible is not None:
        start, end = view.visible.span()
        low = max(low, start)
        if stop is None or (end is not None and end < stop):
            stop = end
    return (low, stop) if stop is None or low < stop else None


def projected(manifest: Manifest, span: KeyRange) -> Manifest:
    """Return the part of a database whose keys lie in `span`.

    Segments without files in it are left out. Raises InvalidError(kind="invalid_range") when the
    range is empty.
    """
    start, end = span.span()
    if end is not None and end <= start:
        raise InvalidError("the range of a clone is empty", kind="invalid_range")
    handles = {handle.id: handle for handle in manifest.ssts}

    def part(views: Sequence[SstView]) -> tuple[SstView, ...]:
        cut = [replace(view, visible=intersection(view.visible, span)) for view in views]
        return tuple(view for view in cut if seen_span(view, handles[view.sst_id]) is not None)

    def part_of(tree: Tree) -> Tree:
        runs = [SortedRun(run.id, part(run.views)) for run in tree.runs]
        return replace(tree, l0=part(tree.l0), runs=tuple(run for run in runs if run.views))

    segments = [Segment(each.prefix, part_of(each.tree)) for each in manifest.segments]
    made = replace(
        manifest,
        tree=part_of(manifest.tree),
        segments=tuple(each for each in segments if each.tree.l0 or each.tree.runs),
    )
    return with_ssts(made)


def _inherited(manifest: Manifest) -> list[ExternalDb]:
    """Return the parents of a source as its clone's: held by the source's own final checkpoints."""
    found = []
    for each in with_ssts(manifest).external_dbs:
        if not each.sst_ids:
            continue
        if each.final_checkpoint is None:
            raise DataError(
                f"the database does not say what keeps its files in {each.path}",
                kind="missing_checkpoint",
            )
        found.append(replace(each, source_checkpoint=each.final_checkpoint, final_checkpoint=None))
    return found


def _own(source: Source) -> tuple[str, ...]:
    """Return the ids of the files that lie under the source's own root."""
    manifest = source.manifest
    foreign = {sst_id for each in manifest.external_dbs for sst_id in each.sst_ids} | source.made
    return tuple(handle.id for handle in with_ssts(manifest).ssts if handle.id not in foreign)


def cloned(source: Source, new_id: Callable[[], str]) -> Manifest:
    """Return the first manifest of a clone of one source. `new_id` makes UUIDs."""
    manifest = with_ssts(source.manifest)
    parents = [*_inherited(manifest)]
    parents.append(ExternalDb(source.path, source.checkpoint, None, _own(source)))
    return replace(
        manifest,
        initialized=False,
        checkpoints=(),
        external_dbs=tuple(replace(each, final_checkpoint=new_id()) for each in parents),
    )


def united(
    sources: Sequence[Source], new_id: Callable[[], str], new_view_id: Callable[[], str]
) -> Manifest:
    """Return the first manifest of a clone of several sources.

    Requires: nothing in their logs. Raises InvalidError(kind="invalid_union") when they share keys,
    or are cut into segments by different extractors.
    """
    extractors = {each.manifest.segment_extractor for each in sources}
    if len(extractors) > 1:
        raise InvalidError(
            "the sources are cut into segments by different extractors", kind="invalid_union"
        )
    trees: dict[bytes, list[tuple[bytes, bytes | None, Tree]]] = {}
    handles: dict[str, SstHandle] = {}
    for source in sources:
        own = {handle.id: handle for handle in source.manifest.ssts}
        handles.update(own)
        parts = [(b"", source.manifest.tree)]
        parts += [(each.prefix, each.tree) for each in source.manifest.segments]
        for prefix, tree in parts:
            bounds = _bounds(tree, own)
            if bounds is not None:
                trees.setdefault(prefix, []).append((*bounds, tree))
    joined = {prefix: _joined(prefix, parts, new_view_id) for prefix, parts in trees.items()}
    ordered = sorted(joined)
    for one, other in pairwise([prefix for prefix in ordered if prefix]):
        if other.startswith(one):
            raise InvalidError("segments of the sources overlap", kind="invalid_union")
    _number_anew(joined, ordered)
    manifest = Manifest(
        initialized=False,
        last_l0_seq=max(each.manifest.last_l0_seq for each in sources),
        last_l0_clock_tick=max(each.manifest.last_l0_clock_tick for each in sources),
        segment_extractor=sources[0].manifest.segment_extractor,
        tree=joined.get(b"", Tree()),
        segments=tuple(Segment(prefix, joined[prefix]) for prefix in ordered if prefix),
    )
    return replace(
        with_ssts(manifest, handles.values()),
        external_dbs=tuple(
            replace(each, final_checkpoint=new_id()) for each in _united_parents(sources)
        ),
    )


def _bounds(tree: Tree, handles: dict[str, SstHandle]) -> tuple[bytes, bytes | None] | None:
    spans = [seen_span(view, handles[view.sst_id]) for view in tree.views()]
    found = [span for span in spans if span is not None]
    if not found:
        return None
    stops = [stop for _, stop in found]
    stop = None if None in stops else max(stop for stop in stops if stop is not None)
    return min(low for low, _ in found), stop


def _joined(
    prefix: bytes,
    parts: list[tuple[bytes, bytes | None, Tree]],
    new_view_id: Callable[[], str],
) -> Tree:
    parts.sort(key=lambda part: part[0])
    for (_, stop, _), (low, _, _) in pairwise(parts):
        if stop is None or low < stop:
            raise InvalidError(
                f"sources of the clone share keys from {low!r} on",
                kind="invalid_union",
                segment=prefix,
            )
    known: set[str] = set()

    def unique(view: SstView) -> SstView:
        if view.id in known:
            view = replace(view, id=new_view_id())
        known.add(view.id)
        return view

    l0 = tuple(unique(view) for _, _, tree in parts for view in tree.l0)
    runs = tuple(
        SortedRun(run.id, tuple(unique(view) for view in run.views))
        for _, _, tree in parts
        for run in tree.runs
    )
    return Tree(l0, runs)


def _number_anew(trees: dict[bytes, Tree], ordered: Sequence[bytes]) -> None:
    number = sum(len(tree.runs) for tree in trees.values())
    for prefix in ordered:
        runs = []
        for run in trees[prefix].runs:
            number -= 1
            runs.append(replace(run, id=number))
        trees[prefix] = replace(trees[prefix], runs=tuple(runs))


def _united_parents(sources: Sequence[Source]) -> list[ExternalDb]:
    """Return the parents of a union, each set of files once."""
    found: dict[tuple[str, frozenset[str]], ExternalDb] = {}
    for source in sources:
        own = ExternalDb(source.path, source.checkpoint, None, _own(source))
        direct = [own] if own.sst_ids else []
        for each in (*direct, *_inherited(source.manifest)):
            found.setdefault((each.path, frozenset(each.sst_ids)), each)
    return [found[key] for key in sorted(found, key=lambda key: (key[0], sorted(key[1])))]
