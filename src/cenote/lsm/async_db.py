"""The database for programs with an event loop.

Owns: the calls, and waiting without blocking the loop.
Does not own: what they do (`core` and what it stands on).

Invariants:
1. A call suspends only to fetch, to become durable, or while memory is full; else its coroutine
   runs to its end at once.
2. A task that is cancelled stops waiting. What it wrote by then stays written, once: see `put`.
3. It may be used from several event loops, and beside threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from cenote.base import Clock, Rand
from cenote.errors import ClosedError
from cenote.lsm.async_commit import Commits
from cenote.lsm.async_reads import AsyncReads
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
from cenote.lsm.plan import PENDING, Pending, run_async
from cenote.lsm.segments import SegmentExtractor
from cenote.lsm.settings import DbSettings
from cenote.lsm.snapshot import AsyncSnapshot
from cenote.lsm.source import Source, half_open, range_of
from cenote.lsm.status import Status
from cenote.lsm.transaction import OpenTransaction, TransactionWrites
from cenote.lsm.wal.reader import AsyncChanges
from cenote.lsm.warm import evict, warm_plan
from cenote.lsm.written import AsyncWritten
from cenote.objstore import ObjectStore

__all__ = ["AsyncDb", "AsyncTransaction"]


class AsyncDb(AsyncReads):
    """An open database, of which this is the only writer. Thread-safe. Made by `open`.

    >>> import asyncio, cenote
    >>> async def main():
    ...     async with await cenote.AsyncDb.open("memory://") as db:
    ...         await db.put(b"key", b"value")
    ...         return await db.get(b"key")
    >>> asyncio.run(main())
    b'value'
    """

    _source: Source

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writer = core.writer
        self._source = core.head
        self._commits = Commits(core.writer)

    @classmethod
    async def open(
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
        """Open the database at `where`, as `Db.open` does.

        Cancellation: an open that is under way ends in its thread, and is closed there.

        >>> import asyncio, cenote
        >>> async def main():
        ...     db = await cenote.AsyncDb.open("memory://")
        ...     await db.close()
        >>> asyncio.run(main())
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
        return cls(await _open_in_thread(where, options))

    # Writing.

    async def put(
        self,
        key: bytes,
        value: bytes,
        *,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
        durable: bool = True,
    ) -> AsyncWritten:
        """Write a value. Returns when it is durable, or at once with `durable=False`.

        All that is waited for in one turn of the event loop shares one put of the log. As `Db.put`
        in all else.
        Cancellation: while memory is full nothing was written; later it was, and becomes durable
        with the next commit or the log's interval.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await asyncio.gather(*[db.put(b"%d" % n, b"") for n in range(100)])
        ...         return db.metrics().value("wal_puts")
        >>> asyncio.run(main())
        1.0
        """
        if (
            type(key) is not bytes
            or type(value) is not bytes
            or not 0 < len(key) <= KEY_SIZE_MAX
            or len(value) > VALUE_SIZE_MAX
        ):
            key, value = as_key(key), as_value(value)
        taken = self._writer.write_one(key, value, PUT, ttl_ms, expire_at_ms)
        if taken is PENDING:
            return await self._one((key, value, PUT, ttl_ms, expire_at_ms), durable)
        if durable:
            await self._commits.durable(taken[0])
        return AsyncWritten(self._commits, taken[0], taken[1])

    async def delete(self, key: bytes, *, durable: bool = True) -> AsyncWritten:
        """Delete a key, whether it is there or not. As `put`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         await db.delete(b"k")
        ...         return await db.get(b"k")
        >>> asyncio.run(main())
        """
        return await self._one((as_key(key), b"", TOMBSTONE, None, None), durable)

    async def merge(
        self,
        key: bytes,
        operand: bytes,
        *,
        ttl_ms: Ttl = None,
        expire_at_ms: int | None = None,
        durable: bool = True,
    ) -> AsyncWritten:
        """Add an operand for the merge operator; reads see what it makes of it. As `put`.

        Raises InvalidError(kind="no_merge_operator").

        >>> import asyncio, cenote
        >>> class Append:
        ...     name = "append"
        ...     def merge(self, key, existing, operands):
        ...         return (existing or b"") + b"".join(operands)
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://", merge_operator=Append()) as db:
        ...         await db.merge(b"k", b"a")
        ...         await db.merge(b"k", b"b")
        ...         return await db.get(b"k")
        >>> asyncio.run(main())
        b'ab'
        """
        op = (as_key(key), as_value(operand), MERGE, ttl_ms, expire_at_ms)
        return await self._one(op, durable)

    async def write(self, batch: WriteBatch, *, durable: bool = True) -> AsyncWritten:
        """Write a batch: all of it is seen together, or nothing is. As `put`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         return (await db.write(cenote.WriteBatch().put(b"a", b"1"))).seq
        >>> asyncio.run(main())
        1
        """
        ops = batch.take(self._writer.merge_operator)
        taken = None
        try:
            taken = self._writer.try_write(ops)
            while isinstance(taken, Pending):
                taken = None
                await self._commits.relieved()
                taken = self._writer.try_write(ops)
        finally:
            if taken is None:
                batch.give_back()
        if durable:
            await self._commits.durable(taken.seq)
        return AsyncWritten(self._commits, *taken)

    async def _one(self, op: Op, durable: bool) -> AsyncWritten:
        writer = self._writer
        taken = writer.write_one(*op)
        while taken is PENDING:
            await self._commits.relieved()
            taken = writer.write_one(*op)
        if durable:
            await self._commits.durable(taken[0])
        return AsyncWritten(self._commits, taken[0], taken[1])

    # Moments.

    def snapshot(self) -> AsyncSnapshot:
        """Return the database as it is now. Close it: it keeps old versions.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db, db.snapshot() as snapshot:
        ...         await db.put(b"k", b"v")
        ...         return await snapshot.get(b"k")
        >>> asyncio.run(main())
        """
        return AsyncSnapshot(PastSource(self._writer))

    def transaction(self, isolation: Isolation = "snapshot") -> AsyncTransaction:
        """Begin a transaction; use it as an asynchronous context manager. As `Db.transaction`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         async with db.transaction("serializable") as txn:
        ...             count = int(await txn.get(b"n", b"0"))
        ...             txn.put(b"n", b"%d" % (count + 1))
        ...         return await db.get(b"n")
        >>> asyncio.run(main())
        b'1'
        """
        return AsyncTransaction(self._core.transactions.begin(isolation), self._commits)

    # Keeping house.

    async def flush(self) -> None:
        """Make durable all that was written before the call. Raises as `put`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         written = await db.put(b"k", b"v", durable=False)
        ...         await db.flush()
        ...         return written.is_durable
        >>> asyncio.run(main())
        True
        """
        self._writer.require_open()
        await self._commits.durable(self._writer.last_seq)

    async def flush_memtable(self) -> None:
        """Write all that is in memory to table files, so that an open need not replay it.

        Cancellation: it goes on in its thread. Raises as `put`; UnavailableError(kind="l0_full")
        when level 0 is full and nobody compacts.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         await db.flush_memtable()
        ...         return db.status().l0_ssts
        >>> asyncio.run(main())
        1
        """
        await asyncio.to_thread(self._writer.flush_memtable)

    async def checkpoint(
        self, name: str | None = None, lifetime_ms: int | None = None
    ) -> Checkpoint:
        """Keep the database as it is now, for readers and clones of any process.

        As `Db.checkpoint`. Cancellation: it goes on in its thread.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         return (await db.checkpoint("nightly")).name
        >>> asyncio.run(main())
        'nightly'
        """
        return await asyncio.to_thread(self._writer.checkpoint, name, lifetime_ms)

    async def compact(self, spec: Spec | None = None, *, rewrite: bool = False) -> None:
        """Merge all there is into one sorted run, or do the compaction `spec`, before it returns.

        What is in memory is flushed first. `rewrite`: also what is one run already, so that what
        has expired goes from the store. Cancellation: it goes on in its thread.
        Raises UnsupportedError(kind="no_compactor") when the setting compactor.enabled is off,
        InvalidError(kind="invalid_compaction"), ConflictError, and as `put`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         await db.compact()
        ...         return db.status().l0_ssts, db.status().sorted_runs
        >>> asyncio.run(main())
        (0, 1)
        """
        await asyncio.to_thread(self._core.compact, spec, rewrite)

    async def warm(
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

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         await db.flush_memtable()
        ...         return await db.warm() > 0
        >>> asyncio.run(main())
        True
        """
        self._writer.require_open()
        span = half_open(*range_of(start, end, prefix))
        plan = warm_plan(self._writer.view, span, blocks=blocks)
        return await run_async(self._source.store, plan)

    def evict(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        prefix: bytes | None = None,
    ) -> None:
        """Take what is kept of the table files of a range out of the cache.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         db.evict(prefix=b"k")
        >>> asyncio.run(main())
        """
        self._writer.require_open()
        evict(self._writer.view, half_open(*range_of(start, end, prefix)))

    async def changes(
        self, *, after_seq: int | None = None, after_wal: int | None = None
    ) -> AsyncChanges:
        """Return what was written, from the log: after a sequence number, or after a log file.

        Without either, from the oldest log file there is. What is durable is in it; iterating ends
        with what is there, `follow` waits for more. Raises InvalidError, ClosedError,
        DataError(kind="gap") when what comes next was collected already, UnavailableError.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"a", b"1")
        ...         await db.put(b"b", b"2")
        ...         changes = await db.changes(after_seq=1)
        ...         return [(change.seq, change.key) async for change in changes]
        >>> asyncio.run(main())
        [(2, b'b')]
        """
        self._writer.require_open()
        changes = await asyncio.to_thread(self._core.changes, after_seq, after_wal)
        return AsyncChanges(changes, self._writer.clock)

    def status(self) -> Status:
        """Return how the database is doing; also when it is closed.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         return db.status().pressure.stalls
        >>> asyncio.run(main())
        False
        """
        return self._core.status()

    def metrics(self) -> Metrics:
        """Return the figures of this database: `value(name)`, `figures()`, `exposition()`.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.get(b"k")
        ...         return db.metrics().value("gets")
        >>> asyncio.run(main())
        1.0
        """
        return self._writer.metrics

    # The end.

    async def close(self, *, flush: bool = True) -> None:
        """Make everything durable, end the threads, close what `open` opened. As `Db.close`.

        Cancellation: it goes on in its thread.
        """
        await asyncio.to_thread(self._core.close, flush)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        writer = self._writer
        state = f", {writer.closed_reason}" if writer.closed_reason else ""
        return f"<{type(self).__name__} {writer.place.name} seq={writer.last_seq}{state}>"


class AsyncTransaction(TransactionWrites, AsyncReads):
    """Reads one moment, and writes all at once when it commits. For one task at a time.

    As an asynchronous context manager it commits at the end, and rolls back when an exception
    leaves it. Reads see its own writes. A conflict is a TransactionConflictError: begin anew.
    """

    def __init__(self, transaction: OpenTransaction, commits: Commits) -> None:
        self._open = transaction
        self._source: Source = transaction
        self._commits = commits

    async def commit(self, *, durable: bool = True) -> AsyncWritten | None:
        """Write what was kept, all at once. Returns None when there was nothing.

        Raises as `Transaction.commit`. Cancellation: while memory is full it is open still; later
        it is committed.
        """
        taken = self._open.try_commit()
        while taken is PENDING:
            await self._commits.relieved()
            taken = self._open.try_commit()
        if taken is None or isinstance(taken, Pending):
            return None
        if durable:
            await self._commits.durable(taken.seq)
        return AsyncWritten(self._commits, *taken)

    def rollback(self) -> None:
        """Forget all of it. Harmless when it has ended."""
        self._open.roll_back()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._open.state == "open":
                await self.commit()
        finally:
            self.rollback()


async def _open_in_thread(where: str | ObjectStore, options: OpenOptions) -> Core:
    """Open in a thread; when the task is cancelled, whoever has the database then closes it."""
    loop = asyncio.get_running_loop()
    lock = threading.Lock()
    given_up = False
    made: Core | None = None

    def opened() -> Core:
        nonlocal made
        core = Core.open(where, options)
        with lock:
            if not given_up:
                made = core
                return core
        core.close(False)
        raise ClosedError("the open was cancelled")

    try:
        return await loop.run_in_executor(None, opened)
    except asyncio.CancelledError:
        with lock:
            given_up = True
        if made is not None:
            loop.run_in_executor(None, made.close, False)
        raise
