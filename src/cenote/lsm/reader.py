"""A reader: a database seen from a process that does not write it.

Owns: opening, following in the background, the calls of both faces.
Does not own: what is seen (`following`), reading it (`reads`, `async_reads`).

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
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ClosedError, DataError, InvalidError, NotFoundError, UnavailableError
from cenote.lsm.async_reads import AsyncReads
from cenote.lsm.cache import BlockCache
from cenote.lsm.entry import Row
from cenote.lsm.following import Follower
from cenote.lsm.jobs import Job, Jobs
from cenote.lsm.keys import Bound, BoundKind, KeyRange
from cenote.lsm.merge import MergeOperator
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import Reading
from cenote.lsm.parts import through_folder
from cenote.lsm.place import Place, open_place
from cenote.lsm.plan import Plan
from cenote.lsm.reads import Reads
from cenote.lsm.settings import ReaderSettings
from cenote.lsm.source import ScanOptions, ViewSource, readahead_of
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.lsm.walk import RowScan, Walk
from cenote.objstore import ObjectStore

__all__ = ["AsyncDbReader", "DbReader", "PollJob", "ReaderStatus"]


class ReaderStatus(Struct, frozen=True):
    """What a reader sees.

    `seq` is the newest sequence number, `manifest` the number of the manifest, `wal` that of the
    last log file that was replayed; `looked_ms` is when it last looked, on the wall clock, and
    `error` what it met then, or None.
    """

    seq: int
    manifest: int
    wal: int
    looked_ms: int
    checkpoint: str | None = None
    error: str | None = None


class _ReaderScan:
    """Rows of one moment: of the view that was newest when the first row was read."""

    __slots__ = ("_begin", "_moment", "_scan")

    def __init__(self, moment: _Moment, begin: Callable[[View], RowScan]) -> None:
        self._moment = moment
        self._begin = begin
        self._scan = begin(moment.view)

    def next_batch(self) -> Plan[list[Row]]:
        moment = self._moment
        try:
            batch = yield from self._scan.next_batch()
        except NotFoundError as error:
            newest = moment.newest()
            if newest is moment.view:
                raise
            if moment.began:
                raise UnavailableError(
                    "the files of the moment that the scan reads were compacted and collected",
                    kind="moment_gone",
                    hint="begin the scan again, or read from a checkpoint",
                ) from error
            moment.view = newest
            self._scan = self._begin(newest)
            batch = yield from self._scan.next_batch()
        moment.began = moment.began or bool(batch)
        return batch

    def seek(self, key: bytes) -> None:
        self._scan.seek(key)


class _Moment:
    """The view that a scan reads, and whether a row of it was returned."""

    __slots__ = ("began", "newest", "view")

    def __init__(self, newest: Callable[[], View]) -> None:
        self.newest = newest
        self.view = newest()
        self.began = False


class _ReaderSource(ViewSource):
    """The newest view of a follower."""

    __slots__ = ("_follower", "_readahead_max", "_reading", "metrics")

    def __init__(
        self,
        follower: Follower,
        reading: Reading,
        readahead_max: int,
        metrics: Metrics,
    ) -> None:
        self._follower = follower
        self._reading = reading
        self._readahead_max = readahead_max
        self.metrics = metrics

    @property
    def store(self) -> ObjectStore:
        return self._follower.store

    def at(self, durable_only: bool) -> tuple[View, Reading]:
        # All that a reader sees is durable.
        return self._follower.sight.view, self._reading

    def pin(self, options: ScanOptions) -> tuple[Reading, Callable[[], None] | None]:
        reading = self._reading
        return Reading(
            reading.now_ms,
            None,
            reading.operator,
            options.cache_blocks,
            readahead_of(options, self._readahead_max),
        ), None

    def walk(self, start: bytes, end: bytes | None, options: ScanOptions) -> Walk:
        reading, _ = self.pin(options)
        moment = _Moment(lambda: self._follower.sight.view)
        self.metrics.scans += 1

        def open_scan(low: bytes, high: bytes | None) -> RowScan:
            span = KeyRange(
                Bound(BoundKind.INCLUDED, low),
                Bound() if high is None else Bound(BoundKind.EXCLUDED, high),
            )
            return _ReaderScan(
                moment, lambda view: view.scan(span, reading, reverse=options.reverse)
            )

        return Walk(open_scan, start, end, reverse=options.reverse)


class PollJob:
    """Looks for what is new: soon after something was, more and more seldom while nothing is."""

    name: Final = "poll"

    def __init__(self, follower: Follower, settings: ReaderSettings, clock: Clock) -> None:
        self._follower = follower
        self._least_s = settings.poll_min_ms / 1000
        self._most_s = settings.poll_max_ms / 1000
        self._clock = clock
        self._wait_s = self._least_s
        self._next = clock.monotonic() + self._wait_s
        self.error: DataError | NotFoundError | None = None

    def due(self, now: float) -> float | None:
        """Return when to look next."""
        return self._next

    def run(self) -> bool:
        """Look. Raises UnavailableError; keeps what else it meets in `error`, to look again."""
        found = False
        try:
            found = self._follower.advance()
            self.error = None
        except (DataError, NotFoundError) as error:
            self.error = error
        self._wait_s = self._least_s if found else min(self._wait_s * 2, self._most_s)
        self._next = self._clock.monotonic() + self._wait_s
        return False


class _Reader:
    """What both faces share."""

    def __init__(
        self,
        place: Place,
        *,
        checkpoint: str | None,
        follow: bool,
        settings: ReaderSettings,
        merge_operator: MergeOperator | None,
        clock: Clock,
        rand: Rand,
        background: bool,
    ) -> None:
        self.place = place
        self.clock = clock
        self.metrics = Metrics()
        cache = BlockCache(settings.block_cache_size)
        self.follower = Follower(
            place,
            lambda store: Tables(store, place, cache, None, self.metrics),
            through_folder(place.store, settings.part_cache_dir, settings.part_cache_size),
            checkpoint=checkpoint,
            replay=settings.replay_wal,
            operator=None if merge_operator is None else merge_operator.name,
            clock=clock,
            rand=rand,
            threads=background,
        )
        reading = Reading(clock.now_ms, None, merge_operator)
        self.source = _ReaderSource(self.follower, reading, settings.readahead_max, self.metrics)
        self.poll = PollJob(self.follower, settings, clock)
        self.failure: BaseException | None = None
        self.jobs = Jobs(clock, self._failed, "cenote-reader")
        if follow and checkpoint is None:
            self.jobs.add(self.poll)
        try:
            self.follower.begin()
        except BaseException:
            place.close()
            raise
        if background and follow and checkpoint is None:
            self.jobs.start()

    def _failed(self, job: Job, error: BaseException) -> None:
        # The reader stays: what it sees is sound. It says so in its status.
        self.failure = error

    def status(self) -> ReaderStatus:
        sight = self.follower.sight
        error = self.poll.error or self.failure
        return ReaderStatus(
            seq=sight.seq,
            manifest=sight.number,
            wal=sight.wal,
            looked_ms=self.follower.looked_ms,
            checkpoint=self.follower.checkpoint,
            error=None if error is None else str(error),
        )

    def refresh(self) -> bool:
        if self.follower.closed:
            raise ClosedError("the reader is closed")
        return self.follower.advance()

    def close(self) -> None:
        if not self.follower.closed:
            self.follower.close()
            self.jobs.stop()
            self.place.close()


def _opened(
    where: str | ObjectStore | Place,
    *,
    path: str | None,
    wal: str | ObjectStore | None,
    checkpoint: str | None,
    follow: bool,
    settings: ReaderSettings | None,
    merge_operator: MergeOperator | None,
    clock: Clock | None,
    rand: Rand | None,
    background: bool,
) -> _Reader:
    clock, rand = clock or SystemClock(), rand or SystemRand()
    if isinstance(where, Place):
        if path is not None or wal is not None:
            raise InvalidError("a place has its path and its log's store", kind="invalid_path")
        place = where
    else:
        place = open_place(where, path, wal=wal, read_only=True, clock=clock, rand=rand)
    return _Reader(
        place,
        checkpoint=checkpoint,
        follow=follow,
        settings=settings or ReaderSettings(),
        merge_operator=merge_operator,
        clock=clock,
        rand=rand,
        background=background,
    )


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

    def __init__(self, reader: _Reader) -> None:
        """For `open`."""
        self._reader = reader
        self._source = reader.source

    @classmethod
    def open(
        cls,
        where: str | ObjectStore | Place,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        checkpoint: str | None = None,
        follow: bool = True,
        settings: ReaderSettings | None = None,
        merge_operator: MergeOperator | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        background: bool = True,
    ) -> Self:
        """Open a database to read: what is durable, or what a checkpoint (id or name) holds.

        `where`, `path` and `wal` say where it is, as for `Db.open`. `follow`: whether it looks by
        itself for what is new, in a thread (`background`) or when its jobs are stepped; without, it
        does at `refresh`. A checkpoint is never left for what is newer.
        Raises NotFoundError (kinds "no_database", "no_such_checkpoint"), InvalidError,
        UnavailableError, DataError. Writes nothing. Cost: a listing and two reads, a listing of the
        log, and a read of each of its files that is not in tables yet.
        """
        return cls(
            _opened(
                where,
                path=path,
                wal=wal,
                checkpoint=checkpoint,
                follow=follow,
                settings=settings,
                merge_operator=merge_operator,
                clock=clock,
                rand=rand,
                background=background,
            )
        )

    @property
    def jobs(self) -> Jobs:
        """Its background work, to be stepped where there is none."""
        return self._reader.jobs

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        return self._reader.metrics

    @property
    def seq(self) -> int:
        """The newest sequence number that is seen."""
        return self._reader.follower.sight.seq

    def refresh(self) -> bool:
        """See what is durable by now; tell whether anything is new.

        Raises ClosedError, UnavailableError, DataError; then what is seen stays as it was. A reader
        of a checkpoint raises NotFoundError when that is gone. Cost: two listings, and a read of
        each new file.
        """
        return self._reader.refresh()

    def status(self) -> ReaderStatus:
        """Tell what is seen, and since when. Does no I/O."""
        return self._reader.status()

    def close(self) -> None:
        """Stop following, and close what a URI opened. Harmless when repeated."""
        self._reader.close()

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

    def __init__(self, reader: _Reader) -> None:
        """For `open`."""
        self._reader = reader
        self._source = reader.source

    @classmethod
    async def open(
        cls,
        where: str | ObjectStore | Place,
        *,
        path: str | None = None,
        wal: str | ObjectStore | None = None,
        checkpoint: str | None = None,
        follow: bool = True,
        settings: ReaderSettings | None = None,
        merge_operator: MergeOperator | None = None,
        clock: Clock | None = None,
        rand: Rand | None = None,
        background: bool = True,
    ) -> Self:
        """As `DbReader.open`."""

        def opened() -> _Reader:
            return _opened(
                where,
                path=path,
                wal=wal,
                checkpoint=checkpoint,
                follow=follow,
                settings=settings,
                merge_operator=merge_operator,
                clock=clock,
                rand=rand,
                background=background,
            )

        return cls(await asyncio.to_thread(opened))

    @property
    def jobs(self) -> Jobs:
        """Its background work, to be stepped where there is none."""
        return self._reader.jobs

    @property
    def metrics(self) -> Metrics:
        """What it counts."""
        return self._reader.metrics

    @property
    def seq(self) -> int:
        """The newest sequence number that is seen."""
        return self._reader.follower.sight.seq

    async def refresh(self) -> bool:
        """As `DbReader.refresh`."""
        return await asyncio.to_thread(self._reader.refresh)

    def status(self) -> ReaderStatus:
        """Tell what is seen, and since when. Does no I/O."""
        return self._reader.status()

    async def close(self) -> None:
        """Stop following, and close what a URI opened. Harmless when repeated."""
        await asyncio.to_thread(self._reader.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
