"""What a writer does when nobody asks: log what nobody waits for, flush what is frozen.

Owns: when. Does not own: how (`cenote.lsm.writer`), or the threads (`cenote.lsm.jobs`).

Invariants:
1. `due` takes no lock: it is called under the lock of the jobs, which a writer takes under its own.
2. An idle database wakes nobody up: the log's job falls asleep after some turns without work, and
   the next write wakes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cenote.errors import DeniedError, UnavailableError

if TYPE_CHECKING:
    from cenote.lsm.writer import Writer

__all__ = ["FlushJob", "LogJob"]

_IDLE_TURNS: Final = 10
_LOOK_FIRST: Final = 1.0
_LOOK_LONGEST: Final = 30.0


class LogJob:
    """Puts what nobody waits for into the log, an interval after it was written at the latest."""

    name: Final = "wal"

    def __init__(self, writer: Writer, interval: float) -> None:
        self._writer = writer
        self._interval = interval
        self._at: float | None = None
        self._idle = 0

    def due(self, now: float) -> float | None:
        return self._at

    def run(self) -> bool:
        writer = self._writer
        now = writer.clock.monotonic()
        flushed = False
        if self._at is not None and now >= self._at:
            if writer.wal_pending:
                self._idle = 0
                _patiently(writer.flush_wal)
                flushed = True
            else:
                self._idle += 1
        elif self._at is not None:
            return False
        self._at = now + self._interval
        if self._idle >= _IDLE_TURNS:
            self._idle = 0
            self._at = None
            writer.log_asleep = True
            if writer.wal_pending:  # written while we fell asleep
                writer.log_asleep = False
                self._at = now + self._interval
        return flushed


class FlushJob:
    """Writes frozen memtables to level 0; waits while that is full."""

    name: Final = "flush"

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._wait = _LOOK_FIRST
        self._look_at = 0.0

    def due(self, now: float) -> float | None:
        writer = self._writer
        if not writer.frozen_count:
            return None
        return self._look_at if writer.l0_full else now

    def run(self) -> bool:
        writer = self._writer
        if not writer.frozen_count:
            return False
        if writer.l0_full:
            # The compactor in this process tells at once; one elsewhere tells only the manifest.
            now = writer.clock.monotonic()
            if now < self._look_at:
                return False
            self._look_at = now + self._wait
            self._wait = min(self._wait * 2, _LOOK_LONGEST)
            _patiently(writer.refresh)
            return not writer.l0_full
        self._wait, self._look_at = _LOOK_FIRST, 0.0
        _patiently(writer.flush_frozen)
        return True


def _patiently(run: Callable[[], object]) -> None:
    """Run; what credentials forbid now, they may allow later: a job is not given up for that."""
    try:
        run()
    except DeniedError as error:
        raise UnavailableError(error.message, kind="denied") from error
