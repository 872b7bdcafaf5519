"""Leases: who may still be reading what.

Owns: the count of commits that freed something, and what each open lease may be reading.
Does not own: giving space back (`reclaim`).

A lease enters before its snapshot begins and may then be reading anything that was alive at its
epoch. When it knows its body's owners it narrows to them. Space freed by a commit is stamped after
that commit; it may go once no lease with that epoch or an older one is still wide, and none holds
its owner.

Leases of other processes are asked for as well, when there may be any (`leasefile`).

Invariants:
1. A lease that entered after a stamp cannot see what was freed before the stamp.
2. Body ids are never used again, so holding one names those bytes for ever.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from cenote.sqldb.leasefile import LeaseFile

__all__ = ["Pin", "Pins"]


class Pin:
    """One lease's claim. `owners` is None while it is wide."""

    __slots__ = ("epoch", "owners")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.owners: tuple[int, ...] | None = None


class Pins:
    """All claims on one bucket's bytes. Thread-safe."""

    def __init__(self, foreign: LeaseFile | None = None) -> None:
        self._foreign = foreign
        self._moves = 0
        self._lock = threading.Lock()
        self._epoch = 0
        self._wide: set[Pin] = set()
        self._held: Counter[int] = Counter()

    def enter(self) -> Pin:
        """Claim all that is alive now."""
        with self._lock:
            pin = Pin(self._epoch)
            self._wide.add(pin)
            return pin

    def narrow(self, pin: Pin, owners: Iterable[int]) -> None:
        """Claim only these bodies from now on."""
        with self._lock:
            pin.owners = tuple(owners)
            self._held.update(pin.owners)
            self._wide.discard(pin)

    def leave(self, pin: Pin) -> None:
        """Give the claim up. Harmless when repeated."""
        with self._lock:
            self._wide.discard(pin)
            owners, pin.owners = pin.owners, ()
            for owner in owners or ():
                self._held[owner] -= 1
                if not self._held[owner]:
                    del self._held[owner]

    def stamp(self) -> int:
        """Return the epoch of a commit that has just freed something, and begin the next."""
        with self._lock:
            self._epoch += 1
            epoch = self._epoch - 1
        if self._foreign is not None:
            self._foreign.advance()
        return epoch

    def is_free(self, epoch: int, owner: int) -> bool:
        """Tell whether what `owner` owned may go, freed at `epoch`."""
        with self._lock:
            if owner in self._held or not all(pin.epoch > epoch for pin in self._wide):
                return False
        return self._foreign is None or self._foreign.is_free(owner)

    def moves(self, pin: Pin) -> int:
        """Return a number that is another one after bytes were moved."""
        return self._moves

    def moved(self) -> None:
        """Note that bytes were moved, and that the move is committed."""
        self._moves += 1
        if self._foreign is not None:
            self._foreign.moved()

    def count(self) -> int:
        """Return how many leases are open, roughly: wide ones and bodies held."""
        with self._lock:
            return len(self._wide) + len(self._held)
