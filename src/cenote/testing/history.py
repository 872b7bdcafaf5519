"""Take down what clients did to keys, and when, while they do it.

Owns: the calls' times and outcomes, per key. Thread-safe.
Does not own: the verdict (`cenote.testing.linearizability`).

Invariants:
1. A call's time is taken before its request is sent, its end after its answer was read.
2. A call that nobody settles is of unknown outcome: a lost answer is not a refusal.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from types import TracebackType

from cenote.base import Clock
from cenote.testing.linearizability import Event, Operation, Outcome, Read

__all__ = ["Call", "History"]


class History:
    """The events of many keys."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: defaultdict[str, list[Event]] = defaultdict(list)

    def call(self, key: str, operation: Operation) -> Call:
        """Begin an operation; settle the call it returns when the answer is there."""
        return Call(self, key, operation, self._clock.monotonic())

    def events(self, key: str) -> list[Event]:
        """Return what is taken down of `key` so far."""
        with self._lock:
            return list(self._events[key])

    def keys(self) -> list[str]:
        """Return the keys anything was taken down of."""
        with self._lock:
            return sorted(self._events)

    def _settle(self, call: Call, outcome: Outcome | Read) -> None:
        event = Event(call.began, self._clock.monotonic(), call.operation, outcome)
        with self._lock:
            self._events[call.key].append(event)


class Call:
    """One operation under way. As a context manager it is unknown unless settled inside."""

    __slots__ = ("_history", "_settled", "began", "key", "operation")

    def __init__(self, history: History, key: str, operation: Operation, began: float) -> None:
        self._history = history
        self._settled = False
        self.key = key
        self.operation = operation
        self.began = began

    def done(self) -> None:
        """It took effect."""
        self._settle(Outcome.DONE)

    def refused(self) -> None:
        """Its condition did not hold; nothing changed."""
        self._settle(Outcome.REFUSED)

    def read(self, value: str | None) -> None:
        """It answered `value` (None: absent)."""
        self._settle(Read(value))

    def unknown(self) -> None:
        """It may have taken effect, or may still."""
        self._settle(Outcome.UNKNOWN)

    def void(self) -> None:
        """It certainly never took effect, whatever is there (an error before the decision)."""
        self._settled = True

    def _settle(self, outcome: Outcome | Read) -> None:
        if not self._settled:
            self._settled = True
            self._history._settle(self, outcome)

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unknown()
