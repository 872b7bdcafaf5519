"""A store nothing is written to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cenote.errors import DeniedError
from cenote.objstore.around import AroundStore, Call

__all__ = ["ReadOnlyStore"]

T = TypeVar("T")


class ReadOnlyStore(AroundStore):
    """Refuses every write with DeniedError(kind="read_only"), before it is sent."""

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if call.is_write:
            raise DeniedError(f"{self.name} is open read-only", kind="read_only", path=call.path)
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()
