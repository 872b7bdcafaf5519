"""Databases that the `slatedb` package writes, in a local directory.

`python wheel.py DIR` writes each of `SCENARIOS` to DIR/<name>; tests and the golden files use it.
Rows are the same in every run but for their times, the ids of files and the epochs of compactions.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from slatedb.uniffi import (
    AdminBuilder,
    BloomFilterOptions,
    CheckpointOptions,
    CloneSourceSpec,
    CompactionSpec,
    DbBuilder,
    DbReaderBuilder,
    FilterPolicy,
    FlushOptions,
    FlushType,
    KeyRange,
    MergeOperator,
    MergeOptions,
    ObjectStore,
    PrefixExtractor,
    PutOptions,
    ReaderMode,
    Settings,
    SourceId,
    Ttl,
    WriteBatch,
    WriteOptions,
)

EVERYTHING = KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False)
CODECS = ("None", "Snappy", "Zlib", "Lz4", "Zstd")
MEMTABLE = FlushOptions(flush_type=FlushType.MEM_TABLE)


class Concat(MergeOperator):
    """Operands joined by commas."""

    def merge(self, key: bytes, existing_value: bytes | None, operand: bytes) -> bytes:
        return operand if existing_value is None else bytes(existing_value) + b"," + bytes(operand)

    def merge_batch(self, key: bytes, existing_value: bytes | None, operands: list[bytes]) -> bytes:
        parts = [bytes(operand) for operand in operands]
        return b",".join(parts if existing_value is None else [bytes(existing_value), *parts])


class FirstThree(PrefixExtractor):
    """The first three bytes of a key."""

    def name(self) -> str:
        return "first3"

    def prefix_len(self, target: Any) -> int | None:
        key = target[0]
        return 3 if len(key) >= 3 else None


def store() -> ObjectStore:
    return ObjectStore.resolve("file:///")


def place(root: Path) -> str:
    return str(root).lstrip("/")


def settings(**values: Any) -> Settings:
    """Return settings without background work; `values` are set by their dotted names."""
    made = Settings.default()
    quiet: dict[str, Any] = {
        "compactor_options": None,
        "garbage_collector_options": None,
        "flush_interval": "1h",
    }
    if any(name.startswith("compactor_options.") for name in values):
        del quiet["compactor_options"]
    for name, value in {**quiet, **values}.items():
        made.set(name, json.dumps(value))
    return made


async def open_db(root: Path, **values: Any) -> Any:
    """Open a database with `Concat`; `extractor`, `policies`, `block_size` are the builder's."""
    builder = DbBuilder(place(root), store())
    builder.with_merge_operator(Concat())
    if extractor := values.pop("extractor", None):
        builder.with_segment_extractor(extractor)
    if policies := values.pop("policies", None):
        builder.with_filter_policies(policies)
    if block_size := values.pop("block_size", None):
        builder.with_sst_block_size(block_size)
    builder.with_settings(settings(**values))
    return await builder.build()


async def open_reader(root: Path, extractor: Any = None) -> Any:
    """Open a reader that writes nothing."""
    builder = DbReaderBuilder(place(root), store())
    builder.with_merge_operator(Concat())
    builder.with_reader_mode(ReaderMode.FOLLOW_LATEST())
    if extractor:
        builder.with_segment_extractor(extractor)
    return await builder.build()


async def scan(db: Any) -> dict[bytes, bytes]:
    """Return all keys and values as the package sees them."""
    found: dict[bytes, bytes] = {}
    rows = await db.scan(EVERYTHING)
    while batch := await rows.next_batch(1000):
        found.update((bytes(row.key), bytes(row.value)) for row in batch)
    return found


async def fill(db: Any, count: int) -> None:
    """Write `count` rows and then changes of every kind, as one batch each."""
    batch = WriteBatch()
    for n in range(count):
        batch.put(b"key:%06d" % (n * 7 % count), b"value %d " % n * (n % 5))
    await db.write(batch)
    batch = WriteBatch()
    for n in range(0, count, 11):
        batch.delete(b"key:%06d" % n)
    for n in range(0, count, 13):
        batch.merge(b"sum:%06d" % n, b"%d" % n)
    for n in range(0, count, 17):
        options = PutOptions(ttl=Ttl.EXPIRE_AFTER_MILLIS(10**12 + n))
        batch.put_with_options(b"ttl:%06d" % n, b"t" * (n % 40), options)
    options = MergeOptions(ttl=Ttl.EXPIRE_AT_MILLIS(2**42))
    batch.merge_with_options(b"sum:ttl", b"x", options)
    await db.write(batch)


async def change(db: Any, count: int) -> None:
    """Write over a third of what `fill` wrote, with a long value and a long key among it."""
    batch = WriteBatch()
    for n in range(0, count, 3):
        batch.put(b"key:%06d" % n, b"again %d" % n)
    for n in range(0, count, 26):
        batch.merge(b"sum:%06d" % n, b"more")
    await db.write(batch)
    await db.put(b"long value", bytes(range(256)) * 40)
    await db.put(b"long key " + b"k" * 300, b"")
    await db.delete(b"never there")


async def codec(root: Path, name: str, count: int) -> None:
    """A level 0 file, a log and rows in both, in one codec."""
    db = await open_db(root, compression_codec=None if name == "None" else name)
    await fill(db, count)
    await db.flush_with_options(MEMTABLE)
    await change(db, count)
    await db.flush()
    await db.shutdown()


async def runs(root: Path, count: int) -> None:
    """Level 0 files compacted into a sorted run, twice, and one file after."""
    for turn in range(5):
        db = await open_db(root)
        await fill(db, count)
        await change(db, count + turn)
        await db.flush_with_options(MEMTABLE)
        await db.shutdown()
        if turn in (1, 3):
            await compact(root)


async def compact(root: Path) -> None:
    """Merge all of level 0 into a new run, by the package's own compactor."""
    admin = AdminBuilder(place(root), store()).build()
    state = await admin.read_manifest(None)
    sources = [SourceId.SST_VIEW(view.id) for view in state.l0]
    destination = max((run.id for run in state.compacted), default=-1) + 1
    options = {
        "poll_interval": "20ms",
        "commit_compacted_interval": "20ms",
        "worker.compactions_poll_interval": "20ms",
        "worker.max_sst_size": 40_000,
    }
    db = await open_db(root, **{f"compactor_options.{name}": options[name] for name in options})
    spec = CompactionSpec.TIERED(segment=b"", sources=sources, destination=destination)
    await admin.submit_compaction(spec)
    for _ in range(500):
        state = await admin.read_manifest(None)
        if any(run.id == destination for run in state.compacted):
            break
        await asyncio.sleep(0.02)
    await db.shutdown()


async def segments(root: Path, count: int) -> None:
    """Three segments, each with a level 0 file."""
    db = await open_db(root, extractor=FirstThree())
    for prefix in (b"bbb", b"aaa", b"ccc"):
        for n in range(count):
            await db.put(prefix + b"%05d" % n, b"%d" % n)
    await db.flush_with_options(MEMTABLE)
    await db.put(b"aaa00000", b"changed")
    await db.flush()
    await db.shutdown()


async def checkpoints(root: Path, count: int) -> None:
    """A database with a named checkpoint, a clone of it, a clone of a range, a union of two."""
    db = await open_db(root / "parent")
    await fill(db, count)
    await db.flush_with_options(MEMTABLE)
    await db.shutdown()
    admin = AdminBuilder(place(root / "parent"), store()).build()
    options = CheckpointOptions(lifetime_ms=10**9, source=None, name="friday ü")
    made = await admin.create_detached_checkpoint(options)
    await admin.create_detached_checkpoint(
        CheckpointOptions(lifetime_ms=None, source=None, name=None)
    )
    source = CloneSourceSpec(path=place(root / "parent"), checkpoint=made.id, projection_range=None)
    await clone(root / "clone", [source])
    halves = [
        KeyRange(start=None, start_inclusive=False, end=b"key:000050", end_inclusive=False),
        KeyRange(start=b"key:000050", start_inclusive=True, end=b"t", end_inclusive=True),
    ]
    sources = [
        CloneSourceSpec(path=place(root / "parent"), checkpoint=made.id, projection_range=half)
        for half in halves
    ]
    await clone(root / "half", sources[:1])
    await clone(root / "union", sources)


async def clone(root: Path, sources: list[CloneSourceSpec]) -> None:
    """Make a database of parts of others."""
    admin = AdminBuilder(place(root), store()).build()
    builder = admin.create_clone_builder_from_source(sources[0])
    for source in sources[1:]:
        builder.with_source(source)
    await builder.build()


async def filters(root: Path, count: int) -> None:
    """Files with filters over prefixes, over both, and of other sizes."""
    made = {
        "both": (10, True, FirstThree()),
        "prefixes": (10, False, FirstThree()),
        "wide": (17, True, None),
        "narrow": (3, True, None),
    }
    for name, (bits, whole, extractor) in made.items():
        options = BloomFilterOptions(bits_per_key=bits, whole_key_filtering=whole)
        policy = FilterPolicy.bloom_with_options(options, extractor)
        db = await open_db(root / name, policies=[policy], min_filter_keys=1)
        await fill(db, count)
        await db.flush_with_options(MEMTABLE)
        await db.shutdown()


SCENARIOS: dict[str, Callable[[Path, int], Awaitable[None]]] = {
    **{
        f"codec-{name.lower()}": lambda root, count, name=name: codec(root, name, count)
        for name in CODECS
    },
    "runs": runs,
    "segments": segments,
    "checkpoints": checkpoints,
    "filters": filters,
}


def write(name: str, root: Path, count: int) -> Path:
    """Write a scenario of about `count` rows below `root`; return its directory."""
    asyncio.run(SCENARIOS[name](root / name, count))
    return root / name


if __name__ == "__main__":
    for each in SCENARIOS:
        write(each, Path(sys.argv[1]).resolve(), int(sys.argv[2]))
