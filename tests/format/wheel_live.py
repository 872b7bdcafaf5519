"""A program of the `slatedb` package at work while somebody else compacts, or works for it.

    python wheel_live.py writes DIR TURNS     write and flush so many batches, without a compactor
    python wheel_live.py submits DIR COUNT    submit a compaction of the COUNT newest level 0 files
    python wheel_live.py coordinates DIR      open with a compactor that leaves the work to others
    python wheel_live.py resumes DIR          open with a compactor that takes silent claims back
    python wheel_live.py drained DIR          write segments, wait for DIR/go, write one of them
    python wheel_live.py expires DIR          write rows that expire soon, and later ones

Each prints what it finds in the database at the end, as JSON.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import slatedb.uniffi as slate
import wheel

QUICK = {
    "compactor_options.poll_interval": "20ms",
    "compactor_options.commit_compacted_interval": "20ms",
    "compactor_options.worker_heartbeat_timeout": "200ms",
}


async def found(root: Path) -> dict[bytes, bytes]:
    db = await wheel.open_reader(root)
    rows = await wheel.scan(db)
    await db.shutdown()
    return rows


async def writes(root: Path, turns: int) -> dict[bytes, bytes]:
    """Write over the same keys again and again; what is read must be what was written."""
    db = await wheel.open_db(root)
    model = await wheel.scan(db)
    for turn in range(turns):
        batch = slate.WriteBatch()
        for n in range(turn % 7, 300, 1 + turn % 5):
            key = b"key:%05d" % n
            if (n + turn) % 11 == 0:
                batch.delete(key)
                model.pop(key, None)
            elif (n + turn) % 13 == 0:
                batch.merge(key, b"m%d" % turn)
                model[key] = model[key] + b",m%d" % turn if key in model else b"m%d" % turn
            else:
                batch.put(key, b"%d of turn %d" % (n, turn))
                model[key] = b"%d of turn %d" % (n, turn)
        await db.write(batch)
        await db.flush_with_options(wheel.MEMTABLE)
        if turn % 5 == 4:
            assert await wheel.scan(db) == model, turn
        await asyncio.sleep(0.05)
    assert await wheel.scan(db) == model
    await db.shutdown()
    assert await found(root) == model
    return model


async def submits(root: Path, count: int) -> dict[bytes, bytes]:
    admin = slate.AdminBuilder(wheel.place(root), wheel.store()).build()
    state = await admin.read_manifest(None)
    sources = [slate.SourceId.SST_VIEW(view.id) for view in state.l0[:count]]
    destination = max((run.id for run in state.compacted), default=-1) + 1
    spec = slate.CompactionSpec.TIERED(segment=b"", sources=sources, destination=destination)
    await admin.submit_compaction(spec)
    return await found(root)


async def with_compactor(root: Path, **values: object) -> dict[bytes, bytes]:
    """Open with a compactor, and wait until level 0 is empty."""
    db = await wheel.open_db(root, **{**QUICK, **values})
    admin = slate.AdminBuilder(wheel.place(root), wheel.store()).build()
    for _ in range(1000):
        if not (await admin.read_manifest(None)).l0:
            break
        await asyncio.sleep(0.02)
    else:
        raise TimeoutError("level 0 was not compacted")
    rows = await wheel.scan(db)
    await db.shutdown()
    return rows


async def drained(root: Path) -> dict[bytes, bytes]:
    db = await wheel.open_db(root, extractor=wheel.FirstThree())
    for turn in range(2):
        for prefix in (b"aaa", b"bbb", b"ccc"):
            batch = slate.WriteBatch()
            for n in range(40):
                batch.put(prefix + b"%04d" % (n + 20 * turn), b"%d" % turn)
            await db.write(batch)
            await db.flush_with_options(wheel.MEMTABLE)
    (root / "ready").touch()
    while not (root / "go").exists():
        await asyncio.sleep(0.01)
    await db.put(b"bbb0000", b"after")
    await db.flush_with_options(wheel.MEMTABLE)
    await db.put(b"ddd0000", b"after")
    await db.flush_with_options(wheel.MEMTABLE)
    rows = await wheel.scan(db)
    await db.shutdown()
    return rows


async def expires(root: Path) -> dict[bytes, bytes]:
    db = await wheel.open_db(root)
    soon = slate.PutOptions(ttl=wheel.expire_after(1))
    late = slate.PutOptions(ttl=wheel.expire_after(10**10))
    batch = slate.WriteBatch()
    for n in range(50):
        batch.put_with_options(b"soon:%04d" % n, b"v", soon)
        batch.put_with_options(b"late:%04d" % n, b"v", late)
    await db.write(batch)
    await db.flush_with_options(wheel.MEMTABLE)
    await asyncio.sleep(0.05)
    await db.put(b"last", b"v")
    await db.flush_with_options(wheel.MEMTABLE)
    await db.shutdown()
    return await found(root)


def main(command: str, root: Path, *numbers: int) -> None:
    if command == "writes":
        rows = asyncio.run(writes(root, numbers[0]))
    elif command == "submits":
        rows = asyncio.run(submits(root, numbers[0]))
    elif command == "drained":
        rows = asyncio.run(drained(root))
    elif command == "expires":
        rows = asyncio.run(expires(root))
    elif command == "coordinates":
        rows = asyncio.run(with_compactor(root, **{"compactor_options.worker": None}))
    else:
        poll = {"compactor_options.worker.compactions_poll_interval": "20ms"}
        rows = asyncio.run(with_compactor(root, **poll))
    print(wheel.as_hex({"": rows}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *map(int, sys.argv[3:]))
