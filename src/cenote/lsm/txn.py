"""Which transactions may commit: conflicts as a decision about keys.

Owns: what a transaction read and wrote, which keys were written lately, whether they meet.
Does not own: rows, sequence numbers, or the lock all of it is called under (the writer's).

Two transactions are at odds when one committed between the other's begin and its commit, and
- wrote a key the other wrote as well (always), or
- wrote a key the other read, or one in a range it scanned (when it is serializable; keys marked
  read count in either case). A key that was not there when it was looked for counts too, and a
  range counts as far as it was walked: rows that would have shown up there are noticed.

Invariants:
1. `Recent` knows each key written since the oldest open transaction began, with the sequence
   number of its latest write, in order of those numbers. When no transaction is open it is empty,
   and writes cost nothing.
2. A transaction that wrote nothing has no conflicts: it read one moment.

Why keys and not hashes of them: two keys with one hash would make a conflict nobody can explain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable

from cenote.errors import TransactionConflictError

__all__ = ["Footprint", "Recent", "Span"]

Span = tuple[bytes, "bytes | None"]
"""Keys start <= key < end; None is no end."""


class Footprint:
    """What one transaction has read and written. Not thread-safe."""

    __slots__ = ("began", "reads", "spans", "tracks_reads", "unmarked", "writes")

    def __init__(self, began: int, *, serializable: bool) -> None:
        self.began = began
        self.tracks_reads = serializable
        self.reads: set[bytes] = set()
        self.writes: set[bytes] = set()
        self.unmarked: set[bytes] = set()
        # Called at the commit: a scan knows only then how far it was walked.
        self.spans: list[Callable[[], Iterable[Span]]] = []

    def read(self, key: bytes) -> None:
        """Note that `key` was looked for."""
        if self.tracks_reads:
            self.reads.add(key)

    def scan(self, walked: Callable[[], Iterable[Span]]) -> None:
        """Note a scan; `walked` will tell the ranges it has gone through."""
        if self.tracks_reads:
            self.spans.append(walked)

    def write(self, key: bytes) -> None:
        """Note that `key` was written."""
        self.writes.add(key)
        self.unmarked.discard(key)

    def mark_read(self, keys: Iterable[bytes]) -> None:
        """Have writes of `keys` count as conflicts, whatever the isolation."""
        self.reads.update(keys)

    def unmark_write(self, keys: Iterable[bytes]) -> None:
        """Let others write `keys` too: for writes that commute, such as merges."""
        self.unmarked.update(keys)


class Recent:
    """The keys written since the oldest open transaction began. Not thread-safe."""

    __slots__ = ("_began", "_beginning", "_last")

    def __init__(self) -> None:
        self._beginning = 0
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._began: dict[int, int] = {}  # by sequence number: how many began there

    @property
    def watching(self) -> bool:
        """Whether a transaction is open: only then must writes be noted."""
        return bool(self._began or self._beginning)

    def __len__(self) -> int:
        return len(self._last)

    def watch(self) -> None:
        """Have writes noted from now on, since a transaction is about to begin."""
        self._beginning += 1

    def begin(self, seq: int) -> None:
        """Note that a transaction began after the write `seq`.

        Requires: `watch` was called for it before that write was the newest.
        """
        self._beginning -= 1
        self._began[seq] = self._began.get(seq, 0) + 1

    def end(self, seq: int) -> None:
        """Forget a transaction that began after `seq`, and what only it could conflict with."""
        left = self._began[seq] - 1
        if left:
            self._began[seq] = left
            return
        del self._began[seq]
        if self._beginning:  # where the new one begins is not known yet
            return
        if not self._began:
            self._last.clear()
            return
        oldest, last = min(self._began), self._last
        while last and next(iter(last.values())) <= oldest:
            last.popitem(last=False)

    def note(self, seq: int, keys: Iterable[bytes]) -> None:
        """Note that `keys` were written as `seq`.

        Requires: `seq` is above every earlier one.
        """
        last = self._last
        for key in keys:
            last[key] = seq
            last.move_to_end(key)

    def check(self, footprint: Footprint) -> None:
        """Raise TransactionConflictError if somebody wrote what this transaction relies on.

        Requires: `begin(footprint.began)` was called, `end` not yet.
        Cost: the keys it touched, or those written since, whichever are fewer; with scanned ranges
        all written since.
        """
        if not footprint.writes or not self._last:
            return
        began, last = footprint.began, self._last
        wrote = footprint.writes - footprint.unmarked
        for keys, what in ((wrote, "wrote"), (footprint.reads, "read")):
            for key in keys if len(keys) <= len(last) else [key for key in last if key in keys]:
                if last.get(key, 0) > began:
                    raise _conflict(key, f"it {what}")
        if not footprint.spans:
            return
        spans = _joined(span for walked in footprint.spans for span in walked())
        starts = [start for start, _ in spans]
        for key, seq in reversed(last.items()):
            if seq <= began:
                return
            at = bisect_right(starts, key) - 1
            if at >= 0:
                end = spans[at][1]
                if end is None or key < end:
                    raise _conflict(key, "in a range it scanned")


def _joined(spans: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans, key=lambda span: span[0]):
        if end is not None and end <= start:
            continue
        if joined:
            before, reach = joined[-1]
            if reach is None or start <= reach:
                if reach is not None and (end is None or end > reach):
                    joined[-1] = (before, end)
                continue
        joined.append((start, end))
    return joined


def _conflict(key: bytes, relation: str) -> TransactionConflictError:
    return TransactionConflictError(
        f"somebody wrote a key {relation} since this transaction began",
        hint="begin it anew",
        key=key,
    )
