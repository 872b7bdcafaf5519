"""Transactions over a writer: what they read, what they write, how they end.

Owns: reads that see own writes, the registry of open transactions, the commit.
Does not own: the rule of conflicts (`txn`), who drives the reads (the faces).

A transaction reads the moment it began at, and keeps its writes to itself. Its commit is one write
of the database: the check for conflicts and the rows are made under one lock.

Invariants:
1. Writes of everybody are noted while a transaction is open, not only those of transactions.
2. Noting begins before the moment to read is pinned, so that no write is between the two.
3. The registry's lock is taken inside the writer's, never around it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Literal

from cenote.errors import ClosedError, InvalidError, TransactionConflictError
from cenote.lsm.batch import Op
from cenote.lsm.entry import MERGE, PUT, TOMBSTONE, Row
from cenote.lsm.head import PastSource
from cenote.lsm.intake import Written
from cenote.lsm.options import Isolation, Ttl, as_key, as_value
from cenote.lsm.overlay import OwnScan, OwnWrites
from cenote.lsm.plan import PENDING, Pending, Plan
from cenote.lsm.source import ScanOptions, Source
from cenote.lsm.txn import Footprint, Recent
from cenote.lsm.walk import RowScan, Walk
from cenote.lsm.writer import Writer
from cenote.objstore import ObjectStore

__all__ = ["OpenTransaction", "TransactionWrites", "Transactions"]


class Transactions:
    """The open transactions of a writer. Thread-safe."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._lock = threading.Lock()
        self._recent = Recent()
        self._ended: deque[int] = deque()  # by finalizers, which may take no lock

    def begin(self, isolation: Isolation) -> OpenTransaction:
        """Begin a transaction. Raises InvalidError(kind="invalid_isolation"), ClosedError."""
        if isolation not in ("snapshot", "serializable"):
            raise InvalidError(
                f'a transaction is "snapshot" or "serializable", not {isolation!r}',
                kind="invalid_isolation",
            )
        writer = self.writer
        writer.require_open()
        with self._lock:
            self._take_ended()
            self._recent.watch()
            writer.noting = self._note
        past = PastSource(writer)
        with self._lock:
            self._recent.begin(past.seq)
        writer.metrics.transactions += 1
        return OpenTransaction(self, past, isolation == "serializable")

    def end(self, seq: int) -> None:
        """Forget a transaction that began at `seq`. Takes no lock that is held."""
        self._ended.append(seq)
        if self._lock.acquire(blocking=False):
            try:
                self._take_ended()
            finally:
                self._lock.release()

    def check(self, footprint: Footprint) -> None:
        """Raise TransactionConflictError when it may not commit. Called under the writer's lock."""
        with self._lock:
            self._recent.check(footprint)

    @property
    def remembered(self) -> int:
        """How many keys are remembered for open transactions."""
        with self._lock:
            self._take_ended()
            return len(self._recent)

    def _note(self, seq: int, ops: Sequence[Op]) -> None:
        with self._lock:
            if self._ended:
                self._take_ended()
            self._recent.note(seq, [op[0] for op in ops])

    def _take_ended(self) -> None:
        while self._ended:
            self._recent.end(self._ended.popleft())
        if not self._recent.watching:
            self.writer.noting = None


class OpenTransaction(Source):
    """One transaction: what both faces share. Not thread-safe."""

    __slots__ = ("_all", "_own", "_past", "footprint", "seq", "state")

    def __init__(self, all_open: Transactions, past: PastSource, serializable: bool) -> None:
        writer = all_open.writer
        self.state: Literal["open", "committed", "rolled back"] = "open"
        self.seq = past.seq
        self.footprint = Footprint(past.seq, serializable=serializable)
        self._all = all_open
        self._past = past
        self._own = OwnWrites(
            writer.merge_operator, writer.clock.now_ms, writer.settings.default_ttl_ms
        )

    @property
    def writer(self) -> Writer:
        """Whose transaction it is."""
        return self._all.writer

    # Reading.

    @property
    def store(self) -> ObjectStore:
        return self._past.store

    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        self.require_open()
        key = as_key(key)
        if self._own.covers(key):
            return self._own.seen(key, None)
        self.footprint.read(key)
        row = self._past.find(key, durable_only)
        if row is PENDING or not self._own.touches(key):
            return row
        return self._own.seen(key, row)

    def find_plan(self, key: bytes, durable_only: bool) -> Plan[Row | None]:
        row = yield from self._past.find_plan(key, durable_only)
        return self._own.seen(key, row) if self._own.touches(key) else row

    def find_many(self, keys: Sequence[bytes], durable_only: bool) -> Plan[list[Row | None]]:
        self.require_open()
        keys = [as_key(key) for key in keys]
        below = [key for key in keys if not self._own.covers(key)]
        for key in below:
            self.footprint.read(key)
        rows = yield from self._past.find_many(below, durable_only)
        found = dict(zip(below, rows, strict=True))
        return [
            self._own.seen(key, found.get(key)) if self._own.touches(key) else found[key]
            for key in keys
        ]

    def walk(self, start: bytes, end: bytes | None, options: ScanOptions) -> Walk:
        self.require_open()
        own = self._own.copy(self._own.keys(start, end))
        walk = self._past.walk(start, end, options)
        if len(own):
            below = walk.opener

            def open_scan(low: bytes, high: bytes | None) -> RowScan:
                return OwnScan(below(low, high), own, own.keys(low, high), options.reverse)

            walk.opener = open_scan
        self.footprint.scan(walk.walked)
        return walk

    # Writing.

    def add(self, op: Op) -> None:
        """Keep a write for the commit. Raises InvalidError for a merge without an operator."""
        self.require_open()
        self._own.add(op)
        self.footprint.write(op[0])

    def require_open(self) -> None:
        """Raise ClosedError when it has ended, or the database has."""
        if self.state != "open":
            raise ClosedError(f"the transaction is {self.state}")
        self._all.writer.require_open()

    # The end.

    def try_commit(self) -> Written | Pending | None:
        """Commit: write what was kept, if nobody is at odds with it.

        Returns None when there is nothing to write; PENDING when writers have to wait: then it is
        open still. Raises TransactionConflictError, and it has ended; InvalidError, ClosedError and
        what a merge operator raises, and it is open still.
        """
        self.require_open()
        writer = self._all.writer
        if not len(self._own):
            self._end("committed")
            return None
        try:
            written = writer.try_write(
                self._own.ops(), check=lambda: self._all.check(self.footprint)
            )
        except TransactionConflictError:
            writer.metrics.transaction_conflicts += 1
            self._end("rolled back")
            raise
        if not isinstance(written, Pending):
            writer.metrics.transactions_committed += 1
            self._end("committed")
        return written

    def roll_back(self) -> None:
        """Forget all of it. Harmless when it has ended."""
        if self.state == "open":
            self._end("rolled back")

    def _end(self, state: Literal["committed", "rolled back"]) -> None:
        self.state = state
        self.footprint.spans.clear()
        self._past.close()
        self._all.end(self.seq)

    def __del__(self) -> None:
        if getattr(self, "state", None) == "open" and hasattr(self, "_own"):
            self._end("rolled back")


class TransactionWrites:
    """The calls of a transaction that wait for nothing: the same in both faces."""

    _open: OpenTransaction

    @property
    def seq(self) -> int:
        """The sequence number it reads at: of the newest write before it began."""
        return self._open.seq

    def put(
        self, key: bytes, value: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> None:
        """Write a value when it commits; reads of this transaction see it at once."""
        self._open.add((as_key(key), as_value(value), PUT, ttl_ms, expire_at_ms))

    def delete(self, key: bytes) -> None:
        """Delete a key when it commits; reads of this transaction see it at once."""
        self._open.add((as_key(key), b"", TOMBSTONE, None, None))

    def merge(
        self, key: bytes, operand: bytes, *, ttl_ms: Ttl = None, expire_at_ms: int | None = None
    ) -> None:
        """Add an operand when it commits; reads of this transaction see it at once."""
        self._open.add((as_key(key), as_value(operand), MERGE, ttl_ms, expire_at_ms))

    def mark_read(self, *keys: bytes) -> None:
        """Have others' writes of `keys` be conflicts, as if they had been read."""
        self._open.require_open()
        self._open.footprint.mark_read(as_key(key) for key in keys)

    def unmark_write(self, *keys: bytes) -> None:
        """Let others write `keys` too without a conflict: for writes that commute."""
        self._open.require_open()
        self._open.footprint.unmark_write(as_key(key) for key in keys)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} seq={self.seq}, {self._open.state}>"
