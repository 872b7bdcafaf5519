"""Databases made layer by layer, and what a plain dictionary says is in them.

`Layers` is a list of layers from the oldest to the newest, as `build` takes them; `seen` is the
rule of visibility, written once more in the simplest way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.cache import BlockCache
from cenote.lsm.format import (
    BloomPolicy,
    Manifest,
    Segment,
    SortedRun,
    SstHandle,
    SstLayout,
    SstView,
    Tree,
    UlidMint,
    encode_sst,
)
from cenote.lsm.keys import KeyRange
from cenote.lsm.memtable import Memtable
from cenote.lsm.options import Reading
from cenote.lsm.place import Place
from cenote.lsm.tables import Tables
from cenote.lsm.view import View
from cenote.objstore import MemoryStore, RecordingStore

NOW_MS = 1_700_000_000_000


class Join:
    """A merge operator: operands are joined by commas."""

    name = "join"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(operands if existing is None else [existing, *operands])


def reading(seq_max: int | None = None, **values: object) -> Reading:
    return Reading(now_ms=lambda: NOW_MS, seq_max=seq_max, operator=Join(), **values)  # type: ignore[arg-type]


@dataclass
class Layer:
    """One layer: rows in a table, in the tables of a run, or in a memtable."""

    rows: list[Row]
    kind: str = "l0"  # l0, run, memtable
    cuts: tuple[bytes, ...] = ()  # keys at which a run is cut into tables
    visible: KeyRange | None = None


@dataclass
class Files:
    """Files in a memory store behind a recorder, and the manifest of them."""

    layout: SstLayout = field(default_factory=SstLayout)
    store: RecordingStore = field(default_factory=lambda: RecordingStore(MemoryStore()))
    handles: list[SstHandle] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._mint = UlidMint(ManualClock(NOW_MS), SeededRand(7))

    @property
    def place(self) -> Place:
        return Place(self.store, "db", self.store)

    def table(self, rows: Iterable[Row], visible: KeyRange | None = None) -> SstView:
        """Write a table and return a view of it."""
        made, ulid = encode_sst(sorted(rows, key=row_order), self.layout), self._mint.mint()
        self.store.put(self.place.table(ulid), made.data)
        self.handles.append(SstHandle(ulid, made.info, made.version))
        return SstView(ulid, ulid, visible)

    def run(self, number: int, layer: Layer) -> SortedRun:
        """Write a run, cut where the layer says."""
        rows = sorted(layer.rows, key=row_order)
        views = []
        for low, high in zip((b"", *layer.cuts), (*layer.cuts, None), strict=True):
            piece = [row for row in rows if low <= row[0] and (high is None or row[0] < high)]
            if piece:
                views.append(self.table(piece, layer.visible))
        return SortedRun(number, tuple(views))

    def tree(self, layers: Sequence[Layer]) -> Tree:
        """Write the layers that are files, which are given from the oldest to the newest."""
        l0 = [self.table(layer.rows, layer.visible) for layer in layers if layer.kind == "l0"]
        runs = [layer for layer in layers if layer.kind == "run"]
        made = [self.run(number, layer) for number, layer in enumerate(runs)]
        return Tree(tuple(reversed(l0)), tuple(run for run in reversed(made) if run.views))

    def view(
        self,
        layers: Sequence[Layer],
        *,
        budget: int = 2**24,
        segments: Sequence[tuple[bytes, Sequence[Layer]]] = (),
    ) -> View:
        """Write the layers and open a view of them."""
        tree = self.tree(layers)
        parts = tuple(Segment(prefix, self.tree(below)) for prefix, below in segments)
        manifest = Manifest(tree=tree, segments=parts, ssts=tuple(self.handles))
        return self.open(manifest, layers, budget=budget)

    def open(
        self,
        manifest: Manifest,
        layers: Sequence[Layer] = (),
        *,
        budget: int,
        policies: Sequence[BloomPolicy] = (),
    ) -> View:
        """Open a view of a manifest, with the layers that are memtables above it."""
        self.store.reset()
        memtables = [memtable(layer.rows) for layer in layers if layer.kind == "memtable"]
        cache = BlockCache(budget)
        tables = Tables(self.store, self.place, cache, filter_policies=policies)
        return View(tables, manifest, tuple(reversed(memtables)))


def memtable(rows: Iterable[Row]) -> Memtable:
    """Return a memtable that holds all versions of the rows."""
    made = Memtable()
    for row in sorted(rows, key=lambda row: row[2]):
        made.insert(*row, keep_from=0)
    return made


def put(key: bytes, value: bytes, seq: int, expire_ts: int | None = None) -> Row:
    return key, value, seq, PUT, NOW_MS, expire_ts


def merge(key: bytes, value: bytes, seq: int, expire_ts: int | None = None) -> Row:
    return key, value, seq, MERGE, NOW_MS, expire_ts


def tombstone(key: bytes, seq: int) -> Row:
    return key, b"", seq, TOMBSTONE, NOW_MS, None


def plain_rows(count: int, seq: int = 1, step: int = 1, size: int = 20) -> list[Row]:
    """Return puts of `key000000`, ... with values that tell key and sequence number."""
    return [
        put(b"key%06d" % n, b"%d/%d " % (n, seq) * (1 + size // 8), seq)
        for n in range(0, count, step)
    ]


def seen(
    layers: Iterable[Layer], seq_max: int | None = None, now_ms: int = NOW_MS
) -> dict[bytes, bytes]:
    """Return what the rows of all layers make together, by rising key."""
    versions: dict[bytes, list[Row]] = {}
    for layer in layers:
        for row in layer.rows:
            if layer.visible is not None and not layer.visible.contains(row[0]):
                continue
            if seq_max is None or row[2] <= seq_max:
                versions.setdefault(row[0], []).append(row)
    found: dict[bytes, bytes] = {}
    for key in sorted(versions):
        parts: list[bytes] = []
        for row in sorted(versions[key], key=lambda row: -row[2]):
            expired = row[5] is not None and row[5] <= now_ms
            if row[3] == MERGE:
                if not expired:
                    parts.append(row[1])
                continue
            if row[3] == PUT and not expired:
                parts.append(row[1])
            break
        if parts:
            found[key] = b",".join(reversed(parts))
    return found


def get(view: View, key: bytes, read: Reading) -> bytes | None:
    row = view.tables.run(view.get_plan(key, read))
    return None if row is None else row[1]


def scan_all(view: View, read: Reading, span: KeyRange | None = None, **how: object) -> list[Row]:
    """Return all rows of a scan."""
    scan = view.scan(span or KeyRange(), read, **how)  # type: ignore[arg-type]
    found: list[Row] = []
    while rows := view.tables.run(scan.next_batch()):
        found += rows
    return found
