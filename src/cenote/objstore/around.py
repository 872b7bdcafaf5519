"""A store around another: every request passes one place.

Owns: the passing on of every method, so that a wrapper of one concern is one function.
Does not own: any concern.

Invariants:
1. Every request of the contract goes through `_around` (or its twin `_around_async`) exactly once,
   a multipart upload's with the calls "multipart", "multipart_write", "multipart_finish".
   `abort` passes straight: it is how one leaves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from cenote.objstore.api import (
    PAGE_SIZE,
    Data,
    Fetched,
    Folder,
    MultipartWriter,
    ObjectMeta,
    ObjectStore,
    Page,
)

__all__ = ["WRITES", "AroundStore", "Call", "bytes_read"]

T = TypeVar("T")

WRITES: Final = frozenset(
    {
        "put",
        "put_if_absent",
        "put_if_match",
        "copy",
        "delete",
        "delete_many",
        "multipart",
        "multipart_write",
        "multipart_finish",
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way: the method's name, the path (or prefix), how many bytes it sends.

    `wanted` is how many bytes a read asks for, where it says so.
    """

    op: str
    path: str
    sends: int = 0
    wanted: int | None = None

    @property
    def is_write(self) -> bool:
        """Whether it may change the store."""
        return self.op in WRITES


def bytes_read(result: object) -> int:
    """Return how many bytes of objects a request's result holds."""
    if isinstance(result, bytes):
        return len(result)
    if isinstance(result, Fetched):
        return len(result.data)
    if isinstance(result, list):
        return sum(len(item) for item in result if isinstance(item, bytes))
    return 0


class AroundStore(ObjectStore):
    """Passes every request to `inner` by way of `_around`."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    @abstractmethod
    def _around(self, call: Call, run: Callable[[], T]) -> T:
        """Do the request: `run()` passes it on, once or more."""

    @abstractmethod
    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        """As `_around`, for the fetches that wait without blocking."""

    @property
    def name(self) -> str:
        return self.inner.name

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._around(
            Call("put", path, len(data)), lambda: self.inner.put(path, data, write_id=write_id)
        )

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._around(
            Call("put_if_absent", path, len(data)),
            lambda: self.inner.put_if_absent(path, data, write_id=write_id),
        )

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        return self._around(
            Call("put_if_match", path, len(data)),
            lambda: self.inner.put_if_match(path, data, etag, write_id=write_id),
        )

    def copy(self, source: str, target: str) -> ObjectMeta:
        return self._around(Call("copy", target), lambda: self.inner.copy(source, target))

    def delete(self, path: str) -> None:
        self._around(Call("delete", path), lambda: self.inner.delete(path))

    def delete_many(self, paths: Sequence[str]) -> None:
        first = paths[0] if paths else ""
        self._around(Call("delete_many", first), lambda: self.inner.delete_many(paths))

    def multipart(self, path: str) -> MultipartWriter:
        writer = self._around(Call("multipart", path), lambda: self.inner.multipart(path))
        return _AroundWriter(self, path, writer)

    def get(self, path: str) -> Fetched:
        return self._around(Call("get", path), lambda: self.inner.get(path))

    def get_range(self, path: str, start: int, end: int) -> bytes:
        return self._around(
            Call("get_range", path, wanted=end - start),
            lambda: self.inner.get_range(path, start, end),
        )

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return self._around(
            Call("get_ranges", path, wanted=_total(ranges)),
            lambda: self.inner.get_ranges(path, ranges),
        )

    def get_tail(self, path: str, size: int) -> Fetched:
        return self._around(
            Call("get_tail", path, wanted=size), lambda: self.inner.get_tail(path, size)
        )

    async def get_async(self, path: str) -> Fetched:
        return await self._around_async(Call("get", path), lambda: self.inner.get_async(path))

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        return await self._around_async(
            Call("get_range", path, wanted=end - start),
            lambda: self.inner.get_range_async(path, start, end),
        )

    async def get_ranges_async(
        self, path: str, ranges: Sequence[tuple[int, int]]
    ) -> Sequence[bytes]:
        return await self._around_async(
            Call("get_ranges", path, wanted=_total(ranges)),
            lambda: self.inner.get_ranges_async(path, ranges),
        )

    async def get_tail_async(self, path: str, size: int) -> Fetched:
        return await self._around_async(
            Call("get_tail", path, wanted=size), lambda: self.inner.get_tail_async(path, size)
        )

    def head(self, path: str) -> ObjectMeta:
        return self._around(Call("head", path), lambda: self.inner.head(path))

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        return self._around(
            Call("list_page", prefix),
            lambda: self.inner.list_page(prefix, start_after=start_after, limit=limit),
        )

    def list_folder(self, prefix: str = "") -> Folder:
        return self._around(Call("list_folder", prefix), lambda: self.inner.list_folder(prefix))

    def close(self) -> None:
        self.inner.close()


class _AroundWriter(MultipartWriter):
    def __init__(self, store: AroundStore, path: str, inner: MultipartWriter) -> None:
        self._store = store
        self._path = path
        self._inner = inner

    def write(self, data: Data) -> None:
        call = Call("multipart_write", self._path, len(data))
        self._store._around(call, lambda: self._inner.write(data))

    def finish(self) -> ObjectMeta:
        call = Call("multipart_finish", self._path)
        return self._store._around(call, self._inner.finish)

    def abort(self) -> None:
        self._inner.abort()


def _total(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(end - start for start, end in ranges)
