"""Back-pressure: when writers wait, for what, and how they learn that they need not.

Owns: the writers' lock, the limits, who waits, what a flush that failed means for them, why a
writer is closed.
Does not own: memtables and their sizes (`intake`), flushing (`flushing`).

Invariants:
1. Writers wait while memtables hold `unflushed_size_max` bytes, and for nothing else.
2. Nobody waits for a flush that failed: it is told to all who wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from cenote.base import Clock
from cenote.errors import ClosedError, Error, UnavailableError
from cenote.lsm.metrics import Metrics
from cenote.lsm.settings import DbSettings

__all__ = ["STALL_SECONDS", "Admission", "unflushed"]

STALL_SECONDS: Final = 60.0
"""How long a write waits for memory before it fails."""


def unflushed(error: Error) -> UnavailableError:
    """Make the error of a write that was not taken, because a flush failed with `error`."""
    return UnavailableError(
        f"memtables are full, and flushing them fails: {error.message}", kind=error.kind
    )


class Admission:
    """Lets writes pass or wait. Thread-safe.

    `error` is why everything raises ClosedError, None while it does not.
    """

    def __init__(self, settings: DbSettings, clock: Clock, metrics: Metrics) -> None:
        self.settings = settings
        self.clock = clock
        self.metrics = metrics
        self.error: ClosedError | None = None
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # relief, a manifest, the end
        self._frozen_bytes = 0
        self._freeze_at = settings.l0_sst_size
        self._barred = False
        self._stalled_at: float | None = None
        self._stalled: list[Callable[[UnavailableError | None], None]] = []
        self._flush_error: Error | None = None

    def _admitted(self) -> bool:
        """Tell that a write may not pass. Requires: the lock. Raises ClosedError."""
        if self.error is not None:
            raise self.error.with_traceback(None)
        if self._stalled_at is None:
            self._stalled_at = self.clock.monotonic()
            self.metrics.stalls += 1
        return False

    def wait_relieved(self) -> None:
        """Return when writes are admitted again, or will say why not.

        Raises UnavailableError when flushing fails, or makes no progress. For a thread that may
        wait, with jobs running; others use `when_relieved`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not self._barred or self.error or self._flush_error, STALL_SECONDS
            )
            if self.error is None and self._barred:
                raise self._stalled_error()

    def _stalled_error(self) -> UnavailableError:
        error = self._flush_error
        if error is None:
            return UnavailableError(
                "memtables are full, and level 0 is",
                kind="stalled",
                hint="is there a compactor?",
            )
        return unflushed(error)

    def when_relieved(self, callback: Callable[[UnavailableError | None], None]) -> None:
        """Have `callback` called when writes are admitted again, or a flush has failed.

        With the error then, else with None; from any thread, maybe from this one before the
        return; it must not block.
        """
        error = None
        with self._lock:
            if self._barred and self.error is None:
                if self._flush_error is None:
                    self._stalled.append(callback)
                    return
                error = self._stalled_error()
        callback(error)

    def _press(self) -> list[Callable[[UnavailableError | None], None]]:
        """Work out the back-pressure anew; return who is to be told. Requires: the lock."""
        left = self.settings.unflushed_size_max - self._frozen_bytes
        self._freeze_at = max(min(self.settings.l0_sst_size, left), 1)
        self._barred = left <= 0 or self.error is not None
        if self._barred and self.error is None:
            return []
        if self._stalled_at is not None:
            self.metrics.stall_ms += int((self.clock.monotonic() - self._stalled_at) * 1000)
            self._stalled_at = None
        told, self._stalled = self._stalled, []
        self._changed.notify_all()
        return told

    def _note_flush_error(self, error: Error) -> None:
        with self._lock:
            self._flush_error = error
            told, self._stalled = self._stalled, []
            stalled = self._stalled_error()
            self._changed.notify_all()
        for callback in told:
            callback(stalled)
