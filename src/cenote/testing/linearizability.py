"""Decide whether a history of one key could have happened one operation at a time.

Owns: the operations a key understands as a register, and the search for an order of them.
Does not own: taking histories down (`cenote.testing.history`).

The search is Wing and Gong's (1993) with Lowe's memory of configurations (2017): of the operations
not yet placed, any that was called before the first of the others returned may come next; a
configuration (what is placed, the register's value) that failed once is not entered again.

Two shortcuts keep it fast, and lose no order:
- A read, or a refused operation, that may come next and fits the current value is placed at once:
  it changes nothing wherever it stands, so moving it to the front of any order that works gives
  another order that works. (Not so a Delete of the absent: later it could have removed something.)
- An operation of unknown outcome that would change nothing is left unplaced.

Invariants:
1. An unknown operation has no return: it may take effect at any time after its call, or never.
2. The answer is UNDECIDED only when the step limit is reached, never because of elapsed time, so
   the same history always gets the same answer.

Why one key at a time: linearizability is local (Herlihy and Wing 1990, theorem 1); a store is
linearizable when each key is, and the search is exponential in the operations it looks at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Create",
    "Delete",
    "DeleteIf",
    "Event",
    "Get",
    "Operation",
    "Outcome",
    "Put",
    "Read",
    "Swap",
    "Verdict",
    "check",
]

STEPS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Put:
    """Write `value`, whatever is there."""

    value: str


@dataclass(frozen=True, slots=True)
class Create:
    """Write `value` if nothing is there (If-None-Match: *)."""

    value: str


@dataclass(frozen=True, slots=True)
class Swap:
    """Write `value` if `expected` is there (If-Match)."""

    expected: str
    value: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove what is there, if anything."""


@dataclass(frozen=True, slots=True)
class DeleteIf:
    """Remove what is there if it is `expected` (If-Match)."""

    expected: str


@dataclass(frozen=True, slots=True)
class Get:
    """Read what is there."""


Operation = Put | Create | Swap | Delete | DeleteIf | Get


class Outcome(Enum):
    """What the caller learnt of an operation that answers no value."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Read:
    """A Get's answer; None: nothing is there."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One operation: called at `call`, answered at `end` (any unit, one clock for the history)."""

    call: float
    end: float
    operation: Operation
    outcome: Outcome | Read


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer. `legal` None: undecided within the step limit.

    `order` is the longest order found: a whole one when legal, else how far the search came.
    """

    legal: bool | None
    order: tuple[Event, ...]

    def __bool__(self) -> bool:
        return self.legal is True


def check(
    history: Sequence[Event], start: str | None = None, *, steps_max: int = STEPS_MAX
) -> Verdict:
    """Search an order of `history` that a register starting at `start` (None: absent) allows.

    Requires: written values are distinct, or equal values are not to be told apart.
    Cost: near linear for real histories; exponential in the concurrency at worst, hence
    `steps_max` placements.
    """
    events = sorted(history, key=lambda event: event.call)
    return _Search(events, start).run(steps_max)


class _Search:
    """Depth-first over configurations, with an explicit stack: histories are longer than Python's.

    `base` is the first unplaced event; bit i of `placed` says event base+i is placed. Keeping only
    the window keeps the masks as narrow as the concurrency.
    """

    def __init__(self, events: list[Event], start: str | None) -> None:
        self._events = events
        self._start = start
        self._ends = [
            float("inf") if event.outcome is Outcome.UNKNOWN else event.end for event in events
        ]
        self._last_known = max(
            (i for i, event in enumerate(events) if event.outcome is not Outcome.UNKNOWN),
            default=-1,
        )

    def run(self, steps_max: int) -> Verdict:
        seen: set[tuple[int, int, str | None]] = set()
        order: list[int] = []
        best: list[int] = []
        stack = [self._choices(0, 0, self._start)]
        if self._complete(0, 0):
            return Verdict(True, ())
        for _ in range(steps_max):
            choice = next(stack[-1], None)
            if choice is None:
                stack.pop()
                if not stack:
                    return Verdict(False, self._named(best))
                order.pop()
                continue
            index, base, placed, value = choice
            if (base, placed, value) in seen:
                continue
            seen.add((base, placed, value))
            order.append(index)
            if len(order) > len(best):
                best = order.copy()
            if self._complete(base, placed):
                return Verdict(True, self._named(order))
            stack.append(self._choices(base, placed, value))
        return Verdict(None, self._named(best))

    def _named(self, order: list[int]) -> tuple[Event, ...]:
        return tuple(self._events[index] for index in order)

    def _complete(self, base: int, placed: int) -> bool:
        """Tell whether every event of known outcome is placed."""
        return all(
            placed >> (index - base) & 1 or self._events[index].outcome is Outcome.UNKNOWN
            for index in range(base, self._last_known + 1)
        )

    def _choices(
        self, base: int, placed: int, value: str | None
    ) -> Iterator[tuple[int, int, int, str | None]]:
        """Yield each configuration one placement away: (event placed, base, placed, value)."""
        moves: list[tuple[float, int, str | None]] = []
        for index in self._candidates(base, placed):
            fits, after = apply(self._events[index], value)
            if not fits:
                continue
            outcome = self._events[index].outcome
            if outcome is Outcome.REFUSED or isinstance(outcome, Read):
                yield self._place(index, base, placed, value)
                return
            if after != value or outcome is Outcome.DONE:
                moves.append((self._ends[index], index, after))
        # The first to return is the likeliest to have come first.
        for _, index, after in sorted(moves):
            yield self._place(index, base, placed, after)

    def _candidates(self, base: int, placed: int) -> Iterator[int]:
        """Yield the unplaced events called before any other unplaced event returned."""
        first_end = float("inf")
        for index in range(base, len(self._events)):
            if placed >> (index - base) & 1:
                continue
            if self._events[index].call > first_end:
                return
            first_end = min(first_end, self._ends[index])
            yield index

    @staticmethod
    def _place(
        index: int, base: int, placed: int, value: str | None
    ) -> tuple[int, int, int, str | None]:
        placed |= 1 << (index - base)
        while placed & 1:
            placed >>= 1
            base += 1
        return index, base, placed, value


def apply(event: Event, value: str | None) -> tuple[bool, str | None]:
    """Return whether `event` can happen to a register holding `value`, and what it holds then.

    An event of unknown outcome always can; where its condition fails it changes nothing.
    """
    operation, outcome = event.operation, event.outcome
    holds: bool
    after: str | None
    match operation:
        case Get():
            return outcome is Outcome.UNKNOWN or outcome == Read(value), value
        case Put():
            holds, after = True, operation.value
        case Delete():
            holds, after = True, None
        case Create():
            holds, after = value is None, operation.value
        case Swap():
            holds, after = value == operation.expected, operation.value
        case DeleteIf():
            holds, after = value == operation.expected, None
    if outcome is Outcome.UNKNOWN:
        return True, after if holds else value
    if outcome is Outcome.DONE:
        return holds, after
    return not holds, value
