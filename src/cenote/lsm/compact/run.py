"""One compaction at work: tables in, tables out, a step at a time.

Owns: windows, where an output file ends, progress, going on where another worker stopped.
Does not own: which tables, by what rule, or what the manifest says of it afterwards.

Invariants:
1. The versions of a key never lie in two files of the output.
2. The context tells, after every step, the files that are finished; nothing else is needed to go
   on, in this process or another. What was begun and not finished is begun again.
3. `seq_min` and the ranges of a context never change, since finished files depend on them.
4. Memory: of each source a chunk and a window, of the output a piece and one file's index and
   filter hashes; not the size of the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from cenote.errors import DataError
from cenote.lsm.compact.bulk import BulkMerge, span_of, suits_bulk
from cenote.lsm.compact.output import OutputTable
from cenote.lsm.compact.ranges import plan_ranges
from cenote.lsm.compact.retention import Retention
from cenote.lsm.compact.source import CHUNK_SIZE, InputTable, Source
from cenote.lsm.compact.window import merge_window
from cenote.lsm.entry import Row
from cenote.lsm.format import (
    OutputSst,
    SstHandle,
    SstLayout,
    Subcompaction,
    TieredContext,
    decode_block,
    decode_index,
    decode_section,
)
from cenote.objstore import ObjectStore

__all__ = ["WINDOW_SIZE", "CompactionRun", "Work"]

WINDOW_SIZE: Final = 2**18
_ROW_OVERHEAD: Final = 20
_THREADS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be compacted and how. `sources`: newest first, each one's tables rising by key.

    `new_id` returns an id nobody has, above that of the compaction; `path_of` where a file of an id
    is. `ahead`: threads fetch what will be wanted next, which pays where a request takes long.
    """

    store: ObjectStore
    sources: tuple[tuple[InputTable, ...], ...]
    retention: Retention
    layout: SstLayout
    sst_size: int
    new_id: Callable[[], str]
    path_of: Callable[[str], str]
    subcompactions: int = 1
    chunk: int = CHUNK_SIZE
    window: int = WINDOW_SIZE
    ahead: bool = False


class CompactionRun:
    """A compaction that is being done. Not thread-safe."""

    def __init__(self, work: Work, context: TieredContext | None = None) -> None:
        """Begin, or go on from `context`, whose `seq_min` counts then."""
        if context is None or not context.subcompactions:
            ranges = plan_ranges(work.sources, work.subcompactions, work.sst_size)
            parts = tuple(Subcompaction(each) for each in ranges)
            context = TieredContext(parts, work.retention.seq_min)
            self._resumed = False
        else:
            self._resumed = True
        rule = replace(work.retention, seq_min=context.retention_min_seq)
        self._work = replace(work, retention=rule)
        self._context = context
        self._part = 0
        self._merge: _PartMerge | BulkMerge | None = None
        self._bulk: bool | None = None  # not known yet
        self._threads: Executor | None = None
        self.bytes_read = 0

    @property
    def context(self) -> TieredContext:
        """What is finished."""
        return self._context

    @property
    def done(self) -> bool:
        """Whether all is."""
        return self._part == len(self._context.subcompactions)

    def outputs(self) -> tuple[OutputSst, ...]:
        """Return the files, rising by key. Requires: `done`."""
        return tuple(each for part in self._context.subcompactions for each in part.outputs)

    def step(self) -> bool:
        """Merge one window. Returns whether there is more to do.

        Raises what the store, the files and the callbacks raise; the next step begins again after
        the last finished file. NotFoundError means an input or a finished output is gone.
        """
        if self.done:
            return False
        part = self._context.subcompactions[self._part]
        try:
            if self._merge is None:
                self._merge = self._begin(part)
            finished, more = self._merge.step()
        except BaseException:
            self.abandon()
            self._resumed = True
            raise
        if finished:
            outputs = part.outputs + tuple(OutputSst(handle) for handle in finished)
            parts = list(self._context.subcompactions)
            parts[self._part] = replace(part, outputs=outputs)
            self._context = replace(self._context, subcompactions=tuple(parts))
        if not more:
            self.bytes_read += self._merge.bytes_read
            self._merge = None
            self._part += 1
            if self._part == len(self._context.subcompactions):
                self.abandon()
        return self._part < len(self._context.subcompactions)

    def _begin(self, part: Subcompaction) -> _PartMerge | BulkMerge:
        work, begun = self._work, self._resumed and bool(part.outputs)
        if self._bulk is None:
            self._bulk = suits_bulk(work.store, work.sources, work.retention, work.layout)
        if work.ahead and self._threads is None:
            self._threads = ThreadPoolExecutor(min(len(work.sources), _THREADS_MAX), "cenote-fetch")
        if begun or not self._bulk:
            return _PartMerge(work, part, self._threads, resumed=begun)
        low, high = part.range.span()
        return BulkMerge(
            [
                Source(work.store, each, low, high, work.chunk, self._threads)
                for each in work.sources
            ],
            [span_of(each, part.range) for each in work.sources],
            work.retention,
            self._new_output,
            work.sst_size,
        )

    def _new_output(self) -> OutputTable:
        work = self._work
        sst_id = work.new_id()
        return OutputTable(work.store, work.path_of(sst_id), sst_id, work.layout)

    def abandon(self) -> None:
        """Drop the file that is not finished. Harmless when repeated."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        merge, self._merge = self._merge, None
        if merge is not None:
            self.bytes_read += merge.bytes_read
            merge.abandon()


class _PartMerge:
    """The merge of one range of keys, from its last finished file on."""

    def __init__(
        self, work: Work, part: Subcompaction, threads: Executor | None, *, resumed: bool
    ) -> None:
        self._work = work
        self._low, self._high = part.range.span()
        self._cursor: tuple[bytes, int] | None = None
        if resumed and part.outputs:
            self._cursor = _last_row(work, part.outputs)
            self._low = self._cursor[0]
        self._sources = [
            Source(work.store, tables, self._low, self._high, work.chunk, threads)
            for tables in work.sources
        ]
        self._output: OutputTable | None = None
        self._finished: list[SstHandle] = []

    @property
    def bytes_read(self) -> int:
        return sum(source.bytes_read for source in self._sources)

    def step(self) -> tuple[list[SstHandle], bool]:
        """Merge one window; return the files it finished, and whether there is more."""
        size = self._work.window
        horizons = [source.horizon(self._low, size) for source in self._sources]
        ends = [each for each in horizons if each is not None]
        high = min(ends) if ends else self._high
        more = high is not None and (self._high is None or high < self._high)
        if not more:
            high = self._high
        pieces = [source.take(high if more else None) for source in self._sources]
        rows = self._work.retention.retain(merge_window(pieces, self._low, high))
        if self._cursor is not None:
            key, seq = self._cursor
            rows = [row for row in rows if row[0] != key or row[2] < seq]
            self._cursor = None
        self._write(rows)
        if not more:
            self._close()
        elif high is not None:
            self._low = high
        finished, self._finished = self._finished, []
        return finished, more

    def _write(self, rows: Sequence[Row]) -> None:
        """Put rows into files of the size wanted; a key's rows go into one."""
        limit = self._work.sst_size
        at = 0
        while at < len(rows):
            if self._output is None:
                self._output = self._begin()
            end = _fitting(rows, at, limit - self._output.size)
            if end == at and self._output.size == 0:
                end = _key_end(rows, at)
            self._output.add(rows[at:end] if end - at < len(rows) else rows)
            if end < len(rows):
                self._close()
            at = end

    def _begin(self) -> OutputTable:
        work = self._work
        sst_id = work.new_id()
        return OutputTable(work.store, work.path_of(sst_id), sst_id, work.layout)

    def _close(self) -> None:
        if self._output is not None:
            self._finished.append(self._output.finish())
            self._output = None

    def abandon(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.abort()


def _fitting(rows: Sequence[Row], at: int, room: int) -> int:
    """Return the end of the rows from `at` on that fit in `room` bytes, at the end of a key."""
    if (
        sum([len(row[0]) + len(row[1]) for row in rows[at:]]) + _ROW_OVERHEAD * (len(rows) - at)
        <= room
    ):
        return len(rows)
    end = at
    while True:
        after = _key_end(rows, end)
        room -= sum([len(row[0]) + len(row[1]) + _ROW_OVERHEAD for row in rows[end:after]])
        if room < 0:
            return end
        end = after


def _key_end(rows: Sequence[Row], at: int) -> int:
    """Return where the rows of the key at `at` end."""
    key = rows[at][0]
    while at < len(rows) and rows[at][0] == key:
        at += 1
    return at


def _last_row(work: Work, outputs: Sequence[OutputSst]) -> tuple[bytes, int]:
    """Return key and number of the last row of finished files.

    Files of other programs may end between two versions of a key. Raises NotFoundError when one
    of the files is gone.
    """
    for output in outputs[:-1]:
        work.store.head(work.path_of(output.handle.id))
    handle = outputs[-1].handle
    path, info = work.path_of(handle.id), handle.info
    section = work.store.get_range(path, info.index_offset, info.index_offset + info.index_size)
    index = decode_index(decode_section(section, info.codec))
    if not index.offsets or index.offsets[-1] >= info.data_size:
        raise DataError("a block lies outside its file", kind="index", path=path)
    section = work.store.get_range(path, index.offsets[-1], info.data_size)
    key, _, seq, *_ = decode_block(decode_section(section, info.codec), handle.version)[-1]
    return key, seq
