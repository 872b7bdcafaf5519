"""A database at one moment: the memtables and the tables that together are all of it.

Owns: reading one key or several over all of them. Does not own: when a view is replaced (the
writer's, the reader's), ranges (`scan`).

Invariants:
1. A view never changes. Whoever holds one reads the same files for as long as they exist; when a
   file is gone meanwhile, its NotFoundError goes to the caller, who may take a newer view.
2. Sources are asked from the newest to the oldest: active memtable, frozen ones, level 0, runs.
   The first put or tombstone found ends the search.
3. `get` never fetches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cenote.lsm.entry import MERGE, PUT, Row
from cenote.lsm.format import SEQ_MAX, Manifest
from cenote.lsm.merge import fold_versions
from cenote.lsm.meta import Meta
from cenote.lsm.plan import PENDING, Pending, Plan, together
from cenote.lsm.scan import Scan
from cenote.lsm.table import Table, fetch_checked
from cenote.lsm.tables import Forest, Tables

if TYPE_CHECKING:
    from cenote.lsm.keys import KeyRange
    from cenote.lsm.memtable import Chain, Memtable
    from cenote.lsm.options import Reading

__all__ = ["View"]


class View:
    """Memtables, the newest first, above the tables of a manifest. Immutable, thread-safe."""

    __slots__ = ("_candidates", "forest", "manifest", "memtables", "tables")

    def __init__(
        self,
        tables: Tables,
        manifest: Manifest,
        memtables: Sequence[Memtable] = (),
        *,
        forest: Forest | None = None,
    ) -> None:
        self.tables = tables
        self.manifest = manifest
        self.memtables = tuple(memtables)
        self.forest = tables.forest(manifest) if forest is None else forest
        forest = self.forest
        self._candidates = forest.candidates if forest.prefixes else forest.root.candidates

    def with_memtables(self, memtables: Sequence[Memtable]) -> View:
        """Return the same tables below other memtables."""
        return View(self.tables, self.manifest, memtables, forest=self.forest)

    def with_manifest(
        self, manifest: Manifest, memtables: Sequence[Memtable] | None = None
    ) -> View:
        """Return the tables of another manifest, below the same memtables or others."""
        return View(self.tables, manifest, self.memtables if memtables is None else memtables)

    # One key.

    def get(self, key: bytes, read: Reading) -> Row | Pending | None:
        """Return what is seen of `key`, as a put; None when there is nothing; or PENDING.

        Raises DataError, and what the merge operator raises. Cost: 0.3 us from a memtable.
        """
        seq_max = read.seq_max
        for memtable in self.memtables:
            chain = memtable.find(key, seq_max)
            if chain is not None:
                seq, kind, value, create_ts, expire_ts, _ = chain
                if kind == PUT and expire_ts is None:
                    return key, value, seq, PUT, create_ts, None
                return self._get_versions(key, read)
        if seq_max is None:
            seq_max = SEQ_MAX
        for table in self._candidates(key):
            row = table.find(key, seq_max)
            if row is None:
                continue
            if row is PENDING:
                return PENDING
            if row[3] == PUT and row[5] is None:
                return row
            if row[3] == MERGE:
                return self._get_versions(key, read)
            return fold_versions((row,), read.now_ms, read.operator)
        return None

    def get_plan(self, key: bytes, read: Reading) -> Plan[Row | None]:
        """Return what `get` does, fetching what it needs.

        The indexes and filters that are missing are fetched together, then the blocks one by one,
        from the newest table that may hold the key, until the key is settled.
        """
        found = self.get(key, read)
        if found is not PENDING:
            return found
        versions: list[Row] = []
        if self._take_memtables(key, read.seq_max, versions):
            return fold_versions(versions, read.now_ms, read.operator)
        keep = read.cache_blocks
        tables = self._candidates(key)
        missing = [table for table in tables if table.meta() is None]
        metas: dict[Table, tuple[Meta, dict[int, bytes]]] = {}
        if len(missing) > 1:
            data = yield from fetch_checked([table.meta_fetch() for table in missing])
            for table, raw in zip(missing, data, strict=True):
                metas[table] = table.take_meta(raw, keep=keep)
        for table in tables:
            seq_max = _below(versions, read.seq_max)
            while True:
                row = yield from table.find_plan(key, seq_max, keep=keep, at_hand=metas.get(table))
                if row is None:
                    break
                versions.append(row)
                if row[3] != MERGE:
                    return fold_versions(versions, read.now_ms, read.operator)
                seq_max = row[2] - 1
        return fold_versions(versions, read.now_ms, read.operator)

    def get_many_plan(self, keys: Sequence[bytes], read: Reading) -> Plan[list[Row | None]]:
        """Return what is seen of each key. What several of them need is fetched together."""
        found: list[Row | None] = []
        pending: list[int] = []
        for at, key in enumerate(keys):
            row = self.get(key, read)
            if row is PENDING:
                pending.append(at)
                row = None
            found.append(row)
        if pending:
            rows = yield from together([self.get_plan(keys[at], read) for at in pending])
            for at, row in zip(pending, rows, strict=True):
                found[at] = row
        return found

    def _get_versions(self, key: bytes, read: Reading) -> Row | Pending | None:
        """As `get`, for a key that has operands or an expiry."""
        versions: list[Row] = []
        if not self._take_memtables(key, read.seq_max, versions):
            for table in self._candidates(key):
                seq_max = _below(versions, read.seq_max)
                while (row := table.find(key, seq_max)) is not None:
                    if row is PENDING:
                        return PENDING
                    versions.append(row)
                    if row[3] != MERGE:
                        return fold_versions(versions, read.now_ms, read.operator)
                    seq_max = row[2] - 1
        return fold_versions(versions, read.now_ms, read.operator)

    def _take_memtables(self, key: bytes, seq_max: int | None, versions: list[Row]) -> bool:
        """Append the versions in memory down to a settled one; tell whether there was one."""
        for memtable in self.memtables:
            chain: Chain | None = memtable.find(key, seq_max)
            while chain is not None:
                seq, kind, value, create_ts, expire_ts, chain = chain
                versions.append((key, value, seq, kind, create_ts, expire_ts))
                if kind != MERGE:
                    return True
        return False

    # Many keys.

    def scan(
        self, span: KeyRange, read: Reading, *, reverse: bool = False, limit: int | None = None
    ) -> Scan:
        """Return a scan over a range, in order of the keys or against it. Does no I/O."""
        return Scan(self.memtables, self.forest, span, read, reverse=reverse, limit=limit)


def _below(versions: Sequence[Row], seq_max: int | None) -> int:
    """Return the greatest sequence number that an older version may have."""
    if versions:
        return versions[-1][2] - 1
    return SEQ_MAX if seq_max is None else seq_max
