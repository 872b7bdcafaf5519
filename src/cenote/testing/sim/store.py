"""An object store in a simulated world: slow, unreliable, and about time a liar.

Owns: what happens to one request on its way, there, and back.
Does not own: the objects (`MemoryStore`), whose calls are atomic.

A request travels, has its effect at one instant, and its answer travels back. On the way it may
be refused (throttled), get lost before its effect, or lose its answer after it; or it may be held
up: its sender is told that nobody knows, and the effect comes later, when others have written. A
machine may die with a request under way, which then happens or does not.

Invariants:
1. What the contract promises holds: atomic effects, strict conditions, an error without
   `effect_unknown` had no effect and will have none.
2. Each request and its result are in the world's trace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypeVar, cast

from cenote.errors import Error, ThrottledError, UnavailableError
from cenote.objstore import AroundStore, Call, Fetched, MemoryStore, ObjectMeta, Page
from cenote.testing.sim.dice import Dice
from cenote.testing.sim.world import Crash, Machine, World

__all__ = ["Disk", "SimStore", "Weather"]

T = TypeVar("T")

# What a sender may find out of a held up write: no one knows whether it will happen.
_HELD_UP: Final = frozenset({"put", "put_if_absent", "put_if_match", "copy", "delete"})


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad it is: the shares of requests that meet each fate, and how long things take.

    `travel_seconds` is one way, typically; `long_share` of the ways take up to `long_seconds`.
    """

    travel_seconds: float = 0.02
    long_share: float = 0.02
    long_seconds: float = 10.0
    throttled: float = 0.0
    lost_before: float = 0.0
    lost_after: float = 0.0
    held_up: float = 0.0
    crash: float = 0.0
    page_max: int = 1000
    keeps_write_ids: bool = True

    @staticmethod
    def drawn(dice: Dice) -> Weather:
        """Draw the weather of a run: often calm, sometimes foul."""
        foul = dice.choice((0.0, 0.003, 0.01, 0.03))
        return Weather(
            travel_seconds=dice.choice((0.001, 0.02, 0.2)),
            long_share=dice.choice((0.0, 0.01, 0.05)),
            long_seconds=dice.choice((2.0, 30.0, 900.0)),
            throttled=foul * dice.share(),
            lost_before=foul * dice.share(),
            lost_after=foul * dice.share(),
            held_up=foul * dice.share() / 2,
            crash=dice.choice((0.0, 0.001, 0.004, 0.01)),
            page_max=dice.choice((2, 7, 1000)),
            keeps_write_ids=dice.chance(0.7),
        )


class _StoreClock:
    """The clock that `modified_ms` is from."""

    def __init__(self, world: World, skew_ms: int) -> None:
        self._world = world
        self._skew_ms = skew_ms

    def now_ms(self) -> int:
        return self._world.clock_start_ms + round(self._world.now * 1000) + self._skew_ms

    def monotonic(self) -> float:
        return self._world.now

    def sleep(self, seconds: float) -> None:
        return

    async def sleep_async(self, seconds: float) -> None:
        return


class Disk:
    """The objects, which outlive every machine. Its clock is `skew_ms` off."""

    def __init__(self, world: World, weather: Weather, *, skew_ms: int = 0) -> None:
        self.world = world
        self.weather = weather
        self.objects = MemoryStore(clock=_StoreClock(world, skew_ms))

    def seen_from(self, machine: Machine) -> SimStore:
        """Return the store as that machine reaches it."""
        return SimStore(self, machine)


class SimStore(AroundStore):
    """The disk, as one machine reaches it."""

    def __init__(self, disk: Disk, machine: Machine) -> None:
        super().__init__(disk.objects)
        self._disk = disk
        self._machine = machine

    def close(self) -> None:
        """Do nothing: the objects are others' too."""

    def head(self, path: str) -> ObjectMeta:
        return self._forget(super().head(path))

    def get(self, path: str) -> Fetched:
        found = super().get(path)
        return Fetched(self._forget(found.meta), found.data)

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = 1000) -> Page:
        limit = min(limit, self._disk.weather.page_max)
        return super().list_page(prefix, start_after=start_after, limit=limit)

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        machine, world = self._machine, self._disk.world
        if machine.is_dead:
            raise Crash(machine.name)
        weather, dice = self._disk.weather, world.dice
        fate = _fate(weather, dice, call)
        if fate == "crash":
            world.note(f"{call.op} {call.path} is on its way")
            self._leave_behind(call, run, share=0.5)
            machine.kill()
        try:
            world.pause(self._way())
        except Crash:
            self._leave_behind(call, run, share=0.5)
            raise
        if fate == "throttled":
            world.note(f"{call.op} {call.path} throttled")
            raise ThrottledError(f"simulated: {call.op} {call.path} came too soon")
        if fate == "lost_before":
            world.note(f"{call.op} {call.path} lost")
            raise UnavailableError(f"simulated: {call.op} {call.path} was not sent", kind="io")
        if fate == "held_up":
            world.note(f"{call.op} {call.path} held up")
            self._leave_behind(call, run, share=0.8)
            world.pause(self._way())
            raise _unknown(call)
        return self._answered(call, run, fate)

    def _answered(self, call: Call, run: Callable[[], T], fate: str) -> T:
        world = self._disk.world
        refusal: Error | None = None
        result: T | None = None
        try:
            result = run()
        except Error as error:
            refusal = error
        outcome = _told(result) if refusal is None else f"{refusal.kind}"
        world.note(f"{call.op} {call.path} {call.sends or ''} -> {outcome}")
        world.pause(self._way())
        if fate == "lost_after":
            world.note(f"the answer to {call.op} {call.path} is lost")
            raise _unknown(call) from refusal
        if refusal is not None:
            raise refusal
        return cast(T, result)

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        def step() -> T:
            # The objects are in memory: their coroutines end without suspending.
            try:
                run().__await__().send(None)
            except StopIteration as end:
                return cast(T, end.value)
            raise UnavailableError("the objects' store suspended")

        return self._around(call, step)

    def _way(self) -> float:
        """Return how long a request or its answer travels."""
        weather, dice = self._disk.weather, self._disk.world.dice
        if dice.chance(weather.long_share):
            return dice.between(0.0, weather.long_seconds)
        return dice.between(0.0, 2 * weather.travel_seconds)

    def _leave_behind(self, call: Call, run: Callable[[], T], *, share: float) -> None:
        """Let a write whose sender does not wait any more happen later, or never."""
        world = self._disk.world
        if call.op not in _HELD_UP or not world.dice.chance(share):
            return

        def happen() -> None:
            try:
                outcome = _told(run())
            except Error as error:
                outcome = error.kind
            world.note(f"late {call.op} {call.path} -> {outcome}")

        world.at(self._way() + self._disk.weather.travel_seconds, happen)

    def _forget(self, meta: ObjectMeta) -> ObjectMeta:
        if self._disk.weather.keeps_write_ids or meta.write_id is None:
            return meta
        return ObjectMeta(meta.path, meta.size, meta.etag, meta.modified_ms, meta.version)


def _fate(weather: Weather, dice: Dice, call: Call) -> str:
    draw = dice.share()
    for fate, share in (
        ("crash", weather.crash),
        ("throttled", weather.throttled),
        ("lost_before", weather.lost_before),
        ("lost_after", weather.lost_after),
        ("held_up", weather.held_up if call.op in _HELD_UP else 0.0),
    ):
        if draw < share:
            return fate
        draw -= share
    return ""


def _unknown(call: Call) -> UnavailableError:
    return UnavailableError(
        f"simulated: no answer to {call.op} {call.path}",
        kind="timeout",
        effect_unknown=call.is_write,
    )


def _told(result: object) -> str:
    """Tell a result in a few words that differ when it does."""
    if isinstance(result, ObjectMeta):
        return f"{result.size} bytes {result.etag}"
    if isinstance(result, Fetched):
        return f"{result.meta.etag} {_digest(result.data)}"
    if isinstance(result, Page):
        names = [meta.path.rpartition("/")[2] for meta in result.objects]
        return f"{len(names)} names {_digest(repr(names).encode())}{' more' if result.next else ''}"
    if isinstance(result, bytes):
        return _digest(result)
    if isinstance(result, list):
        return " ".join(_told(item) for item in result)
    return "" if result is None else type(result).__name__


def _digest(data: bytes) -> str:
    return f"{len(data)} bytes {blake2b(data, digest_size=4).hexdigest()}"
