"""Steps of a plan for a caller that blocks: over a network they run at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from cenote.errors import NotFoundError, UnavailableError
from cenote.lsm import fetching
from cenote.lsm.fetching import fetch_all
from cenote.objstore import MemoryStore, RecordingStore

WANTED = [(f"o{n}", ((n, n + 1), (n + 2, n + 4))) for n in range(40)]


class Meeting(MemoryStore):
    """A store whose requests wait until as many are under way as there should be."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(count, timeout=20)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        self._barrier.wait()
        return super().get_ranges(path, ranges)


def filled(store: MemoryStore) -> MemoryStore:
    for path, _ in WANTED:
        store.put(path, bytes(range(100)))
    return store


def expected(count: int) -> list[list[bytes]]:
    data = bytes(range(100))
    return [[data[a:b] for a, b in ranges] for _, ranges in WANTED[:count]]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_is_remote", lambda store: True)


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize(("count", "at_once"), [(2, 2), (16, 16), (40, 8)])
def test_what_is_asked_for_at_once_is_under_way_at_once(count: int, at_once: int) -> None:
    store = filled(Meeting(at_once))
    assert list(map(list, fetch_all(store, WANTED[:count]))) == expected(count)


@pytest.mark.usefixtures("remote")
def test_the_first_error_is_raised_when_all_are_done() -> None:
    class Failing(MemoryStore):
        def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
            if path == "o5":
                raise UnavailableError("not now")
            return super().get_ranges(path, ranges)

    store = filled(Failing())
    store.delete("o3")
    before = threading.active_count()
    with pytest.raises(NotFoundError):
        fetch_all(store, WANTED)
    assert threading.active_count() == before


def test_stores_at_hand_are_asked_in_the_callers_thread() -> None:
    seen: set[int] = set()

    class Noting(MemoryStore):
        def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
            seen.add(threading.get_ident())
            return super().get_ranges(path, ranges)

    store = RecordingStore(filled(Noting()))
    assert list(map(list, fetch_all(store, WANTED))) == expected(40)
    assert seen == {threading.get_ident()}


def test_a_network_is_found_below_what_wraps_it() -> None:
    obstore = pytest.importorskip("obstore.store")
    from cenote.objstore.remote import RemoteStore

    remote = RemoteStore(obstore.MemoryStore(), "s3://b")
    assert fetching._is_remote(RecordingStore(RecordingStore(remote)))
    assert not fetching._is_remote(RecordingStore(MemoryStore()))
