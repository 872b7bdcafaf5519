"""Reading a writer's database: its head, and its past at one sequence number.

Owns: which view and sequence number a read takes, pinning what a scan or a snapshot reads.
Does not own: the pins themselves (`cenote.lsm.writer`).

Invariants:
1. What is read at a sequence number is pinned first, under the writer's lock, so that no version
   it needs is let go in between.
2. After the writer ended, every read raises why.
3. A file that another process compacted away is no error: the read goes on with what is there now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from cenote.errors import ClosedError
from cenote.lsm.entry import Row
from cenote.lsm.options import Reading
from cenote.lsm.plan import Pending, Plan
from cenote.lsm.source import ScanOptions, ViewSource, readahead_of
from cenote.lsm.view import View
from cenote.lsm.writer import Writer
from cenote.objstore import ObjectStore

__all__ = ["HeadSource", "PastSource", "pin_durable"]


class _WriterSource(ViewSource):
    """What both have: their writer, and reads of what is durable."""

    __slots__ = ("metrics", "writer")

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.metrics = writer.metrics

    @property
    def store(self) -> ObjectStore:
        return self.writer.reads

    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        if not durable_only:
            return super().find(key, False)
        with _Durable(self.writer):
            return super().find(key, True)

    def find_plan(self, key: bytes, durable_only: bool) -> Plan[Row | None]:
        if not durable_only:
            return (yield from super().find_plan(key, False))
        with _Durable(self.writer):
            return (yield from super().find_plan(key, True))

    def find_many(self, keys: Sequence[bytes], durable_only: bool) -> Plan[list[Row | None]]:
        if not durable_only:
            return (yield from super().find_many(keys, False))
        with _Durable(self.writer):
            return (yield from super().find_many(keys, True))


class HeadSource(_WriterSource):
    """The newest there is."""

    __slots__ = ("_head",)

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._head = reading_of(writer, None)

    def at(self, durable_only: bool) -> tuple[View, Reading]:
        writer = self.writer
        writer.require_open()
        if durable_only:
            return writer.view, reading_of(writer, writer.durable_seq)
        return writer.view, self._head

    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        writer = self.writer
        if durable_only or writer.error is not None or type(key) is not bytes or not key:
            return super().find(key, durable_only)
        self.metrics.gets += 1
        return writer.view.get(key, self._head)

    def pin(self, options: ScanOptions) -> tuple[Reading, Callable[[], None] | None]:
        writer = self.writer
        writer.require_open()
        seq = pin_durable(writer) if options.durable_only else writer.pin()
        return _scanning(writer, seq, options), partial(writer.unpin, seq)


class PastSource(_WriterSource):
    """What was there at one sequence number, which it pins until `close`."""

    __slots__ = ("_reading", "open", "seq")

    def __init__(self, writer: Writer) -> None:
        writer.require_open()
        super().__init__(writer)
        self.open = True
        self.seq = writer.pin()
        self._reading = reading_of(writer, self.seq)

    def at(self, durable_only: bool) -> tuple[View, Reading]:
        writer = self.writer
        writer.require_open()
        if not self.open:
            raise ClosedError("the snapshot is closed")
        if durable_only:
            return writer.view, reading_of(writer, min(self.seq, writer.durable_seq))
        return writer.view, self._reading

    def find(self, key: bytes, durable_only: bool) -> Row | Pending | None:
        writer = self.writer
        fast = type(key) is bytes and key and self.open and not durable_only
        if not fast or writer.error is not None:
            return super().find(key, durable_only)
        self.metrics.gets += 1
        return writer.view.get(key, self._reading)

    def pin(self, options: ScanOptions) -> tuple[Reading, Callable[[], None] | None]:
        writer = self.writer
        self.at(options.durable_only)
        seq = self.seq
        if options.durable_only:
            with _Durable(writer) as durable:
                seq = writer.pin(min(seq, durable))
        else:
            writer.pin(seq)
        return _scanning(writer, seq, options), partial(writer.unpin, seq)

    def close(self) -> None:
        """Let go. Harmless when repeated."""
        if self.open:
            self.open = False
            self.writer.unpin(self.seq)

    def __del__(self) -> None:
        if getattr(self, "open", False) and hasattr(self, "seq"):
            self.close()


class _Durable:
    """Keeps what is durable readable meanwhile: a write of another thread would let it go."""

    __slots__ = ("_seq", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __enter__(self) -> int:
        self._writer.require_open()
        self._seq = pin_durable(self._writer)
        return self._seq

    def __exit__(self, *_: object) -> None:
        self._writer.unpin(self._seq)


def reading_of(writer: Writer, seq_max: int | None) -> Reading:
    """Return how a read up to a sequence number reads."""
    return Reading(writer.clock.now_ms, seq_max, writer.merge_operator)


def pin_durable(writer: Writer) -> int:
    """Pin the newest sequence number that is durable, and return it."""
    while True:
        seq = writer.durable_seq
        writer.pin(seq)
        if writer.durable_seq == seq:
            return seq
        writer.unpin(seq)  # it grew before we held it: older versions may be gone


def _scanning(writer: Writer, seq: int, options: ScanOptions) -> Reading:
    return Reading(
        writer.clock.now_ms,
        seq,
        writer.merge_operator,
        options.cache_blocks,
        readahead_of(options, writer.settings.readahead_max),
    )
