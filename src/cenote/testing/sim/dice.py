"""Chance, drawn from a seeded source.

Owns: the few kinds of draw a simulation makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from cenote.base import SeededRand
from cenote.errors import InvalidError

__all__ = ["Dice"]

T = TypeVar("T")


class Dice:
    """Draws from the stream that `seed` names. The same calls draw the same again."""

    def __init__(self, seed: int) -> None:
        self._rand = SeededRand(seed)

    def share(self) -> float:
        """Return a number in [0, 1)."""
        return int.from_bytes(self._rand.bytes(6), "big") / 2**48

    def chance(self, share: float) -> bool:
        """Return True for `share` of the calls. Draws even when it cannot be otherwise."""
        return self.share() < share

    def below(self, end: int) -> int:
        """Return an integer in [0, end)."""
        if end < 1:
            raise InvalidError(f"nothing lies below {end}")
        return int(self.share() * end)

    def between(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.share()

    def choice(self, of: Sequence[T]) -> T:
        """Return one of a sequence, which is not empty."""
        return of[self.below(len(of))]

    def rand(self) -> SeededRand:
        """Return a source of its own, begun from this one."""
        return SeededRand(self.number())

    def number(self) -> int:
        """Return a seed."""
        return int.from_bytes(self._rand.bytes(8), "big")
