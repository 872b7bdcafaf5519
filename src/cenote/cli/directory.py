"""Objects of a directory, opened in this process: no server, no network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from cenote.buckets import CopyObject, ListObjects, ListUploads, Store
from cenote.cli.objects import BucketEntry, ObjectEntry, Reading
from cenote.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)

__all__ = ["DirectoryObjects"]

DELETE_BATCH = 1000
READ_SIZE = 1 << 20


class _Counted:
    """The pieces of a source, counted as they go into the store."""

    def __init__(self, source: BinaryIO, sent: Callable[[int], None]) -> None:
        self._source = source
        self._sent = sent

    def __iter__(self) -> Iterator[bytes]:
        while data := self._source.read(READ_SIZE):
            yield data
            self._sent(len(data))


class DirectoryObjects:
    """The commands' view of a directory of buckets."""

    def __init__(self, directory: str, *, read_only: bool = False) -> None:
        path = Path(directory).expanduser()
        if read_only and not path.is_dir():
            raise NotFoundError(f"{path} is no directory", kind="no_directory")
        try:
            self._store = Store(path, read_only=read_only)
        except ConflictError as error:
            if error.kind != "directory_locked":
                raise
            raise ConflictError(
                f"another process, such as a server, writes to {path}",
                kind="directory_locked",
                hint='talk to the server: eval "$(cenote env DIR)"',
            ) from error

    def buckets(self) -> Iterator[BucketEntry]:
        token = None
        while True:
            page = self._store.list_buckets(token=token)
            for record in page.buckets:
                yield BucketEntry(record.name, record.created_ms)
            token = page.next_token
            if token is None:
                return

    def create_bucket(self, bucket: str) -> None:
        self._store.create_bucket(bucket)

    def delete_bucket(self, bucket: str) -> None:
        self._store.delete_bucket(bucket)

    def abort_uploads(self, bucket: str) -> None:
        # What is aborted leaves the listing, so the first page is asked for until it is empty.
        while found := self._store.list_multipart_uploads(bucket, ListUploads()).uploads:
            for pending in found:
                self._store.abort_multipart_upload(bucket, pending.key, pending.upload_id)

    def objects(self, bucket: str, prefix: str, delimiter: str = "") -> Iterator[ObjectEntry]:
        token = None
        while True:
            page = self._store.list_objects(
                bucket, ListObjects(prefix=prefix, delimiter=delimiter, token=token)
            )
            entries = [ObjectEntry(common) for common in page.prefixes]
            entries += [
                ObjectEntry(o.key, o.size, o.modified_ms, o.etag, o.storage_class)
                for o in page.contents
            ]
            entries.sort(key=lambda entry: entry.key.encode("utf-8"))
            yield from entries
            token = page.next_token
            if not page.truncated:
                return

    def find(self, bucket: str, key: str) -> ObjectEntry | None:
        try:
            found = self._store.head_object(bucket, key)
        except NotFoundError as error:
            if error.kind == "no_such_key":
                return None
            raise
        return ObjectEntry(key, found.size, found.modified_ms, found.etag, found.storage_class)

    @contextmanager
    def read(self, bucket: str, key: str) -> Iterator[Reading]:
        with self._store.get_object(bucket, key) as reader:
            yield Reading(reader.size, iter(reader))

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
        unknown = set(headers) - {"content-type"}
        if unknown:
            raise InvalidError(f"{sorted(unknown)[0]} cannot be set on a directory's objects")
        self._store.put_object(
            bucket,
            key,
            _Counted(source, sent),
            size=size,
            content_type=headers.get("content-type"),
        )

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        self._store.copy_object(source[0], bucket, CopyObject(key=key, source_key=source[1]))

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        rest = iter(keys)
        while batch := list(islice(rest, DELETE_BATCH)):
            for outcome in self._store.delete_objects(bucket, batch):
                if outcome.error_kind is not None:
                    raise UnavailableError(
                        f"{outcome.key!r} was not deleted: {outcome.error_message}",
                        kind=outcome.error_kind,
                    )

    def presign(self, method: str, bucket: str, key: str, expires: int) -> str:
        raise UnsupportedError(
            "a URL needs a server that answers it", hint="give --endpoint and keys"
        )

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> DirectoryObjects:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
