"""`Store`: a directory of buckets, in process, without HTTP.

Owns: the facade a program uses, and the one place where a directory is opened.
Does not own: what the operations mean (`objects`, `uploads`, `listing`, `tables`, `copying`).

Every method is synchronous and may be called from any number of threads. A method that writes
returns when what it wrote is durable; concurrent ones share a sync. Nothing is held in memory but
one piece of a body at a time.

Example:

    with Store("data") as store:
        store.create_bucket("photos")
        store.put_object("photos", "2024/iceland.jpg", jpeg, content_type="image/jpeg")
        for item in store.iterate_objects("photos", prefix="2024/"):
            print(item.key, item.size)

Errors are of `cenote.errors`, told apart by `kind`: `no_such_bucket` and `no_such_key`
(NotFoundError), `precondition_failed` (PreconditionError), `read_only` (DeniedError), `disk_full`
and `io` (UnavailableError; nothing was changed), `closed` (ClosedError); every method may raise
those of the disk, and each names its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.buckets import copying, integrity, listing, objects, reading, tables, uploads
from cenote.buckets.intake import BodySource, stage
from cenote.buckets.model import (
    NO_READ_CONDITIONS,
    Attributes,
    BucketPage,
    Claims,
    CompletedPart,
    CompleteUpload,
    Conditions,
    CopyObject,
    CopyPart,
    CreateUpload,
    DeleteKey,
    DeleteOutcome,
    ListObjects,
    ListUploads,
    ObjectPage,
    PartPage,
    PutObject,
    PutPart,
    ReadConditions,
    UploadPage,
    WriteResult,
)
from cenote.buckets.reading import ObjectReader
from cenote.errors import DeniedError, NotFoundError, UnsupportedError
from cenote.ports import (
    Bucket,
    BucketRecord,
    Buckets,
    Change,
    Content,
    ObjectRecord,
    ObjectSummary,
    PartRecord,
    StagedBody,
    UploadRecord,
)
from cenote.sqldb import Directory, Finding

__all__ = ["Store"]

T = TypeVar("T")
Tags = Iterable[tuple[str, str]]


class Store:
    """A directory of buckets.

    The directory is made if it is missing, unless `create` says not to. `read_only` opens without
    writing a byte, also beside a server that writes; every change then raises
    DeniedError(kind="read_only"). Other `options` are those of `sqldb.Directory`.
    With `buckets`, a directory somebody else opened, nothing is opened here; upkeep is theirs.
    Raises NotFoundError(kind="no_such_directory"); ConflictError(kind="directory_locked") if
    another process has the directory open for writing.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        read_only: bool = False,
        create: bool = True,
        clock: Clock | None = None,
        rand: Rand | None = None,
        buckets: Buckets | None = None,
        **options: Any,
    ) -> None:
        self.clock: Final = clock or SystemClock()
        self.rand: Final = rand or SystemRand()
        self.read_only: Final = read_only
        self._own: Directory | None = None
        self._directory: Buckets
        if buckets is not None:
            self._directory = buckets
        else:
            self._directory = self._own = Directory(
                root,
                read_only=read_only,
                create=create and not read_only,
                rand=self.rand,
                **options,
            )

    def close(self) -> None:
        """Finish what is under way and close every file. Harmless when repeated."""
        self._directory.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Buckets.

    def bucket(self, name: str) -> Bucket:
        """Return the open bucket, for functions of this package that take one.

        Raises NotFoundError(kind="no_such_bucket"). Cost: a look-up when it was used before.
        """
        if name[:1] == ".":  # a file beside the buckets, which is none
            raise NotFoundError(f"bucket {name} does not exist", kind="no_such_bucket", bucket=name)
        return self._directory.open(name)

    def has_bucket(self, name: str) -> bool:
        """Tell whether the bucket exists."""
        try:
            self.bucket(name)
        except NotFoundError:
            return False
        return True

    @property
    def directory(self) -> Directory:
        """The directory beneath, for what drives it: an event loop, a server's upkeep.

        Raises UnsupportedError when another process has it.
        """
        if self._own is None:
            raise UnsupportedError("the directory is in the hands of another process")
        return self._own

    @property
    def buckets(self) -> Buckets:
        """The buckets beneath, in whosever hands they are."""
        return self._directory

    def create_bucket(
        self,
        name: str,
        *,
        region: str | None = None,
        owner: str = "",
        inline_max: int | None = None,
    ) -> BucketRecord:
        """Create a bucket. Bodies up to `inline_max` bytes live in its database file.

        Raises InvalidError(kind="invalid_bucket_name"); AlreadyExistsError(kind="bucket_exists").
        """
        record = tables.new_record(
            name, self.clock.now_ms(), region=region, owner=owner, inline_max=inline_max
        )
        self._check_writable()
        self._directory.create(record)
        return record

    def head_bucket(self, name: str) -> BucketRecord:
        """Return the bucket's record. Raises NotFoundError(kind="no_such_bucket")."""
        with self.bucket(name).index.read() as view:
            return view.bucket()

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket, and what was uploaded of unfinished uploads.

        Raises ConflictError(kind="bucket_not_empty"); NotFoundError(kind="no_such_bucket").
        """
        self._check_writable()
        self.bucket(name)
        self._directory.delete(name, tables.close_if_empty(name))

    def list_buckets(
        self,
        *,
        prefix: str = "",
        region: str | None = None,
        token: str | None = None,
        limit: int = tables.PAGE_MAX,
    ) -> BucketPage:
        """Return one page of the buckets, by name."""
        return tables.page(
            self._directory.names(),
            self._find_bucket,
            prefix=prefix,
            region=region,
            token=token,
            limit=limit,
        )

    # Objects.

    def put_object(
        self,
        bucket: str,
        key: str,
        body: BodySource,
        *,
        size: int | None = None,
        content_type: str | None = None,
        content: Content | None = None,
        metadata: dict[str, str] | None = None,
        tags: Tags = (),
        storage_class: str = "STANDARD",
        claims: Claims | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> WriteResult:
        """Store `body` at `key`: bytes, a file from where it stands, or an iterable of bytes.

        `size` tells the bytes of a source that cannot; else such a one is spooled to disk first.
        `content_type` is short for `content=Content(content_type=...)`.
        Atomic: yes; a reader sees all of the old object or all of the new one.
        Raises as `objects.put`; InvalidError(kind="incomplete_body").
        """
        request = PutObject(
            key=key,
            content=content or Content(content_type=content_type),
            metadata=metadata or {},
            tags=tuple(tags),
            storage_class=storage_class,
            claims=claims or Claims(),
            conditions=Conditions(if_match, if_none_match),
        )
        found = self.bucket(bucket)
        self._check_writable()
        staged = stage(found.bodies, body, integrity.algorithms_of(request.claims), size=size)
        return self._commit_staged(
            found, staged, lambda: objects.put(request, staged, self.clock.now_ms())
        )

    def get_object(
        self,
        bucket: str,
        key: str,
        *,
        start: int | None = None,
        end: int | None = None,
        part_number: int | None = None,
        conditions: ReadConditions = NO_READ_CONDITIONS,
    ) -> ObjectReader:
        """Open the bytes start <= i < end of an object, or of one of its parts; close the result.

        A negative `start` counts from the end.
        Raises no_such_key; invalid_range; invalid_part_number; invalid_object_state for archived
        objects; precondition_failed, not_modified.
        """
        found = self.bucket(bucket)
        if part_number is not None:
            return reading.open_part(found, key, part_number, conditions=conditions)
        return reading.open_object(found, key, start=start, end=end, conditions=conditions)

    def read_object(self, bucket: str, key: str) -> bytes:
        """Return all bytes of an object. Raises as `get_object`."""
        with self.get_object(bucket, key) as reader:
            return reader.read()

    def head_object(
        self, bucket: str, key: str, *, conditions: ReadConditions = NO_READ_CONDITIONS
    ) -> ObjectRecord:
        """Return all of an object but its bytes.

        Raises no_such_key; precondition_failed, not_modified.
        """
        with self.bucket(bucket).index.read() as view:
            return reading.head(view, key, conditions)

    def delete_object(self, bucket: str, key: str, *, if_match: str | None = None) -> DeleteOutcome:
        """Delete the object, if there is one.

        Raises no_such_key, precondition_failed, but only with `if_match`.
        """
        return self._commit(self.bucket(bucket), objects.delete(key, Conditions(if_match)))

    def delete_objects(self, bucket: str, keys: Iterable[str | DeleteKey]) -> list[DeleteOutcome]:
        """Delete up to 1000 objects at once; each key answers for itself, in order.

        Atomic: yes. Raises InvalidError(kind="invalid_request") for more keys.
        """
        items = [key if isinstance(key, DeleteKey) else DeleteKey(key) for key in keys]
        return self._commit(self.bucket(bucket), objects.delete_many(items))

    def copy_object(self, source_bucket: str, bucket: str, request: CopyObject) -> WriteResult:
        """Copy an object; inside a bucket no bytes move, whatever its size.

        Raises as `copying.copy_object`.
        """
        source, target = self.bucket(source_bucket), self.bucket(bucket)
        self._check_writable()
        return copying.copy_object(source, target, request, self.clock.now_ms)

    def get_object_attributes(
        self, bucket: str, key: str, *, after_part: int = 0, max_parts: int = 1000
    ) -> Attributes:
        """Return the record and one page of the parts it was made of. Raises no_such_key."""
        with self.bucket(bucket).index.read() as view:
            return reading.attributes(view, key, after_part=after_part, max_parts=max_parts)

    def get_object_tagging(self, bucket: str, key: str) -> tuple[tuple[str, str], ...]:
        """Return the object's tags. Raises no_such_key."""
        with self.bucket(bucket).index.read() as view:
            return objects.tags(view, key)

    def put_object_tagging(self, bucket: str, key: str, tags: Tags) -> None:
        """Replace the object's tags. Raises no_such_key, invalid_tag."""
        self._commit(self.bucket(bucket), objects.put_tags(key, tuple(tags)))

    def delete_object_tagging(self, bucket: str, key: str) -> None:
        """Remove the object's tags. Raises no_such_key."""
        self._commit(self.bucket(bucket), objects.delete_tags(key))

    # Listings.

    def list_objects(self, bucket: str, request: ListObjects | None = None) -> ObjectPage:
        """Return one page of the bucket's objects, in the order of their keys' UTF-8 bytes.

        Go on with `ListObjects(token=page.next_token, ...)` while `page.truncated`.
        Raises invalid_argument for a forged token.
        """
        with self.bucket(bucket).index.read() as view:
            return listing.objects(view, request or ListObjects())

    def iterate_objects(self, bucket: str, *, prefix: str = "") -> Iterator[ObjectSummary]:
        """Yield every object whose key begins with `prefix`, page by page, in order."""
        token = None
        while True:
            page = self.list_objects(bucket, ListObjects(prefix=prefix, token=token))
            yield from page.contents
            if not page.truncated:
                return
            token = page.next_token

    # Multipart uploads.

    def create_multipart_upload(self, bucket: str, request: CreateUpload) -> UploadRecord:
        """Begin an upload; its `upload_id` names it from now on. Raises as `uploads.create`."""
        now_ms = self.clock.now_ms()
        upload_id = uploads.new_upload_id(self.rand, now_ms)
        return self._commit(self.bucket(bucket), uploads.create(request, upload_id, now_ms))

    def upload_part(
        self, bucket: str, request: PutPart, body: BodySource, *, size: int | None = None
    ) -> PartRecord:
        """Store a part, instead of one of the same number. `body` and `size`: see `put_object`.

        Raises no_such_upload; bad_digest; entity_too_large; invalid_argument.
        """
        found = self.bucket(bucket)
        self._check_writable()
        with found.index.read() as view:
            upload = uploads.require(view, request.key, request.upload_id)
        algorithms = integrity.algorithms_of(request.claims, uploads.algorithm_of(upload))
        staged = stage(found.bodies, body, algorithms, size=size)
        return self._commit_staged(
            found, staged, lambda: uploads.put_part(request, staged, self.clock.now_ms())
        )

    def upload_part_copy(self, source_bucket: str, bucket: str, request: CopyPart) -> PartRecord:
        """Make a part of an object, or of a range of one. Raises as `copying.copy_part`."""
        source, target = self.bucket(source_bucket), self.bucket(bucket)
        self._check_writable()
        return copying.copy_part(source, target, request, self.clock.now_ms)

    def complete_multipart_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Iterable[CompletedPart | PartRecord],
        *,
        size: int | None = None,
        checksums: dict[str, str] | None = None,
        checksum_type: str | None = None,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> WriteResult:
        """Make the object of the named parts, in ascending order; no bytes move.

        `size`, `checksums` (algorithm to base64) and `checksum_type` are what the whole must have.
        Raises as `uploads.complete`.
        """
        request = CompleteUpload(
            key=key,
            upload_id=upload_id,
            parts=tuple(
                part if isinstance(part, CompletedPart) else CompletedPart(part.number, part.etag)
                for part in parts
            ),
            checksums=checksums or {},
            checksum_type=checksum_type,
            size=size,
            conditions=Conditions(if_match, if_none_match),
        )
        return self._commit(self.bucket(bucket), uploads.complete(request, self.clock.now_ms()))

    def abort_multipart_upload(self, bucket: str, key: str, upload_id: str) -> None:
        """End an upload and drop its parts. Raises no_such_upload."""
        self._commit(self.bucket(bucket), uploads.abort(key, upload_id))

    def list_parts(
        self, bucket: str, key: str, upload_id: str, *, after: int = 0, limit: int = 1000
    ) -> PartPage:
        """Return one page of an upload's parts, by number. Raises no_such_upload."""
        with self.bucket(bucket).index.read() as view:
            return uploads.parts(view, key, upload_id, after=after, limit=limit)

    def list_multipart_uploads(self, bucket: str, request: ListUploads | None = None) -> UploadPage:
        """Return one page of the uploads under way, by key and then by age."""
        with self.bucket(bucket).index.read() as view:
            return listing.uploads(view, request or ListUploads())

    # Upkeep.

    def check(self, *, deep: bool = False) -> list[Finding]:
        """Compare everything stored with its invariants; return what is wrong, or nothing.

        `deep` also reads every byte and compares checksums. May run beside writers.
        """
        return [
            finding
            for name in self.directory.file_names()
            for finding in self.directory.open(name).check(deep=deep)
        ]

    def maintain(self) -> None:
        """Give freed space back to the disk and tidy logs, in bounded steps."""
        self._check_writable()
        self.directory.maintain()

    def _check_writable(self) -> None:
        if self.read_only:
            raise DeniedError("the store was opened read-only", kind="read_only")

    def _commit(self, bucket: Bucket, change: Change[T]) -> T:
        self._check_writable()
        return bucket.index.commit(change)

    def _commit_staged(
        self, bucket: Bucket, staged: StagedBody, make: Callable[[], Change[T]]
    ) -> T:
        try:
            return bucket.index.commit(make())
        except BaseException:
            bucket.bodies.discard(staged)
            raise

    def _find_bucket(self, name: str) -> BucketRecord | None:
        try:
            return self.head_bucket(name)
        except NotFoundError:
            return None
