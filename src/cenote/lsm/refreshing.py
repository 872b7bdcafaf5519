"""A store whose owner looks for a newer manifest when an object is missing, before a read learns of
it.

Owns: the looking. Does not own: reading again on what is newer (`source`, `walk`).

A compactor in another process replaces files, and a collector deletes the old ones some time after.
A writer that writes nothing meanwhile, and so has no reason to read the manifest, still names them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cenote.errors import NotFoundError
from cenote.objstore import AroundStore, Call, ObjectStore

__all__ = ["RefreshingStore"]

T = TypeVar("T")


class RefreshingStore(AroundStore):
    """Calls `refresh` when `inner` says that there is no such object; then raises that."""

    def __init__(self, inner: ObjectStore, refresh: Callable[[], object]) -> None:
        super().__init__(inner)
        self._refresh = refresh

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        try:
            return run()
        except NotFoundError:
            self._refresh()
            raise

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        try:
            return await run()
        except NotFoundError:
            await asyncio.to_thread(self._refresh)
            raise
