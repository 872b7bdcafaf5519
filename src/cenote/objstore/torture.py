"""All trials of a store, many times: the table `cenote torture` prints.

Owns: which trials, how often, what remains of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cenote.base import Rand, SystemRand
from cenote.errors import UnsupportedError
from cenote.objstore.api import ObjectStore
from cenote.objstore.trials import (
    Trial,
    Verdict,
    absent_race,
    absent_twice,
    copies_and_pieces,
    counter,
    listing,
    match_race,
    match_twice,
    read_after_write,
    version_counter,
)

__all__ = ["Line", "torture"]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table: what was tried, how often, and the worst that came of it."""

    name: str
    rounds: int
    trial: Trial


def torture(
    store: ObjectStore,
    *,
    racers: int = 32,
    rounds: int = 5,
    piece_size: int = 4 << 20,
    rand: Rand | None = None,
) -> Iterator[Line]:
    """Try all the contract promises, and yield a line as each trial ends.

    Works in a folder of its own and removes it. Raises UnavailableError, DeniedError when the
    store cannot be tried at all.
    """
    with _folder(store, rand or SystemRand()) as folder:
        few = max(2, racers // 4)
        trials: list[tuple[str, int, Callable[[str], Trial]]] = [
            ("read after write", rounds, lambda at: read_after_write(store, at)),
            ("listing", rounds, lambda at: listing(store, at)),
            ("copy, multipart", 1, lambda at: copies_and_pieces(store, at, piece_size)),
            ("put if absent", rounds, lambda at: absent_twice(store, at)),
            (
                f"put if absent, {racers} at once",
                rounds,
                lambda at: absent_race(store, at, racers),
            ),
            (f"versions, {few} writers", 1, lambda at: version_counter(store, at, few, rounds)),
            ("put if match", rounds, lambda at: match_twice(store, at)),
            (f"put if match, {racers} at once", rounds, lambda at: match_race(store, at, racers)),
            (f"counter, {few} writers", 1, lambda at: counter(store, at, few, rounds)),
        ]
        for number, (name, times, trial) in enumerate(trials):
            yield _worst(name, times, lambda n, t=trial, k=number: t(f"{folder}/{k}-{n}"))  # type: ignore[misc]


def _worst(name: str, rounds: int, trial: Callable[[int], Trial]) -> Line:
    for number in range(rounds):
        try:
            found = trial(number)
        except UnsupportedError as error:
            found = Trial(Verdict.REFUSED, error.message)
        if found.verdict is not Verdict.HONOURED:
            return Line(name, number + 1, found)
    return Line(name, rounds, Trial(Verdict.HONOURED))


@contextmanager
def _folder(store: ObjectStore, rand: Rand) -> Iterator[str]:
    folder = f"cenote-torture-{rand.bytes(8).hex()}"
    try:
        yield folder
    finally:
        store.delete_many([meta.path for meta in store.list(folder)])
