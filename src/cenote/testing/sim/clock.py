"""The clock of a machine in a simulated world: it tells the world's time, or lies about it."""

from __future__ import annotations

from cenote.testing.sim.world import World, current_task

__all__ = ["SimClock"]


class SimClock:
    """Wall time is the world's plus `skew_ms`, which may change; elapsed time is the world's."""

    def __init__(self, world: World, skew_ms: int = 0) -> None:
        self._world = world
        self.skew_ms = skew_ms

    def now_ms(self) -> int:
        world = self._world
        return world.clock_start_ms + round(world.now * 1000) + self.skew_ms

    def monotonic(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        if current_task() is not None:
            self._world.pause(seconds)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)
