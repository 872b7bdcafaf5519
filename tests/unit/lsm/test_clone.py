"""Clones: whole databases, parts of them, unions; made at once or in several tries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gc_world import World
from writing import Concat, FirstThree, delete, merge, op, opened, put

from cenote.base import ManualClock, SeededRand
from cenote.errors import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from cenote.lsm.checkpoints import Checkpoints
from cenote.lsm.clone import CloneSource, clone, detach
from cenote.lsm.format import OutputSst, TieredSpec
from cenote.lsm.gc.mark import used_tables
from cenote.lsm.gc.sweep import Collector
from cenote.lsm.keys import Bound, BoundKind, KeyRange
from cenote.lsm.manifest.state import commit_tiered
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.opening import open_writer
from cenote.lsm.place import Place
from cenote.lsm.reader import DbReader
from cenote.lsm.settings import CompactorSettings, DbSettings, GcSettings
from cenote.objstore import Fault, FaultyStore, MemoryStore

Rows = dict[bytes, bytes]


def below(key: bytes) -> KeyRange:
    return KeyRange(Bound(), Bound(BoundKind.EXCLUDED, key))


def above(key: bytes) -> KeyRange:
    return KeyRange(Bound(BoundKind.INCLUDED, key), Bound())


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.rand = SeededRand(4)
        self.store = MemoryStore(clock=self.clock)
        self.parent = opened(self.store, clock=self.clock, merge_operator=Concat())

    def place(self, root: str) -> Place:
        return Place(self.store, root, self.store)

    def clone(self, root: str, *sources: CloneSource, store: Any = None) -> None:
        place = self.place(root)
        if store is not None:
            place = Place(store, root, store)
        clone(place, sources or [CloneSource("db")], clock=self.clock, rand=self.rand)

    def rows(self, root: str, **given: Any) -> Rows:
        with DbReader.open(
            self.place(root), clock=self.clock, merge_operator=Concat(), background=False, **given
        ) as reader:
            return dict(reader.scan())

    def checkpoints(self, root: str = "db") -> Checkpoints:
        return Checkpoints(self.place(root), clock=self.clock, rand=self.rand)

    def manifests(self, root: str) -> ManifestStore:
        made = ManifestStore(self.store, root, rand=self.rand)
        made.refresh()
        return made

    def write(self, root: str) -> Any:
        settings = DbSettings(compactor=CompactorSettings(enabled=False))
        return open_writer(
            self.place(root),
            settings,
            merge_operator=Concat(),
            clock=self.clock,
            rand=SeededRand(11),
            background=False,
        )

    def collect(self, root: str) -> Any:
        self.clock.advance(30 * 86_400)
        settings = GcSettings(age_min_ms=0)
        return Collector(self.place(root), settings, clock=self.clock, rand=self.rand).collect()

    def compact(self, root: str) -> None:
        """Rewrite all tables of a database into one of its own."""
        world = World(7, store=self.store, root=root)
        world.clock = self.clock
        with DbReader.open(self.place(root), background=False, merge_operator=Concat()) as reader:
            rows = [tuple(entry) for entry in reader.scan().entries()]
        made = world.upload(rows)  # type: ignore[arg-type]

        def edit(manifest: Any, _: int) -> Any:
            spec: TieredSpec = world.spec(manifest)
            return commit_tiered(manifest, spec, [OutputSst(made)])

        world.manifests.edit(edit)


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    for n in range(20):
        put(made.parent, b"k%02d" % n, b"%d" % n)
    merge(made.parent, b"m", b"1")
    made.parent.flush_memtable()
    delete(made.parent, b"k03")
    merge(made.parent, b"m", b"2")
    return made


def test_a_clone_holds_all_that_is_durable(scene: Scene) -> None:
    """Hazard: a detached checkpoint, or a clone, lacks what is in the log alone."""
    put(scene.parent, b"late", b"durable")
    put(scene.parent, b"lost", b"not durable", durable=False)
    scene.clone("child")
    rows = scene.rows("child")
    assert rows[b"late"] == b"durable"
    assert rows[b"m"] == b"1,2"
    assert b"k03" not in rows
    assert b"lost" not in rows
    assert len(rows) == 21


def test_both_go_on_by_themselves(scene: Scene) -> None:
    scene.clone("child")
    child = scene.write("child")
    put(child, b"own", b"c")
    put(scene.parent, b"own", b"p")
    merge(child, b"m", b"3")
    child.flush_memtable()
    scene.parent.flush_memtable()
    assert scene.rows("child")[b"own"] == b"c"
    assert scene.rows("child")[b"m"] == b"1,2,3"
    assert scene.rows("db")[b"own"] == b"p"
    assert scene.rows("db")[b"m"] == b"1,2"
    child.close()


def test_the_parent_keeps_what_a_clone_reads(scene: Scene) -> None:
    scene.clone("child")
    expected = scene.rows("child")
    scene.compact("db")
    put(scene.parent, b"new", b"1")
    scene.parent.flush_memtable()
    scene.collect("db")
    scene.collect("child")
    assert scene.rows("child") == expected


def test_a_clone_that_was_rewritten_lets_go_of_its_parent(scene: Scene) -> None:
    put(scene.parent, b"late", b"durable")
    scene.clone("child")
    child = scene.write("child")
    child.flush_memtable()
    child.close()
    expected = scene.rows("child")
    scene.compact("child")
    assert scene.collect("child").detached == ("db",)
    assert scene.manifests("child").refresh().value.external_dbs == ()
    scene.collect("db")
    assert scene.manifests("db").refresh().value.checkpoints == ()
    for meta in list(scene.store.list("db")):
        scene.store.delete(meta.path)
    assert scene.rows("child") == expected
    scene.write("child").close()


def test_detaching_copies_what_is_still_the_parents(scene: Scene) -> None:
    scene.clone("child")
    expected = scene.rows("child")
    assert detach(scene.place("child"), rand=scene.rand) == ("db",)
    assert detach(scene.place("child"), rand=scene.rand) == ()
    assert scene.collect("child").detached == ("db",)
    for meta in list(scene.store.list("db")):
        scene.store.delete(meta.path)
    assert scene.rows("child") == expected
    writer = scene.write("child")
    put(writer, b"new", b"1")
    writer.close()


def test_a_clone_of_a_checkpoint(scene: Scene) -> None:
    scene.checkpoints().create("friday")
    put(scene.parent, b"k00", b"after")
    scene.parent.flush_memtable()
    scene.clone("child", CloneSource("db", "friday"))
    assert scene.rows("child")[b"k00"] == b"0"
    scene.checkpoints().delete("friday")
    scene.collect("db")
    assert scene.rows("child")[b"k00"] == b"0"


def test_a_clone_of_a_clone_needs_no_middle(scene: Scene) -> None:
    scene.clone("child")
    child = scene.write("child")
    put(child, b"own", b"1")
    child.flush_memtable()
    child.close()
    scene.clone("grandchild", CloneSource("child"))
    expected = scene.rows("grandchild")
    assert expected[b"own"] == b"1"
    scene.compact("child")
    scene.collect("child")
    scene.compact("db")
    scene.collect("db")
    assert scene.rows("grandchild") == expected
    finals = [
        each.final_checkpoint for each in scene.manifests("grandchild").refresh().value.external_dbs
    ]
    assert len(set(finals)) == 2


def test_a_repeated_call_changes_nothing(scene: Scene) -> None:
    scene.clone("child")
    before = scene.manifests("child").refresh()
    scene.clone("child")
    assert scene.manifests("child").refresh() == before
    with pytest.raises(AlreadyExistsError):
        scene.clone("child", CloneSource("other"))
    with pytest.raises(AlreadyExistsError):
        scene.clone("db", CloneSource("child"))


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
@pytest.mark.parametrize("after", range(30))
def test_an_interrupted_clone_can_be_finished(scene: Scene, after: int, fault: Fault) -> None:
    """Every request but the first `after` fails, done or not; then the call is repeated."""
    put(scene.parent, b"late", b"durable")
    left = after

    def plan(call: Any) -> Fault | None:
        nonlocal left
        left -= 1
        return fault if left < 0 else None

    failing = FaultyStore(scene.store, plan, clock=scene.clock)
    expected = scene.rows("db")
    try:
        scene.clone("child", store=failing)
    except UnavailableError as error:
        if not error.effect_unknown:
            with pytest.raises((UnavailableError, NotFoundError)):
                scene.rows("child")
    scene.clone("child")
    assert scene.rows("child") == expected
    scene.collect("db")
    assert scene.rows("child") == expected


def test_a_clone_whose_source_is_gone_half_way_says_so(scene: Scene) -> None:
    def plan(call: Any) -> Fault | None:
        stop = call.op == "put_if_absent" and call.path.startswith("db/manifest") and made
        return Fault.BEFORE if stop else None

    made = False

    class Watched(FaultyStore):
        def put_if_absent(self, path: str, data: Any, **more: Any) -> Any:
            nonlocal made
            result = super().put_if_absent(path, data, **more)
            made = made or path.startswith("child/manifest")
            return result

    with pytest.raises(UnavailableError):
        scene.clone("child", store=Watched(scene.store, plan, clock=scene.clock))
    scene.collect("db")  # drops the checkpoint of five minutes
    with pytest.raises(NotFoundError) as caught:
        scene.clone("child")
    assert caught.value.kind == "no_such_checkpoint"
    assert "delete the clone" in str(caught.value)


# Parts.


@pytest.mark.parametrize("flushed", [True, False])
def test_a_part_holds_its_keys_alone(scene: Scene, flushed: bool) -> None:
    """Of the log too: it becomes a table of the part."""
    put(scene.parent, b"k02", b"late")
    put(scene.parent, b"k15", b"late")
    if flushed:
        scene.parent.flush_memtable()
    everything = scene.rows("db")
    scene.clone("low", CloneSource("db", None, below(b"k10")))
    scene.clone("high", CloneSource("db", None, above(b"k10")))
    assert scene.rows("low") == {k: v for k, v in everything.items() if k < b"k10"}
    assert scene.rows("high") == {k: v for k, v in everything.items() if k >= b"k10"}
    low = scene.write("low")
    put(low, b"k99", b"beyond the part")
    low.flush_memtable()
    low.close()
    assert scene.rows("low")[b"k99"] == b"beyond the part"


def test_a_part_of_a_part(scene: Scene) -> None:
    scene.clone("low", CloneSource("db", None, below(b"k10")))
    scene.clone("middle", CloneSource("low", None, above(b"k05")))
    everything = scene.rows("db")
    assert scene.rows("middle") == {k: v for k, v in everything.items() if b"k05" <= k < b"k10"}


def test_bounds_are_kept_as_they_were_said(scene: Scene) -> None:
    both = KeyRange(Bound(BoundKind.EXCLUDED, b"k05"), Bound(BoundKind.INCLUDED, b"k07"))
    scene.clone("part", CloneSource("db", None, both))
    assert list(scene.rows("part")) == [b"k06", b"k07"]


def test_a_part_without_keys_is_an_empty_database(scene: Scene) -> None:
    scene.clone("none", CloneSource("db", None, above(b"z")))
    assert scene.rows("none") == {}
    writer = scene.write("none")
    put(writer, b"a", b"1")
    writer.close()
    assert scene.rows("none") == {b"a": b"1"}


def test_an_empty_range_is_an_error(scene: Scene) -> None:
    empty = KeyRange(Bound(BoundKind.INCLUDED, b"b"), Bound(BoundKind.EXCLUDED, b"a"))
    with pytest.raises(InvalidError):
        scene.clone("none", CloneSource("db", None, empty))


def test_the_log_of_segments_becomes_tables_of_theirs() -> None:
    scene = Scene()
    scene.parent.close()
    store = scene.store = MemoryStore(clock=scene.clock)
    writer = opened(store, clock=scene.clock, segment_extractor=FirstThree())
    for prefix in (b"bbb", b"aaa", b"ccc"):
        put(writer, prefix + b"1", prefix)
    writer.flush_memtable()
    put(writer, b"aaa2", b"late")
    put(writer, b"ccc2", b"late")
    scene.clone("part", CloneSource("db", None, below(b"ccc")))
    assert list(scene.rows("part")) == [b"aaa1", b"aaa2", b"bbb1"]
    manifest = scene.manifests("part").refresh().value
    assert [each.prefix for each in manifest.segments] == [b"aaa", b"bbb"]
    put(writer, b"add1", b"of a new segment")
    with pytest.raises(UnsupportedError) as caught:
        scene.clone("other", CloneSource("db", None, below(b"ccc")))
    assert caught.value.kind == "source_has_log"
    assert not list(store.list("other"))
    writer.close()


# Unions.


def test_parts_become_one_again(scene: Scene) -> None:
    put(scene.parent, b"k02", b"late")
    everything = scene.rows("db")
    scene.clone("low", CloneSource("db", None, below(b"k10")))
    scene.clone("high", CloneSource("db", None, above(b"k10")))
    low = scene.write("low")
    put(low, b"k01", b"changed")
    low.close()
    scene.clone("union", CloneSource("low"), CloneSource("high"))
    everything[b"k01"] = b"changed"
    assert scene.rows("union") == everything
    manifest = scene.manifests("union").refresh().value
    views = [view.id for tree in manifest.trees() for view in tree.views()]
    assert len(set(views)) == len(views)
    writer = scene.write("union")
    put(writer, b"k01", b"again")
    writer.flush_memtable()
    writer.close()
    scene.compact("union")
    everything[b"k01"] = b"again"
    assert scene.rows("union") == everything
    assert set(scene.collect("union").detached) <= {"db", "low", "high"}
    assert scene.rows("union") == everything


def test_sources_must_not_share_keys(scene: Scene) -> None:
    scene.clone("low", CloneSource("db", None, below(b"k10")))
    scene.clone("high", CloneSource("db", None, above(b"k09")))
    with pytest.raises(InvalidError) as caught:
        scene.clone("union", CloneSource("low"), CloneSource("high"))
    assert caught.value.kind == "invalid_union"
    assert not list(scene.store.list("union"))


def test_one_place_is_not_two_sources(scene: Scene) -> None:
    for sources in ([], [CloneSource("db"), CloneSource("db")], [CloneSource("child")]):
        with pytest.raises(InvalidError):
            clone(scene.place("child"), sources, clock=scene.clock, rand=scene.rand)


# What is noted beside a database.


def test_a_clone_merges_with_its_parents_operator(scene: Scene) -> None:
    class Other(Concat):
        name = "other"

    scene.clone("child")
    with pytest.raises(InvalidError) as caught:
        open_writer(scene.place("child"), merge_operator=Other(), background=False)
    assert caught.value.kind == "merge_operator"


def test_a_log_in_another_store_is_cloned_there() -> None:
    clock = ManualClock()
    store, log = MemoryStore(clock=clock), MemoryStore(clock=clock)
    writer = opened(store, wal=log, clock=clock)
    put(writer, b"a", b"1")
    writer.flush_memtable()
    put(writer, b"b", b"2")
    rand = SeededRand(1)
    with pytest.raises(InvalidError):
        clone(Place(store, "child", store), [CloneSource("db")], clock=clock, rand=rand)
    clone(Place(store, "child", log), [CloneSource("db")], clock=clock, rand=rand)
    with DbReader.open(Place(store, "child", log), background=False) as reader:
        assert dict(reader.scan()) == {b"a": b"1", b"b": b"2"}
    with pytest.raises(InvalidError):
        DbReader.open(Place(store, "child", store), background=False)
    writer.close()


# Checkpoints.


def test_checkpoints_are_listed_refreshed_and_deleted(scene: Scene) -> None:
    checkpoints = scene.checkpoints()
    one = checkpoints.create("one", lifetime_ms=10_000)
    two = checkpoints.create("two", source="one")
    assert two.manifest_id == one.manifest_id
    assert one.expire_time_s == scene.clock.now_ms() // 1000 + 10
    assert two.expire_time_s is None
    assert [each.name for each in checkpoints.listed()] == ["one", "two"]
    assert checkpoints.refresh("one", None).expire_time_s is None
    assert checkpoints.refresh(two.id, 1).expire_time_s == scene.clock.now_ms() // 1000 + 1
    checkpoints.delete("one")
    assert [each.name for each in checkpoints.listed()] == ["two"]
    with pytest.raises(NotFoundError):
        checkpoints.delete("one")
    with pytest.raises(NotFoundError):
        checkpoints.refresh("one", 1000)
    with pytest.raises(NotFoundError):
        checkpoints.create(source="one")
    checkpoints.create("two")
    with pytest.raises(ConflictError):
        checkpoints.delete("two")
    with pytest.raises(InvalidError):
        checkpoints.create(lifetime_ms=0)


def test_a_checkpoint_holds_the_durable_log(scene: Scene) -> None:
    put(scene.parent, b"late", b"durable")
    made = scene.checkpoints().create()
    put(scene.parent, b"late", b"newer")
    scene.parent.flush_memtable()
    put(scene.parent, b"more", b"1")
    scene.parent.flush_memtable()
    scene.collect("db")
    assert scene.rows("db", checkpoint=made.id)[b"late"] == b"durable"
    assert scene.rows("db")[b"late"] == b"newer"


def test_a_checkpoint_disturbs_no_writer(scene: Scene) -> None:
    for n in range(5):
        scene.checkpoints().create(f"c{n}")
        put(scene.parent, b"k%d" % n, b"v")
        if n % 2:
            scene.parent.flush_memtable()
    assert len(scene.checkpoints().listed()) == 5
    scene.parent.write([op(b"end", b"1")])
    scene.parent.close()
    assert scene.rows("db")[b"end"] == b"1"
    manifest = scene.manifests("db").refresh().value
    assert used_tables(manifest)
    assert replace(manifest, checkpoints=()).checkpoints == ()


def test_a_log_file_that_was_not_made_yet_is_not_waited_for(scene: Scene) -> None:
    """A writer may name the number it is about to take."""
    put(scene.parent, b"late", b"durable")
    expected = scene.rows("db")
    scene.manifests("db").edit(lambda m, _: replace(m, wal_id_last_seen=m.wal_id_last_seen + 99))
    scene.clone("child")
    assert scene.rows("child") == expected
    scene.clone("part", CloneSource("db", None, below(b"l")))
    assert scene.rows("part") == {k: v for k, v in expected.items() if k < b"l"}
    child = scene.write("child")
    put(child, b"own", b"1")
    child.close()
    assert scene.rows("child") == {**expected, b"own": b"1"}


def test_a_log_that_is_elsewhere_is_missed() -> None:
    """As of a database of the reference implementation, which notes nothing."""
    clock = ManualClock()
    store, log = MemoryStore(clock=clock), MemoryStore(clock=clock)
    writer = opened(store, wal=log, clock=clock)
    put(writer, b"a", b"1")
    writer.flush_memtable()
    put(writer, b"b", b"2")
    Checkpoints(Place(store, "db", log), clock=clock, rand=SeededRand(1)).create("kept")
    store.delete("db/cenote/guard.json")
    for span in (None, below(b"z")):
        with pytest.raises(UnsupportedError) as caught:
            clone(
                Place(store, "child", store),
                [CloneSource("db", "kept", span)],
                clock=clock,
                rand=SeededRand(1),
            )
        assert caught.value.kind == "wal_store"
        for meta in list(store.list("child")):
            store.delete(meta.path)
    writer.abandon()
