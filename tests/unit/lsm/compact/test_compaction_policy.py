"""Which compactions are proposed, which are allowed beside others, and what may be moved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import MINT

from cenote.errors import ConflictError, InvalidError
from cenote.lsm import Bound, BoundKind, KeyRange
from cenote.lsm.compact.entries import (
    Silence,
    claimed_by,
    finish,
    is_orphan,
    local_worker_id,
    put,
    released,
    trim,
)
from cenote.lsm.compact.policy import SizeTiered, full_spec
from cenote.lsm.compact.spec import check_spec, has_room, movable_views, next_destination
from cenote.lsm.format import (
    Compaction,
    Compactions,
    CompactionStatus,
    Manifest,
    OutputSst,
    Segment,
    SortedRun,
    SstHandle,
    SstInfo,
    SstView,
    TieredSpec,
    Tree,
)
from cenote.lsm.manifest.state import commit_tiered


def handle(size: int = 100, first: bytes = b"a", last: bytes = b"z") -> SstHandle:
    return SstHandle(MINT.mint(), SstInfo(first, last, size, 10, size, 0))


def tree_of(l0: int, runs: dict[int, int]) -> tuple[Tree, list[SstHandle]]:
    """Return a tree with so many files of level 0, and runs of these sizes by id."""
    top = [handle() for _ in range(l0)]
    below = {run: handle(size) for run, size in sorted(runs.items(), reverse=True)}
    tree = Tree(
        tuple(SstView(each.id, each.id) for each in top),
        tuple(SortedRun(run, (SstView(each.id, each.id),)) for run, each in below.items()),
    )
    return tree, [*top, *below.values()]


def manifest_with(l0: int, runs: dict[int, int]) -> Manifest:
    tree, handles = tree_of(l0, runs)
    return Manifest(tree=tree, ssts=tuple(handles))


def proposed(
    l0: int, runs: dict[int, int], *active: TieredSpec
) -> list[tuple[int, tuple[int, ...], int]]:
    """Return the proposals as how many files of level 0, which runs, and where to."""
    under_way = [Compaction(MINT.mint(), spec) for spec in active]
    specs = SizeTiered().propose(manifest_with(l0, runs), under_way)
    return [
        (len(spec.l0_view_ids), spec.sorted_runs, spec.destination)
        for spec in specs
        if isinstance(spec, TieredSpec)
    ]


@pytest.mark.parametrize(
    ("l0", "runs", "expected"),
    [
        (3, {}, []),
        (4, {}, [(4, (), 0)]),
        (11, {}, [(8, (), 0)]),
        (4, {7: 100}, [(4, (), 8)]),
        (0, {3: 100, 2: 100, 1: 100}, []),
        (0, {4: 100, 3: 100, 2: 100, 1: 100}, [(0, (4, 3, 2, 1), 1)]),
        # The next older one may be four times the smallest, not more.
        (0, {4: 100, 3: 100, 2: 100, 1: 400}, [(0, (4, 3, 2, 1), 1)]),
        (0, {4: 100, 3: 100, 2: 100, 1: 401}, []),
        # A large one on top does not keep those below from each other.
        (0, {5: 9000, 4: 100, 3: 100, 2: 100, 1: 100}, [(0, (5, 4, 3, 2, 1), 1)]),
        (0, {5: 10, 4: 100, 3: 100, 2: 100, 1: 100}, [(0, (4, 3, 2, 1), 1)]),
        (5, {4: 100, 3: 100, 2: 100, 1: 100}, [(5, (), 5), (0, (4, 3, 2, 1), 1)]),
        # Runs pile up: they come first, and level 0 waits.
        (5, dict.fromkeys(range(9), 100), [(0, (8, 7, 6, 5, 4, 3, 2, 1), 1)]),
    ],
)
def test_what_is_proposed(
    l0: int, runs: dict[int, int], expected: list[tuple[int, tuple[int, ...], int]]
) -> None:
    assert proposed(l0, runs) == expected


def test_what_is_under_way_is_left_alone() -> None:
    busy = TieredSpec((), (2, 1), 1)
    assert proposed(0, {4: 100, 3: 100, 2: 100, 1: 100}, busy) == []
    manifest = manifest_with(8, {1: 100})
    l0 = tuple(view.id for view in manifest.tree.l0[4:])
    under_way = [Compaction(MINT.mint(), TieredSpec(l0, (), 2))]
    assert SizeTiered().propose(manifest, under_way) == []
    assert next_destination(manifest, under_way) == 3


def test_segments_are_looked_at_apart_and_the_fullest_comes_first() -> None:
    a, files_a = tree_of(4, {3: 10})
    b, files_b = tree_of(6, {7: 10})
    manifest = Manifest(
        segments=(Segment(b"a", a), Segment(b"b", b)), ssts=tuple(files_a + files_b)
    )
    specs = SizeTiered().propose(manifest, [])
    assert [(each.segment, len(each.l0_view_ids)) for each in specs] == [(b"b", 6), (b"a", 4)]
    assert [each.destination for each in specs if isinstance(each, TieredSpec)] == [8, 9]


def test_everything_is_one_spec() -> None:
    manifest = manifest_with(2, {5: 10, 3: 10})
    spec = full_spec(manifest, b"", [])
    assert spec is not None
    assert (len(spec.l0_view_ids), spec.sorted_runs, spec.destination) == (2, (5, 3), 3)
    assert full_spec(manifest_with(0, {5: 10}), b"", []) is None
    assert full_spec(manifest_with(0, {5: 10}), b"", [], rewrite=True) is not None
    assert full_spec(manifest_with(0, {}), b"", [], rewrite=True) is None
    first = full_spec(manifest_with(1, {}), b"", [])
    assert first is not None
    assert first.destination == 0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 12),
    st.dictionaries(st.integers(0, 30), st.sampled_from([10, 50, 300, 5000]), max_size=12),
    st.lists(st.integers(0, 3), max_size=6),
    st.integers(2, 4),
)
def test_all_that_is_proposed_is_allowed_and_it_comes_to_an_end(
    l0: int, runs: dict[int, int], picks: list[int], least: int
) -> None:
    policy = SizeTiered(sources_min=least)
    manifest = manifest_with(l0, runs)
    picked = iter(picks)
    for _ in range(60):
        active: list[Compaction] = []
        specs = policy.propose(manifest, active)
        for spec in specs:
            check_spec(manifest, active, spec)
            active.append(Compaction(MINT.mint(), spec))
        if not specs:
            break
        spec = specs[next(picked, 0) % len(specs)]
        assert isinstance(spec, TieredSpec)
        sizes = {each.id: each.info.data_size for each in manifest.ssts}
        merged = [v for v in manifest.tree.views() if v.id in spec.l0_view_ids]
        merged += [v for r in manifest.tree.runs if r.id in spec.sorted_runs for v in r.views]
        output = handle(sum(sizes[view.sst_id] for view in merged))
        manifest = commit_tiered(manifest, spec, [OutputSst(output)])
    else:
        raise AssertionError("it goes on for ever")
    assert len(manifest.tree.l0) < least


def test_two_compactions_share_nothing() -> None:
    manifest = manifest_with(6, {4: 10, 3: 10, 2: 10})
    ids = tuple(view.id for view in manifest.tree.l0)
    one = Compaction(MINT.mint(), TieredSpec(ids[3:], (), 5))
    for other in (TieredSpec(ids[2:], (), 6), TieredSpec(ids, (4,), 4)):
        with pytest.raises(ConflictError) as refused:
            check_spec(manifest, [one], other)
        assert refused.value.kind == "compaction_in_progress"
    check_spec(manifest, [one], TieredSpec((), (4, 3), 3))
    runs = Compaction(MINT.mint(), TieredSpec((), (4, 3), 3))
    with pytest.raises(ConflictError):
        check_spec(manifest, [runs], TieredSpec((), (3, 2), 2))
    with pytest.raises(InvalidError):
        check_spec(manifest, [], TieredSpec((), (4, 2), 2))


def test_level_0_need_not_wait_for_one_place() -> None:
    runs = Compaction(MINT.mint(), TieredSpec((), (4, 3), 3))
    l0 = Compaction(MINT.mint(), TieredSpec(("x",), (), 9))
    assert has_room(runs.spec, [], 1)
    assert not has_room(runs.spec, [runs], 1)
    assert has_room(l0.spec, [runs], 1)
    assert not has_room(l0.spec, [runs, l0], 1)
    assert not has_room(l0.spec, [runs, runs], 1)


def movable(*spans: tuple[bytes, bytes], visible: KeyRange | None = None) -> list[bytes] | None:
    handles = [handle(10, *span) for span in spans]
    views = tuple(SstView(each.id, each.id, visible) for each in handles)
    manifest = Manifest(tree=Tree(views), ssts=tuple(handles))
    found = movable_views(manifest, TieredSpec(tuple(v.id for v in views), (), 0))
    firsts = {each.id: each.info.first_entry or b"" for each in handles}
    return None if found is None else [firsts[view.sst_id] for view in found]


def test_what_overlaps_nothing_can_be_moved() -> None:
    assert movable((b"m", b"p"), (b"a", b"c")) == [b"a", b"m"]
    assert movable((b"m", b"p"), (b"a", b"m")) is None
    assert movable((b"a", b"z"), (b"m", b"n")) is None
    low = KeyRange(Bound(), Bound(BoundKind.EXCLUDED, b"c"))
    assert movable((b"a", b"z"), visible=low) == [b"a"]


def test_claims_and_their_end() -> None:
    entry = Compaction(MINT.mint(), TieredSpec(("x",), (), 0))
    mine = claimed_by(entry, "w", 1000)
    assert not is_orphan(mine, 5)
    assert is_orphan(replace(mine, worker=None), 5)
    # Who lived with an earlier coordinator is dead at once, whatever the clocks say.
    local = claimed_by(entry, local_worker_id(4, "w"), 1000)
    assert is_orphan(local, 5)
    assert not is_orphan(local, 4)
    assert released(mine).worker is None
    done = [finish(replace(entry, id=MINT.mint()), CompactionStatus.COMPLETED) for _ in range(3)]
    state = trim(put(Compactions(), [mine, *done]))
    assert [each.id for each in state.recent] == [mine.id, done[2].id]


@pytest.mark.parametrize("skew_ms", [-(10**7), 0, 10**7])
def test_a_worker_that_beats_is_alive_however_wrong_the_clocks_are(skew_ms: int) -> None:
    silence = Silence(30_000, 10_000)
    entry = Compaction(MINT.mint(), TieredSpec(("x",), (), 0))
    for second in range(0, 200, 5):
        beaten = claimed_by(entry, "w", 10**8 + skew_ms + second // 10 * 10_000)
        assert silence.of([beaten], float(second), 10**8 + second * 1000) == set()


def test_a_heartbeat_that_stands_still_is_a_death() -> None:
    silence = Silence(30_000, 10_000)
    fresh = claimed_by(Compaction(MINT.mint(), TieredSpec(("x",), (), 0)), "w", 10**8)
    old = claimed_by(Compaction(MINT.mint(), TieredSpec(("y",), (), 1)), "v", 10**8 - 60_000)
    found = {
        second: silence.of([fresh, old], float(second), 10**8 + second * 1000)
        for second in (0, 14, 15, 29, 30)
    }
    assert found == {0: set(), 14: set(), 15: {old.id}, 29: {old.id}, 30: {old.id, fresh.id}}
