"""The table files of a database as reads go through them: which one may hold a key.

Owns: one `Table` per file; trees of a manifest laid out for search (`TreeTables`, `Forest`).
Does not own: the search in a table (`table`), what is seen of the rows (`merge`).

A `Slot` is a table with the keys that are seen of it: what the file holds, cut by the view's range.
Level 0 is a sequence of slots, the newest first; a sorted run is slots by rising keys, found by
bisection over their least keys.

Invariants:
1. A candidate is given before every older one, so that the first row found is the newest.
2. Slots of a run do not overlap but for one key that ends one and begins the next; both are given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from cenote.errors import DataError
from cenote.lsm.cache import BlockCache
from cenote.lsm.format import BloomPolicy, Manifest, SortedRun, SstHandle, SstView, Tree
from cenote.lsm.format.sst import VERSION
from cenote.lsm.keys import prefix_successor
from cenote.lsm.meta import PrefixOf
from cenote.lsm.plan import Plan, run
from cenote.lsm.table import Table

if TYPE_CHECKING:
    from cenote.lsm.place import Place
    from cenote.lsm.settings import DbSettings
    from cenote.objstore import ObjectStore

__all__ = ["Forest", "RunTables", "Slot", "Tables", "TreeTables"]

T = TypeVar("T")


class Slot(NamedTuple):
    """The keys low <= key < stop (None: no end) of a table."""

    low: bytes
    stop: bytes | None
    table: Table


class RunTables:
    """A sorted run: slots by rising keys."""

    __slots__ = ("lows", "slots")

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = slots
        self.lows = [slot.low for slot in slots]


class TreeTables:
    """The tables of one tree."""

    __slots__ = ("l0", "runs")

    def __init__(self, l0: Sequence[Slot], runs: Sequence[RunTables]) -> None:
        self.l0 = l0
        self.runs = runs

    def __bool__(self) -> bool:
        return bool(self.l0 or self.runs)

    def candidates(self, key: bytes) -> list[Table]:
        """Return the tables that may hold `key`, the newest first."""
        found: list[Table] = []
        for low, stop, table in self.l0:
            if low <= key and (stop is None or key < stop):
                found.append(table)
        for run_tables in self.runs:
            at = bisect_right(run_tables.lows, key) - 1
            if at < 0:
                continue
            slots = run_tables.slots
            low, stop, table = slots[at]
            if low == key and at:
                first = at
                while first and slots[first].low == key:
                    first -= 1
                found += [
                    slot.table for slot in slots[first:at] if slot.stop is None or key < slot.stop
                ]
            if stop is None or key < stop:
                found.append(table)
        return found

    def layers(self) -> list[Sequence[Slot]]:
        """Return what a scan merges, the newest first: level 0 one by one, and each run."""
        return [*((slot,) for slot in self.l0), *(each.slots for each in self.runs)]


class Forest:
    """All trees of a manifest: the root's, and that of each segment, by its prefix.

    `is_current`: every file is of the version that is written today.
    """

    __slots__ = ("is_current", "prefixes", "root", "trees")

    def __init__(
        self,
        root: TreeTables,
        prefixes: Sequence[bytes],
        trees: Sequence[TreeTables],
        is_current: bool,
    ) -> None:
        self.is_current = is_current
        self.root = root
        self.prefixes = prefixes
        self.trees = trees

    def candidates(self, key: bytes) -> list[Table]:
        """Return the tables that may hold `key`, the newest first."""
        if self.prefixes:
            at = bisect_right(self.prefixes, key) - 1
            if at >= 0 and key.startswith(self.prefixes[at]):
                found = self.trees[at].candidates(key)
                return found + self.root.candidates(key) if self.root else found
        return self.root.candidates(key)

    def parts(
        self, start: bytes, end: bytes | None
    ) -> list[tuple[bytes, bytes | None, Sequence[Sequence[Slot]]]]:
        """Cut a range into parts that one set of layers covers each, by rising keys."""
        below = self.root.layers()
        parts: list[tuple[bytes, bytes | None, Sequence[Sequence[Slot]]]] = []
        at = start
        first = max(bisect_right(self.prefixes, start) - 1, 0)
        for prefix, tree in zip(self.prefixes[first:], self.trees[first:], strict=True):
            stop = prefix_successor(prefix)
            if stop is not None and stop <= at:
                continue
            if end is not None and prefix >= end:
                break
            if prefix > at:
                parts.append((at, prefix, below))
            low = max(at, prefix)
            if stop is None or (end is not None and end <= stop):
                parts.append((low, end, [*tree.layers(), *below]))
                return parts
            parts.append((low, stop, [*tree.layers(), *below]))
            at = stop
        parts.append((at, end, below))
        return parts


class Tables:
    """The open tables of a database. Thread-safe.

    A table is open as long as somebody holds it; what is kept of it is the cache's.
    """

    def __init__(
        self,
        store: ObjectStore,
        place: Place,
        cache: BlockCache,
        settings: DbSettings | None = None,
        metrics: object = None,
        *,
        filter_policies: Sequence[BloomPolicy] | None = None,
    ) -> None:
        """`filter_policies` tell how the prefixes are made that filters are asked for."""
        self.store = store
        self.place = place
        self.cache = cache
        self.settings = settings
        self._extractors: dict[str, PrefixOf] = {
            each.name.removesuffix(":wh=0"): each.prefix_of
            for each in filter_policies or ()
            if each.prefix_of is not None
        }
        self._open: WeakValueDictionary[str, Table] = WeakValueDictionary()
        self._runs: dict[int, tuple[SortedRun, RunTables]] = {}  # of the last manifest, by identity

    def open(self, handle: SstHandle, path: str) -> Table:
        """Return the table of a file. Does no I/O."""
        table = self._open.get(path)
        if table is None or table.handle != handle:
            table = self._open[path] = Table(handle, path, self.cache, self._extractors)
        return table

    def run(self, plan: Plan[T]) -> T:
        """Drive a plan in this thread."""
        return run(self.store, plan)

    def forest(self, manifest: Manifest) -> Forest:
        """Lay out the trees of a manifest. Does no I/O.

        Cost: 8 us a file. Runs that are the very ones of the last manifest are taken over.
        """
        opened = _Opened(self, manifest)
        segments = manifest.segments
        forest = Forest(
            self._tree(manifest.tree, opened),
            [segment.prefix for segment in segments],
            [self._tree(segment.tree, opened) for segment in segments],
            all(handle.version == VERSION for handle in manifest.ssts),
        )
        self._runs = opened.runs
        return forest

    def _tree(self, tree: Tree, opened: _Opened) -> TreeTables:
        runs = []
        for run_views in tree.runs:
            known, run_tables = self._runs.get(id(run_views), (None, None))
            if known is not run_views or run_tables is None:
                run_tables = RunTables(opened.slots(run_views.views))
            opened.runs[id(run_views)] = (run_views, run_tables)
            if run_tables.slots:
                runs.append(run_tables)
        return TreeTables(opened.slots(tree.l0), runs)


class _Opened:
    """Opens tables of one manifest, as they are asked for."""

    def __init__(self, tables: Tables, manifest: Manifest) -> None:
        self._tables = tables
        self._handles = {handle.id: handle for handle in manifest.ssts}
        self._parents = tables.place.parent_tables(manifest)
        self.runs: dict[int, tuple[SortedRun, RunTables]] = {}

    def slots(self, views: Sequence[SstView]) -> list[Slot]:
        """Return what is seen of the tables of some views. Raises DataError."""
        found = []
        for view in views:
            sst_id = view.sst_id
            handle = self._handles.get(sst_id)
            if handle is None:
                raise DataError(
                    "a manifest has a view of a file that it does not list",
                    kind="manifest",
                    sst=sst_id,
                )
            path = self._parents.get(sst_id) or self._tables.place.table(sst_id)
            slot = _slot(view, self._tables.open(handle, path))
            if slot is not None:
                found.append(slot)
        return found


def _slot(view: SstView, table: Table) -> Slot | None:
    """Return what is seen of a table; None when nothing is."""
    low = table.info.first_entry or b""
    last = table.info.last_entry
    stop = None if last is None else last + b"\0"
    if view.visible is not None:
        start, end = view.visible.span()
        low = max(low, start)
        if stop is None or (end is not None and end < stop):
            stop = end
    return Slot(low, stop, table) if stop is None or low < stop else None
