"""Regions of packs that nobody wants, if the commit that named them really failed.

Owns: the regions given back while the log's end is in doubt, and punching those no row names.
Does not own: when the doubt begins and ends (`commit`).

When the sync of a commit fails, the commit is told to have failed, but its frames stand in the log,
whole. Should the process be killed before another commit has overwritten them, the next opening
plays them back, and the commit took effect after all. So the bytes it names must stay until then.

Invariants:
1. No region is punched while the log's end is in doubt, nor ever when an extent stands there.
2. A region that waits keeps its pack `pending`: the pack is not sealed. What still waits when the
   bucket is closed is given back by the next opening (`recover`), which then knows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool

__all__ = ["Doubts"]

_Region = tuple[int, int, int]  # pack, offset, size


class Doubts:
    """One bucket's regions in doubt. Thread-safe."""

    def __init__(self, pool: Pool, packs: Packs, *, ask: Callable[[], None]) -> None:
        """`ask` is called when `step` will have something to do."""
        self._pool = pool
        self._packs = packs
        self._ask = ask
        self._lock = threading.Lock()
        self._regions: list[_Region] = []
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether a commit that was told to have failed may yet come back."""
        return self._open

    def begin(self) -> None:
        """Note that the log's end is in doubt; call before anybody is told of the failure."""
        with self._lock:
            self._open = True
        self._ask()

    def end(self) -> None:
        """Note that a commit has overwritten the log's end, and was synced."""
        with self._lock:
            self._open = False
            waiting = bool(self._regions)
        if waiting:
            self._ask()

    def give_back(self, pack: int, offset: int, size: int) -> None:
        """Give back a region whose commit was refused, failed, or never came.

        Raises OSError, apsw.Error, Error: the region then waits for `step`.
        """
        region = (pack, offset, size)
        with self._lock:
            self._regions.append(region)
            if self._open:
                return
        self._settle(region)

    def step(self) -> None:
        """Give back what waits, unless there is doubt. Raises as `give_back`."""
        with self._lock:
            waiting = [] if self._open else list(self._regions)
        for region in waiting:
            self._settle(region)

    def _settle(self, region: _Region) -> None:
        pack, offset, size = region
        with self._pool.reading() as reader:
            taken = reader.one("SELECT 1 FROM extent WHERE pack=? AND offset=?", (pack, offset))
        if not taken:
            self._packs.punch(pack, offset, size)
        with self._lock:
            if region not in self._regions:
                return  # two threads were at it
            self._regions.remove(region)
        if not taken:  # else the commit that took it has settled it
            self._packs.settled(pack)
