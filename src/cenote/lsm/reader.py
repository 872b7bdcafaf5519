"""A reader: a database seen from a process that does not write it.

Owns: the calls of both faces.
Does not own: what stands behind them (`reader_core`), reading (`reads`, `async_reads`).

A reader sees what is durable, in the order it became so, and never half of a batch. It looks for
what is new at `refresh`, and with `background` by itself: soon after something was new, more and
more seldom while nothing is. It writes nothing, so that it needs no right to.

Why no checkpoint is taken for a reader, as the reference implementation does: it would have every
reader write manifests, and die when it could not renew in time. Files that are compacted away stay
for some minutes anyway; a read that finds one gone goes on with what is there now. Who needs one
moment for long opens a checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from cenote.base import Clock, Rand
from cenote.lsm.async_reads import AsyncReads
from cenote.lsm.format import BloomPolicy
from cenote.lsm.jobs import Jobs
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.place import Place
from cenote.lsm.reader_core import ReaderCore, ReaderOptions, ReaderStatus
from cenote.lsm.reads import Reads
from cenote.lsm.settings import ReaderSettings
from cenote.lsm.wal.reader import AsyncChanges, Changes
from cenote.objstore import ObjectStore

__all__ = ["AsyncDbReader", "DbReader"]


class DbReader(Reads):
    """A database that somebody else writes. Thread-safe; a context manager.

    >>> import cenote
    >>> from cenote.objstore import MemoryStore
    >>> store = MemoryStore()
    >>> with cenote.Db.open(store) as db, cenote.DbReader.open(store, follow=False) as reader:
    ...     _ = db.put(b"k", b"v")
    ...     reader.get(b"k"), reader.refresh(), reader.get(b"k")
    (None, True, b'v')
    """

    def __init__(self, core: ReaderCore) -> None:
        """For `open`."""
        self._core = core
        self._source = core.source

    @classmethod
    def open(
        cls,
        where: str | ObjectStore | Place,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        checkpoint: str | None = None,
        follow: bool = True,
        settings: ReaderSettings | Mapping[str, Any] | None = None,
        merge_operator: MergeOperator | None = None,
        filter_policies: Sequence[BloomPolicy] | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        background: bool = True,
    ) -> Self:
        """Open a database to read: what is durable, or what a checkpoint (id or name) holds.

        `where`, `path` and `wal` say where it is, as for `Db.open`; a `Place` stays its owner's to
        close. `filter_policies`: what prefixes filters are asked for. `follow`: whether it looks
        for what is new by itself, in a thread (`background`) or when its jobs are stepped; without,
        it does at `refresh`. A checkpoint is never left for what is newer.
        Raises NotFoundError (kinds "no_database", "no_such_checkpoint"), InvalidError,
        UnavailableError, DataError. Writes nothing. Cost: a listing and two reads, a listing of the
        log, and a read of each of its files that is not in tables yet.
        """
        options = ReaderOptions(
            path=path,
            wal=wal,
            checkpoint=checkpoint,
            follow=follow,
            settings=settings,
            merge_operator=merge_operator,
            filter_policies=filter_policies,
            clock=clock,
            rand=rand,
            background=background,
        )
        return cls(ReaderCore.open(where, options))

    @property
    def jobs(self) -> Jobs:
        """Its background work, to be stepped where there is none."""
        return self._core.jobs

    def metrics(self) -> Metrics:
        """Return the figures of this reader: `value(name)`, `figures()`, `exposition()`."""
        return self._core.metrics

    @property
    def seq(self) -> int:
        """The newest sequence number that is seen."""
        return self._core.follower.sight.seq

    def refresh(self) -> bool:
        """See what is durable by now; tell whether anything is new.

        Raises ClosedError, UnavailableError, DataError; then what is seen stays as it was. A reader
        of a checkpoint raises NotFoundError when that is gone. Cost: two listings, and a read of
        each new file.
        """
        return self._core.refresh()

    def changes(self, *, after_seq: int | None = None, after_wal: int | None = None) -> Changes:
        """Return what was written, from the log; see `Db.changes`."""
        return self._core.changes(after_seq, after_wal)

    def status(self) -> ReaderStatus:
        """Tell what is seen, and since when. Raises ClosedError. Does no I/O."""
        return self._core.status()

    def close(self) -> None:
        """Stop following, and close what a URI opened. Harmless when repeated."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncDbReader(AsyncReads):
    """A database that somebody else writes, for an event loop. An asynchronous context manager.

    Reads suspend only where bytes must be fetched; `open`, `refresh` and `close` wait in a thread.
    """

    def __init__(self, core: ReaderCore) -> None:
        """For `open`."""
        self._core = core
        self._source = core.source

    @classmethod
    async def open(
        cls,
        where: str | ObjectStore | Place,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        checkpoint: str | None = None,
        follow: bool = True,
        settings: ReaderSettings | Mapping[str, Any] | None = None,
        merge_operator: MergeOperator | None = None,
        filter_policies: Sequence[BloomPolicy] | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        background: bool = True,
    ) -> Self:
        """As `DbReader.open`."""

        options = ReaderOptions(
            path=path,
            wal=wal,
            checkpoint=checkpoint,
            follow=follow,
            settings=settings,
            merge_operator=merge_operator,
            filter_policies=filter_policies,
            clock=clock,
            rand=rand,
            background=background,
        )
        return cls(await asyncio.to_thread(ReaderCore.open, where, options))

    @property
    def jobs(self) -> Jobs:
        """Its background work, to be stepped where there is none."""
        return self._core.jobs

    def metrics(self) -> Metrics:
        """Return the figures of this reader: `value(name)`, `figures()`, `exposition()`."""
        return self._core.metrics

    @property
    def seq(self) -> int:
        """The newest sequence number that is seen."""
        return self._core.follower.sight.seq

    async def refresh(self) -> bool:
        """As `DbReader.refresh`."""
        return await asyncio.to_thread(self._core.refresh)

    async def changes(
        self, *, after_seq: int | None = None, after_wal: int | None = None
    ) -> AsyncChanges:
        """Return what was written, from the log; see `Db.changes`."""
        core = self._core
        return AsyncChanges(await asyncio.to_thread(core.changes, after_seq, after_wal), core.clock)

    def status(self) -> ReaderStatus:
        """Tell what is seen, and since when. Raises ClosedError. Does no I/O."""
        return self._core.status()

    async def close(self) -> None:
        """Stop following, and close what a URI opened. Harmless when repeated."""
        await asyncio.to_thread(self._core.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
