"""The files of a database as a manifest tells of them: tables, views, sorted runs, trees.

Owns: the values, their tables in a flatbuffer, in both versions.
Does not own: the manifest around them, or what the engine does with them.

    table CompactedSsTable     (1) { 0 id: Ulid, req   1 info: SsTableInfo, req
                                     2 visible_range: BytesRange   3 format_version: u16 = null }
    table CompactedSsTableV2   (2) { 0 id: Ulid, req   1 info: SsTableInfo, req
                                     2 format_version: u16 = null }
    table CompactedSsTableView (2) { 0 id: Ulid, req   1 sst_id: Ulid, req
                                     2 visible_range: BytesRange }
    table SortedRun            (1) { 0 id: u32   1 ssts: [CompactedSsTable], req }
    table SortedRunV2          (2) { 0 id: u32   1 ssts: [CompactedSsTableView], req }

A file's format version that is absent is 1. Version 1 has no views: there a view's id is its
file's.

Invariants:
1. `Tree.l0` is newest first; `Tree.runs` are by descending id, the first the newest; the views of a
   run rise by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cenote.lsm.format.flatbuffer import FlatTable, FlatView
from cenote.lsm.format.ids import ulid_table, view_ulid
from cenote.lsm.format.info import SstInfo, info_table, view_info
from cenote.lsm.format.ranges import range_table, view_range
from cenote.lsm.keys import KeyRange

__all__ = [
    "EMPTY_TREE",
    "SortedRun",
    "SstHandle",
    "SstView",
    "Tree",
    "handle_table",
    "handle_table_v1",
    "run_table",
    "view_handle",
    "view_handle_v1",
    "view_run",
    "view_run_v1",
    "view_sst_view",
    "view_table",
]


@dataclass(frozen=True, slots=True)
class SstHandle:
    """A table file: its ULID, what it says of itself, and its format version."""

    id: str
    info: SstInfo = field(repr=False)
    version: int = 2


@dataclass(frozen=True, slots=True)
class SstView:
    """A file seen whole, or through a range of keys."""

    id: str
    sst_id: str
    visible: KeyRange | None = None


@dataclass(frozen=True, slots=True)
class SortedRun:
    """Views that do not overlap, in the order of their keys."""

    id: int
    views: tuple[SstView, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """Level 0 and the sorted runs of a database, or of one segment of it.

    `last_compacted` is the view id of the newest level 0 file that was compacted away.
    """

    l0: tuple[SstView, ...] = ()
    runs: tuple[SortedRun, ...] = ()
    last_compacted: str | None = None

    def views(self) -> Iterator[SstView]:
        """Yield every view, the newest first."""
        yield from self.l0
        for run in self.runs:
            yield from run.views


EMPTY_TREE: Final = Tree()


def handle_table(handle: SstHandle) -> FlatTable:
    """Return the version 2 table of a file."""
    table = FlatTable().table(0, ulid_table(handle.id)).table(1, info_table(handle.info))
    return table.optional_u16(2, handle.version)


def view_handle(view: FlatView) -> SstHandle:
    """Return the file of a version 2 table. Raises DataError."""
    view.known("CompactedSsTableV2", 3)
    version = view.optional_u16(2)
    return SstHandle(
        view_ulid(view.table(0)), view_info(view.table(1)), 1 if version is None else version
    )


def handle_table_v1(handle: SstHandle, visible: KeyRange | None = None) -> FlatTable:
    """Return the version 1 table of a file and what is seen of it."""
    table = FlatTable().table(0, ulid_table(handle.id)).table(1, info_table(handle.info))
    table.table(2, None if visible is None else range_table(visible))
    return table.optional_u16(3, handle.version)


def view_handle_v1(view: FlatView) -> tuple[SstHandle, SstView]:
    """Return the file and the view of a version 1 table. Raises DataError."""
    view.known("CompactedSsTable", 4)
    version = view.optional_u16(3)
    handle = SstHandle(
        view_ulid(view.table(0)), view_info(view.table(1)), 1 if version is None else version
    )
    visible = view.optional_table(2)
    span = None if visible is None else view_range(visible)
    return handle, SstView(handle.id, handle.id, span)


def view_table(view: SstView) -> FlatTable:
    """Return the table of a view."""
    table = FlatTable().table(0, ulid_table(view.id)).table(1, ulid_table(view.sst_id))
    return table.table(2, None if view.visible is None else range_table(view.visible))


def view_sst_view(view: FlatView) -> SstView:
    """Return the view of a table. Raises DataError."""
    view.known("CompactedSsTableView", 3)
    visible = view.optional_table(2)
    return SstView(
        view_ulid(view.table(0)),
        view_ulid(view.table(1)),
        None if visible is None else view_range(visible),
    )


def run_table(run: SortedRun) -> FlatTable:
    """Return the version 2 table of a sorted run."""
    return FlatTable().u32(0, run.id).tables(1, [view_table(view) for view in run.views])


def view_run(view: FlatView) -> SortedRun:
    """Return the sorted run of a version 2 table. Raises DataError."""
    view.known("SortedRunV2", 2)
    return SortedRun(view.u32(0), tuple(view_sst_view(each) for each in view.tables(1)))


def view_run_v1(view: FlatView) -> tuple[SortedRun, list[SstHandle]]:
    """Return the sorted run of a version 1 table and its files. Raises DataError."""
    view.known("SortedRun", 2)
    found = [view_handle_v1(each) for each in view.tables(1)]
    run = SortedRun(view.u32(0), tuple(seen for _, seen in found))
    return run, [handle for handle, _ in found]
