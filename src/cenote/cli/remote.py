"""Objects behind an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO

from cenote.cli.objects import BucketEntry, ObjectEntry, Reading
from cenote.client import Access, Client, upload
from cenote.errors import ConflictError, NotFoundError

__all__ = ["RemoteObjects"]

DELETE_BATCH = 1000


class RemoteObjects:
    """The commands' view of a server."""

    def __init__(self, access: Access) -> None:
        self._client = Client(access)

    def buckets(self) -> Iterator[BucketEntry]:
        for bucket in self._client.list_buckets():
            yield BucketEntry(bucket.name, bucket.created_ms)

    def create_bucket(self, bucket: str) -> None:
        self._client.create_bucket(bucket)

    def delete_bucket(self, bucket: str) -> None:
        self._client.delete_bucket(bucket)

    def abort_uploads(self, bucket: str) -> None:
        for pending in list(self._client.list_uploads(bucket)):
            self._client.abort_upload(bucket, pending.key, pending.upload_id)

    def objects(self, bucket: str, prefix: str, delimiter: str = "") -> Iterator[ObjectEntry]:
        for page in self._client.list_pages(bucket, prefix, delimiter):
            entries = [ObjectEntry(common) for common in page.prefixes]
            entries += [
                ObjectEntry(e.key, e.size, e.modified_ms, e.etag, e.storage_class)
                for e in page.entries
            ]
            entries.sort(key=lambda entry: entry.key.encode("utf-8"))
            yield from entries

    def find(self, bucket: str, key: str) -> ObjectEntry | None:
        try:
            head = self._client.head_object(bucket, key)
        except NotFoundError:
            # A HEAD cannot say whether the key or the bucket is missing.
            self._client.head_bucket(bucket)
            return None
        return ObjectEntry(key, head.size, 0, head.etag)

    @contextmanager
    def read(self, bucket: str, key: str) -> Iterator[Reading]:
        with self._client.get_object(bucket, key) as reply:
            yield Reading(reply.size or 0, reply.chunks())

    def write(
        self,
        bucket: str,
        key: str,
        source: BinaryIO,
        *,
        size: int | None,
        headers: Mapping[str, str],
        threads: int,
        sent: Callable[[int], None],
    ) -> None:
        upload(
            self._client,
            bucket,
            key,
            source,
            size=size,
            headers=headers,
            threads=threads,
            sent=sent,
        )

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        self._client.copy_object(source, bucket, key)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        stayed: list[tuple[str, str, str]] = []
        rest = iter(keys)
        while batch := list(islice(rest, DELETE_BATCH)):
            stayed += self._client.delete_objects(bucket, batch)
        if stayed:
            key, code, message = stayed[0]
            raise ConflictError(
                f"{len(stayed)} not deleted, the first {key!r}: {message}", kind=code
            )

    def presign(self, method: str, bucket: str, key: str, expires: int) -> str:
        return self._client.presign(method, bucket, key, expires)

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> RemoteObjects:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
