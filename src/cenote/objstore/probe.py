"""Finding out whether a store honours conditions: many accept the header and ignore it.

Owns: which trials are enough before a store is trusted, and the refusal.
Does not own: the trials (`trials`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cenote.base import Rand, SystemRand
from cenote.errors import UnsupportedError
from cenote.objstore.api import ObjectStore
from cenote.objstore.trials import (
    Verdict,
    absent_race,
    absent_twice,
    match_race,
    match_twice,
)

__all__ = ["Honours", "probe", "require_conditional_put"]

RACERS = 4


@dataclass(frozen=True, slots=True)
class Honours:
    """What a store honours: alone, and in a small race."""

    put_if_absent: bool
    put_if_match: bool


def probe(store: ObjectStore, *, rand: Rand | None = None) -> Honours:
    """Find out what `store` honours, by objects in a folder of their own that go again.

    Raises UnavailableError, DeniedError. Cost: some twenty requests.
    """
    folder = f"cenote-probe-{(rand or SystemRand()).bytes(8).hex()}"
    try:
        absent = absent_twice(store, f"{folder}/absent")
        if absent.verdict is Verdict.HONOURED:
            absent = absent_race(store, f"{folder}/absent-race", RACERS)
        match = match_twice(store, f"{folder}/match")
        if match.verdict is Verdict.HONOURED:
            match = match_race(store, f"{folder}/match-race", RACERS)
    finally:
        store.delete_many(
            [f"{folder}/{name}" for name in ("absent", "absent-race", "match", "match-race")]
        )
    return Honours(absent.verdict is Verdict.HONOURED, match.verdict is Verdict.HONOURED)


def require_conditional_put(store: ObjectStore, *, rand: Rand | None = None) -> Honours:
    """Probe, and refuse a store on which no writer could be sure of being the only one.

    Put-if-absent is what is needed; put-if-match is told of. Raises UnsupportedError(kind=
    "no_conditional_put").
    """
    honours = probe(store, rand=rand)
    if not honours.put_if_absent:
        raise UnsupportedError(
            f"{store.name} does not honour If-None-Match, so that two writers could both believe "
            "to be the only one",
            kind="no_conditional_put",
            hint="add conditional_put=dynamo:TABLE to the URI, or use another store",
        )
    return honours
