"""Databases that the `slatedb` package writes, in a local directory.

Tests run it as a program (see `main`), golden files are made with its functions.

    python wheel.py write DIR ROWS   each of `SCENARIOS` to DIR/<name>, with what is found in it
    python wheel.py scan DIR         what is in the databases at and below DIR
    python wheel.py stamps DIR       sequence number and times of each key
    python wheel.py use DIR          write to a database, compact it whole, tell what is in it
    python wheel.py compactions DIR  the newest state of compactions
    python wheel.py seconds DIR N... when these sequence numbers were written

Rows are the same in every run but for their times, the ids of files and the epochs of compactions.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import slatedb.uniffi as slate

VERSION = tuple(int(part) for part in version("slatedb").split(".")[:2])
# Before 0.16 a write waits until it is durable, so the log has to be written without being asked.
EVERYTHING = slate.KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False)
CODECS = ("None", "Snappy", "Zlib", "Lz4", "Zstd")
MEMTABLE = slate.FlushOptions(flush_type=slate.FlushType.MEM_TABLE)


class Concat(slate.MergeOperator):
    """Operands joined by commas."""

    def merge(self, key: bytes, existing_value: bytes | None, operand: bytes) -> bytes:
        return operand if existing_value is None else bytes(existing_value) + b"," + bytes(operand)


class FirstThree(getattr(slate, "PrefixExtractor", object)):
    """The first three bytes of a key."""

    def name(self) -> str:
        return "first3"

    def prefix_len(self, target: Any) -> int | None:
        key = target.key if target.is_point() else target.prefix
        return 3 if len(key) >= 3 else None


def store() -> slate.ObjectStore:
    return slate.ObjectStore.resolve("file:///")


def place(root: Path) -> str:
    return str(root).lstrip("/")


def settings(**values: Any) -> slate.Settings:
    """Return settings without background work; `values` are set by their dotted names."""
    made = slate.Settings.default()
    quiet: dict[str, Any] = {
        "compactor_options": None,
        "garbage_collector_options": None,
        "flush_interval": "1h" if VERSION >= (0, 16) else "5ms",
    }
    if any(name.startswith("compactor_options.") for name in values):
        del quiet["compactor_options"]
    for name, value in {**quiet, **values}.items():
        made.set(name, json.dumps(value))
    return made


async def open_db(root: Path, **values: Any) -> Any:
    """Open a database with `Concat`; `extractor`, `policies`, `block_size` are the builder's."""
    builder = slate.DbBuilder(place(root), store())
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
    builder = slate.DbReaderBuilder(place(root), store())
    builder.with_merge_operator(Concat())
    if hasattr(slate, "ReaderMode"):
        builder.with_reader_mode(slate.ReaderMode.FOLLOW_LATEST())
    if extractor:
        builder.with_segment_extractor(extractor)
    return await builder.build()


async def scan(db: Any) -> dict[bytes, bytes]:
    """Return all keys and values as the package sees them."""
    found: dict[bytes, bytes] = {}
    rows = await db.scan(EVERYTHING)
    while row := await rows.next():
        found[bytes(row.key)] = bytes(row.value)
    return found


def expire_after(ms: int) -> slate.Ttl:
    ttl = slate.Ttl
    return (ttl.EXPIRE_AFTER_MILLIS if VERSION >= (0, 16) else ttl.EXPIRE_AFTER_TICKS)(ms)


def expire_at(ms: int) -> slate.Ttl:
    return slate.Ttl.EXPIRE_AT_MILLIS(ms) if VERSION >= (0, 16) else expire_after(ms)


async def fill(db: Any, count: int) -> None:
    """Write `count` rows and then changes of every kind, as one batch each."""
    batch = slate.WriteBatch()
    for n in range(count):
        batch.put(b"key:%06d" % (n * 7 % count), b"value %d " % n * (n % 5))
    await db.write(batch)
    batch = slate.WriteBatch()
    for n in range(0, count, 11):
        batch.delete(b"key:%06d" % n)
    for n in range(0, count, 13):
        batch.merge(b"sum:%06d" % n, b"%d" % n)
    for n in range(0, count, 17):
        options = slate.PutOptions(ttl=expire_after(10**12 + n))
        batch.put_with_options(b"ttl:%06d" % n, b"t" * (n % 40), options)
    options = slate.MergeOptions(ttl=expire_at(2**42))
    batch.merge_with_options(b"sum:ttl", b"x", options)
    await db.write(batch)


async def change(db: Any, count: int) -> None:
    """Write over a third of what `fill` wrote, with a long value and a long key among it."""
    batch = slate.WriteBatch()
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
    db = await open_db(
        root, compression_codec=None if name == "None" else name, min_filter_keys=100
    )
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


async def compact(root: Path, all_runs: bool = False, **values: Any) -> None:
    """Merge all of level 0 into a new run, by the package's own compactor."""
    admin = slate.AdminBuilder(place(root), store()).build()
    state = await admin.read_manifest(None)
    sources = [slate.SourceId.SST_VIEW(view.id) for view in state.l0]
    destination = max((run.id for run in state.compacted), default=-1) + 1
    if all_runs:
        sources += [slate.SourceId.SORTED_RUN(run.id) for run in state.compacted]
        destination = min((run.id for run in state.compacted), default=0)
    options = {
        "poll_interval": "20ms",
        "commit_compacted_interval": "20ms",
        "worker.compactions_poll_interval": "20ms",
        "worker.max_sst_size": 40_000,
    }
    values.update({f"compactor_options.{name}": value for name, value in options.items()})
    db = await open_db(root, **values)
    spec = slate.CompactionSpec.TIERED(segment=b"", sources=sources, destination=destination)
    await submit(admin, spec)
    for _ in range(500):
        state = await admin.read_manifest(None)
        if not state.l0 and any(run.id == destination for run in state.compacted):
            break
        await asyncio.sleep(0.02)
    else:
        raise TimeoutError("the compactor did not come to an end")
    await db.shutdown()


async def submit(admin: Any, spec: Any) -> None:
    """Submit a compaction; again when two threads of the package read its clock out of turn."""
    for _ in range(20):
        try:
            await admin.submit_compaction(spec)
            return
        except slate.Error as error:
            if "invalid clock tick" not in str(error):
                raise
            await asyncio.sleep(0.01)
    raise TimeoutError("the package's clock never came to rest")


async def segments(root: Path, count: int) -> None:
    """Three segments, each with a level 0 file."""
    db = await open_db(root, extractor=FirstThree())
    batch = slate.WriteBatch()
    for prefix in (b"bbb", b"aaa", b"ccc"):
        for n in range(count):
            batch.put(prefix + b"%05d" % n, b"%d" % n)
    await db.write(batch)
    await db.flush_with_options(MEMTABLE)
    await db.put(b"aaa00000", b"changed")
    await db.flush()
    await db.shutdown()


async def checkpoints(root: Path, count: int) -> None:
    """A database with checkpoints, and what others make of it: a clone, a part, a union of two.

    There is no log: parts can only be made of a database without one.
    """
    db = await open_db(root / "parent", wal_enabled=False)
    await fill(db, count)
    await db.flush_with_options(MEMTABLE)
    await db.shutdown()
    await compact(root / "parent", wal_enabled=False)
    db = await open_db(root / "parent", wal_enabled=False)
    await change(db, count)
    await db.flush_with_options(MEMTABLE)
    await db.shutdown()
    admin = slate.AdminBuilder(place(root / "parent"), store()).build()
    named = slate.CheckpointOptions(lifetime_ms=10**9, source=None, name="friday ü")
    made = await admin.create_detached_checkpoint(named)
    lasting = slate.CheckpointOptions(lifetime_ms=None, source=None, name=None)
    await admin.create_detached_checkpoint(lasting)
    ranges = {
        "clone": None,
        "low": slate.KeyRange(
            start=None, start_inclusive=False, end=b"key:000050", end_inclusive=False
        ),
        "high": slate.KeyRange(
            start=b"key:000050", start_inclusive=True, end=b"t", end_inclusive=True
        ),
    }
    sources = {
        name: slate.CloneSourceSpec(
            path=place(root / "parent"), checkpoint=made.id, projection_range=span
        )
        for name, span in ranges.items()
    }
    for name, source in sources.items():
        await clone(root / name, [source])
    halves = [
        slate.CloneSourceSpec(path=place(root / name), checkpoint=None, projection_range=None)
        for name in ("low", "high")
    ]
    await clone(root / "union", halves)
    db = await open_db(root / "clone")
    await db.put(b"own", b"row of the clone")
    await db.flush_with_options(MEMTABLE)
    await db.shutdown()


async def clone(root: Path, sources: list[Any]) -> None:
    """Make a database of parts of others."""
    admin = slate.AdminBuilder(place(root), store()).build()
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
        options = slate.BloomFilterOptions(bits_per_key=bits, whole_key_filtering=whole)
        policy = slate.FilterPolicy.bloom_with_options(options, extractor)
        db = await open_db(root / name, policies=[policy], min_filter_keys=1)
        await fill(db, count)
        await db.flush_with_options(MEMTABLE)
        await db.shutdown()


async def blocks(root: Path, count: int) -> None:
    """Tables of the smallest and the largest blocks."""
    sizes = {"1024": slate.SstBlockSize.BLOCK1_KIB, "65536": slate.SstBlockSize.BLOCK64_KIB}
    for name, size in sizes.items():
        db = await open_db(root / name, block_size=size)
        await fill(db, count)
        await change(db, count)
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
    "blocks": blocks,
}


def write(name: str, base: Path, count: int) -> Path:
    """Write a scenario of about `count` rows below `base`; return its directory."""
    asyncio.run(SCENARIOS[name](base / name, count))
    return base / name


def scan_all(root: Path) -> dict[str, dict[bytes, bytes]]:
    """Return what each database at or below `root` holds, by its path from there."""

    async def read(place: Path) -> dict[bytes, bytes]:
        db = await open_reader(place, FirstThree() if root.name == "segments" else None)
        rows = await scan(db)
        await db.shutdown()
        return rows

    places = sorted({path.parent.parent for path in root.rglob("manifest/*.manifest")})
    return {
        "" if place == root else str(place.relative_to(root)): asyncio.run(read(place))
        for place in places
    }


def as_hex(found: dict[str, dict[bytes, bytes]]) -> str:
    """Return what `scan_all` found as JSON."""
    return json.dumps(
        {
            name: {key.hex(): value.hex() for key, value in rows.items()}
            for name, rows in found.items()
        }
    )


async def use(root: Path) -> dict[bytes, bytes]:
    """Open for writing, write, compact all, and return what is there then."""
    db = await open_db(root)
    await db.put(b"written by the package", b"yes")
    await db.flush_with_options(MEMTABLE)
    await db.shutdown()
    await compact(root, all_runs=True)
    db = await open_db(root)
    rows = await scan(db)
    await db.shutdown()
    return rows


async def stamps(root: Path) -> dict[str, tuple[int, int | None, int | None]]:
    """Return the sequence number, creation and expiry of each key's newest row."""
    db = await open_reader(root)
    found = {}
    rows = await db.scan(EVERYTHING)
    while row := await rows.next():
        found[bytes(row.key).hex()] = (row.seq, row.create_ts, row.expire_ts)
    await db.shutdown()
    return found


async def compactions(root: Path) -> str:
    """Return the newest state of compactions as JSON."""
    admin = slate.AdminBuilder(place(root), store()).build()
    state = await admin.read_compactions(None)
    return json.dumps(
        [
            {
                "id": each.id,
                "status": each.status.name,
                "drain": each.spec.is_drain_segment(),
                "segment": each.spec.segment.hex(),
                "sources": [
                    int(source[0]) if source.is_sorted_run() else source[0]
                    for source in each.spec.sources
                ],
                "destination": getattr(each.spec, "destination", None),
                "outputs": [handle.id.value for handle in each.output_ssts],
            }
            for each in state.recent_compactions
        ]
    )


async def seconds(root: Path, seqs: list[int]) -> list[int | None]:
    """Return when each sequence number was written, from the manifest's tracker."""
    admin = slate.AdminBuilder(place(root), store()).build()
    return [await admin.get_timestamp_for_sequence(seq, False) for seq in seqs]


def main(command: str, root: Path, *numbers: int) -> None:
    """Run a command of the tests."""
    if command == "write":
        for name in SCENARIOS:
            made = write(name, root, numbers[0])
            (made / "expected.json").write_text(as_hex(scan_all(made)))
    elif command == "scan":
        print(as_hex(scan_all(root)))
    elif command == "use":
        print(as_hex({"": asyncio.run(use(root))}))
    elif command == "compactions":
        print(asyncio.run(compactions(root)))
    elif command == "stamps":
        print(json.dumps(asyncio.run(stamps(root))))
    elif command == "seconds":
        print(json.dumps(asyncio.run(seconds(root, list(numbers)))))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *map(int, sys.argv[3:]))
