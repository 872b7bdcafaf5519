"""Fetches of stores that answer at once: the `_async` twins that never suspend.

Why never: the bytes are in memory or on a local disk, and handing 4 KiB to a thread costs ten
times what reading it does.
"""

from __future__ import annotations

from collections.abc import Sequence

from cenote.objstore.api import Fetched, ObjectStore

__all__ = ["BlockingFetches"]


class BlockingFetches(ObjectStore):
    """Adds the `_async` fetches to a local store."""

    async def get_async(self, path: str) -> Fetched:
        return self.get(path)

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        return self.get_range(path, start, end)

    async def get_ranges_async(
        self, path: str, ranges: Sequence[tuple[int, int]]
    ) -> Sequence[bytes]:
        return self.get_ranges(path, ranges)

    async def get_tail_async(self, path: str, size: int) -> Fetched:
        return self.get_tail(path, size)
