"""What each wrapper adds to the contract."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import DeniedError, NotFoundError, UnavailableError
from cenote.objstore import (
    CachingStore,
    Fault,
    FaultyStore,
    Latency,
    MemoryStore,
    Odds,
    PrefixStore,
    ReadOnlyStore,
    RecordingStore,
    Request,
    SlowStore,
    scripted,
)
from cenote.objstore.spans import cut, merged


def test_a_prefix_shows_its_folder_only() -> None:
    inner = MemoryStore()
    for path in ("a/x", "a/b/y", "ab", "a-"):
        inner.put(path, b"")
    store = PrefixStore(inner, "a")
    assert [meta.path for meta in store.list()] == ["b/y", "x"]
    assert list(store.list_folder().folders) == ["b"]
    assert store.put("z", b"").path == "z"
    assert inner.head("a/z").path == "a/z"
    assert store.name == "memory:/a" or store.name.endswith("/a")


def test_a_cache_keeps_to_its_budget_and_answers_from_it() -> None:
    inner = RecordingStore(MemoryStore())
    store = CachingStore(inner, 100, is_immutable=lambda path: path.startswith("sst/"))
    for number in range(5):
        store.put(f"sst/{number}", bytes([number]) * 40)
    inner.reset()
    for number in (0, 1, 0, 1):
        assert store.get(f"sst/{number}").data == bytes([number]) * 40
    assert inner.counts == {"get": 2}
    assert store.get_range("sst/1", 3, 5) == b"\1\1"
    assert store.get_tail("sst/0", 2).data == b"\0\0"
    assert inner.counts == {"get": 2}
    store.get("sst/2")  # sends the least recently used, 1, away
    assert store.size <= 100
    store.get("sst/0")
    assert inner.counts == {"get": 3}
    store.get("sst/1")
    assert inner.counts == {"get": 4}


def test_a_cache_fetches_only_the_ranges_it_lacks() -> None:
    inner = RecordingStore(MemoryStore())
    store = CachingStore(inner, 1000, is_immutable=lambda path: True)
    store.put("a", bytes(range(100)))
    assert store.get_ranges("a", [(0, 10), (20, 30)]) == [bytes(range(10)), bytes(range(20, 30))]
    inner.reset()
    asyncio.run(store.get_ranges_async("a", [(20, 30), (50, 60), (0, 10)]))
    assert inner.received == 10


def test_a_cache_forgets_what_is_written_and_never_keeps_what_may_change() -> None:
    inner = MemoryStore()
    store = CachingStore(inner, 1000, is_immutable=lambda path: path != "mutable")
    for path in ("mutable", "a", "b"):
        store.put(path, b"old")
        store.get(path)
    inner.put("mutable", b"new")
    assert store.get("mutable").data == b"new"
    store.put("a", b"new")
    assert store.get("a").data == b"new"
    store.delete_many(["a", "b"])
    for path in ("a", "b"):
        with pytest.raises(NotFoundError):
            store.get(path)
    assert store.size == 0


def test_requests_and_bytes_are_counted() -> None:
    store = RecordingStore(MemoryStore())
    store.put("a", b"12345")
    store.get_range("a", 1, 3)
    asyncio.run(store.get_ranges_async("a", [(0, 1), (1, 5)]))
    with pytest.raises(NotFoundError):
        store.get("b")
    assert store.counts == {"put": 1, "get_range": 1, "get_ranges": 1, "get": 1}
    assert (store.sent, store.received) == (5, 7)
    assert store.requests[0] == Request("put", "a", 5, 0)
    assert store.requests[-1] == Request("get", "b", 0, 0, "no_such_key")
    store.reset()
    assert (store.counts, store.requests, store.sent) == ({}, [], 0)


def test_faults_say_what_became_of_the_request() -> None:
    memory = MemoryStore()
    store = FaultyStore(memory, scripted([Fault.BEFORE, Fault.AFTER], ops=["put"]))
    with pytest.raises(UnavailableError) as caught:
        store.put("a", b"x")
    assert not caught.value.effect_unknown
    assert list(memory.list()) == []
    with pytest.raises(UnavailableError) as caught:
        store.put("a", b"x")
    assert caught.value.effect_unknown
    assert memory.get("a").data == b"x"
    store.put("a", b"y")
    clock = ManualClock()
    late = FaultyStore(memory, scripted([Fault.DELAY]), clock=clock, delay_seconds=9)
    assert late.get("a").data == b"y"
    assert clock.monotonic() == 9


def test_the_same_seed_fails_the_same_way() -> None:
    def ends(seed: int) -> list[str]:
        odds = Odds(SeededRand(seed), before=0.3, after=0.2, truncated=0.2)
        store = FaultyStore(MemoryStore(), odds)
        found = []
        for _ in range(50):
            try:
                found.append(str(store.put("a", b"x").size))
            except UnavailableError as error:
                found.append(error.message)
        return found

    assert ends(1) == ends(1) != ends(2)
    assert len(set(ends(1))) == 3


def test_latency_is_by_the_model() -> None:
    clock = ManualClock()
    latency = Latency(read_ms=10, write_ms=20, mib_ms=8)
    store = SlowStore(MemoryStore(), latency, clock=clock)
    store.put("a", b"\0" * (1 << 20))
    assert clock.monotonic() == pytest.approx(0.028)
    store.get_range("a", 0, 1 << 19)
    assert clock.monotonic() == pytest.approx(0.042)
    asyncio.run(store.get_async("a"))
    assert clock.monotonic() == pytest.approx(0.060)


def test_nothing_is_written_to_a_read_only_store() -> None:
    inner = MemoryStore()
    etag = inner.put("a", b"x").etag
    recording = RecordingStore(inner)
    store = ReadOnlyStore(recording)
    for call in (
        lambda: store.put("a", b""),
        lambda: store.put_if_absent("b", b""),
        lambda: store.put_if_match("a", b"", etag),
        lambda: store.copy("a", "b"),
        lambda: store.delete("a"),
        lambda: store.delete_many(["a"]),
        lambda: store.multipart("b"),
    ):
        with pytest.raises(DeniedError):
            call()
    assert recording.counts == {}
    assert store.get("a").data == b"x"


@pytest.mark.parametrize("seed", range(20))
def test_joined_ranges_hold_all_that_was_asked(seed: int) -> None:
    rand = SeededRand(seed)
    data = rand.bytes(256)
    pairs = [sorted(rand.bytes(2)) for _ in range(8)]
    ranges = [(start, end + 1) for start, end in pairs]
    for gap in (0, 10, 1000):
        spans = merged(ranges, gap)
        found = cut(ranges, spans, [data[start:end] for start, end in spans])
        assert found == [data[start:end] for start, end in ranges], f"seed {seed}"
        assert all(later[0] - one[1] > gap for one, later in pairwise(spans))
