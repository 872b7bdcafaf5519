"""How hard a database is pressed: what waits to be flushed, and whether writers wait.

Owns: the value that shows it, and the rule. Does not own: who waits, and where.

Invariants:
1. Writers wait for one thing only: that memtables hold fewer bytes than the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Pressure"]


@dataclass(frozen=True, slots=True)
class Pressure:
    """How much waits, and what the limits are.

    `unflushed_bytes` are those of all memtables, `frozen` how many of them wait to be flushed,
    `unlogged_rows` how many rows are not in the log yet. `l0_count` is the number of level 0 files
    of the tree that has most; memtables are not flushed while it is at `l0_limit`. `stalled_for`:
    how many seconds writers have been waiting, None when they are not. `last_error` is what the
    latest flush failed with, None when it did not.
    """

    unflushed_bytes: int
    unflushed_limit: int
    frozen: int
    unlogged_rows: int
    l0_count: int
    l0_limit: int
    stalled_for: float | None = None
    last_error: str | None = None

    @property
    def stalls(self) -> bool:
        """Whether writers have to wait."""
        return self.unflushed_bytes >= self.unflushed_limit

    @property
    def share(self) -> float:
        """How much of the limit is used up: 1.0 and above, writers wait."""
        return self.unflushed_bytes / self.unflushed_limit
