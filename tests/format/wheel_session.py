"""A database of the `slatedb` package in its own process, driven line by line.

    python wheel_session.py DIR

Each line of the input is a JSON list, a command and its arguments; each line of the output is a
JSON object with `ok`, or with `error` and `reason`. Keys and values are text.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import slatedb.uniffi as slate
import wheel


class Session:
    """One database, and what is done with it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.db: Any = None

    async def open(self, **values: Any) -> None:
        extractor = wheel.FirstThree() if values.pop("segments", False) else None
        self.db = await wheel.open_db(self.root, extractor=extractor, **values)

    async def open_apart(self, directory: str) -> None:
        """Open with the log in a store of its own."""
        local = slate.ObjectStoreBuilder(slate.ObjectStoreType.LOCAL)
        local.with_config("local_path", directory)
        builder = slate.DbBuilder(wheel.place(self.root), wheel.store())
        builder.with_wal_object_store(local.build())
        builder.with_settings(wheel.settings())
        self.db = await builder.build()

    async def put(self, key: str, value: str) -> int:
        handle = await self.db.put(key.encode(), value.encode())
        return int(handle.seqnum())

    async def durable_put(self, key: str, value: str) -> int:
        handle = await self.db.put(key.encode(), value.encode())
        await self.db.flush()
        await handle.await_durable()
        return int(handle.seqnum())

    async def merge(self, key: str, value: str) -> int:
        return int((await self.db.merge(key.encode(), value.encode())).seqnum())

    async def delete(self, key: str) -> int:
        return int((await self.db.delete(key.encode())).seqnum())

    async def flush(self) -> None:
        await self.db.flush()

    async def flush_memtable(self) -> None:
        await self.db.flush_with_options(wheel.MEMTABLE)

    async def scan(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in (await wheel.scan(self.db)).items()}

    async def read(self, segments: bool = False) -> dict[str, str]:
        """Scan by a reader that follows the database and writes nothing."""
        reader = await wheel.open_reader(self.root, wheel.FirstThree() if segments else None)
        rows = await wheel.scan(reader)
        await reader.shutdown()
        return {k.decode(): v.decode() for k, v in rows.items()}

    async def close(self) -> None:
        await self.db.shutdown()


async def serve(session: Session) -> None:
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        given = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
        try:
            reply = {"ok": await getattr(session, command)(*arguments, **given)}
        except slate.Error as error:
            reason = getattr(error, "reason", None)
            reply = {
                "error": type(error).__name__,
                "reason": None if reason is None else reason.name,
                "message": str(error),
            }
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(Session(Path(sys.argv[1]).resolve())))
