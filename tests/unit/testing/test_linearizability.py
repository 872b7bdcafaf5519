"""The checker against histories whose verdict is known beforehand, and against brute force."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.testing.linearizability import (
    Create,
    Delete,
    DeleteIf,
    Event,
    Get,
    Outcome,
    Put,
    Read,
    Swap,
    apply,
    check,
)

DONE, REFUSED, UNKNOWN = Outcome.DONE, Outcome.REFUSED, Outcome.UNKNOWN


def events(*rows: tuple) -> list[Event]:
    return [Event(*row) for row in rows]


LEGAL = {
    "nothing happened": [],
    "a read of the absent": events((0, 1, Get(), Read(None))),
    "write then read": events((0, 1, Put("a"), DONE), (2, 3, Get(), Read("a"))),
    "a read during a write sees the old value": events(
        (0, 9, Put("a"), DONE), (1, 2, Get(), Read(None))
    ),
    "a read during a write sees the new value": events(
        (0, 9, Put("a"), DONE), (1, 2, Get(), Read("a"))
    ),
    "one of two racing creates wins": events(
        (0, 5, Create("a"), DONE), (1, 4, Create("b"), REFUSED), (6, 7, Get(), Read("a"))
    ),
    "the later caller may win": events(
        (0, 5, Create("a"), REFUSED), (1, 4, Create("b"), DONE), (6, 7, Get(), Read("b"))
    ),
    "a chain of swaps": events(
        (0, 1, Put("a"), DONE), (2, 3, Swap("a", "b"), DONE), (4, 5, Swap("a", "c"), REFUSED)
    ),
    "an unknown write that happened": events((0, 1, Put("a"), UNKNOWN), (2, 3, Get(), Read("a"))),
    "an unknown write that did not": events((0, 1, Put("a"), UNKNOWN), (2, 3, Get(), Read(None))),
    "an unknown write takes effect long after": events(
        (0, 1, Put("a"), UNKNOWN), (2, 3, Get(), Read(None)), (4, 5, Get(), Read("a"))
    ),
    "a delete of the absent": events((0, 1, Delete(), DONE), (2, 3, Get(), Read(None))),
    "a guarded delete": events(
        (0, 1, Put("a"), DONE), (2, 3, DeleteIf("b"), REFUSED), (4, 5, DeleteIf("a"), DONE)
    ),
    "create, delete, create": events(
        (0, 1, Create("a"), DONE), (0, 9, Delete(), DONE), (2, 3, Create("b"), DONE)
    ),
}

ILLEGAL = {
    "a value nobody wrote": events((0, 1, Get(), Read("a"))),
    "a write that is lost": events((0, 1, Put("a"), DONE), (2, 3, Get(), Read(None))),
    "a stale read": events(
        (0, 1, Put("a"), DONE), (2, 3, Put("b"), DONE), (4, 5, Get(), Read("a"))
    ),
    "new, then old": events(
        (0, 1, Put("a"), DONE),
        (2, 9, Put("b"), DONE),
        (3, 4, Get(), Read("b")),
        (5, 6, Get(), Read("a")),
    ),
    "two creates win": events((0, 5, Create("a"), DONE), (1, 4, Create("b"), DONE)),
    "a create refused with nothing there": events((0, 1, Create("a"), REFUSED)),
    "two swaps of one value win": events(
        (0, 1, Put("a"), DONE), (2, 5, Swap("a", "b"), DONE), (3, 6, Swap("a", "c"), DONE)
    ),
    "a swap refused though it matched": events(
        (0, 1, Put("a"), DONE), (2, 3, Swap("a", "b"), REFUSED)
    ),
    "a swap of the absent wins": events((0, 1, Swap("a", "b"), DONE)),
    "two guarded deletes win": events(
        (0, 1, Put("a"), DONE), (2, 5, DeleteIf("a"), DONE), (3, 6, DeleteIf("a"), DONE)
    ),
    "deleted, and read again": events(
        (0, 1, Put("a"), DONE), (2, 3, Delete(), DONE), (4, 5, Get(), Read("a"))
    ),
    "an unknown write seen before it was called": events(
        (0, 1, Get(), Read("a")), (2, 3, Put("a"), UNKNOWN)
    ),
    "a refused write takes effect": events(
        (0, 1, Put("a"), DONE), (2, 3, Create("b"), REFUSED), (4, 5, Get(), Read("b"))
    ),
    "an unknown write comes and goes": events(
        (0, 1, Put("a"), UNKNOWN),
        (2, 3, Get(), Read("a")),
        (4, 5, Get(), Read(None)),
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal(name):
    verdict = check(LEGAL[name])
    assert verdict.legal is True
    value = None
    for event in verdict.order:
        fits, value = apply(event, value)
        assert fits


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal(name):
    assert check(ILLEGAL[name]).legal is False


def brute_force(history: list[Event]) -> bool:
    """Try every subset of the unknown events in every order."""
    known = [event for event in history if event.outcome is not UNKNOWN]
    unknown = [event for event in history if event.outcome is UNKNOWN]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *chosen]):
                if _keeps_time(order) and _fits(order):
                    return True
    return False


def _keeps_time(order) -> bool:
    return not any(
        later.outcome is not UNKNOWN and later.end < earlier.call
        for i, earlier in enumerate(order)
        for later in order[i + 1 :]
    )


def _fits(order) -> bool:
    value = None
    for event in order:
        fits, value = apply(event, value)
        if not fits:
            return False
    return True


VALUE = st.sampled_from(["a", "b", "c"])
WRITES = st.one_of(
    st.builds(Put, VALUE),
    st.builds(Create, VALUE),
    st.builds(Swap, VALUE, VALUE),
    st.just(Delete()),
    st.builds(DeleteIf, VALUE),
)
OUTCOMES = st.sampled_from([DONE, DONE, REFUSED, UNKNOWN])


@st.composite
def histories(draw) -> list[Event]:
    found = []
    for _ in range(draw(st.integers(1, 5))):
        call = draw(st.integers(0, 8))
        end = call + draw(st.integers(1, 4))
        if draw(st.booleans()):
            found.append(Event(call, end, Get(), Read(draw(st.none() | VALUE))))
            continue
        operation = draw(WRITES)
        outcome = draw(OUTCOMES)
        if isinstance(operation, Put | Delete) and outcome is REFUSED:
            outcome = DONE
        found.append(Event(call, end, operation, outcome))
    return found


@settings(max_examples=400, deadline=None)
@given(histories())
def test_agrees_with_brute_force(history):
    assert check(history).legal is brute_force(history)


def test_long_history_of_a_real_register():
    """3000 operations of a true register, 8 at a time, are legal; with one lie they are not."""
    rng = random.Random(7)
    value: str | None = None
    history: list[Event] = []
    now = 0.0
    for number in range(3000):
        now += 1.0
        call, end = now - rng.uniform(0, 4), now + rng.uniform(0, 4)
        kind = rng.randrange(4)
        if kind == 0:
            history.append(Event(call, end, Get(), Read(value)))
        elif kind == 1:
            value = f"v{number}"
            history.append(Event(call, end, Put(value), DONE))
        elif kind == 2:
            outcome = DONE if value is None else REFUSED
            history.append(Event(call, end, Create(f"v{number}"), outcome))
            value = f"v{number}" if value is None else value
        else:
            value = None
            history.append(Event(call, end, Delete(), DONE))
    assert check(history).legal is True
    history.append(Event(now + 100, now + 101, Get(), Read("v-never")))
    assert check(history).legal is False


def test_the_step_limit_leaves_it_undecided():
    history = [Event(0, 100, Put(f"v{i}"), DONE) for i in range(12)]
    history.append(Event(101, 102, Get(), Read("absent")))
    assert check(history, steps_max=100).legal is None
