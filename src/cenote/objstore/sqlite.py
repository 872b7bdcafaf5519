"""A store in a bucket file, in process: what is written here, a server serves.

Owns: the changes a bucket's index is given by this store.
Does not own: the bucket's files and its commits (`cenote.sqldb`), or S3's meaning of them.

A directory of buckets has one writing process at a time, so a bucket is open here or in a server,
never in both; reading is free to all.

Invariants:
1. Every write is one commit, whose condition is decided where it is written: the bucket's own
   compare-and-swap. Concurrent writes share a sync.
2. An object is stored as the server would store it: MD5 as ETag, CRC64NVME, the write id as the
   metadata `cenotewriteid`.
3. A key that is no path is another program's: it is not listed, and cannot be named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cenote.base import Clock, SystemClock, crc_combine, digest_base64
from cenote.errors import ClosedError, NotFoundError
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
from cenote.objstore.path import check_path, check_prefix, fault_of
from cenote.ports import (
    BodyLease,
    BucketRecord,
    Checksum,
    Content,
    IndexTxn,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    StagedBody,
)
from cenote.sqldb import Directory

__all__ = ["WRITE_ID", "SqliteStore"]

WRITE_ID: Final = "cenotewriteid"
PART_SIZE: Final = 8 << 20
_ALGORITHM: Final = "CRC64NVME"
_CONTENT: Final = Content(content_type="binary/octet-stream")

Guard = Callable[[ObjectRecord | None], None]


class SqliteStore(BlockingFetches):
    """Objects in the bucket `bucket` of the directory `root`."""

    def __init__(
        self,
        root: str | Path,
        bucket: str,
        *,
        read_only: bool = False,
        clock: Clock | None = None,
        **options: Any,
    ) -> None:
        """Open the bucket, making it and the directory unless `read_only`.

        `options` are those of `cenote.sqldb.Directory`.
        Raises NotFoundError, InvalidError(kind="invalid_bucket_name"), ConflictError(kind=
        "directory_locked") while another process writes to the directory.
        """
        self._clock = clock or SystemClock()
        self._closed = False
        self._directory = Directory(root, read_only=read_only, create=not read_only, **options)
        try:
            try:
                self._bucket = self._directory.open(bucket)
            except NotFoundError:
                if read_only:
                    raise
                record = BucketRecord(bucket, self._clock.now_ms())
                self._bucket = self._directory.create(record)
        except BaseException:
            self._directory.close()
            raise
        self._name = f"sqlite://{Path(root).absolute()}/{bucket}"

    @property
    def name(self) -> str:
        return self._name

    # Writing.

    def put(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._put(path, data, write_id, lambda current: None)

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        def guard(current: ObjectRecord | None) -> None:
            if current is not None:
                raise already_exists(path)

        return self._put(path, data, write_id, guard)

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        def guard(current: ObjectRecord | None) -> None:
            if current is None or current.etag != etag:
                raise not_the_same(path, etag)

        return self._put(path, data, write_id, guard)

    def copy(self, source: str, target: str) -> ObjectMeta:
        self._check(source, target)
        now_ms = self._clock.now_ms()

        def change(txn: IndexTxn) -> ObjectRecord:
            found = txn.object(source)
            if found is None:
                raise no_such_key(source)
            record = ObjectRecord(
                key=target,
                size=found.size,
                etag=found.etag,
                modified_ms=_written_ms(now_ms, txn.object(target)),
                body=found.body,
                content=found.content,
                checksum=found.checksum,
                part_count=found.part_count,
            )
            txn.put_object(record)
            return record

        return _meta(self._bucket.index.commit(change))

    def delete(self, path: str) -> None:
        self.delete_many([path])

    def delete_many(self, paths: Sequence[str]) -> None:
        self._check(*paths)

        def change(txn: IndexTxn) -> None:
            for path in paths:
                txn.delete_object(path)

        if paths:
            self._bucket.index.commit(change)

    def multipart(self, path: str) -> MultipartWriter:
        self._check(path)
        return _Pieces(self, path)

    # Reading.

    def get(self, path: str) -> Fetched:
        self._check(path)
        found = self._bucket.index.object_value(path, self._bucket.bodies.inline_max)
        if found is not None and found[1] is not None:
            return Fetched(_meta(found[0]), found[1])
        record, lease = self._lease(path)
        with lease:
            return Fetched(_meta(record), _bytes_of(lease, 0, record.size))

    def get_range(self, path: str, start: int, end: int) -> bytes:
        return self.get_ranges(path, [(start, end)])[0]

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        record, lease = self._lease(path)
        with lease:
            for start, end in ranges:
                check_range(path, start, end, record.size)
            return [_bytes_of(lease, start, end) for start, end in ranges]

    def get_tail(self, path: str, size: int) -> Fetched:
        check_range(path, 0, size)
        record, lease = self._lease(path)
        with lease:
            start = max(0, record.size - size)
            return Fetched(_meta(record), _bytes_of(lease, start, record.size))

    def head(self, path: str) -> ObjectMeta:
        self._check(path)
        with self._bucket.index.read() as view:
            record = view.object(path)
        if record is None:
            raise no_such_key(path)
        return _meta(record)

    # Listing.

    def list_page(self, prefix: str = "", *, start_after: str = "", limit: int = PAGE_SIZE) -> Page:
        self._check()
        below = check_prefix(prefix) and f"{prefix}/"
        end = f"{prefix}0" if prefix else None  # "0" comes right after "/"
        found: list[ObjectMeta] = []
        start, after = max(below, start_after), True
        with self._bucket.index.read() as view:
            while True:
                rows = view.objects(start, end, limit + 1, after=after)
                for row in rows:
                    if fault_of(row.key) is None:
                        if len(found) == limit:
                            return Page(found, found[-1].path)
                        found.append(_listed(row))
                if len(rows) <= limit:
                    return Page(found, None)
                start = rows[-1].key

    def list_folder(self, prefix: str = "") -> Folder:
        return folded(self.list(prefix), prefix)

    def close(self) -> None:
        self._closed = True
        self._directory.close()

    # Inside.

    def _check(self, *paths: str) -> None:
        if self._closed:
            raise ClosedError(f"{self._name} is closed")
        for path in paths:
            check_path(path)

    def _lease(self, path: str) -> tuple[ObjectRecord, BodyLease]:
        self._check(path)
        found = self._bucket.bodies.lease(path)
        if found is None:
            raise no_such_key(path)
        return found

    def _stage(self, data: Data) -> StagedBody:
        writer = self._bucket.bodies.writer(len(data), (_ALGORITHM,))
        try:
            writer.write(data)
            return writer.finish()
        except BaseException:
            writer.abort()
            raise

    def _put(self, path: str, data: Data, write_id: str | None, guard: Guard) -> ObjectMeta:
        self._check(path)
        data = memoryview(data).cast("B")
        now_ms = self._clock.now_ms()
        metadata = {} if write_id is None else {WRITE_ID: write_id}
        staged = self._stage(data)

        def change(txn: IndexTxn) -> ObjectRecord:
            current = txn.object(path)
            guard(current)
            record = ObjectRecord(
                key=path,
                size=staged.size,
                etag=staged.md5.hex(),
                modified_ms=_written_ms(now_ms, current),
                body=txn.add_body(staged),
                content=_CONTENT,
                metadata=metadata,
                checksum=_checksum(staged.checksums[_ALGORITHM]),
            )
            txn.put_object(record)
            return record

        try:
            return _meta(self._bucket.index.commit(change))
        except BaseException:
            self._bucket.bodies.discard(staged)
            raise

    def _join(self, path: str, parts: Sequence[StagedBody]) -> ObjectMeta:
        now_ms = self._clock.now_ms()
        digest = parts[0].checksums[_ALGORITHM]
        for part in parts[1:]:
            digest = crc_combine(_ALGORITHM, digest, part.checksums[_ALGORITHM], part.size)
        marks = _marks(parts)
        md5 = hashlib.md5(b"".join(part.md5 for part in parts), usedforsecurity=False)

        def change(txn: IndexTxn) -> ObjectRecord:
            current = txn.object(path)
            bodies = [txn.add_body(part) for part in parts]
            record = ObjectRecord(
                key=path,
                size=sum(part.size for part in parts),
                etag=f"{md5.hexdigest()}-{len(parts)}",
                modified_ms=_written_ms(now_ms, current),
                body=txn.join_bodies(bodies, marks),
                content=_CONTENT,
                checksum=_checksum(digest),
                part_count=len(parts),
            )
            txn.put_object(record)
            return record

        return _meta(self._bucket.index.commit(change))


class _Pieces(MultipartWriter):
    """Gathers parts of `PART_SIZE`; they become one body at the end, moving no bytes."""

    def __init__(self, store: SqliteStore, path: str) -> None:
        self._store = store
        self._path = path
        self._buffer = bytearray()
        self._parts: list[StagedBody] = []
        self._ended = False

    def write(self, data: Data) -> None:
        self._require_open()
        self._buffer += data
        while len(self._buffer) >= PART_SIZE:
            part = bytes(self._buffer[:PART_SIZE])
            del self._buffer[:PART_SIZE]
            self._parts.append(self._store._stage(part))

    def finish(self) -> ObjectMeta:
        self._require_open()
        if not self._parts:
            meta = self._store.put(self._path, self._buffer)
        else:
            if self._buffer:
                self._parts.append(self._store._stage(bytes(self._buffer)))
                self._buffer.clear()
            meta = self._store._join(self._path, self._parts)
        self._ended = True
        return meta

    def abort(self) -> None:
        if not self._ended:
            self._ended = True
            for part in self._parts:
                self._store._bucket.bodies.discard(part)

    def _require_open(self) -> None:
        self._store._check()
        if self._ended:
            raise ClosedError(f"the upload of {self._path} has ended")


def _written_ms(now_ms: int, current: ObjectRecord | None) -> int:
    return now_ms if current is None else max(now_ms, current.modified_ms)


def _checksum(digest: bytes) -> Checksum:
    return Checksum(_ALGORITHM, "FULL_OBJECT", digest_base64(digest))


def _marks(parts: Sequence[StagedBody]) -> list[PartMark]:
    marks, offset = [], 0
    for number, part in enumerate(parts, 1):
        digest = digest_base64(part.checksums[_ALGORITHM])
        marks.append(PartMark(number, offset, part.size, digest))
        offset += part.size
    return marks


def _bytes_of(lease: BodyLease, start: int, end: int) -> bytes:
    if start == end:
        return b""
    pieces = list(lease.chunks(start, end))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _meta(record: ObjectRecord) -> ObjectMeta:
    return ObjectMeta(
        record.key,
        record.size,
        record.etag,
        record.modified_ms,
        write_id=record.metadata.get(WRITE_ID),
    )


def _listed(row: ObjectSummary) -> ObjectMeta:
    return ObjectMeta(row.key, row.size, row.etag, row.modified_ms)
