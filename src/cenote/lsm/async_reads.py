"""Reading with an event loop: what databases, snapshots, transactions and readers share.

Owns: the calls. Does not own: what is read (`source`), how a scan is gone through (`async_scan`).

Invariants:
1. A call that need not fetch does not suspend: its coroutine runs to its end at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, overload

from cenote.lsm.async_scan import AsyncScan
from cenote.lsm.entry import Entry
from cenote.lsm.plan import PENDING, run_async
from cenote.lsm.source import ScanOptions, Source, range_of

__all__ = ["AsyncReads"]

T = TypeVar("T")


class AsyncReads:
    """Something to read. `await db.get(key)`, `async for key, value in db.scan()`."""

    _source: Source

    @overload
    async def get(
        self, key: bytes, default: None = None, *, durable_only: bool = False
    ) -> bytes | None: ...

    @overload
    async def get(self, key: bytes, default: T, *, durable_only: bool = False) -> bytes | T: ...

    async def get(
        self, key: bytes, default: T | None = None, *, durable_only: bool = False
    ) -> bytes | T | None:
        """Return the value of `key`, or `default`.

        `durable_only`: what is not durable yet is not seen.
        Raises TypeError, InvalidError, ClosedError, DataError, UnavailableError, and what the merge
        operator raises.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         return await db.get(b"k"), await db.get(b"none", b"-")
        >>> asyncio.run(main())
        (b'v', b'-')
        """
        source = self._source
        row = source.find(key, durable_only)
        if row is PENDING:
            row = await run_async(source.store, source.find_plan(key, durable_only))
        return default if row is None else row[1]

    async def entry(self, key: bytes, *, durable_only: bool = False) -> Entry | None:
        """Return the row of `key`: its value, sequence number and times; None if there is none.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v", expire_at_ms=9_999_999_999_999)
        ...         return (await db.entry(b"k")).expire_ts
        >>> asyncio.run(main())
        9999999999999
        """
        source = self._source
        row = source.find(key, durable_only)
        if row is PENDING:
            row = await run_async(source.store, source.find_plan(key, durable_only))
        return None if row is None else Entry(*row)

    async def get_many(
        self, keys: Iterable[bytes], *, durable_only: bool = False
    ) -> list[bytes | None]:
        """Return the value of each key, None where there is none. Fetches for all together.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         await db.put(b"k", b"v")
        ...         return await db.get_many([b"none", b"k"])
        >>> asyncio.run(main())
        [None, b'v']
        """
        source = self._source
        rows = await run_async(source.store, source.find_many(list(keys), durable_only))
        return [None if row is None else row[1] for row in rows]

    async def has(self, key: bytes, *, durable_only: bool = False) -> bool:
        """Tell whether there is a value; `in` cannot wait.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         return await db.has(b"k")
        >>> asyncio.run(main())
        False
        """
        return await self.entry(key, durable_only=durable_only) is not None

    def scan(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        durable_only: bool = False,
        cache_blocks: bool = True,
        readahead: int | None = None,
    ) -> AsyncScan:
        """Return the keys start <= key < end and their values, in order or in reverse.

        `prefix`: only keys that begin with it. `readahead`: how many bytes are asked for at once
        when some were read; `cache_blocks`: whether what was fetched is kept in memory.
        The scan reads the moment it was begun at, whatever is written meanwhile.
        Raises TypeError, InvalidError, ClosedError; what reading raises comes as it is read.

        >>> import asyncio, cenote
        >>> async def main():
        ...     async with await cenote.AsyncDb.open("memory://") as db:
        ...         for key in b"a1", b"a2", b"b":
        ...             await db.put(key, b"")
        ...         return [key async for key, _ in db.scan(prefix=b"a", reverse=True)]
        >>> asyncio.run(main())
        [b'a2', b'a1']
        """
        low, high = range_of(start, end, prefix)
        options = ScanOptions(reverse, durable_only, cache_blocks, readahead)
        return AsyncScan(self._source.store, self._source.walk(low, high, options))
