"""Verifying: a sound database has no problems, and every kind of damage is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from writing import Concat, FirstThree, delete, merge, opened, put

from cenote.base import ManualClock, SeededRand
from cenote.errors import DataError, NotFoundError
from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.clone import CloneSource, clone
from cenote.lsm.format import Manifest, SortedRun, Tree
from cenote.lsm.manifest.state import replace_tree
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.verify import Report, verify
from cenote.objstore import MemoryStore


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        writer = opened(self.store, clock=self.clock, merge_operator=Concat(), filter_rows_min=100)
        for turn in range(3):
            for n in range(150):
                put(writer, b"k%03d" % n, b"%d" % turn, durable=False)
            delete(writer, b"k007")
            merge(writer, b"m", b"x")
            writer.flush_memtable()
        for n in range(3):
            put(writer, b"late%d" % n, b"v")
        self.writer = writer

    def verify(self, root: str = "db") -> Report:
        return verify(Place(self.store, root, self.store), rand=SeededRand(1))

    def edit(self, change: Callable[[Manifest], Manifest]) -> None:
        manifests = ManifestStore(self.store, "db", rand=SeededRand(1))
        manifests.refresh()
        manifests.edit(lambda m, _: change(m))

    def table(self, at: int = 0) -> str:
        return [meta.path for meta in self.store.list("db/compacted")][at]

    def kinds(self) -> set[str]:
        return {problem.kind for problem in self.verify().problems}


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.writer.abandon()


def test_a_sound_database_has_no_problems(scene: Scene) -> None:
    Checkpoints(
        Place(scene.store, "db", scene.store), clock=scene.clock, rand=SeededRand(2)
    ).create()
    told: list[str] = []
    place = Place(scene.store, "db", scene.store)
    report = verify(place, rand=SeededRand(1), progress=told.append)
    assert report.problems == ()
    assert report.is_sound
    assert (report.tables, report.checkpoints, report.orphans) == (3, 1, ())
    assert report.rows == 3 * (150 + 1)  # of k007 the tombstone
    assert report.wal_rows == 3
    assert report.size == sum(meta.size for meta in scene.store.list("db/compacted"))
    assert len(told) >= 6


def test_nothing_is_written(scene: Scene) -> None:
    before = [(meta.path, meta.etag) for meta in scene.store.list()]
    scene.verify()
    assert [(meta.path, meta.etag) for meta in scene.store.list()] == before


def test_every_flipped_byte_of_a_table_is_found(scene: Scene) -> None:
    path = scene.table(1)
    data = scene.store.get(path).data
    for at in range(0, len(data), max(1, len(data) // 97)):
        scene.store.put(path, data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1 :])
        problems = scene.verify().problems
        assert any(problem.path == path for problem in problems), at
    for end in (0, 5, len(data) // 2, len(data) - 1):
        scene.store.put(path, data[:end])
        assert any(problem.path == path for problem in scene.verify().problems), end
    scene.store.put(path, data)
    assert scene.verify().is_sound


def test_a_missing_table_is_found(scene: Scene) -> None:
    scene.store.delete(scene.table())
    assert [problem.kind for problem in scene.verify().problems] == ["missing_file"]


def test_another_table_in_its_place_is_found(scene: Scene) -> None:
    scene.store.put(scene.table(0), scene.store.get(scene.table(1)).data + b"")
    assert "info" in scene.kinds() or scene.kinds() == {"layer_order"}


def test_an_orphan_is_told_of_and_is_no_problem(scene: Scene) -> None:
    path = "db/compacted/01ARZ3NDEKTSV4RRFFQ69G5FAV.sst"
    scene.store.put(path, scene.store.get(scene.table()).data)
    report = scene.verify()
    assert report.orphans == (path,)
    assert report.is_sound


def test_a_gap_in_the_log_is_found(scene: Scene) -> None:
    logs = [meta.path for meta in scene.store.list("db/wal")]
    scene.store.delete(logs[-2])
    assert scene.kinds() == {"wal_gap"}


def test_a_damaged_log_file_is_found(scene: Scene) -> None:
    path = [meta.path for meta in scene.store.list("db/wal")][-1]
    data = scene.store.get(path).data
    scene.store.put(path, data[:20] + bytes((data[20] ^ 1,)) + data[21:])
    assert [problem.path for problem in scene.verify().problems] == [path]


def test_level_0_in_the_wrong_order_is_found(scene: Scene) -> None:
    scene.edit(lambda m: replace(m, tree=replace(m.tree, l0=m.tree.l0[::-1])))
    assert scene.kinds() == {"layer_order"}


def test_a_run_whose_files_overlap_is_found(scene: Scene) -> None:
    scene.edit(lambda m: replace(m, tree=Tree((), (SortedRun(0, m.tree.l0),))))
    assert scene.kinds() == {"run_order"}


def test_a_manifest_that_is_behind_its_tables_is_found(scene: Scene) -> None:
    scene.edit(lambda m: replace(m, last_l0_seq=5))
    assert "last_seq" in scene.kinds()


def test_a_checkpoint_without_its_manifest_is_found(scene: Scene) -> None:
    place = Place(scene.store, "db", scene.store)
    made = Checkpoints(place, clock=scene.clock, rand=SeededRand(2)).create()
    put(scene.writer, b"k", b"v")
    scene.writer.flush_memtable()
    scene.store.delete(f"db/manifest/{made.manifest_id:020d}.manifest")
    assert scene.kinds() == {"missing_file"}


def test_a_checkpoint_without_its_log_is_found(scene: Scene) -> None:
    place = Place(scene.store, "db", scene.store)
    Checkpoints(place, clock=scene.clock, rand=SeededRand(2)).create()
    logs = [meta.path for meta in scene.store.list("db/wal")]
    put(scene.writer, b"k", b"v")
    scene.writer.flush_memtable()
    scene.store.delete(logs[-1])
    report = scene.verify()
    assert [(problem.path, problem.kind) for problem in report.problems] == [
        (logs[-1], "missing_file")
    ]


def test_a_clone_that_nothing_holds_is_found(scene: Scene) -> None:
    place = Place(scene.store, "child", scene.store)
    clone(place, [CloneSource("db")], clock=scene.clock, rand=SeededRand(5))
    assert scene.verify("child").is_sound
    scene.edit(lambda m: replace(m, checkpoints=()))
    assert [problem.kind for problem in scene.verify("child").problems] == ["not_held"]


def test_segments_are_checked() -> None:
    store = MemoryStore()
    writer = opened(store, segment_extractor=FirstThree())
    for prefix in (b"aaa", b"bbb"):
        put(writer, prefix + b"1", b"v")
    writer.flush_memtable()
    place = Place(store, "db", store)
    assert verify(place).is_sound
    manifests = ManifestStore(store, "db", rand=SeededRand(1))
    manifests.refresh()

    def swap(manifest: Manifest, _: int) -> Manifest:
        one, other = manifest.segments
        manifest = replace_tree(manifest, one.prefix, other.tree)
        return replace_tree(manifest, other.prefix, one.tree)

    manifests.edit(swap)
    assert {problem.kind for problem in verify(place).problems} == {"segment"}
    writer.abandon()


def test_a_boundary_that_passed_the_latest_manifest_is_found(scene: Scene) -> None:
    scene.store.put("db/gc/manifest.boundary", b"1000")
    assert scene.kinds() == {"boundary"}


def test_without_a_manifest_there_is_nothing_to_verify(scene: Scene) -> None:
    with pytest.raises(NotFoundError):
        scene.verify("nothing")
    scene.store.put("db/manifest/00000000000000001000.manifest", b"\0\2 damaged")
    with pytest.raises(DataError):
        scene.verify()


def test_files_that_are_collected_meanwhile_are_no_problem(scene: Scene) -> None:
    done = False

    def progress(path: str) -> None:
        nonlocal done
        if not done:
            done = True
            gone = scene.table()
            scene.edit(
                lambda m: replace(
                    m,
                    tree=replace(m.tree, l0=m.tree.l0[:-1]),
                    ssts=tuple(each for each in m.ssts if each.id not in gone),
                )
            )
            scene.store.delete(gone)

    place = Place(scene.store, "db", scene.store)
    assert verify(place, rand=SeededRand(1), progress=progress).is_sound
    assert done
