"""Trying again: what is, what is not, and whose write it was when the reply was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.errors import (
    AlreadyExistsError,
    InvalidError,
    PreconditionError,
    UnavailableError,
)
from cenote.objstore import (
    AroundStore,
    Fault,
    FaultyStore,
    MemoryStore,
    ObjectMeta,
    ObjectStore,
    Patience,
    RecordingStore,
    RetryingStore,
    scripted,
)

BEFORE, AFTER, TRUNCATED = Fault.BEFORE, Fault.AFTER, Fault.TRUNCATED


class Lab:
    """A store that fails by a script, with what counts below and what retries above."""

    def __init__(
        self,
        faults: Sequence[Fault | None],
        *,
        ops: Sequence[str] | None = None,
        patience: Patience | None = None,
        memory: ObjectStore | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.memory = memory or MemoryStore(clock=self.clock)
        self.reached = RecordingStore(self.memory)
        faulty = FaultyStore(self.reached, scripted(faults, ops=ops), clock=self.clock)
        self.store = RetryingStore(faulty, patience, clock=self.clock, rand=SeededRand(3))


@pytest.mark.parametrize("lost", [[AFTER], [AFTER, AFTER, BEFORE], [BEFORE, AFTER]])
def test_a_put_if_absent_whose_reply_was_lost_is_recognised(lost: list[Fault]) -> None:
    lab = Lab(lost, ops=["put_if_absent"])
    made = lab.store.put_if_absent("a", b"mine")
    assert made.etag == lab.memory.head("a").etag
    assert lab.memory.get("a").data == b"mine"


def test_a_put_if_match_whose_reply_was_lost_is_recognised() -> None:
    lab = Lab([AFTER], ops=["put_if_match"])
    etag = lab.memory.put("a", b"old").etag
    made = lab.store.put_if_match("a", b"mine", etag)
    assert made.etag == lab.memory.head("a").etag
    assert lab.reached.counts["put_if_match"] == 2


@pytest.mark.parametrize("data", [b"mine", b"theirs"])
def test_another_ones_object_is_a_conflict_though_a_reply_was_lost(data: bytes) -> None:
    lab = Lab([AFTER], ops=["put_if_absent"])
    lab.memory.put("a", data, write_id="theirs")
    with pytest.raises(AlreadyExistsError):
        lab.store.put_if_absent("a", b"mine")
    assert lab.memory.get("a").data == data


def test_a_conflict_without_a_lost_reply_costs_nothing_more() -> None:
    lab = Lab([])
    lab.memory.put("a", b"theirs")
    with pytest.raises(AlreadyExistsError):
        lab.store.put_if_absent("a", b"mine")
    with pytest.raises(PreconditionError):
        lab.store.put_if_match("a", b"mine", "other")
    assert lab.reached.counts == {"put_if_absent": 1, "put_if_match": 1}


def test_a_put_if_match_that_was_replaced_meanwhile_is_not_known() -> None:
    lab = Lab([AFTER], ops=["put_if_match"])
    lab.memory.put("a", b"theirs", write_id="theirs")
    with pytest.raises(UnavailableError) as caught:
        lab.store.put_if_match("a", b"mine", "an etag before that")
    assert caught.value.effect_unknown
    assert caught.value.kind == "effect_unknown"


class Forgetful(AroundStore):
    """A store that keeps no write ids."""

    def _around(self, call, run):  # type: ignore[no-untyped-def]
        found = run()
        if isinstance(found, ObjectMeta):
            return ObjectMeta(found.path, found.size, found.etag, found.modified_ms)
        return found

    async def _around_async(self, call, run):  # type: ignore[no-untyped-def]
        return await run()


def test_without_write_ids_other_bytes_are_a_conflict_and_the_same_are_not_known() -> None:
    for stored, wanted in ((b"else", AlreadyExistsError), (b"mine", UnavailableError)):
        memory = MemoryStore()
        memory.put("a", stored)
        lab = Lab([AFTER], ops=["put_if_absent"], memory=Forgetful(memory))
        with pytest.raises(wanted):
            lab.store.put_if_absent("a", b"mine")


def test_what_may_be_done_twice_is_tried_again() -> None:
    lab = Lab([AFTER, BEFORE] * 20, patience=Patience(100, 1e6))
    lab.store.put("a", b"abc")
    assert lab.store.get("a").data == b"abc"
    assert lab.store.get_range("a", 1, 2) == b"b"
    lab.store.copy("a", "b")
    assert [meta.path for meta in lab.store.list()] == ["a", "b"]
    lab.store.delete("a")
    lab.store.delete_many(["b"])
    assert list(lab.memory.list()) == []


def test_short_reads_are_tried_again() -> None:
    for call in (
        lambda store: store.get("a").data,
        lambda store: store.get_range("a", 0, 4),
        lambda store: b"".join(store.get_ranges("a", [(0, 2), (2, 4)])),
        lambda store: store.get_tail("a", 4).data,
        lambda store: asyncio.run(store.get_range_async("a", 0, 4)),
        lambda store: asyncio.run(store.get_async("a")).data,
    ):
        lab = Lab([TRUNCATED, TRUNCATED])
        lab.memory.put("a", b"abcd")
        assert call(lab.store) == b"abcd"
        assert sum(lab.reached.counts.values()) == 3


def test_pieces_are_sent_once() -> None:
    lab = Lab([BEFORE], ops=["multipart_write", "multipart_finish"])
    writer = lab.store.multipart("a")
    with pytest.raises(UnavailableError):
        writer.write(b"x")
    writer.abort()
    assert list(lab.memory.list()) == []


def test_the_limits_of_patience() -> None:
    lab = Lab([BEFORE] * 100, patience=Patience(attempts_max=4, seconds_max=1e9))
    with pytest.raises(UnavailableError):
        lab.store.get("a")
    lab = Lab([BEFORE] * 100, patience=Patience(1000, seconds_max=10, first_seconds=1))
    started = lab.clock.monotonic()
    with pytest.raises(UnavailableError):
        lab.store.get("a")
    assert 3 < lab.clock.monotonic() - started <= 10


def test_giving_up_remembers_that_an_effect_is_unknown() -> None:
    for call in (
        lambda store: store.put_if_absent("a", b"x"),
        lambda store: store.put("a", b"x"),
    ):
        lab = Lab([AFTER, BEFORE, BEFORE], patience=Patience(attempts_max=3))
        # Only the first attempt reached the store; the last failed for certain.
        with pytest.raises(UnavailableError) as caught:
            call(lab.store)
        assert caught.value.effect_unknown
        assert lab.memory.get("a").data == b"x"


def test_waits_grow_and_are_drawn() -> None:
    waits: list[float] = []

    class Watching(ManualClock):
        def sleep(self, seconds: float) -> None:
            waits.append(seconds)
            super().sleep(seconds)

    faulty = FaultyStore(MemoryStore(), scripted([BEFORE] * 7))
    patience = Patience(10, 1e9, first_seconds=1, longest_seconds=8)
    store = RetryingStore(faulty, patience, clock=Watching(), rand=SeededRand(1))
    store.put("a", b"x")
    for wait, whole in zip(waits, [1, 2, 4, 8, 8, 8, 8], strict=True):
        assert whole / 2 <= wait <= whole
    assert len({wait / whole for wait, whole in zip(waits[3:], [8] * 4, strict=True)}) == 4


def test_an_answer_is_not_tried_again() -> None:
    lab = Lab([])
    lab.memory.put("a", b"x")
    with pytest.raises(InvalidError):
        lab.store.get_range("a", 5, 5)
    assert lab.reached.counts == {"get_range": 1}


def test_a_full_disk_is_not_waited_for() -> None:
    class Full(MemoryStore):
        count = 0

        def put(self, path, data, *, write_id=None):  # type: ignore[no-untyped-def]
            self.count += 1
            raise UnavailableError("full", kind="disk_full")

    full = Full()
    with pytest.raises(UnavailableError):
        RetryingStore(full, clock=ManualClock()).put("a", b"x")
    assert full.count == 1
