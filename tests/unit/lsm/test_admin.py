"""Looking after a database from outside."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from writing import Concat, opened, put

from cenote.base import ManualClock, SeededRand
from cenote.errors import ClosedError, ConflictError, InvalidError, NotFoundError
from cenote.lsm.admin import Admin
from cenote.lsm.clone import CloneSource
from cenote.lsm.format import TieredSpec
from cenote.lsm.opening import open_writer
from cenote.lsm.place import Place
from cenote.lsm.reader import DbReader
from cenote.lsm.settings import GcSettings
from cenote.objstore import MemoryStore


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        self.writer = opened(self.store, clock=self.clock, merge_operator=Concat())
        for n in range(3):
            put(self.writer, b"k%d" % n, b"v")
            self.writer.flush_memtable()
            self.clock.advance(90)

    def admin(self, root: str = "db") -> Admin:
        place = Place(self.store, root, self.store)
        return Admin(place, clock=self.clock, rand=SeededRand(3))

    def paths(self, root: str) -> list[str]:
        return [meta.path for meta in self.store.list(root)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.writer.abandon()


def test_manifests_are_told_by_number(scene: Scene) -> None:
    admin = scene.admin()
    latest = admin.manifest()
    assert admin.manifests() == list(range(1, latest.number + 1))
    assert admin.manifest(latest.number) == latest
    assert len(latest.value.tree.l0) == 3
    assert admin.compactions() is None
    assert admin.compactions_files() == []
    with pytest.raises(NotFoundError):
        admin.manifest(1000)
    with pytest.raises(NotFoundError):
        scene.admin("nothing").manifest()


def test_sequence_numbers_and_seconds(scene: Scene) -> None:
    admin = scene.admin()
    first = scene.clock.now_ms() // 1000 - 270
    assert [admin.second_of(seq) for seq in (1, 2, 3)] == [first, first + 90, first + 180]
    assert admin.second_of(0) is None
    assert admin.second_of(0, later=True) == first
    assert admin.second_of(4, later=True) is None
    assert admin.seq_of(first + 100) == 2
    assert admin.seq_of(first + 100, later=True) == 3
    assert admin.seq_of(first - 1) is None


def test_a_compaction_is_checked_before_it_is_asked_for(scene: Scene) -> None:
    """Hazard: newer files are compacted past older ones, which are lost then."""
    admin = scene.admin()
    newest, middle, oldest = [view.id for view in admin.manifest().value.tree.l0]
    for views in ((newest, middle), (newest,), (oldest, middle), (newest, oldest)):
        with pytest.raises(InvalidError) as caught:
            admin.submit(TieredSpec(views, (), 0))
        assert caught.value.kind == "invalid_compaction"
    assert admin.compactions() is None
    made = admin.submit(TieredSpec((middle, oldest), (), 0))
    found = admin.compactions()
    assert found is not None
    assert [each.id for each in found.value.recent] == [made]
    assert admin.compactions(found.number) == found
    with pytest.raises(ConflictError):
        admin.submit(TieredSpec((newest, middle, oldest), (), 0))


def test_it_collects_clones_verifies_and_feeds(scene: Scene) -> None:
    admin = scene.admin()
    assert [change.key for change in admin.changes()] == [b"k0", b"k1", b"k2"]
    scene.clock.advance(86_400)
    told = admin.collect(dry_run=True)
    assert told.count == admin.collect(GcSettings()).count > 0
    child = scene.admin("child")
    assert child.clone_of(CloneSource("db")).value.initialized
    assert child.verify().is_sound
    assert child.detach() == ("db",)
    assert admin.verify().is_sound


# Deleting.


def test_deleting_wants_to_be_confirmed(scene: Scene) -> None:
    before = scene.paths("db")
    for word in ("", "yes", "child"):
        with pytest.raises(InvalidError) as caught:
            scene.admin().delete_db(word)
        assert caught.value.kind == "not_confirmed"
    assert scene.paths("db") == before


def test_deleting_leaves_nothing_of_it_and_all_else(scene: Scene) -> None:
    scene.store.put("db/notes.txt", b"mine")
    other = Place(scene.store, "db/inner", scene.store)
    inner = open_writer(other, clock=scene.clock, rand=SeededRand(2), background=False)
    inner.close()
    kept = [*scene.paths("db/inner"), "db/notes.txt"]
    count = len(scene.paths("db")) - len(kept)
    told = scene.admin().delete_db("db")
    assert told >= count
    assert sorted(scene.paths("db")) == sorted(kept)
    with pytest.raises(NotFoundError):
        scene.admin().delete_db("db")


def test_deleting_shuts_the_writer_out(scene: Scene) -> None:
    fenced = False

    admin = scene.admin()
    real = scene.store.delete_many

    def delete_many(paths: list[str]) -> None:
        nonlocal fenced
        if not fenced:
            fenced = True
            with pytest.raises(ClosedError) as caught:
                put(scene.writer, b"late", b"lost?")
            assert caught.value.reason == "fenced"
        real(paths)

    scene.store.delete_many = delete_many  # type: ignore[method-assign,assignment]
    admin.delete_db("db")
    assert fenced


def test_a_database_that_clones_read_is_not_deleted(scene: Scene) -> None:
    scene.admin("child").clone_of(CloneSource("db"))
    with pytest.raises(ConflictError) as caught:
        scene.admin().delete_db("db")
    assert caught.value.kind == "has_checkpoints"
    with DbReader.open(Place(scene.store, "child", scene.store), background=False) as reader:
        assert len(list(reader.scan())) == 3
    scene.admin("child").delete_db("child")
    assert all(each.expire_time_s for each in scene.admin().checkpoints.listed())
    scene.admin().checkpoints.create("kept")
    assert scene.admin().delete_db("db", with_checkpoints=True) > 0
    assert scene.paths("db") == []


def test_a_deletion_that_was_cut_off_can_be_repeated(scene: Scene) -> None:
    for meta in list(scene.store.list("db/manifest")):
        scene.store.delete(meta.path)
    assert scene.admin().delete_db("db") > 0
    assert scene.paths("db") == []
