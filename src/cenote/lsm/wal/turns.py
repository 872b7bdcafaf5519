"""Turns at the log: of many threads that wait for their rows, one puts for all.

Owns: whose turn it is, who waits, who is let go when a put ends.
Does not own: what is put (`wal.writer`).

Who comes while nobody puts takes the turn at once. Who comes while somebody does waits; when that
put ends, those whose rows were in it go their way, and the first of the others takes the turn, with
the rows of all who came. So nobody waits for a lock only to find that he is done, and no thread
can take turn after turn while others wait.

Those let go by a slow put come back together with their next rows, but for the first of them, who
would put his alone and have the others wait for it. So, where a put takes long, he waits a little
for the others: no longer than an eighth of what the put took.

Invariants:
1. One thread has the turn, or none; none only while nobody waits.
2. Everybody who waits is let go by the put that covers him, or is given the turn.
"""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["Turns"]

_SLOW_SECONDS: Final = 0.002
_GATHER_SHARE: Final = 0.125
_GATHER_MAX: Final = 0.005


class _Waiting:
    """A thread that waits. `leads`: it was given the turn."""

    __slots__ = ("gate", "leads", "seq")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.leads = False
        self.gate = threading.Lock()
        self.gate.acquire()


class Turns:
    """The turns at one log. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: list[_Waiting] = []
        self._let_go = 0  # how many the last put let go
        self._seconds = 0.0  # how long it took
        self._gathering: tuple[int, threading.Lock] | None = None

    def take(self, seq: int) -> bool:
        """Return True when it is this thread's turn, which it ends with `end`.

        False: a put ended that covered `seq`, or failed. Then look what became of it.
        """
        with self._lock:
            if self._taken:
                waiting = _Waiting(seq)
                self._waiting.append(waiting)
                if self._gathering is not None and len(self._waiting) >= self._gathering[0]:
                    self._gathering[1].release()
                    self._gathering = None
            else:
                self._taken = True
                waiting = None
        if waiting is None:
            self._gather()
            return True
        try:
            waiting.gate.acquire()
        except BaseException:  # a signal: nobody may give the turn to who is not there
            with self._lock:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
                leads = waiting.leads
            if leads:
                self.end(-1, self._seconds)
            raise
        if waiting.leads:
            self._gather()
        return waiting.leads

    def end(self, covered: int, seconds: float) -> None:
        """Give the turn on: all up to `covered` is decided, after a put that took `seconds`."""
        with self._lock:
            done = [each for each in self._waiting if each.seq <= covered]
            left = [each for each in self._waiting if each.seq > covered]
            self._let_go, self._seconds = len(done), seconds
            if left:
                left[0].leads = True
                done.append(left.pop(0))
            else:
                self._taken = False
            self._waiting = left
        for each in done:
            each.gate.release()

    def _gather(self) -> None:
        """Wait a little for those who were let go together with this thread."""
        with self._lock:
            seconds, wanted = self._seconds, self._let_go
            self._let_go = 0
            if seconds < _SLOW_SECONDS or len(self._waiting) >= wanted:
                return
            gate = threading.Lock()
            gate.acquire()
            self._gathering = (wanted, gate)
        gate.acquire(timeout=min(seconds * _GATHER_SHARE, _GATHER_MAX))
        with self._lock:
            self._gathering = None
