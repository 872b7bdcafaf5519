"""A store as far away as one likes: latency by a model.

Owns: the model, and the waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.objstore.api import ObjectStore
from cenote.objstore.around import AroundStore, Call, bytes_read

__all__ = ["Latency", "SlowStore"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a request takes: milliseconds each, and for each MiB of body either way.

    `spread` 0.5 makes each take from half to one and a half of it, evenly.
    """

    read_ms: float = 15.0
    write_ms: float = 30.0
    mib_ms: float = 10.0
    spread: float = 0.0


class SlowStore(AroundStore):
    """Waits before each request as `latency` says, and after it for the bytes it brought."""

    def __init__(
        self,
        inner: ObjectStore,
        latency: Latency,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
    ) -> None:
        super().__init__(inner)
        self._latency = latency
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        self._clock.sleep(self._before(call))
        result = run()
        self._clock.sleep(self._after(result))
        return result

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        await self._clock.sleep_async(self._before(call))
        result = await run()
        await self._clock.sleep_async(self._after(result))
        return result

    def _before(self, call: Call) -> float:
        model = self._latency
        each = model.write_ms if call.is_write else model.read_ms
        draw = int.from_bytes(self._rand.bytes(4), "big") / 2**31 - 1
        return (each * (1 + model.spread * draw) + _mib(call.sends) * model.mib_ms) / 1000

    def _after(self, result: object) -> float:
        return _mib(bytes_read(result)) * self._latency.mib_ms / 1000


def _mib(size: int) -> float:
    return size / (1 << 20)
