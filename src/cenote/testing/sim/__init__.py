"""Deterministic simulation: whole engines over a store that misbehaves, by a seed.

A `World` has tasks on machines, and lets one of them run at a time. A `Disk` is the object store
they share, reached through weather. A `Ledger` knows what may be seen of a database. With the same
seed everything happens again, to the last request.
"""

from cenote.testing.sim.clock import SimClock
from cenote.testing.sim.dice import Dice
from cenote.testing.sim.ledger import ACCOUNT, Branch, Change, Deed, Ledger, State, applied
from cenote.testing.sim.locks import simulated_threading
from cenote.testing.sim.simulation import Outcome, Simulation, simulate
from cenote.testing.sim.store import Disk, SimStore, Weather
from cenote.testing.sim.world import Crash, LawBroken, Machine, Stuck, Task, World, current_task

__all__ = [
    "ACCOUNT",
    "Branch",
    "Change",
    "Crash",
    "Deed",
    "Dice",
    "Disk",
    "LawBroken",
    "Ledger",
    "Machine",
    "Outcome",
    "SimClock",
    "SimStore",
    "Simulation",
    "State",
    "Stuck",
    "Task",
    "Weather",
    "World",
    "applied",
    "current_task",
    "simulate",
    "simulated_threading",
]
