"""Objects: put, copy, delete and tag, each as one change of the index.

Owns: what a write makes of its request, its staged bytes and the object that was there.
Does not own: how bytes get staged (`cenote.ports.Bodies`), reading (`reading`), or copies that
must move bytes (`copying`).

Each function checks what it can without the index and raises at once; what it returns is the
change, to be given to `Index.commit` or `Index.submit`, which decides against the current record
and then writes. Whoever staged bytes discards them when either raises. Changes are values and not
closures, so that one process can hand them to another: see `changes`.

Invariants:
1. A key's modified time never goes back, whatever the clock does and whoever commits first.
   It is never an order: two writes of one millisecond are told apart by what they wrote.
2. An object's bytes never change in place: a write refers to another body.

Sources: AWS API pages PutObject, CopyObject, DeleteObject, DeleteObjects, PutObjectTagging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cenote.buckets import integrity
from cenote.buckets.conditions import (
    check_form,
    check_source,
    check_write,
    no_such_key,
)
from cenote.buckets.limits import (
    check_metadata,
    check_readable,
    check_size,
    check_storage_class,
    check_tags,
    stored_content,
)
from cenote.buckets.model import (
    NO_CONDITIONS,
    Conditions,
    CopyObject,
    DeleteKey,
    DeleteOutcome,
    PutObject,
    WriteResult,
)
from cenote.buckets.names import check_key
from cenote.errors import ConflictError, Error, InvalidError, UnsupportedError
from cenote.ports import (
    Change,
    Checksum,
    Content,
    IndexTxn,
    IndexView,
    ObjectRecord,
    PartMark,
    StagedBody,
)

__all__ = [
    "DELETE_KEYS_MAX",
    "CopyAcrossChange",
    "CopyChange",
    "DeleteChange",
    "DeleteManyChange",
    "PutChange",
    "TagsChange",
    "check_copy",
    "copy_across",
    "copy_within",
    "delete",
    "delete_many",
    "delete_tags",
    "needs_checksum",
    "put",
    "put_tags",
    "require",
    "result_of",
    "tags",
    "written_ms",
]

DELETE_KEYS_MAX: Final = 1000


def require(view: IndexView, key: str) -> ObjectRecord:
    """Return the object at `key`. Raises NotFoundError(kind="no_such_key")."""
    record = view.object(key)
    if record is None:
        raise no_such_key(key)
    return record


def result_of(record: ObjectRecord) -> WriteResult:
    """Return what a write tells of the record it stored."""
    return WriteResult(
        key=record.key,
        etag=record.etag,
        size=record.size,
        modified_ms=record.modified_ms,
        checksum=record.checksum,
        storage_class=record.storage_class,
    )


def written_ms(now_ms: int, current: ObjectRecord | None) -> int:
    """Return the modified time of a write over `current`: never before it."""
    return now_ms if current is None else max(now_ms, current.modified_ms)


def put(request: PutObject, staged: StagedBody, now_ms: int) -> Change[WriteResult]:
    """Store a staged body as the object at its key.

    Requires: the body was written with `integrity.algorithms_of(request.claims)`.
    Atomic: yes. The condition is decided in the change.
    Raises InvalidError (bad_digest, metadata_too_large, invalid_tag, entity_too_large,
    key_too_long, invalid_storage_class, invalid_argument); in the change as `check_write`.
    """
    check_key(request.key)
    check_size(staged.size)
    content = stored_content(request.content)
    check_metadata(request.metadata)
    check_tags(request.tags)
    check_storage_class(request.storage_class)
    conditions = request.conditions
    if conditions is not NO_CONDITIONS:
        check_form(conditions)
    algorithm = integrity.verify(staged, request.claims)
    checksum = integrity.full_object(algorithm, staged.checksums[algorithm])
    return PutChange(request, content, checksum, staged, now_ms)


class PutChange(Struct, frozen=True, array_like=True, tag="put"):
    """The change of `put`."""

    request: PutObject
    content: Content
    checksum: Checksum
    staged: StagedBody
    now_ms: int

    def __call__(self, txn: IndexTxn) -> WriteResult:
        request, staged = self.request, self.staged
        current = txn.object(request.key)
        conditions = request.conditions
        if conditions is not NO_CONDITIONS:
            check_write(conditions, request.key, current)
        record = ObjectRecord(
            key=request.key,
            size=staged.size,
            etag=staged.md5.hex(),
            modified_ms=written_ms(self.now_ms, current),
            body=txn.add_body(staged),
            storage_class=request.storage_class,
            content=self.content,
            metadata=request.metadata,
            tags=request.tags,
            checksum=self.checksum,
        )
        txn.put_object(record)
        return result_of(record)


def copy_within(
    request: CopyObject,
    now_ms: int,
    *,
    checksum: Checksum | None = None,
    of_body: int | None = None,
) -> Change[WriteResult]:
    """Copy an object inside one bucket, moving no bytes; the copy keeps the ETag.

    `checksum` is the copy's, computed by the caller from the bytes of body `of_body` when
    `needs_checksum` said so. AWS refuses sources above 5 GiB; here the size does not matter.
    Cost: independent of size.
    Raises, in the change: no_such_key (the source), precondition_failed, invalid_object_state,
    invalid_request for a copy onto itself that changes nothing; ConflictError
    (kind="source_changed") if the source's body is no longer `of_body`: read it again.
    """
    check_copy(request)
    return CopyChange(request, now_ms, checksum, of_body)


class CopyChange(Struct, frozen=True, array_like=True, tag="copy"):
    """The change of `copy_within`."""

    request: CopyObject
    now_ms: int
    checksum: Checksum | None
    of_body: int | None

    def __call__(self, txn: IndexTxn) -> WriteResult:
        request = self.request
        source = require(txn, request.source_key)
        check_source(request.source_conditions, source)
        check_readable(source)
        if request.key == request.source_key:
            _check_self_copy(request)
        if self.of_body is not None and source.body != self.of_body:
            raise ConflictError("the source was written meanwhile", kind="source_changed")
        if self.checksum is None and needs_checksum(request, source):
            raise ConflictError("the source has another checksum", kind="source_changed")
        current = txn.object(request.key)
        check_write(request.conditions, request.key, current)
        modified_ms = written_ms(self.now_ms, current)
        record = _copied(request, source, modified_ms, source.body, self.checksum)
        txn.put_object(record)
        return result_of(record)


def copy_across(
    request: CopyObject,
    source: ObjectRecord,
    marks: Sequence[PartMark],
    staged: StagedBody,
    now_ms: int,
) -> Change[WriteResult]:
    """Store the staged bytes of `source`, an object of another bucket, as `request.key`.

    Requires: the source's conditions were checked of `source`, whose bytes these are.
    Raises, in the change, as `check_write`.
    """
    check_copy(request)
    checksum: Checksum | None = None
    if needs_checksum(request, source):
        algorithm = request.checksum_algorithm or integrity.ALGORITHM_DEFAULT
        checksum = integrity.full_object(algorithm, staged.checksums[algorithm])
    return CopyAcrossChange(request, source, tuple(marks), checksum, staged, now_ms)


class CopyAcrossChange(Struct, frozen=True, array_like=True, tag="copy-across"):
    """The change of `copy_across`."""

    request: CopyObject
    source: ObjectRecord
    marks: tuple[PartMark, ...]
    checksum: Checksum | None
    staged: StagedBody
    now_ms: int

    def __call__(self, txn: IndexTxn) -> WriteResult:
        request = self.request
        current = txn.object(request.key)
        check_write(request.conditions, request.key, current)
        body = txn.add_body(self.staged)
        if self.marks:
            body = txn.join_bodies([body], self.marks)
        modified_ms = written_ms(self.now_ms, current)
        record = _copied(request, self.source, modified_ms, body, self.checksum)
        txn.put_object(record)
        return result_of(record)


def needs_checksum(request: CopyObject, source: ObjectRecord) -> bool:
    """Tell whether the copy's checksum cannot be the source's, so that its bytes must be read."""
    if source.checksum is None:
        return True
    return request.checksum_algorithm not in (None, source.checksum.algorithm)


def check_copy(request: CopyObject) -> None:
    """Refuse a copy for what it asks, whatever is stored. Raises InvalidError as `put`."""
    check_key(request.key)
    check_form(request.conditions)
    if request.content is not None:
        stored_content(request.content)
    if request.metadata is not None:
        check_metadata(request.metadata)
    if request.tags is not None:
        check_tags(request.tags)
    if request.website_redirect_location is not None:
        stored_content(Content(website_redirect_location=request.website_redirect_location))
    if request.storage_class is not None:
        check_storage_class(request.storage_class)
    if request.checksum_algorithm is not None:
        integrity.check_algorithm(request.checksum_algorithm)


def _check_self_copy(request: CopyObject) -> None:
    changes = (
        request.content,
        request.metadata,
        request.storage_class,
        request.website_redirect_location,
        request.checksum_algorithm,
    )
    if all(change is None for change in changes):
        raise InvalidError(
            "a copy of an object onto itself must change its metadata, its storage class, its "
            "website redirect or its checksum",
            kind="invalid_request",
            key=request.key,
        )


def _copied(
    request: CopyObject,
    source: ObjectRecord,
    modified_ms: int,
    body: int,
    checksum: Checksum | None,
) -> ObjectRecord:
    if request.content is None and request.metadata is None:
        content, metadata = source.content, source.metadata
    else:
        content = stored_content(request.content or Content())
        metadata = request.metadata or {}
    if content.website_redirect_location != request.website_redirect_location:
        content = msgspec.structs.replace(
            content, website_redirect_location=request.website_redirect_location
        )
    return ObjectRecord(
        key=request.key,
        size=source.size,
        etag=source.etag,
        modified_ms=modified_ms,
        body=body,
        storage_class=request.storage_class or "STANDARD",
        content=content,
        metadata=metadata,
        tags=source.tags if request.tags is None else request.tags,
        checksum=checksum or source.checksum,
        part_count=source.part_count,
    )


def delete(key: str, conditions: Conditions = NO_CONDITIONS) -> Change[DeleteOutcome]:
    """Delete the object at `key`, if there is one.

    Raises UnsupportedError for If-None-Match, which has no meaning here; in the change
    no_such_key and precondition_failed, but only under a condition.
    """
    check_key(key)
    if conditions.if_none_match is not None:
        raise UnsupportedError(
            "a delete takes no If-None-Match", kind="not_implemented", header="If-None-Match"
        )
    return DeleteChange(key, conditions)


class DeleteChange(Struct, frozen=True, array_like=True, tag="delete"):
    """The change of `delete`."""

    key: str
    conditions: Conditions

    def __call__(self, txn: IndexTxn) -> DeleteOutcome:
        current = txn.object(self.key)
        check_write(self.conditions, self.key, current)
        if current is not None:
            txn.delete_object(self.key)
        return DeleteOutcome(self.key, existed=current is not None)


def delete_many(keys: Sequence[DeleteKey]) -> Change[list[DeleteOutcome]]:
    """Delete up to 1000 objects in one change; each answers for itself, in order.

    A key whose condition does not hold, or that can name no object, is an outcome with an
    `error_kind`; the others go. Raises InvalidError(kind="invalid_request") for more keys.
    """
    if len(keys) > DELETE_KEYS_MAX:
        raise InvalidError(
            f"one call deletes at most {DELETE_KEYS_MAX} keys", kind="invalid_request"
        )
    return DeleteManyChange(tuple(keys))


class DeleteManyChange(Struct, frozen=True, array_like=True, tag="delete-many"):
    """The change of `delete_many`."""

    keys: tuple[DeleteKey, ...]

    def __call__(self, txn: IndexTxn) -> list[DeleteOutcome]:
        outcomes = []
        for item in self.keys:
            try:
                outcomes.append(delete(item.key, Conditions(if_match=item.etag))(txn))
            except Error as error:
                if error.kind not in _DELETE_REFUSALS:
                    raise
                outcomes.append(
                    DeleteOutcome(item.key, error_kind=error.kind, error_message=error.message)
                )
        return outcomes


# What makes one key of a batch fail alone; anything else fails the change.
_DELETE_REFUSALS: Final = frozenset(
    {"no_such_key", "precondition_failed", "key_too_long", "invalid_argument"}
)


def tags(view: IndexView, key: str) -> tuple[tuple[str, str], ...]:
    """Return the object's tags. Raises NotFoundError(kind="no_such_key")."""
    return require(view, key).tags


def put_tags(key: str, tags: tuple[tuple[str, str], ...]) -> Change[None]:
    """Replace the object's tags; its modified time stays.

    Raises InvalidError(kind="invalid_tag"); in the change NotFoundError(kind="no_such_key").
    """
    check_tags(tags)
    return TagsChange(key, tags)


class TagsChange(Struct, frozen=True, array_like=True, tag="tags"):
    """The change of `put_tags`."""

    key: str
    tags: tuple[tuple[str, str], ...]

    def __call__(self, txn: IndexTxn) -> None:
        record = require(txn, self.key)
        if record.tags != self.tags:
            txn.put_object(msgspec.structs.replace(record, tags=self.tags))


def delete_tags(key: str) -> Change[None]:
    """Remove all of the object's tags. Raises NotFoundError(kind="no_such_key") in the change."""
    return put_tags(key, ())
