"""The database for programs without an event loop.

Owns: the calls. Does not own: what they do (`core` and what it stands on).

Invariants:
1. A call does its work in the thread that makes it, the durable put of the log included.
2. Keys and values are bytes; everything else is a TypeError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from cenote.base import Clock, Rand
from cenote.lsm.batch import Op, WriteBatch
from cenote.lsm.compact.policy import Scheduler
from cenote.lsm.compact.retention import CompactionFilter
from cenote.lsm.compact.spec import Spec
from cenote.lsm.core import Core, OpenOptions
from cenote.lsm.entry import KEY_SIZE_MAX, MERGE, PUT, TOMBSTONE, VALUE_SIZE_MAX
from cenote.lsm.format import BloomPolicy, Checkpoint
from cenote.lsm.head import PastSource
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import Isolation, Ttl, as_key, as_value
from cenote.lsm.plan import PENDING, Pending, run
from cenote.lsm.reads import Reads
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import DbSettings
from cenote.lsm.snapshot import Snapshot
from cenote.lsm.source import Source, half_open, range_of
from cenote.lsm.status import Status
from cenote.lsm.transaction import OpenTransaction, TransactionWrites
from cenote.lsm.wal.reader import Changes
from cenote.lsm.warm import evict, warm_plan
from cenote.lsm.written import Written
from cenote.objstore import ObjectStore

__all__ = ["Db", "Transaction"]


class Db(Reads):
    """An open database, of which this is the only writer. Thread-safe. Made by `open`.

    >>> import cenote
    >>> with cenote.Db.open("memory://") as db:
    ...     _ = db.put(b"key", b"value")
    ...     db.get(b"key")
    b'value'
    """

    _source: Source

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writer = core.writer
        self._source = core.head

    @classmethod
    def open(
        cls,
        where: str | ObjectStore,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        settings: DbSettings | Mapping[str, Any] | None = None,
        merge_operator: MergeOperator | None = None,
        segment_extractor: SegmentExtractor | None = None,
        filter_policies: Sequence[BloomPolicy] | None = None,
        scheduler: Scheduler | None = None,
        compaction_filter: CompactionFilter | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        background: bool = True,
    ) -> Self:
        """Open the database at `where`, which is made when there is none.

        `where` is a URI (`memory://`, `file:///DIR/NAME`, `sqlite://DIR/BUCKET`,
        `s3://BUCKET/PATH`, ...) or a store, `path` the database's root in it. `wal` is a store of
        its own for the log. `scheduler` decides which files are compacted, `compaction_filter` what
        compactions keep. With `background` threads log, flush and compact; without, nothing
        happens but what calls ask for.
        Ensures: whoever had it open before cannot write any more.
        Raises InvalidError (a URI, a setting, an operator or an extractor that is not the
        database's), UnsupportedError, ClosedError(reason="fenced") when somebody else opened it at
        the same time, DataError, DeniedError, UnavailableError.

        >>> import cenote
        >>> db = cenote.Db.open("memory://", settings={"default_ttl_ms": 60_000})
        >>> db.close()
        """
        options = OpenOptions(
            path=path,
            wal=wal,
            settings=settings,
            merge_operator=merge_operator,
            segment_extractor=segment_extractor,
            filter_policies=filter_policies,
            scheduler=scheduler,
            compaction_filter=compaction_filter,
            clock=clock,
            rand=rand,
            background=background,
        )
        return cls(Core.open(where, options))

    # Writing.

    def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
        durable: bool = True,
    ) -> Written:
        """Write a value. Returns when it is durable, or at once with `durable=False`.

        It is seen as soon as it is written, also when making it durable fails. `ttl_ms` or
        `expire_at_ms`: when it expires; `cenote.NEVER`: not at all; neither: the settings say.
        Waits while memory is full of what must be flushed first.
        Raises TypeError, InvalidError, ClosedError. UnavailableError: with `effect_unknown` it was
        written, may be durable, and is tried again with the next write; else nothing was written.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     db.put(b"k", b"v").seq
        1
        """
        if (
            type(key) is not bytes
            or type(value) is not bytes
            or not 0 < len(key) <= KEY_SIZE_MAX
            or len(value) > VALUE_SIZE_MAX
        ):
            key, value = as_key(key), as_value(value)
        writer = self._writer
        taken = writer.write_one(key, value, PUT, ttl_ms, expire_at_ms)
        if taken is PENDING:
            taken = writer.write([(key, value, PUT, ttl_ms, expire_at_ms)])
        if durable:
            writer.commit(taken[0])
        return Written(writer, taken[0], taken[1])

    def delete(self, key: bytes, *, durable: bool = True) -> Written:
        """Delete a key, whether it is there or not. Raises as `put`.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     _ = db.delete(b"k")
        ...     b"k" in db
        False
        """
        return self._one((as_key(key), b"", TOMBSTONE, None, None), durable)

    def merge(
        self,
        key: bytes,
        operand: bytes,
        *,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
        durable: bool = True,
    ) -> Written:
        """Add an operand for the merge operator; reads see what it makes of it.

        Raises as `put`; InvalidError(kind="no_merge_operator").

        >>> import cenote
        >>> class Append:
        ...     name = "append"
        ...     def merge(self, key, existing, operands):
        ...         return (existing or b"") + b"".join(operands)
        >>> with cenote.Db.open("memory://", merge_operator=Append()) as db:
        ...     _ = db.merge(b"k", b"a")
        ...     _ = db.merge(b"k", b"b")
        ...     db.get(b"k")
        b'ab'
        """
        op = (as_key(key), as_value(operand), MERGE, ttl_ms, expire_at_ms)
        return self._one(op, durable)

    def write(self, batch: WriteBatch, *, durable: bool = True) -> Written:
        """Write a batch: all of it is seen together, or nothing is. Raises as `put`.

        A batch is written once: InvalidError(kind="batch_used").

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     db.write(cenote.WriteBatch().put(b"a", b"1").delete(b"b")).seq
        1
        """
        ops = batch.take(self._writer.merge_operator)
        taken = None
        try:
            taken = self._writer.write(ops)
        finally:
            if taken is None:
                batch.give_back()
        if durable:
            self._writer.commit(taken.seq)
        return Written(self._writer, *taken)

    def _one(self, op: Op, durable: bool) -> Written:
        writer = self._writer
        taken = writer.write_one(*op)
        if taken is PENDING:
            taken = writer.write([op])
        if durable:
            writer.commit(taken[0])
        return Written(writer, taken[0], taken[1])

    # Moments.

    def snapshot(self) -> Snapshot:
        """Return the database as it is now. Close it: it keeps old versions.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db, db.snapshot() as snapshot:
        ...     _ = db.put(b"k", b"v")
        ...     snapshot.get(b"k")
        """
        return Snapshot(PastSource(self._writer))

    def transaction(self, isolation: Isolation = "snapshot") -> Transaction:
        """Begin a transaction; use it as a context manager.

        "snapshot": it conflicts with whoever wrote, since it began, what it writes;
        "serializable": also with whoever wrote what it read, the ranges it scanned included.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     with db.transaction("serializable") as txn:
        ...         count = int(txn.get(b"n", b"0"))
        ...         txn.put(b"n", b"%d" % (count + 1))
        ...     db.get(b"n")
        b'1'
        """
        return Transaction(self._core.transactions.begin(isolation))

    # Keeping house.

    def flush(self) -> None:
        """Make durable all that was written before the call. Raises as `put`.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     written = db.put(b"k", b"v", durable=False)
        ...     db.flush()
        ...     written.is_durable
        True
        """
        self._writer.flush_wal()

    def flush_memtable(self) -> None:
        """Write all that is in memory to table files, so that an open need not replay it.

        Raises as `put`; UnavailableError(kind="l0_full") when level 0 is full and nobody compacts.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.flush_memtable()
        ...     db.status().l0_ssts
        1
        """
        self._writer.flush_memtable()

    def checkpoint(self, name: str | None = None, lifetime_ms: int | None = None) -> Checkpoint:
        """Keep the database as it is now, for readers and clones of any process.

        All that was written before the call is in it. `lifetime_ms`: for how long; None: until it
        is deleted. Raises InvalidError(kind="invalid_lifetime"), and as `put`.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     db.checkpoint("nightly", lifetime_ms=3_600_000).name
        'nightly'
        """
        return self._writer.checkpoint(name, lifetime_ms)

    def compact(self, spec: Spec | None = None, *, rewrite: bool = False) -> None:
        """Merge all there is into one sorted run, or do the compaction `spec`, before it returns.

        What is in memory is flushed first. `rewrite`: also what is one run already, so that what
        has expired goes from the store.
        Raises UnsupportedError(kind="no_compactor") when the setting compactor.enabled is off,
        InvalidError(kind="invalid_compaction"), ConflictError, and as `put`.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.compact()
        ...     db.status().l0_ssts, db.status().sorted_runs
        (0, 1)
        """
        self._core.compact(spec, rewrite)

    def warm(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        prefix: bytes | None = None,
        blocks: bool = True,
    ) -> int:
        """Fetch a range into the cache before somebody reads it; return how many bytes it took.

        Indexes and filters first, then (with `blocks`) the blocks, the newest first, until the
        cache is full. Raises TypeError, InvalidError, ClosedError, DataError, UnavailableError.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.flush_memtable()
        ...     db.warm() > 0
        True
        """
        self._writer.require_open()
        span = half_open(*range_of(start, end, prefix))
        plan = warm_plan(self._writer.view, span, blocks=blocks)
        return run(self._source.store, plan)

    def evict(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        prefix: bytes | None = None,
    ) -> None:
        """Take what is kept of the table files of a range out of the cache.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.evict(prefix=b"k")
        """
        self._writer.require_open()
        evict(self._writer.view, half_open(*range_of(start, end, prefix)))

    def changes(self, *, after_seq: int | None = None, after_wal: int | None = None) -> Changes:
        """Return what was written, from the log: after a sequence number, or after a log file.

        Without either, from the oldest log file there is. What is durable is in it; iterating ends
        with what is there, `follow` waits for more. Raises InvalidError, ClosedError,
        DataError(kind="gap") when what comes next was collected already, UnavailableError.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"a", b"1")
        ...     _ = db.put(b"b", b"2")
        ...     [(change.seq, change.key) for change in db.changes(after_seq=1)]
        [(2, b'b')]
        """
        self._writer.require_open()
        return self._core.changes(after_seq, after_wal)

    def status(self) -> Status:
        """Return how the database is doing; also when it is closed.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     db.status().pressure.stalls
        False
        """
        return self._core.status()

    def metrics(self) -> Metrics:
        """Return the figures of this database: `value(name)`, `figures()`, `exposition()`.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.get(b"k")
        ...     db.metrics().value("gets")
        1.0
        """
        return self._writer.metrics

    # The end.

    def close(self, *, flush: bool = True) -> None:
        """Make everything durable, end the threads, close what `open` opened.

        `flush=False`: what is not durable yet is lost. Harmless when repeated. Raises what flushing
        raises, and ClosedError(reason="fenced") if writes were lost so; it is closed all the same.
        """
        self._core.close(flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        writer = self._writer
        state = f", {writer.closed_reason}" if writer.closed_reason else ""
        return f"<{type(self).__name__} {writer.place.name} seq={writer.last_seq}{state}>"


class Transaction(TransactionWrites, Reads):
    """Reads one moment, and writes all at once when it commits. For one thread at a time.

    As a context manager it commits at the end, and rolls back when an exception leaves it. Reads
    see its own writes. A conflict is a TransactionConflictError: begin anew.
    """

    def __init__(self, transaction: OpenTransaction) -> None:
        self._open = transaction
        self._source: Source = transaction

    def commit(self, *, durable: bool = True) -> Written | None:
        """Write what was kept, all at once. Returns None when there was nothing.

        Raises TransactionConflictError: it was rolled back. UnavailableError with `effect_unknown`:
        it is committed and seen, may be durable, and is tried again. After other errors it is open
        still.
        """
        writer = self._open.writer
        taken = self._open.try_commit()
        while taken is PENDING:
            writer.relieve()
            taken = self._open.try_commit()
        if taken is None or isinstance(taken, Pending):
            return None
        if durable:
            writer.commit(taken.seq)
        return Written(writer, *taken)

    def rollback(self) -> None:
        """Forget all of it. Harmless when it has ended."""
        self._open.roll_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._open.state == "open":
                self.commit()
        finally:
            self.rollback()
