"""A database made by hand: every kind of file, with the times and states that a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cenote.base import ManualClock, SeededRand
from cenote.lsm import PUT, Row
from cenote.lsm.format import (
    Checkpoint,
    Compaction,
    Compactions,
    CompactionStatus,
    Manifest,
    OutputSst,
    SstHandle,
    SstLayout,
    TieredSpec,
    UlidMint,
    compactions_name,
    encode_compactions,
    encode_sst,
    encode_wal,
    mint_uuid,
    table_name,
    wal_name,
)
from cenote.lsm.gc.sweep import Collected, Collector
from cenote.lsm.manifest.state import (
    FlushMark,
    L0Addition,
    add_checkpoint,
    add_l0,
    commit_tiered,
    new_manifest,
)
from cenote.lsm.manifest.store import ManifestStore
from cenote.lsm.place import Place
from cenote.lsm.settings import GcSettings
from cenote.lsm.wal.files import WalFiles
from cenote.objstore import MemoryStore, ObjectStore

AGE_MS = 300_000


class World:
    """A database in memory and what changes it, each step one file."""

    def __init__(self, seed: int = 1, *, store: ObjectStore | None = None, root: str = "db"):
        self.clock = ManualClock()
        self.rand = SeededRand(seed)
        self.store = store if store is not None else MemoryStore(clock=self.clock)
        self.place = Place(self.store, root, self.store)
        self.mint = UlidMint(self.clock, self.rand)
        self.manifests = ManifestStore(self.store, root, rand=self.rand)
        self.wal = WalFiles(self.store, root)
        self.manifests.update(lambda current: new_manifest() if current is None else None)
        self.seq = 0
        self.next_wal = 1
        self.next_compactions = 0

    @property
    def manifest(self) -> Manifest:
        return self.manifests.refresh().value

    def collector(self, *, clock: ManualClock | None = None, fences: bool = False) -> Collector:
        settings = GcSettings(age_min_ms=AGE_MS, fences=fences)
        return Collector(self.place, settings, clock=clock or self.clock, rand=self.rand)

    def collect(self) -> Collected:
        return self.collector().collect()

    def wait(self, ms: int = AGE_MS + 1000) -> None:
        self.clock.advance(ms / 1000)

    def rows(self, keys: Sequence[bytes]) -> list[Row]:
        self.seq += 1
        return [(key, b"%d" % self.seq, self.seq, PUT, self.clock.now_ms(), None) for key in keys]

    def write(self, *keys: bytes) -> int:
        """Write a log file; return its number."""
        rows = self.rows(keys or (b"key",))
        number, self.next_wal = self.next_wal, self.next_wal + 1
        self.wal.put(number, encode_wal(rows).data, f"w{number}")
        return number

    def fence(self) -> int:
        number, self.next_wal = self.next_wal, self.next_wal + 1
        self.wal.put_fence(number, f"f{number}")
        return number

    def upload(self, rows: list[Row] | None = None, ulid: str | None = None) -> SstHandle:
        """Make a table file that no manifest names."""
        self.clock.advance(0.001)
        made = encode_sst(rows or self.rows([b"key"]), SstLayout())
        ulid = ulid or self.mint.mint()
        self.store.put(self.place.table(ulid), made.data)
        return SstHandle(ulid, made.info)

    def add(self, handle: SstHandle) -> None:
        """Name a table file in level 0, its rows being all that was written so far."""
        mark = FlushMark(self.next_wal - 1, self.next_wal - 1, self.clock.now_ms(), self.seq, 0)
        self.manifests.edit(lambda m, _: add_l0(m, [L0Addition(handle)], mark))

    def flush(self, *keys: bytes) -> str:
        """Write a log file and a table of it; return the table's id."""
        self.write(*keys)
        handle = self.upload(self.rows(keys or (b"key",)))
        self.add(handle)
        return handle.id

    def compact(self, outputs: Sequence[SstHandle] = ()) -> None:
        """Put `outputs` (or a new file) in the place of all of level 0 and all runs."""
        made = outputs or [self.upload()]

        def edit(manifest: Manifest, _: int) -> Manifest:
            return commit_tiered(manifest, self.spec(manifest), [OutputSst(each) for each in made])

        self.manifests.edit(edit)

    def spec(self, manifest: Manifest) -> TieredSpec:
        runs = tuple(run.id for run in manifest.tree.runs)
        l0 = tuple(view.id for view in manifest.tree.l0)
        return TieredSpec(l0, runs, runs[-1] if runs else 0)

    def checkpoint(self, lifetime_s: int | None = None) -> Checkpoint:
        made = Checkpoint(mint_uuid(self.rand), 0, self.clock.now_ms() // 1000)
        if lifetime_s is not None:
            made = replace(made, expire_time_s=made.create_time_s + lifetime_s)

        def edit(manifest: Manifest, number: int) -> Manifest:
            return add_checkpoint(manifest, replace(made, manifest_id=number))

        version = self.manifests.edit(edit)
        return version.value.checkpoints[-1]

    def state_compactions(self, *compactions: Compaction) -> None:
        """Write the next compactions file."""
        self.next_compactions += 1
        number = self.next_compactions
        data = encode_compactions(Compactions(1, compactions))
        self.store.put(self.place.path(compactions_name(number)), data)

    def compaction(self, status: CompactionStatus, at_ms: int | None = None) -> Compaction:
        clock = ManualClock(self.clock.now_ms() if at_ms is None else at_ms)
        return Compaction(UlidMint(clock, self.rand).mint(), self.spec(self.manifest), status)

    def has_table(self, ulid: str) -> bool:
        return self.has(table_name(ulid))

    def has_wal(self, number: int) -> bool:
        return self.has(wal_name(number))

    def has(self, name: str) -> bool:
        path = self.place.path(name)
        folder = path.rpartition("/")[0]
        return any(meta.path == path for meta in self.store.list(folder))
