"""A store in memory, for tests and for what need not last.

Owns: the objects, as long as the store lives.

Invariants:
1. Every call is one critical section: the store is as strict as a store can be.
2. ETags are never used twice, so that even a rewrite with the same bytes is noticed.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections.abc import Sequence

from cenote.base import Clock, SystemClock
from cenote.errors import ClosedError
from cenote.objstore.api import (
    PAGE_SIZE,
    Data,
    Fetched,
    Folder,
    MultipartWriter,
    ObjectMeta,
    Page,
    already_exists,
    check_range,
    no_such_key,
    not_the_same,
)
from cenote.objstore.blocking import BlockingFetches
from cenote.objstore.folding import folded
from cenote.objstore.path import check_path, check_prefix

__all__ = ["MemoryStore"]


class MemoryStore(BlockingFetches):
    """Objects in a dictionary."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, Fetched] = {}
        self._paths: list[str] = []  # sorted
        self._writes = 0
        self._closed = False

    @property
    def name(self) -> str:
        return "memory://"

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        check_path(path)
        with self._lock:
            return self._store(path, data, write_id)

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        check_path(path)
        with self._lock:
            if path in self._objects:
                raise already_exists(path)
            return self._store(path, data, write_id)

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        check_path(path)
        with self._lock:
            current = self._objects.get(path)
            if current is None or current.meta.etag != etag:
                raise not_the_same(path, etag)
            return self._store(path, data, write_id)

    def copy(self, source: str, target: str) -> ObjectMeta:
        check_path(source)
        check_path(target)
        with self._lock:
            return self._store(target, self._find(source).data, None)

    def delete(self, path: str) -> None:
        self.delete_many([path])

    def delete_many(self, paths: Sequence[str]) -> None:
        for path in paths:
            check_path(path)
        with self._lock:
            self._require_open()
            for path in paths:
                if self._objects.pop(path, None) is not None:
                    del self._paths[bisect_right(self._paths, path) - 1]

    def multipart(self, path: str) -> MultipartWriter:
        return _Pieces(self, check_path(path))

    def get(self, path: str) -> Fetched:
        check_path(path)
        with self._lock:
            return self._find(path)

    def get_range(self, path: str, start: int, end: int) -> bytes:
        found = self.get(path)
        check_range(path, start, end, found.meta.size)
        return found.data[start:end]

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        found = self.get(path)
        for start, end in ranges:
            check_range(path, start, end, found.meta.size)
        return [found.data[start:end] for start, end in ranges]

    def get_tail(self, path: str, size: int) -> Fetched:
        check_range(path, 0, size)
        found = self.get(path)
        return Fetched(found.meta, found.data[-size:])

    def head(self, path: str) -> ObjectMeta:
        return self.get(path).meta

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        below = check_prefix(prefix) and f"{prefix}/"
        with self._lock:
            self._require_open()
            at = bisect_right(self._paths, max(below, start_after))
            paths = self._paths[at : at + limit + 1]
            found = [self._objects[path].meta for path in paths if path.startswith(below)]
        if len(found) <= limit:
            return Page(found, None)
        return Page(found[:limit], found[limit - 1].path)

    def list_folder(self, prefix: str = "") -> Folder:
        return folded(self.list(prefix), prefix)

    def close(self) -> None:
        """Close the handle; the objects go when the store does."""
        self._closed = True

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.name} is closed")

    def _find(self, path: str) -> Fetched:
        self._require_open()
        found = self._objects.get(path)
        if found is None:
            raise no_such_key(path)
        return found

    def _store(self, path: str, data: Data, write_id: str | None) -> ObjectMeta:
        self._require_open()
        self._writes += 1
        kept = bytes(data)
        meta = ObjectMeta(
            path, len(kept), f"m{self._writes}", self._clock.now_ms(), write_id=write_id
        )
        if path not in self._objects:
            insort(self._paths, path)
        self._objects[path] = Fetched(meta, kept)
        return meta


class _Pieces(MultipartWriter):
    def __init__(self, store: MemoryStore, path: str) -> None:
        self._store = store
        self._path = path
        self._pieces: list[bytes] | None = []

    def write(self, data: Data) -> None:
        self._open().append(bytes(data))

    def finish(self) -> ObjectMeta:
        meta = self._store.put(self._path, b"".join(self._open()))
        self._pieces = None
        return meta

    def abort(self) -> None:
        self._pieces = None

    def _open(self) -> list[bytes]:
        if self._pieces is None:
            raise ClosedError(f"the upload of {self._path} has ended")
        return self._pieces
