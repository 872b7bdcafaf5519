"""An open reader: what both faces stand on.

Owns: opening, following in the background, which view a read or a scan takes.
Does not own: what is seen (`following`), how calls look (`reader`).

Invariants:
1. A read takes the view there is, and the next one when a file of it is gone. A scan that has
   returned a row never goes on with another view: it would mix two moments.
2. Whatever following meets, what is seen stays readable; the status tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, ValidationError, convert

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ClosedError, DataError, InvalidError, NotFoundError, UnavailableError
from cenote.lsm.cache import BlockCache
from cenote.lsm.entry import Row
from cenote.lsm.following import Follower
from cenote.lsm.format import BloomPolicy
from cenote.lsm.jobs import Job, Jobs
from cenote.lsm.keys import Bound, BoundKind, KeyRange
from cenote.lsm.merge import MergeOperator, operator_name
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import Reading
from cenote.lsm.parts import through_folder
from cenote.lsm.place import Place, open_place
from cenote.lsm.plan import Plan
from cenote.lsm.settings import ReaderSettings
from cenote.lsm.source import ScanOptions, ViewSource, readahead_of
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.lsm.wal.files import WalFiles
from cenote.lsm.wal.reader import Changes
from cenote.lsm.walk import RowScan, Walk
from cenote.objstore import ObjectStore

__all__ = ["PollJob", "ReaderCore", "ReaderOptions", "ReaderStatus"]


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


class ReaderOptions(Struct, frozen=True, kw_only=True):
    """What a reader is opened with; see `DbReader.open`."""

    path: str | None = None
    wal: str | ObjectStore | None = None
    checkpoint: str | None = None
    follow: bool = True
    settings: ReaderSettings | Mapping[str, Any] | None = None
    merge_operator: MergeOperator | None = None
    filter_policies: Sequence[BloomPolicy] | None = None
    clock: Clock | None = None
    rand: Rand | None = None
    background: bool = True


class ReaderCore:
    """An open reader: what both faces share. Thread-safe."""

    def __init__(
        self, place: Place, settings: ReaderSettings, options: ReaderOptions, *, closes: bool
    ) -> None:
        """Look at the database at `place`; `closes` it in the end. Raises as `Follower.begin`."""
        operator = options.merge_operator
        checkpoint, background = options.checkpoint, options.background
        self.place = place
        self._closes = closes
        self.clock = clock = options.clock or SystemClock()
        self.metrics = Metrics()
        self.cache = cache = BlockCache(settings.block_cache_size)
        policies = options.filter_policies
        self.follower = Follower(
            place,
            lambda store: Tables(store, place, cache, None, self.metrics, filter_policies=policies),
            through_folder(place.store, settings.part_cache_dir, settings.part_cache_size),
            checkpoint=checkpoint,
            replay=settings.replay_wal,
            operator=operator_name(operator),
            clock=clock,
            rand=options.rand or SystemRand(),
            threads=background,
        )
        reading = Reading(clock.now_ms, None, operator)
        self.source = _ReaderSource(self.follower, reading, settings.readahead_max, self.metrics)
        self.poll = PollJob(self.follower, settings, clock)
        self.failure: BaseException | None = None
        self.jobs = Jobs(clock, self._failed, "cenote-reader")
        self.follower.begin()
        self._watch()
        if options.follow and checkpoint is None:
            self.jobs.add(self.poll)
            if background:
                self.jobs.start()

    @classmethod
    def open(cls, where: str | ObjectStore | Place, options: ReaderOptions) -> ReaderCore:
        """Open the database at `where` to read. Raises as `DbReader.open`."""
        settings = _settings(options.settings)
        if isinstance(where, Place):
            if options.path is not None or options.wal is not None:
                raise InvalidError("a place has its path and its log's store", kind="invalid_path")
            return cls(where, settings, options, closes=False)
        place = open_place(
            where,
            options.path,
            wal=options.wal,
            read_only=True,
            clock=options.clock,
            rand=options.rand,
        )
        try:
            return cls(place, settings, options, closes=True)
        except BaseException:
            place.close()
            raise

    def _watch(self) -> None:
        """Have the figures that others count, and the gauges, read where they are."""
        follower, counts = self.follower, self.cache.counts
        readers: dict[str, Callable[[], float]] = {
            "block_hits": lambda: counts.hits,
            "block_misses": lambda: counts.misses,
            "meta_misses": lambda: counts.meta_misses,
            "cache_evictions": lambda: counts.evictions,
            "last_seq": lambda: follower.sight.seq,
            "durable_seq": lambda: follower.sight.seq,
            "manifest_version": lambda: follower.sight.number,
            "cache_bytes": lambda: self.cache.size,
        }
        for name, read in readers.items():
            self.metrics.read_by(name, read)

    def _failed(self, job: Job, error: BaseException) -> None:
        # The reader stays: what it sees is sound. It says so in its status.
        self.failure = error

    def status(self) -> ReaderStatus:
        """Tell what is seen. Raises ClosedError."""
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
        """See what is durable by now. Raises as `DbReader.refresh`."""
        if self.follower.closed:
            raise ClosedError("the reader is closed")
        return self.follower.advance()

    def changes(self, after_seq: int | None, after_wal: int | None) -> Changes:
        """Return the change feed. Raises as `Changes`, and ClosedError."""
        if self.follower.closed:
            raise ClosedError("the reader is closed")
        files = WalFiles(self.place.wal_store, self.place.root)
        return Changes(files, after_seq=after_seq, after_wal=after_wal, clock=self.clock)

    def close(self) -> None:
        """Stop following, and close what was opened. Harmless when repeated."""
        if not self.follower.closed:
            self.follower.close()
            self.jobs.stop()
            if self._closes:
                self.place.close()


def _settings(given: ReaderSettings | Mapping[str, Any] | None) -> ReaderSettings:
    if given is None:
        return ReaderSettings()
    if isinstance(given, ReaderSettings):
        return given
    try:
        return convert(given, ReaderSettings)
    except ValidationError as error:
        raise InvalidError(f"the settings are wrong: {error}", kind="invalid_setting") from error
