"""CopyObject and UploadPartCopy.

Run on a worker thread: most copies move no bytes, but one between buckets does.
"""

from __future__ import annotations

import re

from cenote.buckets import CopyObject, CopyPart, WriteResult, copying
from cenote.ports import PartRecord
from cenote.s3 import S3Error, structs
from cenote.server.call import Call
from cenote.server.handlers.mapping import (
    checksum_members,
    conditions_of,
    content_of,
    source_conditions_of,
)

__all__ = ["copy_object", "upload_part_copy"]

_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})")


def copy_object(call: Call) -> object:
    """Answer CopyObject."""
    asked = call.input
    _check_source_owner(call)
    replace = asked.metadata_directive == "REPLACE"
    request = CopyObject(
        key=asked.key,
        source_key=asked.copy_source.key,
        content=content_of(asked) if replace else None,
        metadata=asked.metadata if replace else None,
        tags=(asked.tagging or ()) if asked.tagging_directive == "REPLACE" else None,
        website_redirect_location=asked.website_redirect_location,
        storage_class=asked.storage_class,
        checksum_algorithm=asked.checksum_algorithm,
        source_conditions=source_conditions_of(asked),
        conditions=conditions_of(asked),
    )
    store, clock = call.pipeline.store, call.pipeline.clock
    source = store.bucket(asked.copy_source.bucket)
    target = call.bucket()

    def then(result: WriteResult) -> object:
        return structs.CopyObjectOutput(
            copy_object_result=structs.CopyObjectResult(
                last_modified=result.modified_ms,
                etag=result.etag,
                **checksum_members(result.checksum),
            )
        )

    return call.run(lambda: copying.copy_object(source, target, request, clock.now_ms), then)


def upload_part_copy(call: Call) -> object:
    """Answer UploadPartCopy."""
    asked = call.input
    _check_source_owner(call)
    start, end = _source_range(asked.copy_source_range)
    request = CopyPart(
        key=asked.key,
        upload_id=asked.upload_id,
        number=asked.part_number,
        source_key=asked.copy_source.key,
        start=start,
        end=end,
        source_conditions=source_conditions_of(asked),
    )
    store, clock = call.pipeline.store, call.pipeline.clock
    source = store.bucket(asked.copy_source.bucket)
    target = call.bucket()

    def then(part: PartRecord) -> object:
        return structs.UploadPartCopyOutput(
            copy_part_result=structs.CopyPartResult(
                last_modified=part.modified_ms,
                etag=part.etag,
                **checksum_members(part.checksum, typed=False),
            )
        )

    return call.run(lambda: copying.copy_part(source, target, request, clock.now_ms), then)


def _check_source_owner(call: Call) -> None:
    owner = call.input.expected_source_bucket_owner
    if owner is not None and owner != call.pipeline.settings.account_id:
        raise S3Error("AccessDenied")


def _source_range(text: str | None) -> tuple[int | None, int | None]:
    """Read x-amz-copy-source-range: one range with both ends, and nothing else."""
    if text is None:
        return None, None
    found = _RANGE.fullmatch(text)
    if found is None or int(found[1]) > int(found[2]):
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first "
            "and last are the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=text,
        )
    return int(found[1]), int(found[2]) + 1
