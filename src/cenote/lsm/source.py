"""What a face reads from: the newest view there is, and how it is to be read.

Owns: choosing the view and the sequence number of a read, beginning scans, the checks of ranges.
Does not own: the rows (`cenote.lsm.view`), who drives the plans (the faces).

Invariants:
1. A read of the head takes the newest version of each key; a scan, and all reads of a snapshot,
   read at one sequence number, which is pinned before it is used.
2. A read that finds a file gone (compacted, and collected meanwhile) takes the view there is by
   then, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cenote.errors import InvalidError, NotFoundError
from cenote.lsm.entry import Row
from cenote.lsm.keys import Bound, BoundKind, KeyRange, prefix_successor
from cenote.lsm.metrics import Metrics
from cenote.lsm.options import READAHEAD_MAX, Reading, as_bound, as_key
from cenote.lsm.plan import Pending, Plan
from cenote.lsm.view import View
from cenote.lsm.walk import RowScan, Walk
from cenote.objstore import ObjectStore

__all__ = ["ScanOptions", "Source", "ViewSource", "half_open", "range_of", "readahead_of"]


class ScanOptions(NamedTuple):
    """How a scan reads.

    `readahead` is how many bytes it asks for at once when it has read some (None: as the settings
    say), `cache_blocks` whether what it fetched is kept.
    """

    reverse: bool = False
    durable_only: bool = False
    cache_blocks: bool = True
    readahead: int | None = None


class Source(ABC):
    """Something to read: a database, a snapshot, a transaction, a reader."""

    __slots__ = ()

    @property
    @abstractmethod
    def store(self) -> ObjectStore:
        """Where plans fetch from."""

    @abstractmethod
    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        """Return what is seen of `key`, or PENDING. Raises ClosedError. Never fetches."""

    @abstractmethod
    def find_plan(self, key: bytes, durable_only: bool) -> Plan[Row | None]:
        """Return what is seen of `key`."""

    @abstractmethod
    def find_many(self, keys: Sequence[bytes], durable_only: bool) -> Plan[list[Row | None]]:
        """Return what is seen of each key."""

    @abstractmethod
    def walk(self, start: bytes, end: bytes | None, options: ScanOptions) -> Walk:
        """Begin a scan of start <= key < end. Raises ClosedError. Does no I/O."""


class ViewSource(Source):
    """A source of views: reads what `at` says."""

    __slots__ = ()

    metrics: Metrics

    @abstractmethod
    def at(self, durable_only: bool) -> tuple[View, Reading]:
        """Return the newest view and how to read it. Raises ClosedError."""

    @abstractmethod
    def pin(self, options: ScanOptions) -> tuple[Reading, Callable[[], None] | None]:
        """Return how a scan is to read from now on, and what to call when it ends."""

    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        view, reading = self.at(durable_only)
        self.metrics.gets += 1
        return view.get(as_key(key), reading)

    def find_plan(self, key: bytes, durable_only: bool) -> Plan[Row | None]:
        self.metrics.gets_fetched += 1
        while True:
            view, reading = self.at(durable_only)
            try:
                return (yield from view.get_plan(key, reading))
            except NotFoundError:  # a file was compacted away, and collected
                if self.at(durable_only)[0].forest is view.forest:
                    raise

    def find_many(self, keys: Sequence[bytes], durable_only: bool) -> Plan[list[Row | None]]:
        keys = [as_key(key) for key in keys]
        self.metrics.gets += len(keys)
        while True:
            view, reading = self.at(durable_only)
            try:
                return (yield from view.get_many_plan(keys, reading))
            except NotFoundError:
                if self.at(durable_only)[0].forest is view.forest:
                    raise

    def walk(self, start: bytes, end: bytes | None, options: ScanOptions) -> Walk:
        reading, release = self.pin(options)
        self.metrics.scans += 1

        def open_scan(low: bytes, high: bytes | None) -> RowScan:
            view, _ = self.at(options.durable_only)
            return view.scan(half_open(low, high), reading, reverse=options.reverse)

        return Walk(open_scan, start, end, reverse=options.reverse, release=release)


def range_of(start: object, end: object, prefix: object) -> tuple[bytes, bytes | None]:
    """Return the range a scan was asked for, as start <= key < end.

    With `prefix`, `start` and `end` narrow it further. Raises TypeError, InvalidError(kind
    "invalid_range") when `end` lies before `start`.
    """
    low, high = as_bound(start, "start"), as_bound(end, "end")
    if low is not None and high is not None and high < low:
        raise InvalidError("the range ends before it starts", kind="invalid_range")
    low = low or b""
    begin = as_bound(prefix, "prefix")
    if begin:
        low = max(low, begin)
        stop = prefix_successor(begin)
        if stop is not None and (high is None or stop < high):
            high = stop
    return low, high


def readahead_of(options: ScanOptions, settings_max: int = READAHEAD_MAX) -> int:
    """Return the read-ahead of a scan. Raises InvalidError(kind="invalid_readahead")."""
    if options.readahead is None:
        return settings_max
    if not 0 < options.readahead <= _READAHEAD_LIMIT:
        raise InvalidError(
            f"readahead must be 1 to {_READAHEAD_LIMIT} bytes", kind="invalid_readahead"
        )
    return options.readahead


_READAHEAD_LIMIT: Final = 2**30


def half_open(start: bytes, end: bytes | None) -> KeyRange:
    """Return the keys start <= key < end as a range."""
    low = Bound(BoundKind.INCLUDED, start) if start else Bound()
    return KeyRange(low, Bound() if end is None else Bound(BoundKind.EXCLUDED, end))
