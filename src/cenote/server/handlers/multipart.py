"""Multipart uploads: create, complete, abort, list parts, list uploads."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from cenote.buckets import (
    CompletedPart,
    CompleteUpload,
    CreateUpload,
    ListUploads,
    PartPage,
    UploadPage,
    WriteResult,
    listing,
    uploads,
)
from cenote.ports import UploadRecord
from cenote.s3 import structs
from cenote.server.call import Call
from cenote.server.handlers.mapping import checksum_members, conditions_of, content_of

__all__ = [
    "abort_multipart_upload",
    "complete_multipart_upload",
    "create_multipart_upload",
    "list_multipart_uploads",
    "list_parts",
]

PARTS_ON_LOOP_MAX: Final = 100  # a millisecond; 10,000 parts are 100
_CHECKSUMS: Final = (
    ("CRC32", "checksum_crc32"),
    ("CRC32C", "checksum_crc32c"),
    ("CRC64NVME", "checksum_crc64nvme"),
    ("SHA1", "checksum_sha1"),
    ("SHA256", "checksum_sha256"),
)


def create_multipart_upload(call: Call) -> object:
    """Answer CreateMultipartUpload."""
    asked = call.input
    now_ms = call.now_ms
    request = CreateUpload(
        key=asked.key,
        content=content_of(asked),
        metadata=asked.metadata,
        tags=asked.tagging or (),
        storage_class=asked.storage_class or "STANDARD",
        checksum_algorithm=asked.checksum_algorithm,
        checksum_type=asked.checksum_type,
    )
    change = uploads.create(request, uploads.new_upload_id(call.pipeline.rand, now_ms), now_ms)

    def then(upload: UploadRecord) -> object:
        return structs.CreateMultipartUploadOutput(
            bucket=asked.bucket,
            key=asked.key,
            upload_id=upload.upload_id,
            checksum_algorithm=upload.checksum_algorithm,
            checksum_type=upload.checksum_type,
        )

    return call.commit(call.bucket(), change, then)


def complete_multipart_upload(call: Call) -> object:
    """Answer CompleteMultipartUpload."""
    asked = call.input
    parts = asked.multipart_upload.parts
    request = CompleteUpload(
        key=asked.key,
        upload_id=asked.upload_id,
        parts=tuple(
            CompletedPart(part.part_number, part.etag or "", _checksums(part)) for part in parts
        ),
        checksums=_checksums(asked),
        checksum_type=asked.checksum_type,
        size=asked.mpu_object_size,
        conditions=conditions_of(asked),
    )
    change = uploads.complete(request, call.now_ms)
    host = call.exchange.head.headers.get("host", "")
    scheme = "https" if call.exchange.connection.secure else "http"

    def then(result: WriteResult) -> object:
        return structs.CompleteMultipartUploadOutput(
            location=f"{scheme}://{host}/{asked.bucket}/{quote(asked.key)}",
            bucket=asked.bucket,
            key=asked.key,
            etag=result.etag,
            **checksum_members(result.checksum),
        )

    bucket = call.bucket()
    if len(parts) > PARTS_ON_LOOP_MAX:
        return call.run(lambda: bucket.index.commit(change), then)
    return call.commit(bucket, change, then)


def _checksums(given: object) -> dict[str, str]:
    found = {}
    for algorithm, member in _CHECKSUMS:
        value = getattr(given, member)
        if value is not None:
            found[algorithm] = value
    return found


def abort_multipart_upload(call: Call) -> object:
    """Answer AbortMultipartUpload."""
    asked = call.input
    change = uploads.abort(asked.key, asked.upload_id)
    return call.commit(call.bucket(), change, lambda _: structs.AbortMultipartUploadOutput())


def list_parts(call: Call) -> object:
    """Answer ListParts."""
    asked = call.input
    bucket = call.bucket()
    owner = structs.Owner(id=call.pipeline.settings.account_id)

    def job() -> PartPage:
        with bucket.index.read() as view:
            return uploads.parts(
                view,
                asked.key,
                asked.upload_id,
                after=asked.part_number_marker,
                limit=asked.max_parts,
            )

    def then(page: PartPage) -> object:
        upload = page.upload
        # S3 tells the parts' checksums only when the upload was begun with an algorithm.
        told = upload.checksum_algorithm is not None
        return structs.ListPartsOutput(
            bucket=asked.bucket,
            key=asked.key,
            upload_id=asked.upload_id,
            part_number_marker=asked.part_number_marker,
            next_part_number_marker=page.next_part,
            max_parts=asked.max_parts,
            is_truncated=page.truncated,
            parts=[
                structs.Part(
                    part_number=part.number,
                    last_modified=part.modified_ms,
                    etag=part.etag,
                    size=part.size,
                    **(checksum_members(part.checksum, typed=False) if told else {}),
                )
                for part in page.parts
            ],
            initiator=owner,
            owner=owner,
            storage_class=upload.storage_class,
            checksum_algorithm=upload.checksum_algorithm,
            checksum_type=upload.checksum_type,
        )

    return call.run(job, then)


def list_multipart_uploads(call: Call) -> object:
    """Answer ListMultipartUploads."""
    asked = call.input
    bucket = call.bucket()
    owner = structs.Owner(id=call.pipeline.settings.account_id)
    request = ListUploads(
        prefix=asked.prefix,
        delimiter=asked.delimiter or "",
        key_marker=asked.key_marker,
        upload_id_marker=asked.upload_id_marker,
        max_uploads=asked.max_uploads,
    )

    def job() -> UploadPage:
        with bucket.index.read() as view:
            return listing.uploads(view, request)

    def then(page: UploadPage) -> object:
        return structs.ListMultipartUploadsOutput(
            bucket=asked.bucket,
            key_marker=asked.key_marker,
            upload_id_marker=asked.upload_id_marker,
            next_key_marker=page.next_key_marker,
            next_upload_id_marker=page.next_upload_id_marker,
            prefix=asked.prefix,
            delimiter=asked.delimiter,
            encoding_type=asked.encoding_type,
            max_uploads=asked.max_uploads,
            is_truncated=page.truncated,
            uploads=[_upload(upload, owner) for upload in page.uploads],
            common_prefixes=[structs.CommonPrefix(prefix=prefix) for prefix in page.prefixes],
        )

    return call.run(job, then)


def _upload(upload: UploadRecord, owner: structs.Owner) -> structs.MultipartUpload:
    return structs.MultipartUpload(
        upload_id=upload.upload_id,
        key=upload.key,
        initiated=upload.initiated_ms,
        storage_class=upload.storage_class,
        owner=owner,
        initiator=owner,
        checksum_algorithm=upload.checksum_algorithm,
        checksum_type=upload.checksum_type,
    )
