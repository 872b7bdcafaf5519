"""A store that keeps what it read of objects that never change.

Owns: the bytes kept, whole objects and ranges, and which go first.
Does not own: which paths are immutable; the caller says.

Invariants:
1. The bytes kept never exceed the budget; the least recently used go.
2. A path that is not immutable is never answered from here. A write or delete by way of this store
   forgets its path.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cenote.objstore.api import Fetched, ObjectMeta, ObjectStore, check_range
from cenote.objstore.around import AroundStore, Call

__all__ = ["CachingStore"]

T = TypeVar("T")

Range = tuple[int, int]
WHOLE: Range = (0, -1)


class CachingStore(AroundStore):
    """Keeps up to `budget` bytes of the objects at paths of which `is_immutable` holds."""

    def __init__(
        self, inner: ObjectStore, budget: int, *, is_immutable: Callable[[str], bool]
    ) -> None:
        super().__init__(inner)
        self._budget = budget
        self._is_immutable = is_immutable
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, Range], tuple[ObjectMeta | None, bytes]] = OrderedDict()
        self._ranges: dict[str, set[Range]] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def get(self, path: str) -> Fetched:
        return self._whole(path) or self._keep_whole(path, self.inner.get(path))

    async def get_async(self, path: str) -> Fetched:
        return self._whole(path) or self._keep_whole(path, await self.inner.get_async(path))

    def get_range(self, path: str, start: int, end: int) -> bytes:
        return self.get_ranges(path, [(start, end)])[0]

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        return (await self.get_ranges_async(path, [(start, end)]))[0]

    def get_ranges(self, path: str, ranges: Sequence[Range]) -> Sequence[bytes]:
        found, missing = self._find(path, ranges)
        if missing:
            found |= self._keep_ranges(path, missing, self.inner.get_ranges(path, missing))
        return [found[span] for span in ranges]

    async def get_ranges_async(self, path: str, ranges: Sequence[Range]) -> Sequence[bytes]:
        found, missing = self._find(path, ranges)
        if missing:
            fetched = await self.inner.get_ranges_async(path, missing)
            found |= self._keep_ranges(path, missing, fetched)
        return [found[span] for span in ranges]

    def get_tail(self, path: str, size: int) -> Fetched:
        return self._tail(path, size) or self.inner.get_tail(path, size)

    async def get_tail_async(self, path: str, size: int) -> Fetched:
        return self._tail(path, size) or await self.inner.get_tail_async(path, size)

    def delete_many(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._forget(path)
        self.inner.delete_many(paths)

    def close(self) -> None:
        with self._lock:
            self._kept.clear()
            self._ranges.clear()
            self._size = 0
        self.inner.close()

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if not call.is_write:
            return run()
        try:
            return run()
        finally:
            self._forget(call.path)

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()

    def _whole(self, path: str) -> Fetched | None:
        with self._lock:
            kept = self._kept.get((path, WHOLE))
            if kept is None or kept[0] is None:
                return None
            self._kept.move_to_end((path, WHOLE))
            return Fetched(kept[0], kept[1])

    def _tail(self, path: str, size: int) -> Fetched | None:
        check_range(path, 0, size)
        whole = self._whole(path)
        return whole and Fetched(whole.meta, whole.data[-size:])

    def _find(self, path: str, ranges: Sequence[Range]) -> tuple[dict[Range, bytes], list[Range]]:
        found: dict[Range, bytes] = {}
        whole = self._whole(path)
        missing: dict[Range, None] = {}
        for span in ranges:
            check_range(path, *span, None if whole is None else whole.meta.size)
            if whole is not None:
                found[span] = whole.data[span[0] : span[1]]
                continue
            with self._lock:
                kept = self._kept.get((path, span))
                if kept is None:
                    missing[span] = None
                else:
                    self._kept.move_to_end((path, span))
                    found[span] = kept[1]
        return found, list(missing)

    def _keep_whole(self, path: str, found: Fetched) -> Fetched:
        if len(found.data) == found.meta.size:
            self._keep(path, WHOLE, found.meta, found.data)
        return found

    def _keep_ranges(
        self, path: str, ranges: list[Range], fetched: Sequence[bytes]
    ) -> dict[Range, bytes]:
        found = dict(zip(ranges, fetched, strict=True))
        for span, data in found.items():
            if len(data) == span[1] - span[0]:
                self._keep(path, span, None, data)
        return found

    def _keep(self, path: str, span: Range, meta: ObjectMeta | None, data: bytes) -> None:
        if len(data) > self._budget or not self._is_immutable(path):
            return
        with self._lock:
            self._drop(path, span)
            self._kept[path, span] = (meta, data)
            self._ranges.setdefault(path, set()).add(span)
            self._size += len(data)
            while self._size > self._budget:
                self._drop(*next(iter(self._kept)))

    def _drop(self, path: str, span: Range) -> None:
        kept = self._kept.pop((path, span), None)
        if kept is not None:
            self._size -= len(kept[1])
            spans = self._ranges[path]
            spans.remove(span)
            if not spans:
                del self._ranges[path]

    def _forget(self, path: str) -> None:
        with self._lock:
            for span in list(self._ranges.get(path, ())):
                self._drop(path, span)
