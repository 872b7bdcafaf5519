"""What a program on slatedb does with a bucket; the first failed check ends it.

Takes the bucket's name (the endpoint and keys come by environment); prints "ok NAME" for each part.
"""

import asyncio
import sys

from slatedb.uniffi import CloseReason, DbBuilder, Error, IsolationLevel, KeyRange, ObjectStore

EVERYTHING = KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False)
ROWS = {f"row:{n:05}".encode(): f"value {n} ü".encode() * 20 for n in range(500)}


async def scan(db, prefix: bytes) -> dict[bytes, bytes]:
    rows = await db.scan_prefix(prefix, EVERYTHING)
    found = {}
    while (row := await rows.next()) is not None:
        found[bytes(row.key)] = bytes(row.value)
    return found


async def main(bucket: str) -> None:
    store = ObjectStore.resolve(f"s3://{bucket}")

    db = await DbBuilder("db", store).build()
    for key, value in ROWS.items():
        await db.put(key, value)
    # A put alone is in memory; the flush is what makes it durable.
    await db.flush()
    await db.delete(b"row:00007")
    await db.flush()
    await db.shutdown()
    print("ok write")

    wanted = {key: value for key, value in ROWS.items() if key != b"row:00007"}
    first = await DbBuilder("db", store).build()
    assert await first.get(b"row:00007") is None
    assert await scan(first, b"row:") == wanted
    print("ok reopen")

    change = await first.begin(IsolationLevel.SERIALIZABLE_SNAPSHOT)
    await change.put(b"account", b"100")
    await change.commit()
    await first.flush()
    print("ok transaction")

    second = await DbBuilder("db", store).build()
    await second.put(b"owner", b"second")
    await second.flush()
    try:
        # A put of the fenced writer may still succeed in memory; the flush must not.
        await first.put(b"owner", b"first")
        await first.flush()
    except Error.Closed as closed:
        assert closed.reason == CloseReason.FENCED, closed
    else:
        raise AssertionError("two writers were let in")
    print("ok fence")

    await second.shutdown()
    third = await DbBuilder("db", store).build()
    assert await third.get(b"owner") == b"second"
    assert await third.get(b"account") == b"100"
    assert await scan(third, b"row:") == wanted
    await third.shutdown()
    print("ok winner")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
