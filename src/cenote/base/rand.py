"""Randomness, bought in one shop.

Owns: the only calls to the system's random source. Everything else takes a `Rand`, so that a
seeded run is the same run twice.
"""

from __future__ import annotations

import os
import random  # noqa: TID251 - this is the shop
import threading
from typing import Protocol

__all__ = ["Rand", "SeededRand", "SystemRand"]


class Rand(Protocol):
    """A source of random bytes."""

    def bytes(self, n: int) -> bytes:
        """Return `n` random bytes."""
        ...


class SystemRand:
    """The operating system's source, fit for secrets."""

    __slots__ = ()

    def bytes(self, n: int) -> bytes:
        return os.urandom(n)


class SeededRand:
    """A repeatable source for tests and simulation, unfit for secrets. Thread-safe."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def bytes(self, n: int) -> bytes:
        with self._lock:
            return self._random.randbytes(n)
