"""Parts of objects in a folder: fetched once, believed only while their checksum matches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import InvalidError, NotFoundError
from cenote.objstore import MemoryStore, RecordingStore
from cenote.objstore.parts import PART_SIZE, PartCachingStore, PartFolder

DATA = bytes(range(256)) * 1024


class Scene:
    def __init__(self, folder: Path, budget: int = 2**20) -> None:
        self.folder = folder / "parts"
        self.memory = MemoryStore()
        self.memory.put("t/a", DATA)
        self.memory.put("t/b", DATA[::-1])
        self.inner = RecordingStore(self.memory)
        self.budget = budget
        self.store = self.opened()

    def opened(self) -> PartCachingStore:
        parts = PartFolder(self.folder, self.budget)
        return PartCachingStore(self.inner, parts, is_immutable=lambda path: path.startswith("t/"))

    @property
    def fetches(self) -> int:
        return len(self.inner.requests)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_range_is_fetched_once(scene: Scene) -> None:
    for _ in range(3):
        assert scene.store.get_range("t/a", 5, 500) == DATA[5:500]
    assert scene.fetches == 1
    assert scene.store.get_range("t/b", 5, 500) == DATA[::-1][5:500]
    assert scene.fetches == 2
    assert scene.store.parts.size == 990


def test_it_is_kept_by_the_next_process(scene: Scene) -> None:
    scene.store.get_range("t/a", 0, 1000)
    again = scene.opened()
    assert again.parts.size == 1000
    assert again.get_range("t/a", 0, 1000) == DATA[:1000]
    assert scene.fetches == 1


def test_a_range_within_a_large_one_needs_no_fetch(scene: Scene) -> None:
    scene.store.get_range("t/a", 1000, 101_000)
    assert scene.store.get_range("t/a", 5000, 6000) == DATA[5000:6000]
    assert scene.store.get_ranges("t/a", [(1000, 1001), (100_999, 101_000)]) == [
        DATA[1000:1001],
        DATA[100_999:101_000],
    ]
    assert scene.fetches == 1
    assert scene.store.get_range("t/a", 999, 1001) == DATA[999:1001]
    assert scene.fetches == 2


def test_only_what_is_missing_is_fetched(scene: Scene) -> None:
    scene.store.get_range("t/a", 10, 20)
    found = scene.store.get_ranges("t/a", [(10, 20), (30, 40), (50, 60)])
    assert list(found) == [DATA[10:20], DATA[30:40], DATA[50:60]]
    assert [request.received for request in scene.inner.requests] == [10, 20]


def test_an_event_loop_finds_it_too(scene: Scene) -> None:
    async def main() -> None:
        for _ in range(2):
            assert await scene.store.get_range_async("t/a", 7, 9) == DATA[7:9]

    asyncio.run(main())
    assert scene.fetches == 1


def test_a_large_range_is_kept_in_parts_that_are_read_apart(scene: Scene) -> None:
    scene.memory.put("t/large", DATA * 4)
    scene.store.get_range("t/large", 100, PART_SIZE * 3)
    assert len(scene.files()) == 3
    assert scene.store.get_range("t/large", 100, PART_SIZE * 3) == (DATA * 4)[100 : PART_SIZE * 3]
    assert scene.fetches == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_part_is_fetched_anew(scene: Scene, damage: str) -> None:
    scene.store.get_range("t/a", 0, 1000)
    (path,) = scene.files()
    if damage == "flip":
        path.write_bytes(b"x" + path.read_bytes()[1:])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:10])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert scene.store.get_range("t/a", 0, 1000) == DATA[:1000]
    assert scene.store.get_range("t/a", 0, 1000) == DATA[:1000]
    assert scene.fetches == 2
    assert scene.store.parts.size == 1000


def test_the_budget_holds_and_the_least_used_go(tmp_path: Path) -> None:
    scene = Scene(tmp_path, budget=1000)
    for at in range(0, 2000, 100):
        scene.store.get_range("t/a", at, at + 100)
        scene.store.get_range("t/a", 0, 100)
        assert sum(path.stat().st_size for path in scene.files()) <= 1000
    fetches = scene.fetches
    scene.store.get_range("t/a", 0, 100)
    scene.store.get_range("t/a", 1900, 2000)
    assert scene.fetches == fetches
    scene.store.get_range("t/a", 0, 5000)  # larger than the budget
    assert scene.store.parts.size <= 1000
    scene.budget = 250
    assert scene.opened().parts.size <= 250
    assert len(scene.files()) == 2


def test_what_may_change_is_not_kept(scene: Scene) -> None:
    scene.memory.put("m/x", b"old old")
    assert scene.store.get_range("m/x", 0, 3) == b"old"
    scene.memory.put("m/x", b"new new")
    assert scene.store.get_range("m/x", 0, 3) == b"new"
    assert scene.files() == []


def test_what_is_written_or_deleted_through_it_is_forgotten(scene: Scene) -> None:
    scene.store.get_range("t/a", 0, 4)
    scene.store.put("t/a", b"another")
    assert scene.store.get_range("t/a", 0, 4) == b"anot"
    scene.store.delete_many(["t/a"])
    with pytest.raises(NotFoundError):
        scene.store.get_range("t/a", 0, 4)
    assert scene.files() == []


def test_wrong_ranges_are_errors_as_ever(scene: Scene) -> None:
    for start, end in ((5, 5), (-1, 3), (9, 3), (0, len(DATA) + 1)):
        with pytest.raises(InvalidError):
            scene.store.get_range("t/a", start, end)


def test_a_folder_that_fails_costs_no_answer(scene: Scene) -> None:
    scene.store.get_range("t/a", 0, 10)
    for path in scene.files():
        path.unlink()
    scene.folder.rmdir()
    assert scene.store.get_range("t/a", 0, 10) == DATA[:10]
    assert scene.store.get_range("t/a", 20, 30) == DATA[20:30]
    assert scene.store.parts.size == 0


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").write_bytes(b"")
    with pytest.raises(InvalidError) as caught:
        PartFolder(tmp_path / "parts", 1000)
    assert caught.value.kind == "invalid_folder"


def test_foreign_files_are_left_alone_and_torn_writes_are_not(scene: Scene) -> None:
    (scene.folder / "notes.txt").write_bytes(b"mine")
    (scene.folder / "1-a-1.part.tmp").write_bytes(b"torn")
    store = scene.opened()
    assert store.parts.size == 0
    assert [path.name for path in scene.files()] == ["notes.txt"]


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 3000),
    st.lists(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 300)), min_size=1), max_size=9),
)
def test_any_reads_in_any_order_are_right(
    tmp_path_factory: pytest.TempPathFactory,
    budget: int,
    reads: list[list[tuple[int, int]]],
) -> None:
    scene = Scene(tmp_path_factory.mktemp("any"), budget)
    for spans in reads:
        ranges = [(start, start + size) for start, size in spans]
        for name, data in (("t/a", DATA), ("t/b", DATA[::-1])):
            found = scene.store.get_ranges(name, ranges)
            assert list(found) == [data[start:end] for start, end in ranges]
        sizes = sum(path.stat().st_size for path in scene.files())
        assert sizes == scene.store.parts.size <= budget
