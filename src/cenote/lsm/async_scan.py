"""A scan as a program with an event loop sees it.

Owns: iterating without blocking the loop. Does not own: the place in the rows (`walk`).

Invariants:
1. It suspends only when something must be fetched, or when the batch ends and the store suspends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from cenote.lsm.db_scan import Pair, check_count
from cenote.lsm.entry import Entry
from cenote.lsm.options import as_key
from cenote.lsm.plan import run_async
from cenote.lsm.walk import Walk
from cenote.objstore import ObjectStore

__all__ = ["AsyncScan"]


class AsyncScan:
    """Keys and values of a range, in order. For one task at a time; reads one moment.

    `async for`, `next_batch`, `batches`, `entries` and `seek` may be mixed.

    >>> import asyncio, cenote
    >>> async def main():
    ...     async with await cenote.AsyncDb.open("memory://") as db:
    ...         await db.write(cenote.WriteBatch().put(b"a", b"1").put(b"b", b"2"))
    ...         return [pair async for pair in db.scan()]
    >>> asyncio.run(main())
    [(b'a', b'1'), (b'b', b'2')]
    """

    __slots__ = ("_store", "_walk")

    def __init__(self, store: ObjectStore, walk: Walk) -> None:
        self._store = store
        self._walk = walk

    async def __aiter__(self) -> AsyncIterator[Pair]:
        walk, store = self._walk, self._store
        while True:
            for pair in walk.pairs_of(walk.rows):
                yield pair
            if not await run_async(store, walk.fill()):
                return

    async def __anext__(self) -> Pair:
        """Return the next key and value."""
        for pair in await self.next_batch(1):
            return pair
        raise StopAsyncIteration

    async def entries(self) -> AsyncIterator[Entry]:
        """Iterate over whole rows: with sequence numbers and times."""
        walk, store = self._walk, self._store
        walk.want_rows()
        while True:
            for row in walk.rows:
                yield Entry(*row)
            if not await run_async(store, walk.fill()):
                return

    async def batches(self, count: int = 1000) -> AsyncIterator[list[Pair]]:
        """Iterate over lists of `count` keys and values; the last may be shorter."""
        while batch := await self.next_batch(count):
            yield batch

    async def next_batch(self, count: int = 1000) -> list[Pair]:
        """Return the next `count` keys and values, or what is left; [] at the end.

        Cancellation: the next call returns what this one would have.
        """
        check_count(count)
        return list(self._walk.pairs_of(await run_async(self._store, self._walk.take(count))))

    def seek(self, key: bytes) -> None:
        """Go on at `key`, or behind it in the scan's direction when it is not there.

        Forth or back, within the range of the scan: a key outside of it is its nearest end.
        """
        self._walk.seek(as_key(key))

    def close(self) -> None:
        """Let go of the moment that is read. Harmless when repeated."""
        self._walk.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
