"""A store that fails on purpose: late, before, after, short.

Owns: the faults and the plans they come from.

A plan is asked once for each request. `scripted` hands out a list, for a test that knows what it
wants; `Odds` draws from a seed, so that the same seed and the same requests fail the same way.

Invariants:
1. A fault before the request leaves the store as it was, and says `effect_unknown=False`.
2. A fault after it loses the reply: what was asked has happened, and the error says that it is
   not known.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar, cast

from cenote.base import Clock, Rand, SystemClock
from cenote.errors import Error, UnavailableError
from cenote.objstore.api import Fetched, ObjectStore
from cenote.objstore.around import AroundStore, Call

__all__ = ["Fault", "FaultyStore", "Odds", "scripted"]

T = TypeVar("T")


class Fault(Enum):
    """What happens to one request."""

    DELAY = "delay"
    BEFORE = "before"
    AFTER = "after"
    TRUNCATED = "truncated"


Plan = Callable[[Call], Fault | None]


def scripted(faults: Iterable[Fault | None], *, ops: Iterable[str] | None = None) -> Plan:
    """Return a plan that hands out `faults` in order to requests of `ops` (None: all)."""
    left = iter(faults)
    wanted = None if ops is None else frozenset(ops)
    lock = threading.Lock()

    def plan(call: Call) -> Fault | None:
        if wanted is not None and call.op not in wanted:
            return None
        with lock:
            return next(left, None)

    return plan


@dataclass(frozen=True, slots=True)
class Odds:
    """A plan by chance: the share of requests, from 0 to 1, that meet each fault."""

    rand: Rand
    delay: float = 0.0
    before: float = 0.0
    after: float = 0.0
    truncated: float = 0.0

    def __call__(self, call: Call) -> Fault | None:
        draw = int.from_bytes(self.rand.bytes(4), "big") / 2**32
        for fault, share in (
            (Fault.DELAY, self.delay),
            (Fault.BEFORE, self.before),
            (Fault.AFTER, self.after),
            (Fault.TRUNCATED, self.truncated),
        ):
            if draw < share:
                return fault
            draw -= share
        return None


class FaultyStore(AroundStore):
    """Asks `plan` about each request, and lets it fail so. A delay takes `delay_seconds`."""

    def __init__(
        self,
        inner: ObjectStore,
        plan: Plan,
        *,
        clock: Clock | None = None,
        delay_seconds: float = 1.0,
    ) -> None:
        super().__init__(inner)
        self._plan = plan
        self._clock = clock or SystemClock()
        self._delay_seconds = delay_seconds

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        fault = self._plan(call)
        if fault is Fault.DELAY:
            self._clock.sleep(self._delay_seconds)
        if fault is Fault.BEFORE:
            raise _never_sent(call)
        try:
            result = run()
        except Error as error:
            if fault is Fault.AFTER:
                raise _lost(call) from error
            raise
        return _ended(call, fault, result)

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        fault = self._plan(call)
        if fault is Fault.DELAY:
            await self._clock.sleep_async(self._delay_seconds)
        if fault is Fault.BEFORE:
            raise _never_sent(call)
        try:
            result = await run()
        except Error as error:
            if fault is Fault.AFTER:
                raise _lost(call) from error
            raise
        return _ended(call, fault, result)


def _never_sent(call: Call) -> UnavailableError:
    return UnavailableError(f"injected: {call.op} {call.path} was not sent", kind="injected")


def _lost(call: Call) -> UnavailableError:
    return UnavailableError(
        f"injected: the reply to {call.op} {call.path} was lost",
        kind="injected",
        effect_unknown=call.is_write,
    )


def _ended(call: Call, fault: Fault | None, result: T) -> T:
    if fault is Fault.AFTER:
        raise _lost(call)
    if fault is Fault.TRUNCATED:
        return cast(T, _cut(result))
    return result


def _cut(result: object) -> object:
    if isinstance(result, bytes):
        return result[: len(result) // 2]
    if isinstance(result, Fetched):
        return Fetched(result.meta, result.data[: len(result.data) // 2])
    if isinstance(result, list):
        return [_cut(item) for item in result]
    return result
