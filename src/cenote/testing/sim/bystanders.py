"""The machines that do not write: readers, checkpoint readers, collectors, compactors, a clone.

Owns: what each does again and again, and what it may fail with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cenote.errors import (
    ClosedError,
    ConflictError,
    DataError,
    NotFoundError,
    UnavailableError,
)
from cenote.lsm import (
    MERGE,
    PUT,
    TOMBSTONE,
    Admin,
    Changes,
    Checkpoints,
    CloneSource,
    Collector,
    CompactionWorker,
    Compactor,
    Db,
    DbReader,
    Place,
    ReaderSettings,
)
from cenote.lsm import clone as clone_database
from cenote.testing.sim.client import BANK_SUM
from cenote.testing.sim.ledger import Change, Deed, Ledger
from cenote.testing.sim.shape import Append
from cenote.testing.sim.world import LawBroken, Machine
from cenote.testing.sim.writing import open_db

if TYPE_CHECKING:
    from cenote.testing.sim.simulation import Simulation

__all__ = [
    "check_compactor",
    "clone",
    "collect",
    "compact",
    "feed",
    "follow",
    "make_checkpoints",
    "open_reader",
    "place_of",
    "read_checkpoints",
    "work",
]

_TURN: Final = 1.0


def place_of(simulation: Simulation, machine: Machine, root: str | None = None) -> Place:
    """Return the database's place, or another's, as a machine reaches it."""
    store = simulation.store_for(machine)
    return Place(store, root or simulation.root, simulation.wal_store_for(machine) or store)


def open_reader(simulation: Simulation, machine: Machine, **where: Any) -> DbReader:
    """Open a reader on a machine."""
    return DbReader.open(
        place_of(simulation, machine),
        settings=ReaderSettings(block_cache_size=simulation.shape.settings.block_cache_size),
        merge_operator=Append(),
        clock=simulation.clock_of(machine),
        rand=simulation.world.dice.rand(),
        background=simulation.shape.background,
        **where,
    )


def follow(simulation: Simulation, machine: Machine, name: str) -> None:
    """Follow the database: refresh and look, again and again. A reader's first task."""
    world, ledger = simulation.world, simulation.ledger
    reader: DbReader | None = None
    moving = simulation.shape.background  # it may look by itself, between a scan and a get
    for _ in range(simulation.shape.views):
        world.pause(world.dice.between(0, 2 * _TURN))
        try:
            low = ledger.acknowledged
            if reader is None:
                reader = open_reader(simulation, machine)
            else:
                reader.refresh()
            state = dict(reader.scan())
        except UnavailableError:
            continue
        except NotFoundError as error:
            if error.kind != "no_database" or low:
                raise
            continue
        ledger.reader_view(name, state, low)
        key = world.dice.choice(sorted(state) or [b"k00"])
        try:
            found = reader.get(key)
        except UnavailableError:
            continue
        if not moving and found != state.get(key):
            raise LawBroken(f"{name} scans {key!r} as {state.get(key)!r} and gets {found!r}")


def read_checkpoints(simulation: Simulation, machine: Machine) -> None:
    """Open the checkpoints that were made, and see that they stay what they are."""
    world, ledger = simulation.world, simulation.ledger
    for _ in range(simulation.shape.views):
        world.pause(world.dice.between(0, 4 * _TURN))
        if not simulation.checkpoints:
            continue
        checkpoint, low = world.dice.choice(simulation.checkpoints)
        try:
            reader = open_reader(simulation, machine, checkpoint=checkpoint)
            state = dict(reader.scan())
        except UnavailableError:
            continue
        ledger.checkpoint_view(checkpoint, state, low)


def feed(simulation: Simulation, machine: Machine) -> None:
    """Follow the change feed; where files are gone, begin again at the oldest there is."""
    world = simulation.world
    place = place_of(simulation, machine)
    admin = Admin(place, clock=simulation.clock_of(machine), rand=world.dice.rand())
    deeds = {PUT: Deed.PUT, TOMBSTONE: Deed.DELETE, MERGE: Deed.MERGE}
    changes: Changes | None = None
    fed: list[tuple[int, list[Change]]] = []
    while simulation.busy:
        world.pause(world.dice.between(0, 2 * _TURN))
        try:
            if changes is None:
                changes = admin.changes()
                fed = []
                simulation.fed.append(fed)
            for row in changes:
                if not fed or fed[-1][0] != row.seq:
                    fed.append((row.seq, []))
                fed[-1][1].append(Change(deeds[row.kind], row.key, row.value))
        except UnavailableError:
            continue
        except DataError as error:
            if error.kind != "gap":
                raise
            changes = None


def make_checkpoints(simulation: Simulation, machine: Machine) -> None:
    """Make checkpoints from outside of the writer: they must hold its durable log."""
    world = simulation.world
    checkpoints = Checkpoints(
        place_of(simulation, machine), clock=simulation.clock_of(machine), rand=world.dice.rand()
    )
    for _ in range(simulation.shape.views):
        world.pause(world.dice.between(0, 4 * _TURN))
        low = simulation.ledger.acknowledged
        try:
            made = checkpoints.create()
        except UnavailableError:
            continue
        except NotFoundError as error:
            if error.kind != "no_database":
                raise
            continue
        simulation.checkpoints.append((made.id, low))


def collect(simulation: Simulation, machine: Machine) -> None:
    """Collect garbage from a machine of its own, its clock off like all others."""
    world = simulation.world
    settings = simulation.shape.settings.gc
    collector = Collector(
        place_of(simulation, machine),
        settings,
        clock=simulation.clock_of(machine),
        rand=world.dice.rand(),
    )
    for _ in range(simulation.shape.views * 2):
        world.pause(world.dice.between(0, 2 * _TURN))
        try:
            found = collector.collect()
        except UnavailableError:
            continue
        except NotFoundError as error:
            if error.kind != "no_database":
                raise
            continue
        world.note(f"collected {found.count}")


def compact(simulation: Simulation, machine: Machine) -> None:
    """Run a stand-alone compactor until the writers are done, or another takes its place."""
    world, shape = simulation.world, simulation.shape
    compactor: Compactor | None = None
    while simulation.busy and (compactor is None or compactor.error is None):
        ran = False
        try:
            if compactor is None:
                compactor = Compactor.open(
                    place_of(simulation, machine),
                    shape.settings,
                    merge_operator=Append(),
                    clock=simulation.clock_of(machine),
                    rand=world.dice.rand(),
                    background=False,
                )
            ran = compactor.run()
        except (UnavailableError, ConflictError):
            pass
        except NotFoundError as error:
            if error.kind != "no_database":
                raise
        if compactor is not None:
            check_compactor(compactor)
        if not ran:
            world.pause(0.3)


def work(simulation: Simulation, machine: Machine) -> None:
    """Work for whoever coordinates compactions, until the writers are done."""
    world, shape = simulation.world, simulation.shape
    worker: CompactionWorker | None = None
    while simulation.busy:
        ran = False
        try:
            if worker is None:
                worker = CompactionWorker.open(
                    place_of(simulation, machine),
                    shape.settings,
                    merge_operator=Append(),
                    clock=simulation.clock_of(machine),
                    rand=world.dice.rand(),
                    background=False,
                )
            ran = worker.run()
        except (UnavailableError, ConflictError):
            pass
        except NotFoundError as error:
            if error.kind != "no_database":
                raise
        if worker is not None:
            check_compactor(worker)
        if not ran:
            world.pause(0.3)


def check_compactor(compactor: Compactor | CompactionWorker) -> None:
    """See that compactions fail for no other reason than the weather, or others being first."""
    error = compactor.last_error
    if error is None or isinstance(error, UnavailableError | ConflictError):
        return
    if not isinstance(error, ClosedError) or error.reason == "failed":
        raise LawBroken(f"a compaction failed: {error!r}") from error


def clone(simulation: Simulation, machine: Machine) -> None:
    """Clone the database at a checkpoint; the clone must be it, and live on its own."""
    world = simulation.world
    while not simulation.checkpoints:
        if not simulation.busy:
            return
        world.pause(_TURN)
    checkpoint, low = world.dice.choice(simulation.checkpoints)
    place = place_of(simulation, machine, "clone")
    clock, rand = simulation.clock_of(machine), world.dice.rand()
    db: Db | None = None
    for _ in range(20):
        try:
            source = CloneSource(simulation.root, checkpoint)
            clone_database(place, [source], clock=clock, rand=rand)
            db = open_db(simulation, machine, "clone")
            state = dict(db.scan())
            break
        except UnavailableError:
            world.pause(_TURN)
    else:
        return
    simulation.ledger.checkpoint_view(checkpoint, state, low)
    own = Ledger(state, bank_sum=BANK_SUM)
    own.own_view(own.tip, state, 0)
    world.note(f"cloned {checkpoint}")
