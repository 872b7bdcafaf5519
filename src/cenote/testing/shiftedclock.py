"""A clock that goes with the system's, and can be moved ahead.

Owns: the shift. Thread-safe.

What a test moves is the time that objects and items are stored by; signatures are compared with
the true time, which clients sign with.
"""

from __future__ import annotations

import threading

from cenote.base import SystemClock
from cenote.errors import InvalidError

__all__ = ["ShiftedClock"]


class ShiftedClock(SystemClock):
    """The system's clock, and `advance`."""

    __slots__ = ("_lock", "_shift_ms")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shift_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self._shift_ms

    def monotonic(self) -> float:
        return super().monotonic() + self._shift_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move ahead. Raises InvalidError for going back: time does not."""
        if seconds < 0:
            raise InvalidError("time does not go back")
        with self._lock:
            self._shift_ms += round(seconds * 1000)

    def reset(self) -> None:
        """Go with the system's clock again."""
        with self._lock:
            self._shift_ms = 0
