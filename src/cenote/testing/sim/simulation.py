"""One simulated run: who takes part, the run itself, the look at the end.

Owns: putting the parts together by a seed, and the last word: when all is quiet, a new writer on a
sound machine opens the database, and everything must be there.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Final

from cenote.lsm import Collector, Compactor, Db, verify
from cenote.objstore import ObjectStore, Patience, RetryingStore
from cenote.testing.sim.bystanders import (
    check_compactor,
    clone,
    collect,
    compact,
    feed,
    follow,
    make_checkpoints,
    open_reader,
    place_of,
    read_checkpoints,
    work,
)
from cenote.testing.sim.client import BANK_SUM
from cenote.testing.sim.clock import SimClock
from cenote.testing.sim.dice import Dice
from cenote.testing.sim.ledger import Change, Ledger
from cenote.testing.sim.locks import simulated_threading
from cenote.testing.sim.shape import Append, Shape
from cenote.testing.sim.store import Disk, Weather
from cenote.testing.sim.world import LawBroken, Machine, Task, World, current_task
from cenote.testing.sim.writing import Life, open_db

__all__ = ["Outcome", "Simulation", "simulate"]

_CALM: Final = Weather(travel_seconds=0.001, long_share=0.0)
_LIFE_PAUSE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `failure` is None when no law was broken."""

    seed: int
    small: bool
    trace_hash: str
    steps: int
    writes: int
    views: int
    failure: BaseException | None
    failed_in: str
    trace: list[str]

    def told(self, lines: int = 60) -> str:
        """Tell a failure: what, how to see it again, and the end of the trace."""
        shown = [line for line in self.trace if not _is_dull(line)][-lines:]
        return "\n".join(
            [
                f"seed {self.seed}: {type(self.failure).__name__} in {self.failed_in}: "
                f"{self.failure}",
                f"replay: python -m cenote.testing.sim --seed {self.seed} --trace"
                + (" --small" if self.small else ""),
                *shown,
                *([] if self.failure is None else traceback.format_exception(self.failure)),
            ]
        )


@contextmanager
def _no_cycles_collected() -> Iterator[None]:
    """Have finalizers run where references end, and not wherever memory was counted."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _is_dull(line: str) -> bool:
    return any(f" {op} " in line for op in ("get", "get_range", "get_ranges", "get_tail", "head"))


class Simulation:
    """A world with one database in it."""

    root: Final = "db"

    def __init__(self, seed: int, *, small: bool = False) -> None:
        self.small = small
        self.world = World(seed)
        dice = self.world.dice
        self.shape = Shape.drawn(dice, small=small)
        self.disk = Disk(self.world, self.shape.weather, skew_ms=self.shape.skew(dice))
        self.wal_disk = (
            Disk(self.world, self.shape.weather, skew_ms=self.shape.skew(dice))
            if self.shape.wal_apart
            else None
        )
        self.ledger = Ledger(bank_sum=BANK_SUM)
        self.values = count(1)
        self.checkpoints: list[tuple[str, int]] = []
        self.fed: list[list[tuple[int, list[Change]]]] = []
        self.writers_left = 0
        self._main_tasks: list[Task] = []
        self._clocks: dict[str, SimClock] = {}

    @property
    def busy(self) -> bool:
        """Whether writers are still at it."""
        return self.writers_left > 0

    # What the machines need.

    def store_for(self, machine: Machine) -> ObjectStore:
        """Return the object store as a machine reaches it, with patience in half of the runs."""
        return self._patient(self.disk.seen_from(machine), machine)

    def wal_store_for(self, machine: Machine) -> ObjectStore | None:
        """Return the log's own store as a machine reaches it; None where it has none."""
        if self.wal_disk is None:
            return None
        return self._patient(self.wal_disk.seen_from(machine), machine)

    def _patient(self, store: ObjectStore, machine: Machine) -> ObjectStore:
        if not self.shape.retries:
            return store
        return RetryingStore(
            store,
            Patience(attempts_max=4, seconds_max=20.0),
            clock=self.clock_of(machine),
            rand=self.world.dice.rand(),
        )

    def clock_of(self, machine: Machine) -> SimClock:
        """Return a machine's clock: a machine's lives share what it is off by."""
        name = machine.name.partition(".")[0]
        if name not in self._clocks:
            self._clocks[name] = SimClock(self.world, self.shape.skew(self.world.dice))
        return self._clocks[name]

    def fork(self) -> Dice:
        """Return dice of their own for a task."""
        return Dice(self.world.dice.number())

    def keep_checkpoint(self, db: Db) -> None:
        """Make a checkpoint, and remember what it must hold at least."""
        low = self.ledger.acknowledged
        lifetime = self.world.dice.choice((None, None, 10**12))
        made = db.checkpoint(lifetime_ms=lifetime)
        self.checkpoints.append((made.id, low))

    # The run.

    def run(self) -> Outcome:
        """Run to the end. Does not raise for a broken law: see `Outcome.failure`."""
        world, shape = self.world, self.shape
        world.note(repr(shape))
        keeper = Machine(world, "keeper")
        for number in range(shape.writers):
            self.writers_left += 1
            keep = partial(self._keep_writer, number)
            self._main_tasks.append(keeper.spawn(f"writer{number}", keep))
        for number in range(shape.readers):
            self._stand_by(f"reader{number}", lambda m: follow(self, m, m.name))
        if shape.checkpoints:
            self._stand_by("past", lambda m: read_checkpoints(self, m))
            self._stand_by("admin", lambda m: make_checkpoints(self, m))
            if shape.clone:
                self._stand_by("clone", lambda m: clone(self, m))
        for number in range(shape.collectors):
            self._stand_by(f"collector{number}", lambda m: collect(self, m))
        if shape.feed and shape.settings.wal_enabled:
            self._stand_by("feed", lambda m: feed(self, m))
        for number in range(shape.compactors):
            self._stand_by(f"compactor{number}", lambda m: compact(self, m))
        for number in range(shape.workers):
            self._stand_by(f"worker{number}", lambda m: work(self, m))
        keeper.spawn("end", lambda: self._end(keeper))
        with simulated_threading(), _no_cycles_collected():
            failure = self._run_world()
        return Outcome(
            world.seed,
            self.small,
            world.trace_hash,
            world.steps,
            self.ledger.writes,
            self.ledger.views,
            failure,
            world.failed_in,
            world.trace,
        )

    def _run_world(self) -> BaseException | None:
        try:
            self.world.run()
        except Exception as error:  # noqa: BLE001 - whatever it was, it ends the run and is told
            return error
        return None

    def _stand_by(self, name: str, main: Any) -> None:
        machine = Machine(self.world, name)
        self._main_tasks.append(machine.spawn("main", lambda: main(machine)))

    def _keep_writer(self, number: int) -> None:
        """Give a writer's machine its lives, one after the other."""
        world = self.world
        try:
            for life in range(self.shape.lives):
                world.pause(world.dice.between(0, _LIFE_PAUSE))
                machine = Machine(world, f"w{number}.{life}")
                task = machine.spawn("main", Life(self, machine).live)
                world.join([task])
                machine.kill()
                world.join(machine.tasks)
        finally:
            self.writers_left -= 1

    # The end.

    def _end(self, keeper: Machine) -> None:
        """When all others have ended, look at what is left, from a sound machine in calm."""
        world = self.world
        me = current_task()
        world.join([task for task in self._main_tasks if task is not me])
        for machine in {task.machine.name: task.machine for task in world.tasks}.values():
            if machine is not keeper:
                machine.kill()
        world.pause(2 * self.shape.weather.long_seconds)  # what was held up has come by then
        world.note("the end")
        for disk in (self.disk, self.wal_disk):
            if disk is not None:
                disk.weather = replace(_CALM, keeps_write_ids=disk.weather.keeps_write_ids)
        self._clocks["keeper"] = SimClock(world)
        self._last_look(keeper, settle=False)
        self._last_look(keeper, settle=True)
        report = verify(place_of(self, keeper))
        if not report.is_sound:
            raise LawBroken(f"the files are not sound: {report}")
        for number, fed in enumerate(self.fed):
            self.ledger.feed(f"change feed {number}", fed)
        for checkpoint, low in self.checkpoints:
            self._read_checkpoint(keeper, checkpoint, low)

    def _last_look(self, keeper: Machine, *, settle: bool) -> None:
        """Open and look; to `settle`, flush, compact and collect everything, and look again."""
        db = open_db(self, keeper, self.root)
        writer: Any = db._writer
        state = dict(db.scan())
        branch = self.ledger.opened(writer.epoch, state)
        if settle:
            place, clock, rand = place_of(self, keeper), self.clock_of(keeper), self.fork().rand()
            with Compactor.open(
                place,
                self.shape.settings,
                merge_operator=Append(),
                clock=clock,
                rand=rand,
                background=False,
            ) as compactor:
                compactor.compact()
                self.ledger.own_view(branch, dict(db.scan()), branch.published)
                db.flush_memtable()
                compactor.compact()
                check_compactor(compactor)
            Collector(place, self.shape.settings.gc, clock=clock, rand=rand).collect()
            self.ledger.own_view(branch, dict(db.scan()), branch.published)
        db.close()

    def _read_checkpoint(self, keeper: Machine, checkpoint: str, low: int) -> None:
        reader = open_reader(self, keeper, checkpoint=checkpoint)
        self.ledger.checkpoint_view(checkpoint, dict(reader.scan()), low)


def simulate(seed: int, *, small: bool = False) -> Outcome:
    """Run the world of a seed; `small`: a shorter history, of the same kinds of things."""
    return Simulation(seed, small=small).run()
