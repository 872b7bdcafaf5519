"""The simulator itself: one at a time, by seed, and it finds what is wrong."""

from __future__ import annotations

import threading

import pytest

from cenote.base import SeededRand
from cenote.errors import ClosedError, ConflictError, UnavailableError
from cenote.objstore import Patience, RetryingStore, Versioned
from cenote.testing.sim import (
    Crash,
    Dice,
    Disk,
    LawBroken,
    Machine,
    SimClock,
    Stuck,
    Weather,
    World,
    simulated_threading,
)


class Number:
    """An integer as bytes, with the name of who wrote it."""

    def encode(self, value: tuple[int, str]) -> bytes:
        return f"{value[0]} {value[1]}".encode()

    def decode(self, data: bytes) -> tuple[int, str]:
        number, _, name = data.decode().partition(" ")
        return int(number), name


class Counting:
    """Machines that count together by compare-and-swap. The toy that shows the simulator works."""

    def __init__(self, seed: int, *, retry: bool, careless: bool = False) -> None:
        self.world = World(seed)
        dice = Dice(seed)
        weather = Weather.drawn(dice)
        self.disk = Disk(self.world, weather, skew_ms=dice.below(10_000))
        self.retry = retry
        self.careless = careless
        self.acknowledged: list[str] = []
        self.tried: set[str] = set()
        for number in range(3):
            machine = Machine(self.world, f"m{number}")
            machine.spawn("count", lambda machine=machine: self.count(machine))

    def count(self, machine: Machine) -> None:
        store = self.disk.seen_from(machine)
        rand = SeededRand(self.world.dice.number())
        if self.retry:
            store = RetryingStore(store, Patience(5), clock=SimClock(self.world), rand=rand)
        versions = Versioned(store, "n", Number(), suffix=".n", rand=rand)
        for step in range(8):
            name = f"{machine.name}.{step}"
            self.tried.add(name)
            try:
                if self.careless:
                    latest = versions.latest()
                    value = 0 if latest is None else latest.value[0]
                    number = 1 if latest is None else latest.number + 1
                    store.put(versions.path(number), Number().encode((value + 1, name)))
                else:
                    versions.update(
                        lambda old, name=name: (1 if old is None else old.value[0] + 1, name)
                    )
            except (UnavailableError, ConflictError):
                continue
            self.acknowledged.append(name)

    def run(self) -> None:
        with simulated_threading():
            self.world.run()
        objects = self.disk.objects
        values = [Number().decode(objects.get(meta.path).data) for meta in objects.list("n")]
        names = [name for _, name in values]
        if [number for number, _ in values] != list(range(1, len(values) + 1)):
            raise LawBroken("the count has gaps")
        if not set(self.acknowledged) <= set(names):
            raise LawBroken("an acknowledged increment is lost")
        if len(set(names)) != len(names) or not set(names) <= self.tried:
            raise LawBroken("an increment happened twice")


@pytest.mark.parametrize("retry", [False, True])
def test_machines_count_together(retry: bool) -> None:
    for seed in range(40):
        Counting(seed, retry=retry).run()


def test_the_same_seed_is_the_same_run() -> None:
    hashes = []
    for seed in (7, 7, 8):
        world = Counting(seed, retry=True)
        world.run()
        hashes.append((world.world.trace_hash, len(world.world.trace)))
    assert hashes[0] == hashes[1] != hashes[2]


def test_carelessness_is_found() -> None:
    broken = 0
    for seed in range(10):
        try:
            Counting(seed, retry=False, careless=True).run()
        except LawBroken:
            broken += 1
    assert broken > 5


def test_a_dead_machine_reaches_nothing() -> None:
    world = World(1)
    disk = Disk(world, Weather())
    one, other = Machine(world, "one"), Machine(world, "other")
    seen: list[str] = []

    def victim() -> None:
        store = disk.seen_from(one)
        store.put("a", b"1")
        try:
            world.pause(10.0)
        finally:
            seen.append("unwinds")
            with pytest.raises(Crash):
                store.put("b", b"1")

    def killer() -> None:
        world.pause(5.0)
        one.kill()
        seen.append("killed")

    one.spawn("victim", victim)
    other.spawn("killer", killer)
    world.run()
    assert seen == ["killed", "unwinds"]
    assert [meta.path for meta in disk.objects.list()] == ["a"]


def test_locks_give_the_turn_away() -> None:
    world = World(3)
    machine = Machine(world, "m")
    seen: list[str] = []
    made: list[threading.Condition] = []

    def first() -> None:
        condition = threading.Condition()
        made.append(condition)
        with condition:
            seen.append("waits")
            assert condition.wait(timeout=100)
            seen.append("woken")
            assert not condition.wait(timeout=1.0)
        lock = threading.Lock()
        with lock:
            world.pause(1.0)

    def second() -> None:
        world.pause(5.0)
        with made[0]:
            seen.append("notifies")
            made[0].notify_all()
            world.pause(2.0)
            seen.append("lets go")

    with simulated_threading():
        machine.spawn("first", first)
        machine.spawn("second", second)
        world.run()
    assert seen == ["waits", "notifies", "lets go", "woken"]
    assert world.now == pytest.approx(9.0)
    assert type(threading.Lock()).__name__ == "lock"


def test_nobody_can_go_on() -> None:
    world = World(3)
    machine = Machine(world, "m")

    def forever() -> None:
        threading.Event().wait()

    with simulated_threading(), pytest.raises(Stuck, match="m/forever waits for a condition"):
        machine.spawn("forever", forever)
        world.run()


def test_an_error_ends_the_world() -> None:
    world = World(3)
    machine = Machine(world, "m")

    def idle() -> None:
        world.pause(1e9)

    def broken() -> None:
        world.pause(1.0)
        raise ClosedError("so it is")

    machine.spawn("idle", idle)
    machine.spawn("broken", broken)
    with pytest.raises(ClosedError):
        world.run()
    assert world.failed_in == "m/broken"
    assert world.now < 2
