"""A merge that no callback takes part in, done by the kernels on encoded blocks.

Owns: which merges that suits; feeding blocks in, sending what comes out.
Does not own: the merge (`format.kernels.Merger`), fetching (`source`), storing (`output`).

Invariants:
1. What comes out are the rows that `Retention.retain` keeps.
2. A step is a fetch for each source, a piece sent or a file finished at most.

Why not with plain kernels, though there are some: windows of rows cost half as much there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cenote.lsm.compact.output import OutputTable
from cenote.lsm.compact.retention import Retention
from cenote.lsm.compact.source import InputTable, Source
from cenote.lsm.format import (
    SstHandle,
    SstLayout,
    decode_section,
    decode_stats,
    fits_kernels,
    kernels_in_use,
)
from cenote.lsm.format.kernels import DONE, TABLE_FULL, Merger
from cenote.lsm.keys import KeyRange
from cenote.objstore import ObjectStore

__all__ = ["BulkMerge", "span_of", "suits_bulk"]

_PIECE_SIZE: Final = 8 * 2**20
_ASKED_FROM: Final = 2**20

Span = tuple[bytes, "bytes | None"]


def suits_bulk(
    store: ObjectStore,
    sources: Sequence[Sequence[InputTable]],
    retention: Retention,
    layout: SstLayout,
) -> bool:
    """Tell whether the kernels can do a merge: no callback, no old file, no clipped run.

    An operator has no part in it where no table holds an operand, which large tables are asked
    for: that takes one request each, and small ones are merged in the time of it.
    Raises what the store raises, DataError.
    """
    if kernels_in_use() == "plain" or retention.filter is not None or not fits_kernels(layout):
        return False
    tables = [table for each in sources for table in each]
    clipped = any(table.visible for each in sources if len(each) > 1 for table in each)
    if clipped or any(table.handle.version != 2 for table in tables):
        return False
    if retention.operator is None:
        return True
    large = sum([table.size for table in tables]) >= _ASKED_FROM * len(tables)
    return large and not any(_may_hold_operands(store, table) for table in tables)


def _may_hold_operands(store: ObjectStore, table: InputTable) -> bool:
    info = table.handle.info
    if not info.stats_size:
        return True
    start = info.stats_offset
    section = store.get_range(table.path, start, start + info.stats_size)
    return decode_stats(decode_section(section, info.codec)).counts.merges > 0


def span_of(tables: Sequence[InputTable], part: KeyRange) -> Span:
    """Return which keys of a source count."""
    start, end = part.span()
    if len(tables) == 1 and tables[0].visible is not None:
        low, high = tables[0].visible.span()
        start = max(start, low)
        if end is None or (high is not None and high < end):
            end = high
    return start, end


class BulkMerge:
    """The merge of one range of keys. Not thread-safe."""

    def __init__(
        self,
        sources: Sequence[Source],
        spans: Sequence[Span],
        retention: Retention,
        new_output: Callable[[], OutputTable],
        sst_size: int,
    ) -> None:
        self._sources = sources
        self._new_output = new_output
        self._output = new_output()
        self._merger = Merger(
            list(spans),
            writer=self._output.writer,
            table_size_max=sst_size,
            piece_size=_PIECE_SIZE,
            seq_min=retention.seq_min,
            now_ms=retention.now_ms,
            drop_tombstones=retention.bottom,
        )

    @property
    def bytes_read(self) -> int:
        return sum(source.bytes_read for source in self._sources)

    def step(self) -> tuple[list[SstHandle], bool]:
        """Go on for a while; return the files it finished, and whether there is more."""
        told = self._merger.run()
        for _ in self._sources:
            if told < 0:
                break
            chunk = self._sources[told].chunk()
            if chunk is None:
                self._merger.end(told)
            else:
                self._merger.feed(told, *chunk)
            told = self._merger.run()
        if told >= 0:
            return [], True
        if told == TABLE_FULL:
            finished = [self._output.finish()]
            self._output = self._new_output()
            self._merger.writer = self._output.writer
            return finished, True
        if told == DONE:
            return [self._output.finish()] if self._output.writer.rows else [], False
        self._output.send()
        return [], True

    def abandon(self) -> None:
        """Drop the file that is not finished."""
        self._output.abort()
