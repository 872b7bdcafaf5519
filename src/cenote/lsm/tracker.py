"""About when which sequence number was written: the samples, and looking both ways.

Owns: when a sample is taken, which are let go, look-ups.
Does not own: the samples' bytes (`format.tracker`).

A sample is a sequence number and the second it was written in. One is taken a minute; when there
are too many, every other one goes and the step doubles.

Invariants:
1. Both numbers of the samples rise.
2. There are never more than `SAMPLES_MAX`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from cenote.lsm.format import EMPTY_TRACKER, decode_tracker, encode_tracker

__all__ = ["SAMPLES_MAX", "STEP_SECONDS", "Tracker"]

SAMPLES_MAX: Final = 8192
STEP_SECONDS: Final = 60


class Tracker:
    """Samples of sequence numbers and seconds. Not thread-safe.

    `next_ms` is when the next sample is wanted: a caller compares the clock with it and need not
    call `note` for every write.
    """

    __slots__ = ("_seconds", "_seqs", "_step", "next_ms")

    def __init__(self, data: bytes | None = None) -> None:
        """Begin with the samples of `data`, the bytes in a manifest. Raises DataError."""
        samples = decode_tracker(data or EMPTY_TRACKER)
        self._seqs = [seq for seq, _ in samples]
        self._seconds = [second for _, second in samples]
        self._step = STEP_SECONDS
        if len(samples) > 2:
            # What the samples were thinned to shows in their distances.
            gaps = sorted(b - a for a, b in zip(self._seconds, self._seconds[1:], strict=False))
            while self._step * 2 <= gaps[0]:
                self._step *= 2
        self._schedule()

    def __len__(self) -> int:
        return len(self._seqs)

    def _schedule(self) -> None:
        last = self._seconds[-1] if self._seconds else None
        self.next_ms = 0 if last is None else (last + self._step) * 1000

    def note(self, seq: int, now_ms: int) -> None:
        """Take a sample if one is wanted: `seq` was written at `now_ms`."""
        if now_ms < self.next_ms or (self._seqs and seq <= self._seqs[-1]):
            return
        self._seqs.append(seq)
        self._seconds.append(max(now_ms, 0) // 1000)
        if len(self._seqs) > SAMPLES_MAX:
            del self._seqs[1::2], self._seconds[1::2]
            self._step *= 2
        self._schedule()

    def samples(self, seq_max: int) -> list[tuple[int, int]]:
        """Return the samples up to `seq_max`."""
        count = bisect_right(self._seqs, seq_max)
        return list(zip(self._seqs[:count], self._seconds[:count], strict=True))

    def encoded(self, seq_max: int) -> bytes:
        """Return the bytes of the samples up to `seq_max`. Cost: 1 us a sample."""
        return encode_tracker(self.samples(seq_max))

    def second_of(self, seq: int, *, later: bool = False) -> int | None:
        """Return the second of the last sample at or before `seq` (`later`: the first at or after).

        None when there is none.
        """
        return _look(self._seqs, self._seconds, seq, later)

    def seq_of(self, second: int, *, later: bool = False) -> int | None:
        """Return the number of the last sample at or before `second` (`later`: first at or after).

        None when there is none.
        """
        return _look(self._seconds, self._seqs, second, later)


def _look(known: list[int], wanted: list[int], value: int, later: bool) -> int | None:
    at = bisect_left(known, value) if later else bisect_right(known, value) - 1
    return wanted[at] if 0 <= at < len(wanted) else None
