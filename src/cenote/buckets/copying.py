"""Copies: of an object, and of a range of one as a part, inside a bucket or between two.

Owns: when bytes must be read, and reading them with flat memory.
Does not own: what the copy is (`objects`, `uploads`).

Inside a bucket an object's copy refers to the same body, whatever its size: no byte moves. Bytes
are read when a checksum is asked for that is not stored; they are also written when the copy goes
to another bucket, whose bodies are files of its own, or is a range of an object.

These functions block for as long as the bytes take: call them from a thread that may wait.

Invariants:
1. Source conditions are decided of the very bytes that are copied, the target's in the change.
2. Bytes that are read are compared with the source's ETag or checksum before they are committed.

Sources: AWS API pages CopyObject, UploadPartCopy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from cenote.base import Digests, digest_base64
from cenote.buckets import integrity, objects, reading, uploads
from cenote.buckets.conditions import check_source, check_write
from cenote.buckets.limits import check_readable, check_size
from cenote.buckets.model import CopyObject, CopyPart, PutPart, WriteResult
from cenote.errors import ChecksumError, ConflictError, InvalidError
from cenote.ports import (
    BodyLease,
    Bucket,
    Checksum,
    ObjectRecord,
    PartMark,
    PartRecord,
    StagedBody,
)

__all__ = ["copy_object", "copy_part"]

ATTEMPTS: Final = 8

T = TypeVar("T")


def copy_object(
    source: Bucket, target: Bucket, request: CopyObject, now_ms: Callable[[], int]
) -> WriteResult:
    """Copy `request.source_key` of `source` to `request.key` of `target`.

    Cost: one commit inside a bucket, unless a checksum must be computed; else the bytes.
    Raises as `objects.copy_within`; ConflictError(kind="conditional_conflict") if the source is
    rewritten faster than it can be read.
    """
    if source.name != target.name:
        objects.check_copy(request)
        return _retried(lambda: _copy_across(source, target, request, now_ms))
    try:
        return target.index.commit(objects.copy_within(request, now_ms()))
    except ConflictError as error:
        if error.kind != "source_changed":
            raise
    return _retried(lambda: _copy_with_checksum(target, request, now_ms))


def copy_part(
    source: Bucket, target: Bucket, request: CopyPart, now_ms: Callable[[], int]
) -> PartRecord:
    """Make a part of an upload in `target` of an object, or a range of one, in `source`.

    Cost: one commit if all of an object of the same bucket is taken whose MD5 and checksum are
    known; else the bytes of the range.
    Raises InvalidError: kind "invalid_range" (context: size) if the range is not inside the
    source, "entity_too_large" above 5 GiB; as `uploads.put_part`; as `objects.copy_within`.
    """
    uploads.check_part_number(request.number)
    with target.index.read() as view:
        upload = uploads.require(view, request.key, request.upload_id)
    algorithm = uploads.algorithm_of(upload)
    if source.name == target.name and request.start is None and request.end is None:
        part = _part_without_bytes(target, request, algorithm, now_ms)
        if part is not None:
            return part
    record, held = reading.lease(source, request.source_key)
    with held:
        check_source(request.source_conditions, record)
        start, end = _part_range(record, request)
        staged = _stage(target, record, held, start, end, (algorithm,))
    put = PutPart(request.key, request.upload_id, request.number)
    try:
        return target.index.commit(uploads.put_part(put, staged, now_ms()))
    except BaseException:
        target.bodies.discard(staged)
        raise


def _copy_with_checksum(
    bucket: Bucket, request: CopyObject, now_ms: Callable[[], int]
) -> WriteResult | None:
    record, held = reading.lease(bucket, request.source_key)
    with held:
        if not objects.needs_checksum(request, record):
            checksum = None
        else:
            checksum = _checksum_of(record, held, request.checksum_algorithm)
    change = objects.copy_within(request, now_ms(), checksum=checksum, of_body=record.body)
    try:
        return bucket.index.commit(change)
    except ConflictError as error:
        if error.kind != "source_changed":
            raise
        return None


def _copy_across(
    source: Bucket, target: Bucket, request: CopyObject, now_ms: Callable[[], int]
) -> WriteResult | None:
    record, marks, held = _lease_with_marks(source, request.source_key)
    if held is None:
        return None
    with held:
        check_source(request.source_conditions, record)
        with target.index.read() as view:  # before moving bytes for nothing
            check_write(request.conditions, request.key, view.object(request.key))
        algorithm = request.checksum_algorithm or integrity.ALGORITHM_DEFAULT
        wanted = {integrity.check_algorithm(algorithm): None}
        if record.checksum is not None:
            wanted[record.checksum.algorithm] = None
        staged = _stage(target, record, held, 0, record.size, tuple(wanted))
    try:
        return target.index.commit(objects.copy_across(request, record, marks, staged, now_ms()))
    except BaseException:
        target.bodies.discard(staged)
        raise


def _lease_with_marks(
    bucket: Bucket, key: str
) -> tuple[ObjectRecord, list[PartMark], BodyLease | None]:
    # The lease keeps the bytes, not the marks: read those first, and see that both are of one.
    with bucket.index.read() as view:
        seen = objects.require(view, key)
        marks = reading.all_marks(view, seen)
    record, held = reading.lease(bucket, key)
    if record.body != seen.body:
        held.close()
        return record, marks, None
    return record, marks, held


def _part_without_bytes(
    bucket: Bucket, request: CopyPart, algorithm: str, now_ms: Callable[[], int]
) -> PartRecord | None:
    with bucket.index.read() as view:
        record = objects.require(view, request.source_key)
    check_source(request.source_conditions, record)
    check_readable(record)
    checksum = record.checksum
    if record.part_count or checksum is None or "-" in record.etag:
        return None
    if (checksum.algorithm, checksum.type) != (algorithm, integrity.FULL_OBJECT):
        return None
    return bucket.index.commit(
        uploads.put_part_of(
            request.key, request.upload_id, request.number, request.source_key, record, now_ms()
        )
    )


def _part_range(record: ObjectRecord, request: CopyPart) -> tuple[int, int]:
    if request.start is None and request.end is None:
        check_size(record.size)
        return 0, record.size
    start = request.start or 0
    end = record.size if request.end is None else request.end
    if not 0 <= start < end <= record.size:
        raise InvalidError(
            f"the range is not valid for a source object of {record.size} bytes",
            kind="invalid_range",
            key=record.key,
            size=record.size,
        )
    check_size(end - start)
    return start, end


def _stage(
    target: Bucket,
    record: ObjectRecord,
    held: BodyLease,
    start: int,
    end: int,
    algorithms: tuple[str, ...],
) -> StagedBody:
    """Write the bytes start <= i < end of a source into a body of `target`."""
    writer = target.bodies.writer(end - start, algorithms)
    try:
        for piece in held.chunks(start, end):
            writer.write(piece)
        staged = writer.finish()
    except BaseException:
        writer.abort()
        raise
    if end - start == record.size:
        try:
            _check_bytes(record, staged.md5, staged.checksums)
        except ChecksumError:
            target.bodies.discard(staged)
            raise
    return staged


def _checksum_of(record: ObjectRecord, held: BodyLease, algorithm: str | None) -> Checksum:
    name = algorithm or integrity.ALGORITHM_DEFAULT
    wanted = {"MD5": None, name: None}
    if record.checksum is not None:
        wanted[record.checksum.algorithm] = None
    digests = Digests(wanted)
    for piece in held.chunks(0, record.size):
        digests.update(piece)
    results = digests.results()
    _check_bytes(record, results["MD5"], results)
    return integrity.full_object(name, results[name])


def _check_bytes(record: ObjectRecord, md5: bytes, checksums: dict[str, bytes]) -> None:
    stored = record.checksum
    known = stored is not None and stored.type == integrity.FULL_OBJECT
    if "-" not in record.etag and record.etag != md5.hex():
        raise _damaged(record, "ETag")
    if stored is None or not known or stored.algorithm not in checksums:
        return
    if digest_base64(checksums[stored.algorithm]) != stored.value:
        raise _damaged(record, stored.algorithm)


def _damaged(record: ObjectRecord, what: str) -> ChecksumError:
    return ChecksumError(f"the bytes of the source no longer agree with its {what}", key=record.key)


def _retried(attempt: Callable[[], T | None]) -> T:
    for _ in range(ATTEMPTS):
        result = attempt()
        if result is not None:
            return result
    raise ConflictError(
        "the source was rewritten again and again while it was copied",
        kind="conditional_conflict",
    )
