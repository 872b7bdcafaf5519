"""Plans: written once, driven by threads and by event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from cenote.errors import NotFoundError
from cenote.lsm.plan import Fetch, Plan, run, run_async
from cenote.objstore import MemoryStore


def sizes(*paths: str) -> Plan[list[bytes]]:
    found = yield [Fetch(path, ((0, 1), (1, 3))) for path in paths]
    more = yield [Fetch(paths[0], ((0, 2),))]
    return [b"|".join(each) for each in found] + [more[0][0]]


def forgiving(path: str) -> Plan[str]:
    try:
        yield [Fetch(path, ((0, 1),))]
    except NotFoundError as error:
        return f"no {error.context['path']}"
    return "found"


def idle() -> Plan[int]:
    return 7
    yield []


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    made.put("a", b"abc")
    made.put("b", b"xyz")
    return made


def test_both_drivers_give_the_same(store: MemoryStore) -> None:
    want = [b"a|bc", b"x|yz", b"ab"]
    assert run(store, sizes("a", "b")) == want
    assert asyncio.run(run_async(store, sizes("a", "b"))) == want


def test_an_error_of_the_store_can_be_caught_in_the_plan(store: MemoryStore) -> None:
    assert run(store, forgiving("c")) == "no c"
    assert asyncio.run(run_async(store, forgiving("c"))) == "no c"
    with pytest.raises(NotFoundError):
        run(store, sizes("c"))
    with pytest.raises(NotFoundError):
        asyncio.run(run_async(store, sizes("a", "c")))


def test_a_plan_that_needs_nothing_never_suspends(store: MemoryStore) -> None:
    coroutine: Coroutine[Any, Any, int] = run_async(store, idle())
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value == 7


def test_a_cancelled_plan_is_closed() -> None:
    class Latecomer(MemoryStore):
        async def get_range_async(self, path: str, start: int, end: int) -> bytes:
            await asyncio.Event().wait()
            return b""

    closed = []

    def plan() -> Plan[None]:
        try:
            yield [Fetch("a", ((0, 1),))]
        finally:
            closed.append(True)

    async def cancel() -> None:
        task = asyncio.ensure_future(run_async(Latecomer(), plan()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert closed == [True]


def test_the_fetches_of_one_step_run_at_the_same_time(store: MemoryStore) -> None:
    waiting = [0, 0]

    class Counting(MemoryStore):
        async def get_ranges_async(self, path: str, ranges: Any) -> Any:
            waiting[0] += 1
            waiting[1] = max(waiting)
            await asyncio.sleep(0)
            waiting[0] -= 1
            return await super().get_ranges_async(path, ranges)

    counting = Counting()
    for path in "abc":
        counting.put(path, b"xyz")
    asyncio.run(run_async(counting, sizes("a", "b", "c")))
    assert waiting[1] == 3
