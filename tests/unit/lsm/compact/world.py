"""A database in memory for the compactor's tests: filled by a writer, looked at file by file."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from trees import Commas, seen

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, PUT, TOMBSTONE, CompactorSettings, DbSettings, Row, open_place
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.format import (
    Compactions,
    Manifest,
    check_manifest,
    decode_compactions,
    decode_manifest,
    open_sst,
)
from cenote.lsm.opening import open_writer
from cenote.lsm.writer import Writer
from cenote.objstore import MemoryStore, ObjectStore

ROOT = "db"
START_MS = 1_700_000_000_000


class FirstTwo:
    """The first two bytes of a key."""

    name = "first2"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:2] if len(key) >= 2 else None


def settings(**given: Any) -> DbSettings:
    compactor = given.pop("compactor", {})
    defaults = {"block_size": 1024, "filter_rows_min": 50}
    return DbSettings(**{**defaults, "compactor": CompactorSettings(**compactor), **given})


def writer_of(store: ObjectStore, *, clock: Any = None, seed: int = 1, **given: Any) -> Writer:
    """Open a writer without threads."""
    parts = {"merge_operator": Commas()}
    for name in ("merge_operator", "segment_extractor", "background"):
        if name in given:
            parts[name] = given.pop(name)
    return open_writer(
        open_place(store, ROOT),
        settings(**given),
        clock=clock or ManualClock(START_MS),
        rand=SeededRand(seed),
        **{"background": False, **parts},  # type: ignore[arg-type]
    )


def compactor_of(
    store: ObjectStore, *, clock: Any = None, seed: int = 2, **given: Any
) -> Compactor:
    """Open a stand-alone compactor without threads."""
    names = ("merge_operator", "scheduler", "works", "compaction_filter")
    parts = {"merge_operator": Commas()}
    parts.update({name: given.pop(name) for name in names if name in given})
    window = given.pop("window", None)
    made = Compactor.open(
        open_place(store, ROOT),
        settings(**given),
        clock=clock or ManualClock(START_MS),
        rand=SeededRand(seed),
        background=False,
        **parts,  # type: ignore[arg-type]
    )
    if window is not None:
        set_window(made, window)
    return made


def set_window(compactor: Compactor, window: int) -> None:
    """Merge so many bytes at a time, and look up after each of them."""
    object.__setattr__(compactor._tools, "window", window)
    if compactor._worker is not None:
        compactor._worker._merge = lambda attempt: attempt.run.step()  # type: ignore[method-assign]


def drive(compactor: Compactor, limit: int = 10_000) -> None:
    """Run it until there is nothing to do."""
    for _ in range(limit):
        if not compactor.run():
            return
    raise AssertionError("the compactor does not come to an end")


def write(writer: Writer, *ops: tuple[Any, ...]) -> None:
    """Write puts `(key, value)`, tombstones `(key,)` and operands `(key, value, MERGE)`, flush."""
    made: list[Any] = []
    for each in ops:
        if len(each) == 1:
            made.append((each[0], b"", TOMBSTONE, None, None))
        else:
            made.append((each[0], each[1], each[2] if len(each) > 2 else PUT, None, None))
    writer.write(made)
    writer.flush_memtable()


def fill(writer: Writer, flushes: int, rows: int = 60, seed: int = 5, prefix: bytes = b"") -> None:
    """Write files of level 0 with rows of every kind, which overlap."""
    rng = random.Random(seed)
    for turn in range(flushes):
        ops: dict[bytes, Any] = {}
        for _ in range(rows):
            key = prefix + b"%04d" % rng.randrange(2 * rows)
            kind = rng.choice([PUT, PUT, PUT, TOMBSTONE, MERGE])
            value = b"" if kind == TOMBSTONE else b"%d.%d" % (turn, rng.randrange(100))
            ops[key] = (key, value, kind, None, None)
        writer.write(list(ops.values()))
        writer.flush_memtable()


def last(store: ObjectStore, folder: str) -> bytes:
    return store.get(list(store.list(f"{ROOT}/{folder}"))[-1].path).data


def manifest_of(store: ObjectStore) -> Manifest:
    manifest = decode_manifest(last(store, "manifest"))
    check_manifest(manifest)
    return manifest


def compactions_of(store: ObjectStore) -> Compactions:
    return decode_compactions(last(store, "compactions"))


def rows_of(store: ObjectStore, manifest: Manifest | None = None) -> list[Row]:
    """Return all rows of the tables a manifest names, after a look at each table and run."""
    rows: list[Row] = []
    for tree in (manifest or manifest_of(store)).trees():
        for view in tree.views():
            sst = open_sst(store.get(f"{ROOT}/compacted/{view.sst_id}.sst").data)
            sst.check()
            rows += [
                row for row in sst.rows() if view.visible is None or view.visible.contains(row[0])
            ]
    return rows


def content(store: ObjectStore, seq: int = 2**60, now_ms: int = START_MS) -> dict[bytes, bytes]:
    """Return what a reader at `seq` sees in the tables."""
    return seen(rows_of(store), seq, now_ms)


def contents(store: ObjectStore, seqs: Iterable[int]) -> list[dict[bytes, bytes]]:
    rows = rows_of(store)
    return [seen(rows, seq, START_MS) for seq in seqs]


def copy_of(store: ObjectStore) -> MemoryStore:
    made = MemoryStore()
    for meta in store.list(""):
        made.put(meta.path, store.get(meta.path).data)
    return made


def shape(manifest: Manifest, segment: bytes = b"") -> tuple[int, Sequence[int]]:
    """Return how many files level 0 has, and how many each run."""
    trees = {each.prefix: each.tree for each in manifest.segments}
    tree = trees[segment] if segment else manifest.tree
    return len(tree.l0), [len(run.views) for run in tree.runs]
