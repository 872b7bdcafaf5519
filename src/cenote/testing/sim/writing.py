"""The machines that write: each opens the database, uses it, dies or closes, and comes back.

Owns: a writer's life: open, look, tell the ledger, clients and jobs, the end.
Does not own: what clients do (`client`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import ClosedError, ConflictError, UnavailableError
from cenote.lsm import Db, WriteBatch
from cenote.testing.sim.client import Client, Watched, first_deposits
from cenote.testing.sim.ledger import ACCOUNT, Branch
from cenote.testing.sim.shape import Append, FirstByte
from cenote.testing.sim.world import LawBroken, Machine, Task, World

if TYPE_CHECKING:
    from cenote.testing.sim.simulation import Simulation

__all__ = ["Life", "open_db"]

_TRIES_MAX: Final = 20
_JOB_PAUSE: Final = 0.05
_JOB_PAUSE_MAX: Final = 2.0


def open_db(simulation: Simulation, machine: Machine, root: str) -> Db:
    """Open a database from a machine, as a program would."""
    return Db.open(
        simulation.store_for(machine),
        path=root,
        wal=simulation.wal_store_for(machine),
        settings=simulation.shape.settings,
        merge_operator=Append(),
        segment_extractor=FirstByte() if simulation.shape.segments else None,
        clock=simulation.clock_of(machine),
        rand=simulation.world.dice.rand(),
        background=simulation.shape.background,
    )


class Life:
    """One life of a writer's machine."""

    def __init__(self, simulation: Simulation, machine: Machine) -> None:
        self._simulation = simulation
        self._machine = machine
        self._world: World = simulation.world
        self._over = False

    def live(self) -> None:
        """Open the database, use it, and leave it. The machine's first task."""
        try:
            db = open_db(self._simulation, self._machine, self._simulation.root)
            writer: Any = db._writer
            state = self._look(db)
        except (UnavailableError, ConflictError) as error:
            self._world.note(f"could not open: {error}")
            self._machine.kill()
            return
        except ClosedError as error:
            self._end_closed(error)
            return
        ledger = self._simulation.ledger
        branch = ledger.opened(writer.epoch, state)
        self._world.note(f"opened epoch {writer.epoch} at write {branch.offset}")
        watched = Watched(db, ledger, branch)
        if not self._simulation.shape.background:
            self._machine.spawn("jobs", lambda: self._do_jobs(db))
        try:
            if not any(key.startswith(ACCOUNT) for key in state):
                self._found_bank(db, branch, watched)
        except UnavailableError:
            pass
        except ClosedError as error:
            self._end_closed(error)
            return
        self._world.join(self._begin_clients(db, branch, watched))
        self._check_jobs(db)
        self._leave(db)

    def _look(self, db: Db) -> dict[bytes, bytes]:
        for _ in range(_TRIES_MAX):
            try:
                return dict(db.scan())
            except UnavailableError:
                self._world.pause(0.5)
        raise UnavailableError("the weather is too bad to look")

    def _found_bank(self, db: Db, branch: Branch, watched: Watched) -> None:
        deposits = first_deposits()
        batch = WriteBatch()
        for change in deposits:
            batch.put(change.key, change.value)
        watched.expect(deposits)
        db.write(batch)
        place = watched.place()
        if place is not None:
            self._simulation.ledger.durable(branch, place)

    def _begin_clients(self, db: Db, branch: Branch, watched: Watched) -> list[Task]:
        simulation, shape = self._simulation, self._simulation.shape
        tasks = []
        for number in range(shape.clients):
            client = Client(
                db,
                simulation.ledger,
                branch,
                watched,
                simulation.fork(),
                simulation.values,
                simulation.keep_checkpoint if shape.checkpoints else None,
            )
            main = partial(self._use, client, shape.writes)
            tasks.append(self._machine.spawn(f"client{number}", main))
        return tasks

    def _use(self, client: Client, writes: int) -> None:
        try:
            client.run(writes)
        except ClosedError as error:
            self._world.note(f"closed: {error.reason}")

    def _do_jobs(self, db: Db) -> None:
        """Step the jobs of a database that has no threads of its own."""
        writer: Any = db._writer
        idle = 0.0
        while not self._over:
            ran = writer.jobs.step()
            self._check_jobs(db)
            idle = 0.0 if ran else min(2 * idle or _JOB_PAUSE, _JOB_PAUSE_MAX)
            if idle:
                self._world.pause(idle)

    def _check_jobs(self, db: Db) -> None:
        writer: Any = db._writer
        for error in writer.job_errors.values():
            if not isinstance(error, ClosedError) or error.reason == "failed":
                raise LawBroken(f"a job failed: {error!r}") from error

    def _leave(self, db: Db) -> None:
        """Close, or die without it."""
        if self._world.dice.chance(0.4):
            self._machine.kill()
        try:
            db.close()
        except UnavailableError:
            self._world.note("could not close")
        except ClosedError as error:
            self._end_closed(error)
        self._over = True

    def _end_closed(self, error: ClosedError) -> None:
        self._over = True
        if error.reason != "fenced":
            raise LawBroken(f"the database closed itself: {error}") from error
        self._world.note("fenced")
