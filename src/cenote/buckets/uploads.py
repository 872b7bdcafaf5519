"""Multipart uploads: begin, take parts, complete, abort, list.

Owns: what an upload demands of its parts, and the object it becomes.
Does not own: staging a part's bytes (`cenote.ports.Bodies`), or copying them (`copying`).

Changes are made as in `objects`: checked at once what can be, decided inside the change.

Invariants:
1. Completing moves no bytes: the object's body is its parts' runs, joined.
2. A part is of its upload's checksum algorithm (CRC64NVME if none was named), so completing never
   reads bytes either.
3. An upload ends once. Whoever completes it again with the same parts gets the same answer as
   long as the object it made is the key's current one; abort and any other complete find no
   such upload.

Why an upload's id begins with the time: uploads of one key are listed in the order they began.
The random rest, 160 bits, is what nobody guesses.

Sources: AWS API pages CreateMultipartUpload, UploadPart, CompleteMultipartUpload,
AbortMultipartUpload, ListParts; "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from cenote.base import Rand
from cenote.buckets import integrity
from cenote.buckets.conditions import check_form, check_write, same_etag
from cenote.buckets.limits import (
    PART_NUMBER_MAX,
    PART_SIZE_MIN,
    check_metadata,
    check_size,
    check_storage_class,
    check_tags,
    stored_content,
)
from cenote.buckets.model import (
    CompletedPart,
    CompleteUpload,
    CreateUpload,
    PartPage,
    PutPart,
    WriteResult,
)
from cenote.buckets.names import check_key
from cenote.buckets.objects import result_of, written_ms
from cenote.errors import InvalidError, NotFoundError
from cenote.ports import (
    Change,
    IndexTxn,
    IndexView,
    ObjectRecord,
    PartMark,
    PartRecord,
    StagedBody,
    UploadRecord,
)

__all__ = [
    "AbortChange",
    "CompleteChange",
    "CreateChange",
    "PartChange",
    "PartOfChange",
    "abort",
    "algorithm_of",
    "check_part_number",
    "complete",
    "create",
    "new_upload_id",
    "parts",
    "put_part",
    "put_part_of",
    "require",
]

PAGE_MAX: Final = 1000
_RANDOM_SIZE: Final = 20
_TIME_SIZE: Final = 6


def new_upload_id(rand: Rand, now_ms: int) -> str:
    """Make an upload's id: 48 bits of time, 160 of chance, spelled so that order is kept."""
    raw = now_ms.to_bytes(_TIME_SIZE, "big") + rand.bytes(_RANDOM_SIZE)
    return base64.b32hexencode(raw).decode("ascii").rstrip("=").lower()


def create(request: CreateUpload, upload_id: str, now_ms: int) -> Change[UploadRecord]:
    """Begin an upload.

    Requires: `upload_id` is from `new_upload_id`.
    Raises InvalidError as `objects.put`, and kind "invalid_request" for a checksum type that the
    algorithm does not allow.
    """
    check_key(request.key)
    check_metadata(request.metadata)
    check_tags(request.tags)
    check_storage_class(request.storage_class)
    record = UploadRecord(
        upload_id=upload_id,
        key=request.key,
        initiated_ms=now_ms,
        storage_class=request.storage_class,
        content=stored_content(request.content),
        metadata=request.metadata,
        tags=request.tags,
        checksum_algorithm=request.checksum_algorithm,
        checksum_type=integrity.upload_checksum_type(
            request.checksum_algorithm, request.checksum_type
        ),
    )
    return CreateChange(record)


class CreateChange(Struct, frozen=True, array_like=True, tag="create-upload"):
    """The change of `create`."""

    record: UploadRecord

    def __call__(self, txn: IndexTxn) -> UploadRecord:
        txn.put_upload(self.record)
        return self.record


def require(view: IndexView, key: str, upload_id: str) -> UploadRecord:
    """Return the upload under way. Raises NotFoundError(kind="no_such_upload")."""
    upload = view.upload(upload_id)
    if upload is None or upload.key != key:
        raise NotFoundError(
            "the upload does not exist: it may have been aborted or completed",
            kind="no_such_upload",
            key=key,
            upload_id=upload_id,
        )
    return upload


def check_part_number(number: int) -> int:
    """Return `number` if it may number a part.

    Raises InvalidError(kind="invalid_argument", argument="partNumber").
    """
    if not 1 <= number <= PART_NUMBER_MAX:
        raise InvalidError(
            f"a part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive",
            kind="invalid_argument",
            argument="partNumber",
            value=number,
        )
    return number


def algorithm_of(upload: UploadRecord) -> str:
    """Return the algorithm every part of the upload is checked with."""
    return upload.checksum_algorithm or integrity.ALGORITHM_DEFAULT


def put_part(request: PutPart, staged: StagedBody, now_ms: int) -> Change[PartRecord]:
    """Store a staged body as a part, instead of one of the same number.

    Requires: the body was written with
    `integrity.algorithms_of(request.claims, algorithm_of(upload))`.
    Ensures: the result's checksum is the one the caller claimed, if it claimed one.
    Raises InvalidError (bad_digest, entity_too_large, invalid_argument), and in the change kind
    "invalid_request" when the claim is of another algorithm than the upload's;
    NotFoundError(kind="no_such_upload").
    """
    check_part_number(request.number)
    check_size(staged.size)
    claimed = integrity.verify(staged, request.claims)
    return PartChange(request, claimed, staged, now_ms)


class PartChange(Struct, frozen=True, array_like=True, tag="part"):
    """The change of `put_part`. `claimed` is the algorithm that was verified."""

    request: PutPart
    claimed: str
    staged: StagedBody
    now_ms: int

    def __call__(self, txn: IndexTxn) -> PartRecord:
        request, claimed, staged = self.request, self.claimed, self.staged
        upload = require(txn, request.key, request.upload_id)
        algorithm = algorithm_of(upload)
        if request.claims.checksums and upload.checksum_algorithm not in (None, claimed):
            raise InvalidError(
                "Checksum Type mismatch occurred, expected checksum Type: "
                f"{algorithm.lower()}, actual checksum Type: {claimed.lower()}",
                kind="invalid_request",
            )
        part = PartRecord(
            number=request.number,
            size=staged.size,
            etag=staged.md5.hex(),
            modified_ms=self.now_ms,
            body=txn.add_body(staged),
            checksum=integrity.full_object(algorithm, staged.checksums[algorithm]),
        )
        txn.put_part(request.upload_id, part)
        if not request.claims.checksums or claimed == algorithm:
            return part
        return msgspec.structs.replace(
            part, checksum=integrity.full_object(claimed, staged.checksums[claimed])
        )


def put_part_of(
    key: str, upload_id: str, number: int, source_key: str, of: ObjectRecord, now_ms: int
) -> Change[PartRecord | None]:
    """Store all of an object of this bucket as a part, moving no bytes.

    Requires: `of` has a plain MD5 ETag and a FULL_OBJECT checksum of the upload's algorithm.
    Ensures: None, and nothing changed, if the object at `source_key` is no longer `of`.
    """
    check_part_number(number)
    check_size(of.size)
    return PartOfChange(key, upload_id, number, source_key, of, now_ms)


class PartOfChange(Struct, frozen=True, array_like=True, tag="part-of"):
    """The change of `put_part_of`."""

    key: str
    upload_id: str
    number: int
    source_key: str
    of: ObjectRecord
    now_ms: int

    def __call__(self, txn: IndexTxn) -> PartRecord | None:
        of = self.of
        require(txn, self.key, self.upload_id)
        current = txn.object(self.source_key)
        if current is None or (current.body, current.etag) != (of.body, of.etag):
            return None
        part = PartRecord(
            number=self.number,
            size=of.size,
            etag=of.etag,
            modified_ms=self.now_ms,
            body=of.body,
            checksum=of.checksum,
        )
        txn.put_part(self.upload_id, part)
        return part


def complete(request: CompleteUpload, now_ms: int) -> Change[WriteResult]:
    """Make the object of the named parts, and end the upload. Parts not named are dropped.

    Atomic: yes. The condition is decided in the change. Cost: follows the number of parts.
    Raises InvalidError: invalid_request (no parts; size or checksum type other than announced),
    invalid_part_order, invalid_part (context: part_number), entity_too_small (context:
    part_number, size, size_min), bad_digest; NotFoundError(kind="no_such_upload"); as
    `check_write`.
    """
    check_form(request.conditions)
    _check_order(request.parts)
    return CompleteChange(request, now_ms)


class CompleteChange(Struct, frozen=True, array_like=True, tag="complete"):
    """The change of `complete`."""

    request: CompleteUpload
    now_ms: int

    def __call__(self, txn: IndexTxn) -> WriteResult:
        request = self.request
        upload = txn.upload(request.upload_id)
        current = txn.object(request.key)
        if upload is None and current is not None and _is_completed(request, current):
            return result_of(current)
        upload = require(txn, request.key, request.upload_id)
        chosen = _chosen(request, upload, txn.parts(request.upload_id, 0, None))
        record = _object_of(request, upload, chosen, written_ms(self.now_ms, current))
        check_write(request.conditions, request.key, current)
        if record.size:  # no bytes need no body, nor marks in it
            bodies = [part.body for part in chosen if part.size]
            body = txn.join_bodies(bodies, _marks(chosen))
            record = msgspec.structs.replace(record, body=body)
        txn.put_object(record)
        txn.delete_upload(request.upload_id)
        return result_of(record)


def abort(key: str, upload_id: str) -> Change[None]:
    """End an upload and drop its parts. Raises NotFoundError(kind="no_such_upload")."""
    return AbortChange(key, upload_id)


class AbortChange(Struct, frozen=True, array_like=True, tag="abort"):
    """The change of `abort`."""

    key: str
    upload_id: str

    def __call__(self, txn: IndexTxn) -> None:
        require(txn, self.key, self.upload_id)
        txn.delete_upload(self.upload_id)


def parts(
    view: IndexView, key: str, upload_id: str, *, after: int = 0, limit: int = PAGE_MAX
) -> PartPage:
    """Return one page, at most 1000, of an upload's parts with numbers above `after`.

    Raises NotFoundError(kind="no_such_upload").
    """
    upload = require(view, key, upload_id)
    limit = min(limit, PAGE_MAX)
    found = view.parts(upload_id, after, limit + 1)
    page = found[:limit]
    return PartPage(
        upload=upload,
        parts=page,
        next_part=page[-1].number if page else 0,
        truncated=limit > 0 and len(found) > limit,
    )


def _check_order(named: Sequence[CompletedPart]) -> None:
    if not named:
        raise InvalidError("at least one part must be named", kind="invalid_request")
    last = 0
    for part in named:
        if part.number < 1:
            check_part_number(part.number)
        if part.number <= last:
            raise InvalidError(
                "the parts must be named in ascending order, each once",
                kind="invalid_part_order",
                part_number=part.number,
            )
        last = part.number


def _is_completed(request: CompleteUpload, current: ObjectRecord) -> bool:
    if current.upload_id != request.upload_id or current.part_count != len(request.parts):
        return False
    etags = [part.etag.strip().strip('"') for part in request.parts]
    try:
        return integrity.multipart_etag(etags) == current.etag
    except ValueError:  # not hexadecimal: never an ETag of ours
        return False


def _chosen(
    request: CompleteUpload, upload: UploadRecord, stored: Sequence[PartRecord]
) -> list[PartRecord]:
    algorithm = algorithm_of(upload)
    by_number = {part.number: part for part in stored}
    chosen = []
    for named in request.parts:
        part = by_number.get(named.number)
        if part is None or not same_etag(named.etag, part.etag):
            raise _invalid_part(named)
        for name, value in named.checksums.items():
            if name != algorithm and upload.checksum_algorithm is None:
                continue  # no algorithm was agreed: this one was verified as the part came in
            if name != algorithm or part.checksum is None or part.checksum.value != value:
                raise _invalid_part(named)
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < PART_SIZE_MIN:
            raise InvalidError(
                "every part but the last must have at least 5 MiB",
                kind="entity_too_small",
                part_number=part.number,
                etag=part.etag,
                size=part.size,
                size_min=PART_SIZE_MIN,
            )
    return chosen


def _invalid_part(named: CompletedPart) -> InvalidError:
    return InvalidError(
        "a named part was not uploaded, or its ETag or checksum is another",
        kind="invalid_part",
        part_number=named.number,
        etag=named.etag,
    )


def _object_of(
    request: CompleteUpload,
    upload: UploadRecord,
    chosen: Sequence[PartRecord],
    modified_ms: int,
) -> ObjectRecord:
    size = sum(part.size for part in chosen)
    if request.size is not None and request.size != size:
        raise InvalidError(
            f"the parts have {size} bytes, not the {request.size} announced",
            kind="invalid_request",
            size=size,
        )
    algorithm = algorithm_of(upload)
    kind = upload.checksum_type or integrity.FULL_OBJECT
    if request.checksum_type is not None and request.checksum_type != kind:
        raise InvalidError(
            f"the upload was begun with the {kind} checksum type, not {request.checksum_type}",
            kind="invalid_request",
        )
    checksum = integrity.multipart_checksum(algorithm, kind, chosen)
    for name, value in request.checksums.items():
        if name != algorithm:
            raise InvalidError(
                f"the upload's checksums are {algorithm}, not {name}", kind="invalid_request"
            )
        # A composite may be given with or without its "-N".
        if value not in (checksum.value, checksum.value.split("-")[0]):
            raise InvalidError(
                f"the {name} that was sent is not that of the object",
                kind="bad_digest",
                algorithm=name,
                expected=value,
                computed=checksum.value,
            )
    return ObjectRecord(
        key=upload.key,
        size=size,
        etag=integrity.multipart_etag([part.etag for part in chosen]),
        modified_ms=modified_ms,
        storage_class=upload.storage_class,
        content=upload.content,
        metadata=upload.metadata,
        tags=upload.tags,
        checksum=checksum,
        part_count=len(chosen),
        upload_id=upload.upload_id,
    )


def _marks(chosen: Sequence[PartRecord]) -> list[PartMark]:
    marks = []
    offset = 0
    for part in chosen:
        value = part.checksum.value if part.checksum else None
        marks.append(PartMark(part.number, offset, part.size, value))
        offset += part.size
    return marks
