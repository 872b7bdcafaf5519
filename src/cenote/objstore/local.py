"""A store in a directory: one file an object, by the object's own path.

Owns: the files below the root.
Does not own: how a file gets its name (`staged`), how long a descriptor is kept (`openfiles`), how
a folder is walked (`walking`).

`.cenote/staged/` holds what is being written; `.cenote/lock` is locked (flock) shared by plain
writes and deletes, exclusively by `put_if_match`. Other programs may read the files, and add files
of their own by renaming them into place.

Invariants:
1. A file gets its name by rename where it may replace one, by link where it may not.
2. `put_if_match` compares and replaces while no other process or thread of this store can write
   or delete.
3. The lock is held for a look and a rename, never for a sync.
4. Folders are never removed, so that a write never meets one that is just going.

Why an ETag of inode, time and size, and no digest: `head` and every listing would have to read the
objects. Why write ids are remembered and not stored: not every file system has attributes, and the
process that wrote is the only one that can ask about its own lost reply.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cenote.base import Clock, Rand, SystemClock, SystemRand
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
from cenote.objstore.faults import from_os
from cenote.objstore.openfiles import OpenFile, OpenFiles
from cenote.objstore.path import check_path, check_prefix
from cenote.objstore.staged import Staged, etag_of, is_plain, locked, sweep, sync_folder
from cenote.objstore.walking import walk, walk_level

__all__ = ["LocalStore"]

OPEN_FILES_MAX: Final = 128
REMEMBERED_WRITES: Final = 1024
_COPY_SIZE: Final = 8 << 20


class LocalStore(BlockingFetches):
    """Objects as files below `root`, which is made with the first object."""

    def __init__(
        self,
        root: str | Path,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
        open_files_max: int = OPEN_FILES_MAX,
    ) -> None:
        self._root = os.path.abspath(root)
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()
        self._files = OpenFiles(open_files_max)
        self._lock = threading.Lock()
        self._written: OrderedDict[str, tuple[str, str]] = OrderedDict()  # etag: path, write id
        self._closed = False
        sweep(self._root, self._clock.now_ms())

    @property
    def name(self) -> str:
        return f"file://{self._root}"

    # Writing.

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        with self._staged(path) as staged:
            staged.append(data)
            return self._replace(staged, write_id)

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        with self._staged(path) as staged:
            staged.append(data)
            meta = self._promise(path, staged.settle(), write_id)
            if not staged.link():
                raise already_exists(path)
            staged.sync_name()
            return meta

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        with self._staged(path) as staged:
            staged.append(data)
            meta = self._promise(path, staged.settle(exact=True), write_id)
            with locked(self._root, exclusive=True):
                try:
                    status = os.stat(staged.file, follow_symlinks=False)
                except (FileNotFoundError, NotADirectoryError):
                    raise not_the_same(path, etag) from None
                if not is_plain(status) or etag_of(status) != etag:
                    raise not_the_same(path, etag)
                self._files.forget(staged.file)
                staged.replace()
            staged.sync_name()
            return meta

    def copy(self, source: str, target: str) -> ObjectMeta:
        opened = self._open(source)
        with self._staged(target) as staged:
            offset = 0
            while piece := _read(opened, source, offset, _COPY_SIZE):
                staged.append(piece)
                offset += len(piece)
            return self._replace(staged, None)

    def delete(self, path: str) -> None:
        self.delete_many([path])

    def delete_many(self, paths: Sequence[str]) -> None:
        files = [self._file_of(path) for path in paths]
        folders: dict[str, None] = {}
        with locked(self._root, exclusive=False):
            for path, file in zip(paths, files, strict=True):
                self._files.forget(file)
                try:
                    os.unlink(file)
                except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    continue
                except OSError as error:
                    raise from_os(error, "deleting", path) from error
                folders[os.path.dirname(file)] = None
        for folder in folders:
            try:
                sync_folder(folder)
            except OSError as error:
                raise from_os(error, "syncing", folder, effect_unknown=True) from error

    def multipart(self, path: str) -> MultipartWriter:
        return _Pieces(self, Staged(self._rooted(path), path, self._clock, self._rand))

    # Reading.

    def get(self, path: str) -> Fetched:
        opened = self._open(path)
        size = opened.status.st_size
        return Fetched(self._meta(path, opened.status), _read(opened, path, 0, size))

    def get_range(self, path: str, start: int, end: int) -> bytes:
        opened = self._open(path)
        check_range(path, start, end, opened.status.st_size)
        return _read(opened, path, start, end - start)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        opened = self._open(path)
        for start, end in ranges:
            check_range(path, start, end, opened.status.st_size)
        return [_read(opened, path, start, end - start) for start, end in ranges]

    def get_tail(self, path: str, size: int) -> Fetched:
        check_range(path, 0, size)
        opened = self._open(path)
        whole = opened.status.st_size
        start = max(0, whole - size)
        return Fetched(self._meta(path, opened.status), _read(opened, path, start, whole - start))

    def head(self, path: str) -> ObjectMeta:
        return self._meta(path, self._open(path).status)

    # Listing.

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        self._require_open()
        check_prefix(prefix)
        found: list[ObjectMeta] = []
        try:
            for path, status in walk(self._root, prefix, start_after):
                if len(found) == limit:
                    return Page(found, found[-1].path)
                found.append(self._listed(path, status))
        except OSError as error:
            raise from_os(error, "listing", prefix or self._root) from error
        return Page(found, None)

    def list_folder(self, prefix: str = "") -> Folder:
        self._require_open()
        check_prefix(prefix)
        try:
            objects, folders = walk_level(self._root, prefix)
        except OSError as error:
            raise from_os(error, "listing", prefix or self._root) from error
        return Folder([self._listed(path, status) for path, status in objects], folders)

    def close(self) -> None:
        self._closed = True
        self._files.clear()

    # Inside.

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.name} is closed")

    def _rooted(self, path: str) -> str:
        self._require_open()
        check_path(path)
        return self._root

    def _file_of(self, path: str) -> str:
        return f"{self._rooted(path)}/{path}"

    @contextmanager
    def _staged(self, path: str) -> Iterator[Staged]:
        staged = Staged(self._rooted(path), path, self._clock, self._rand)
        try:
            yield staged
        finally:
            staged.drop()

    def _replace(self, staged: Staged, write_id: str | None) -> ObjectMeta:
        meta = self._promise(staged.path, staged.settle(), write_id)
        with locked(self._root, exclusive=False):
            self._files.forget(staged.file)
            staged.replace()
        staged.sync_name()
        return meta

    def _promise(self, path: str, status: os.stat_result, write_id: str | None) -> ObjectMeta:
        """Remember the id of a write that is about to happen, and say what it makes."""
        meta = ObjectMeta(
            path, status.st_size, etag_of(status), _modified_ms(status), write_id=write_id
        )
        if write_id is not None:
            with self._lock:
                # Its own key: losing to another write must not forget that one's id.
                self._written[meta.etag] = (path, write_id)
                if len(self._written) > REMEMBERED_WRITES:
                    self._written.popitem(last=False)
        return meta

    def _listed(self, path: str, status: os.stat_result) -> ObjectMeta:
        return ObjectMeta(path, status.st_size, etag_of(status), _modified_ms(status))

    def _meta(self, path: str, status: os.stat_result) -> ObjectMeta:
        etag = etag_of(status)
        written_path, write_id = self._written.get(etag, (None, None))
        return ObjectMeta(
            path,
            status.st_size,
            etag,
            _modified_ms(status),
            write_id=write_id if written_path == path else None,
        )

    def _open(self, path: str) -> OpenFile:
        file = self._file_of(path)
        try:
            opened = self._files.open(file)
        except (FileNotFoundError, NotADirectoryError):
            raise no_such_key(path) from None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symbolic link is no object
                raise no_such_key(path) from None
            raise from_os(error, "opening", path) from error
        if not is_plain(opened.status):
            self._files.forget(file)
            raise no_such_key(path)
        return opened


class _Pieces(MultipartWriter):
    def __init__(self, store: LocalStore, staged: Staged) -> None:
        self._store = store
        self._staged = staged

    def write(self, data: Data) -> None:
        self._staged.append(data)

    def finish(self) -> ObjectMeta:
        meta = self._store._replace(self._staged, None)
        self._staged.drop()
        return meta

    def abort(self) -> None:
        self._staged.drop()


def _modified_ms(status: os.stat_result) -> int:
    return status.st_mtime_ns // 1_000_000


def _read(opened: OpenFile, path: str, offset: int, size: int) -> bytes:
    try:
        data = os.pread(opened.fd, size, offset)
        if len(data) < size and data:  # one call reads at most 2 GiB
            pieces = [data]
            done = len(data)
            while done < size and (piece := os.pread(opened.fd, size - done, offset + done)):
                pieces.append(piece)
                done += len(piece)
            data = b"".join(pieces)
    except OSError as error:
        raise from_os(error, "reading", path) from error
    return data
