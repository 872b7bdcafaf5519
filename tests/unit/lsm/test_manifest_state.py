"""Changes of a manifest: what a flush, a compaction, a drain and a checkpoint may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import ConflictError, InvalidError, NotFoundError
from cenote.lsm.format import (
    Checkpoint,
    DrainSpec,
    ExternalDb,
    Manifest,
    OutputSst,
    Segment,
    SortedRun,
    SstHandle,
    SstInfo,
    SstView,
    TieredSpec,
    Tree,
    UlidMint,
    check_manifest,
    decode_manifest,
    encode_manifest,
)
from cenote.lsm.manifest.state import (
    FlushMark,
    L0Addition,
    add_checkpoint,
    add_l0,
    check_tiered,
    commit_drain,
    commit_move,
    commit_tiered,
    drop_checkpoints,
    expired_checkpoints,
    new_manifest,
    refresh_checkpoint,
)

MINT = UlidMint(ManualClock(), SeededRand(7))
INFO = SstInfo(b"a", b"z", 10, 10, 10, 0)


def handle() -> SstHandle:
    return SstHandle(MINT.mint(), INFO)


def mark(seq: int, wal: int = 0) -> FlushMark:
    return FlushMark(wal, wal, seq, seq, seq)


def with_tree(l0: int, runs: tuple[int, ...], segment: bytes = b"") -> Manifest:
    """Return a manifest with so many level 0 files and runs of these ids."""
    handles = [handle() for _ in range(l0 + len(runs))]
    views = [SstView(each.id, each.id) for each in handles]
    tree = Tree(
        tuple(views[:l0]),
        tuple(SortedRun(run, (view,)) for run, view in zip(runs, views[l0:], strict=True)),
    )
    if segment:
        return Manifest(segments=(Segment(segment, tree),), ssts=tuple(handles))
    return Manifest(tree=tree, ssts=tuple(handles))


def test_a_flush_adds_at_the_head_and_moves_the_marks() -> None:
    one, two = handle(), handle()
    manifest = add_l0(new_manifest(), [L0Addition(one)], mark(5, wal=2))
    manifest = add_l0(manifest, [L0Addition(two)], mark(9, wal=4))
    assert [view.sst_id for view in manifest.tree.l0] == [two.id, one.id]
    assert (manifest.last_l0_seq, manifest.replay_after_wal_id) == (9, 4)
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_a_flush_is_made_once_even_after_its_file_was_compacted_away() -> None:
    one, out = handle(), handle()
    first = add_l0(new_manifest(), [L0Addition(one)], mark(5))
    assert add_l0(first, [L0Addition(one)], mark(5)) == first
    compacted = commit_tiered(first, TieredSpec((one.id,), (), 1), [OutputSst(out)])
    assert add_l0(compacted, [L0Addition(one)], mark(5)) == compacted


def test_marks_never_move_back() -> None:
    manifest = add_l0(new_manifest(), [], mark(9, wal=9))
    manifest = add_l0(manifest, [], mark(3, wal=3))
    assert (manifest.last_l0_seq, manifest.replay_after_wal_id) == (9, 9)


def test_files_of_segments_go_to_their_trees() -> None:
    a, b = handle(), handle()
    manifest = add_l0(new_manifest("x"), [L0Addition(b, b"b/"), L0Addition(a, b"a/")], mark(1))
    assert [segment.prefix for segment in manifest.segments] == [b"a/", b"b/"]
    check_manifest(manifest)


def test_a_compaction_replaces_its_sources_and_nothing_else() -> None:
    manifest = with_tree(3, (4, 2))
    l0, runs = manifest.tree.l0, manifest.tree.runs
    newer = add_l0(manifest, [L0Addition(handle())], mark(50))
    out = handle()
    spec = TieredSpec(tuple(view.id for view in l0), (4,), 4)
    after = commit_tiered(newer, spec, [OutputSst(out)])
    assert after.tree.l0 == newer.tree.l0[:1]
    assert [run.id for run in after.tree.runs] == [4, 2]
    assert after.tree.runs[0].views[0].sst_id == out.id
    assert after.tree.last_compacted == l0[0].id
    assert {each.id for each in after.ssts} == {
        newer.tree.l0[0].sst_id,
        out.id,
        runs[1].views[0].sst_id,
    }
    check_manifest(after)


@pytest.mark.parametrize(
    ("l0", "runs", "destination"),
    [
        ((0, 1), (), 5),  # not the oldest of level 0
        ((1, 0, 2), (), 5),  # not from the newest to the oldest
        ((0, 1, 2), (2,), 2),  # a newer run lies between
        ((), (4, 1), 1),  # so it does here
        ((), (4, 2), 4),  # not the oldest run's id
        ((0, 1, 2), (), 4),  # not above all runs
        ((), (), 5),
    ],
)
def test_a_compaction_that_would_lose_or_reorder_rows_is_refused(
    l0: tuple[int, ...], runs: tuple[int, ...], destination: int
) -> None:
    manifest = with_tree(3, (4, 2, 1))
    spec = TieredSpec(tuple(manifest.tree.l0[n].id for n in l0), runs, destination)
    with pytest.raises(InvalidError) as refused:
        check_tiered(manifest, spec)
    assert refused.value.kind == "invalid_compaction"


def test_files_that_overlap_are_no_run() -> None:
    manifest = with_tree(2, ())
    spec = TieredSpec(tuple(view.id for view in manifest.tree.l0), (), 1)
    low, high = (
        SstHandle(MINT.mint(), replace(INFO, first_entry=first, last_entry=last))
        for first, last in ((b"a", b"m"), (b"m", b"z"))
    )
    commit_tiered(manifest, spec, [OutputSst(low), OutputSst(high)])
    with pytest.raises(InvalidError):
        commit_tiered(manifest, spec, [OutputSst(high), OutputSst(low)])


def test_a_compaction_whose_source_is_gone_is_stale() -> None:
    manifest = with_tree(2, ())
    spec = TieredSpec(tuple(view.id for view in manifest.tree.l0), (), 1)
    done = commit_tiered(manifest, spec, [OutputSst(handle())])
    with pytest.raises(ConflictError) as stale:
        commit_tiered(done, spec, [OutputSst(handle())])
    assert stale.value.kind == "stale_compaction"


def test_an_empty_output_removes_the_run() -> None:
    manifest = with_tree(0, (3,))
    assert commit_tiered(manifest, TieredSpec((), (3,), 3), []).ssts == ()


def test_a_drain_removes_a_segment_and_nothing_newer_than_what_it_names() -> None:
    manifest = with_tree(2, (1,), b"s/")
    newest, oldest = manifest.segments[0].tree.l0
    whole = DrainSpec(b"s/", (newest.id, oldest.id), (1,))
    empty = commit_drain(manifest, whole)
    # It stays, marked, for a writer that remembers its files; the next flush takes it out.
    assert empty.segments == (Segment(b"s/", Tree(last_compacted=newest.id)),)
    assert empty.ssts == ()
    assert add_l0(empty, [L0Addition(handle(), b"t/")], mark(1)).segments[0].prefix == b"t/"
    below = commit_drain(manifest, DrainSpec(b"s/", (oldest.id,), (1,)))
    assert below.segments[0].tree.l0 == (newest,)
    with pytest.raises(InvalidError):
        commit_drain(manifest, DrainSpec(b"s/", (newest.id,), (1,)))
    with pytest.raises(InvalidError):
        commit_drain(manifest, DrainSpec(b"s/", (newest.id, oldest.id), ()))
    with pytest.raises(InvalidError):
        commit_drain(manifest, replace(whole, segment=b""))


def test_files_that_overlap_nothing_become_a_run_as_they_are() -> None:
    manifest = with_tree(2, ())
    newest, oldest = manifest.tree.l0
    spec = TieredSpec((newest.id, oldest.id), (), 0)
    moved = commit_move(manifest, spec, [oldest, newest])
    assert moved.tree == Tree((), (SortedRun(0, (oldest, newest)),), newest.id)
    assert moved.ssts == manifest.ssts
    with pytest.raises(InvalidError):
        commit_move(manifest, spec, [oldest])


def test_destinations_of_other_segments_are_taken() -> None:
    manifest = with_tree(2, (1,), b"s/")
    other = with_tree(0, (7,), b"t/")
    both = replace(
        manifest, segments=manifest.segments + other.segments, ssts=manifest.ssts + other.ssts
    )
    l0 = tuple(view.id for view in both.segments[0].tree.l0)
    check_tiered(both, TieredSpec(l0, (), 2, b"s/"))
    with pytest.raises(InvalidError):
        check_tiered(both, TieredSpec(l0, (), 7, b"s/"))


def test_a_view_whose_id_a_newer_one_has_is_not_compacted() -> None:
    """Others cut level 0 at the newest file of that id, and would drop what is older."""
    manifest = with_tree(2, ())
    twice, oldest = manifest.tree.l0
    manifest = replace(manifest, tree=Tree((twice, twice, oldest)))
    with pytest.raises((ConflictError, InvalidError)):
        commit_tiered(manifest, TieredSpec((twice.id, oldest.id), (), 0), [])
    commit_tiered(manifest, TieredSpec((oldest.id,), (), 0), [])


def test_a_clone_lists_its_parents_files_while_it_uses_them() -> None:
    manifest = with_tree(1, (3,))
    external = ExternalDb(
        "parent",
        "11111111-2222-4333-8444-555555555555",
        None,
        tuple(each.id for each in manifest.ssts),
    )
    clone = replace(manifest, external_dbs=(external,))
    after = commit_tiered(clone, TieredSpec((), (3,), 3), [OutputSst(handle())])
    assert after.external_dbs[0].sst_ids == (manifest.tree.l0[0].sst_id,)


def test_checkpoints_come_stay_and_go() -> None:
    checkpoint = Checkpoint("11111111-2222-4333-8444-555555555555", 1, 100, 200)
    manifest = add_checkpoint(new_manifest(), checkpoint)
    assert add_checkpoint(manifest, checkpoint) == manifest
    assert expired_checkpoints(manifest, 199) == []
    assert expired_checkpoints(manifest, 200) == [checkpoint.id]
    kept = refresh_checkpoint(manifest, checkpoint.id, None)
    assert expired_checkpoints(kept, 2**31) == []
    assert drop_checkpoints(kept, [checkpoint.id, "gone"]).checkpoints == ()
    with pytest.raises(NotFoundError):
        refresh_checkpoint(new_manifest(), checkpoint.id, 5)
