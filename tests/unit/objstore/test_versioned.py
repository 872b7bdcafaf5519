"""Numbered versions: one winner each, fences, and replies that were lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import ClosedError, ConflictError, DataError, NotFoundError, UnavailableError
from cenote.objstore import (
    Fault,
    FaultyStore,
    Fence,
    MemoryStore,
    ObjectStore,
    Odds,
    Patience,
    RecordingStore,
    RetryingStore,
    Versioned,
    scripted,
)


class Pair:
    """A value with an epoch: "EPOCH NUMBER"."""

    def encode(self, value: tuple[int, int]) -> bytes:
        return b"%d %d" % value

    def decode(self, data: bytes) -> tuple[int, int]:
        epoch, _, number = data.partition(b" ")
        if not epoch.isdigit() or not number.isdigit():
            raise DataError("no pair")
        return int(epoch), int(number)


def versions(store: ObjectStore) -> Versioned[tuple[int, int]]:
    return Versioned(store, "db/manifest", Pair(), suffix=".manifest")


def fence(store: ObjectStore) -> Fence[tuple[int, int]]:
    return Fence(
        versions(store), epoch_of=lambda v: v[0], with_epoch=lambda v, epoch: (epoch, v[1])
    )


def test_versions_are_numbered_from_one() -> None:
    store = MemoryStore()
    made = versions(store)
    assert made.latest() is None
    assert made.create(1, (0, 10)).number == 1
    made.create(2, (0, 20))
    latest = made.latest()
    assert latest is not None
    assert (latest.number, latest.value) == (2, (0, 20))
    assert [meta.path for meta in store.list()] == [
        "db/manifest/00000000000000000001.manifest",
        "db/manifest/00000000000000000002.manifest",
    ]
    with pytest.raises(ConflictError) as caught:
        made.create(2, (0, 30))
    assert caught.value.kind == "version_taken"
    assert made.read(1).value == (0, 10)
    with pytest.raises(NotFoundError):
        made.read(3)


def test_other_names_in_the_folder_are_no_versions() -> None:
    store = MemoryStore()
    made = versions(store)
    made.create(1, (0, 0))
    for name in (
        "9.manifest",
        "0000000000000000000x.manifest",
        "00000000000000000009.tmp",
        "٠" * 20 + ".manifest",
        "below/00000000000000000009.manifest",
    ):
        store.put(f"db/manifest/{name}", b"x")
    assert made.numbers() == [1]


def test_a_version_that_is_none_is_told() -> None:
    store = MemoryStore()
    store.put(versions(store).path(1), b"rubbish")
    with pytest.raises(DataError):
        versions(store).latest()


def test_the_latest_is_found_from_a_known_one_without_reading_it_again() -> None:
    recording = RecordingStore(MemoryStore())
    made = versions(recording)
    known = made.create(1, (0, 0))
    recording.reset()
    assert made.latest(known) is known
    assert recording.counts == {"list_page": 1}
    made.update(lambda now: (0, 1), known)
    assert recording.counts == {"list_page": 1, "put_if_absent": 1}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_addition_of_32_writers_is_lost_though_replies_are(seed: int) -> None:
    memory = MemoryStore()
    gate = threading.Barrier(32)

    def add(number: int) -> None:
        clock = ManualClock()
        odds = Odds(SeededRand(seed * 100 + number), before=0.1, after=0.3)
        faulty = FaultyStore(memory, odds, clock=clock)
        store = RetryingStore(faulty, Patience(100, 1e9), clock=clock)
        gate.wait()
        for _ in range(2):
            # Equal steps have equal bytes, and are told apart all the same.
            versions(store).update(lambda now: (0, 1 if now is None else now.value[1] + 1))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(add, range(32)))
    latest = versions(memory).latest()
    assert latest is not None
    assert (latest.number, latest.value) == (64, (0, 64)), f"seed {seed}"


def test_a_lost_reply_is_recognised_without_a_retrying_store() -> None:
    memory = MemoryStore()
    lossy = FaultyStore(memory, scripted([Fault.AFTER] * 2, ops=["put_if_absent"]))
    assert versions(lossy).create(1, (0, 1)).number == 1
    memory.put(versions(memory).path(2), b"0 2", write_id="theirs")
    with pytest.raises(ConflictError):
        versions(lossy).create(2, (0, 2))


def test_a_lost_reply_that_tells_nothing_is_not_known() -> None:
    faults = [Fault.AFTER, Fault.BEFORE]
    lossy = FaultyStore(MemoryStore(), scripted(faults, ops=["put_if_absent", "head"]))
    with pytest.raises(UnavailableError) as caught:
        versions(lossy).create(1, (0, 1))
    assert caught.value.effect_unknown


def test_an_edit_may_leave_it() -> None:
    made = versions(MemoryStore())
    assert made.update(lambda now: None) is None
    first = made.create(1, (0, 1))
    assert made.update(lambda now: None, first) is first
    assert made.numbers() == [1]


def test_a_later_claim_fences_the_earlier() -> None:
    store = MemoryStore()
    old, new = fence(store), fence(store)
    old.claim(lambda: (0, 5))
    assert old.epoch == 1
    old.update(lambda value: (value[0], value[1] + 1))
    new.claim(lambda: (0, 99))
    assert new.epoch == 2
    assert new.latest.value == (2, 6)
    before = versions(store).numbers()
    for call in (lambda: old.update(lambda value: (value[0], 0)), old.refresh):
        with pytest.raises(ClosedError) as caught:
            call()
        assert caught.value.reason == "fenced"
    assert versions(store).numbers() == before
    new.update(lambda value: (value[0], value[1] + 1))
    assert new.latest.value == (2, 7)


def test_claims_at_once_get_an_epoch_each() -> None:
    store = MemoryStore()
    gate = threading.Barrier(8)

    def claim(_: int) -> int:
        mine = fence(store)
        gate.wait()
        mine.claim(lambda: (0, 0))
        return mine.epoch

    with ThreadPoolExecutor(8) as pool:
        epochs = list(pool.map(claim, range(8)))
    assert sorted(epochs) == list(range(1, 9))


def test_an_edit_may_not_change_the_epoch() -> None:
    mine = fence(MemoryStore())
    with pytest.raises(ClosedError):
        mine.update(lambda value: value)
    mine.claim(lambda: (0, 0))
    with pytest.raises(DataError):
        mine.update(lambda value: (value[0] + 1, 0))


def test_an_epoch_that_went_back_is_damage() -> None:
    store = MemoryStore()
    mine = fence(store)
    mine.claim(lambda: (0, 0))
    versions(store).create(2, (0, 0))
    with pytest.raises(DataError):
        mine.refresh()
