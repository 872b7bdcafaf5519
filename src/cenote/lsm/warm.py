"""Putting tables into the cache before somebody reads them, and taking them out.

Owns: what is warmed in which order, and how it is fetched. Does not own: the cache's budget.

Indexes and filters come first, since each saves a request for every block below it; then blocks,
the newest tables first, in large pieces. Nothing is warmed beyond the budget: it would push out
what was warmed before.

Invariants:
1. What is put into the cache was checked as a read checks it.
2. `warm_plan` never makes the cache evict anything but what it fetched last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cenote.errors import DataError
from cenote.lsm.options import READAHEAD_MAX
from cenote.lsm.plan import Plan
from cenote.lsm.table import fetch_checked

if TYPE_CHECKING:
    from cenote.lsm.keys import KeyRange
    from cenote.lsm.meta import Meta
    from cenote.lsm.table import Table
    from cenote.lsm.tables import Slot
    from cenote.lsm.view import View

__all__ = ["admit_file", "evict", "warm_plan"]

_TOGETHER: Final = 16  # tables whose indexes are asked for in one step


def warm_plan(view: View, span: KeyRange, *, blocks: bool = True) -> Plan[int]:
    """Put the indexes and filters of a range into the cache, and with `blocks` its blocks.

    Returns how many bytes the cache holds more. Stops when the cache is full. Raises DataError,
    NotFoundError.
    """
    cache = view.tables.cache
    before = cache.size
    start, end = span.span()
    slots = list(_slots_of(view, start, end))
    for at in range(0, len(slots), _TOGETHER):
        missing = [slot.table for slot in slots[at : at + _TOGETHER] if slot.table.meta() is None]
        if missing and not _is_full(view):
            data = yield from fetch_checked([table.meta_fetch() for table in missing])
            for table, raw in zip(missing, data, strict=True):
                table.take_meta(raw)
    if blocks:
        for slot in slots:
            if not _is_full(view):
                yield from _warm_blocks(view, slot, start, end)
    return cache.size - before


def evict(view: View, span: KeyRange) -> None:
    """Take all that is kept of the tables of a range out of the cache."""
    for slot in _slots_of(view, *span.span()):
        view.tables.cache.forget(slot.table.id)


def admit_file(table: Table, data: bytes) -> None:
    """Put a file that was just written into the cache, from its bytes. Raises DataError."""
    start, end = table.meta_span()
    if end > len(data):
        raise DataError("a file is shorter than its info says", kind="truncated", path=table.path)
    meta, blocks = table.take_meta((data[start:end],))
    if not blocks:
        for number in range(len(meta.first_keys)):
            table.unpack(meta, number, data, 0, keep=True)


def _slots_of(view: View, start: bytes, end: bytes | None) -> Iterator[Slot]:
    """Yield each table with keys in a range once, the newest of each part first."""
    seen: set[str] = set()
    for low, high, layers in view.forest.parts(start, end):
        for slot in _within(layers, low, high):
            if slot.table.path not in seen:
                seen.add(slot.table.path)
                yield slot


def _within(layers: Sequence[Sequence[Slot]], start: bytes, end: bytes | None) -> Iterator[Slot]:
    for slots in layers:
        for slot in slots:
            if (end is None or slot.low < end) and (slot.stop is None or start < slot.stop):
                yield slot


def _is_full(view: View) -> bool:
    cache = view.tables.cache
    return cache.size >= cache.budget - cache.budget // 16


def _warm_blocks(view: View, slot: Slot, start: bytes, end: bytes | None) -> Plan[None]:
    """Fetch the blocks of a table that are not kept, piece by piece, while there is room."""
    table, cache = slot.table, view.tables.cache
    found = yield from table.meta_plan()
    meta: Meta = found[0]
    numbers = meta.blocks(max(start, slot.low), _least(end, slot.stop))
    first = numbers.start
    while first < numbers.stop and not _is_full(view):
        if first in table.shelf:
            first += 1
            continue
        room = min(READAHEAD_MAX, cache.budget - cache.size)
        stop = first + 1
        while (
            stop < numbers.stop
            and stop not in table.shelf
            and meta.offsets[stop + 1] - meta.offsets[first] <= room
        ):
            stop += 1
        data = yield from fetch_checked([table.blocks_fetch(meta, first, stop)])
        for number in range(first, stop):
            table.unpack(meta, number, data[0][0], meta.offsets[first], keep=True)
        first = stop


def _least(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
