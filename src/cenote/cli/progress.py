"""How far a long copy is, on a terminal's last line.

Invariants:
1. Nothing is written unless standard error is a terminal, and nothing before `PATIENCE` seconds:
   short copies and scripts stay quiet.
"""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from cenote.base import Clock, SystemClock

__all__ = ["Meter", "size_text"]

PATIENCE = 0.7
INTERVAL = 0.1
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(size: float) -> str:
    """Return a size for people: 3 B, 1.5 MiB."""
    for unit in UNITS:
        if size < 1024 or unit == UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


class Meter:
    """Counts bytes and files, and draws. Thread-safe. `total` None: not known."""

    def __init__(
        self,
        total: int | None = None,
        *,
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock or SystemClock()
        self._total = total
        self._lock = threading.Lock()
        self._done = 0
        self._start = self._clock.monotonic()
        self._drawn = self._start + PATIENCE - INTERVAL
        self._shown = False
        self._live = not quiet and self._stream.isatty()

    def expect(self, size: int) -> None:
        """Add `size` bytes to what is to come."""
        with self._lock:
            self._total = (self._total or 0) + size

    def advance(self, size: int) -> None:
        """Count `size` bytes as done."""
        with self._lock:
            self._done += size
            now = self._clock.monotonic()
            if self._live and now - self._drawn >= INTERVAL:
                self._drawn = now
                self._draw(now)

    def _draw(self, now: float) -> None:
        rate = self._done / max(now - self._start, 1e-3)
        text = size_text(self._done)
        if self._total:
            text += f" of {size_text(self._total)} ({100 * self._done // self._total} %)"
        self._stream.write(f"\r{text}  {size_text(rate)}/s\x1b[K")
        self._stream.flush()
        self._shown = True

    def say(self, line: str) -> None:
        """Print a line on standard output, above the meter."""
        with self._lock:
            self._wipe()
            print(line, flush=self._live)

    def _wipe(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def close(self) -> None:
        """Take the meter off the terminal."""
        with self._lock:
            self._wipe()
            self._live = False
