"""The rows the engines are compared on: 16-byte keys in no order, values of 100 bytes."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter, process_time

__all__ = [
    "Times",
    "clocked",
    "key",
    "keys",
    "missing",
    "rows_in_parts",
    "sampled",
    "tasks_of",
    "value",
]

_random = random.Random(7)
_VALUES = [_random.randbytes(100) for _ in range(4096)]
TASKS = 64

Times = tuple[float, float]
"""Microseconds by the clock, and of CPU."""


def key(number: int) -> bytes:
    return b"user%012d" % number


def value(number: int) -> bytes:
    return _VALUES[number & 4095]


def keys(count: int, start: int = 0) -> list[bytes]:
    """Return keys in an order that is always the same and is none."""
    made = [key(start + number) for number in range(count)]
    random.Random(count + start).shuffle(made)
    return made


def rows_in_parts(count: int, parts: int) -> list[list[tuple[bytes, bytes]]]:
    """Return rows dealt to parts that overlap wholly."""
    rows = [(name, value(at)) for at, name in enumerate(keys(count))]
    return [rows[at::parts] for at in range(parts)]


def sampled(count: int, of: int, seed: int) -> list[bytes]:
    chosen = random.Random(seed)
    return [key(chosen.randrange(of)) for _ in range(count)]


def missing(count: int, of: int) -> list[bytes]:
    """Return keys that lie among the others and are not there."""
    return [key(at * 7919 % of) + b"x" for at in range(count)]


async def clocked(work: Callable[[], Awaitable[object]], per: int) -> Times:
    """Return the microseconds a unit of `work` took, of which there are `per`.

    By the clock, and of CPU by all threads of the process.
    """
    began, cpu = perf_counter(), process_time()
    await work()
    return (perf_counter() - began) / per * 1e6, (process_time() - cpu) / per * 1e6


def tasks_of(items: Sequence[bytes]) -> list[Sequence[bytes]]:
    return [items[at::TASKS] for at in range(TASKS)]
