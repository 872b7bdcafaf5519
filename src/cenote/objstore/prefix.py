"""A store below a folder of another."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

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
from cenote.objstore.path import check_path, check_prefix, joined

__all__ = ["PrefixStore"]


class PrefixStore(ObjectStore):
    """Shows the folder `prefix` of `inner` as a store. Closing it closes `inner`.

    A path and its prefix together must be a path: see `path`.
    """

    def __init__(self, inner: ObjectStore, prefix: str) -> None:
        self.inner = inner
        self._prefix = check_path(prefix)
        self._skip = len(prefix) + 1

    @property
    def name(self) -> str:
        return f"{self.inner.name.rstrip('/')}/{self._prefix}"

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._short(self.inner.put(self._full(path), data, write_id=write_id))

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._short(self.inner.put_if_absent(self._full(path), data, write_id=write_id))

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        return self._short(self.inner.put_if_match(self._full(path), data, etag, write_id=write_id))

    def copy(self, source: str, target: str) -> ObjectMeta:
        return self._short(self.inner.copy(self._full(source), self._full(target)))

    def delete(self, path: str) -> None:
        self.inner.delete(self._full(path))

    def delete_many(self, paths: Sequence[str]) -> None:
        self.inner.delete_many([self._full(path) for path in paths])

    def multipart(self, path: str) -> MultipartWriter:
        return _ShortWriter(self, self.inner.multipart(self._full(path)))

    def get(self, path: str) -> Fetched:
        return self._fetched(self.inner.get(self._full(path)))

    def get_range(self, path: str, start: int, end: int) -> bytes:
        return self.inner.get_range(self._full(path), start, end)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        return self.inner.get_ranges(self._full(path), ranges)

    def get_tail(self, path: str, size: int) -> Fetched:
        return self._fetched(self.inner.get_tail(self._full(path), size))

    async def get_async(self, path: str) -> Fetched:
        return self._fetched(await self.inner.get_async(self._full(path)))

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        return await self.inner.get_range_async(self._full(path), start, end)

    async def get_ranges_async(
        self, path: str, ranges: Sequence[tuple[int, int]]
    ) -> Sequence[bytes]:
        return await self.inner.get_ranges_async(self._full(path), ranges)

    async def get_tail_async(self, path: str, size: int) -> Fetched:
        return self._fetched(await self.inner.get_tail_async(self._full(path), size))

    def head(self, path: str) -> ObjectMeta:
        return self._short(self.inner.head(self._full(path)))

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        page = self.inner.list_page(
            self._folder(prefix),
            start_after=joined(self._prefix, start_after) if start_after else "",
            limit=limit,
        )
        position = None if page.next is None else page.next[self._skip :]
        return Page([self._short(meta) for meta in page.objects], position)

    def list_folder(self, prefix: str = "") -> Folder:
        folder = self.inner.list_folder(self._folder(prefix))
        return Folder(
            [self._short(meta) for meta in folder.objects],
            [path[self._skip :] for path in folder.folders],
        )

    def close(self) -> None:
        self.inner.close()

    def _full(self, path: str) -> str:
        return joined(self._prefix, check_path(path))

    def _folder(self, prefix: str) -> str:
        return joined(self._prefix, check_prefix(prefix)) if prefix else self._prefix

    def _short(self, meta: ObjectMeta) -> ObjectMeta:
        return replace(meta, path=meta.path[self._skip :])

    def _fetched(self, found: Fetched) -> Fetched:
        return Fetched(self._short(found.meta), found.data)


class _ShortWriter(MultipartWriter):
    def __init__(self, store: PrefixStore, inner: MultipartWriter) -> None:
        self._store = store
        self._inner = inner

    def write(self, data: Data) -> None:
        self._inner.write(data)

    def finish(self) -> ObjectMeta:
        return self._store._short(self._inner.finish())

    def abort(self) -> None:
        self._inner.abort()
