"""From what went wrong to S3's words for it: one table.

Owns: the mapping from `cenote.errors` kinds to S3's codes, and which context the answer tells.
Does not own: the codes themselves (`cenote.s3.CODES`).

Invariants:
1. Every error raised on purpose below has a code; a kind nobody mapped falls back to its class's
   code, so that a new kind is never a crash.
2. Messages of data errors and faults of the disk stay in the log: a client learns the code only.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from cenote.errors import (
    ClosedError,
    ConflictError,
    DeniedError,
    Error,
    InvalidError,
    NotFoundError,
    PreconditionError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)
from cenote.s3 import S3Error

__all__ = ["FAULTS", "Fault", "s3_error_of"]


class Fault(Struct, frozen=True):
    """A kind's S3 code. `own_words`: tell our message instead of S3's usual one.

    `extra` names elements of the answer and the context they come from.
    """

    code: str
    own_words: bool = False
    extra: tuple[tuple[str, str], ...] = ()


FAULTS: dict[str, Fault] = {
    "bad_digest": Fault("BadDigest", own_words=True),
    "bucket_exists": Fault("BucketAlreadyOwnedByYou", extra=(("BucketName", "bucket"),)),
    "bucket_not_empty": Fault("BucketNotEmpty", extra=(("BucketName", "bucket"),)),
    "busy": Fault("ServiceUnavailable"),
    "closed": Fault("ServiceUnavailable"),
    "conditional_conflict": Fault("ConditionalRequestConflict", extra=(("Key", "key"),)),
    "denied": Fault("AccessDenied"),
    "disk_full": Fault("StorageFull"),
    "entity_too_large": Fault(
        "EntityTooLarge", extra=(("ProposedSize", "size"), ("MaxSizeAllowed", "size_max"))
    ),
    "entity_too_small": Fault(
        "EntityTooSmall",
        extra=(
            ("ProposedSize", "size"),
            ("MinSizeAllowed", "size_min"),
            ("PartNumber", "part_number"),
        ),
    ),
    "foreign_file": Fault("BucketAlreadyExists", extra=(("BucketName", "bucket"),)),
    "incomplete_body": Fault("IncompleteBody"),
    "invalid_argument": Fault(
        "InvalidArgument",
        own_words=True,
        extra=(("ArgumentName", "argument"), ("ArgumentValue", "value")),
    ),
    "invalid_bucket_name": Fault("InvalidBucketName", extra=(("BucketName", "bucket"),)),
    "invalid_digest": Fault("InvalidDigest"),
    "invalid_object_state": Fault("InvalidObjectState", extra=(("StorageClass", "storage_class"),)),
    "invalid_part": Fault("InvalidPart", extra=(("PartNumber", "part_number"), ("ETag", "etag"))),
    "invalid_part_number": Fault("InvalidPartNumber"),
    "invalid_part_order": Fault("InvalidPartOrder"),
    "invalid_range": Fault("InvalidRange", extra=(("ActualObjectSize", "size"),)),
    "invalid_redirect_location": Fault("InvalidArgument", own_words=True),
    "invalid_request": Fault("InvalidRequest", own_words=True),
    "invalid_storage_class": Fault(
        "InvalidStorageClass", extra=(("StorageClassRequested", "storage_class"),)
    ),
    "invalid_tag": Fault("InvalidTag", own_words=True, extra=(("TagKey", "tag_key"),)),
    "invalid_token": Fault("InvalidArgument", own_words=True),
    "io": Fault("InternalError"),
    "key_too_long": Fault(
        "KeyTooLongError", extra=(("Size", "size"), ("MaxSizeAllowed", "size_max"))
    ),
    "metadata_too_large": Fault(
        "MetadataTooLarge", extra=(("Size", "size"), ("MaxSizeAllowed", "size_max"))
    ),
    "no_such_bucket": Fault("NoSuchBucket", extra=(("BucketName", "bucket"),)),
    "no_such_key": Fault("NoSuchKey", extra=(("Key", "key"),)),
    "no_such_upload": Fault("NoSuchUpload", extra=(("UploadId", "upload_id"),)),
    "missing_body": Fault("InternalError"),
    "missing_pack": Fault("InternalError"),
    "not_implemented": Fault("NotImplemented", own_words=True, extra=(("Header", "header"),)),
    "not_modified": Fault("NotModified"),
    "precondition_failed": Fault("PreconditionFailed", extra=(("Condition", "condition"),)),
    "read_only": Fault("AccessDenied", own_words=True),
    "short_body": Fault("InternalError"),
    "source_changed": Fault("OperationAborted"),
    "sqlite": Fault("InternalError"),
    "too_many_buckets": Fault("TooManyBuckets"),
    "writer_away": Fault("ServiceUnavailable"),
    "writer_lost": Fault("InternalError"),
}

_CLASSES: tuple[tuple[type[Error], Fault], ...] = (
    (PreconditionError, Fault("PreconditionFailed")),
    (ConflictError, Fault("OperationAborted")),
    (NotFoundError, Fault("NoSuchKey")),
    (DeniedError, Fault("AccessDenied")),
    (UnsupportedError, Fault("NotImplemented", own_words=True)),
    (InvalidError, Fault("InvalidRequest", own_words=True)),
    (ThrottledError, Fault("SlowDown")),
    (UnavailableError, Fault("ServiceUnavailable")),
    (ClosedError, Fault("ServiceUnavailable")),
)
_UNKNOWN = Fault("InternalError")


def s3_error_of(error: Error) -> S3Error:
    """Return S3's form of `error`."""
    fault = FAULTS.get(error.kind)
    if fault is None:
        fault = next((f for kind, f in _CLASSES if isinstance(error, kind)), _UNKNOWN)
    extra: dict[str, Any] = {}
    for element, name in fault.extra:
        value: Any = error.context.get(name)
        if value is not None:
            extra[element] = value if isinstance(value, int) else str(value)
    message = None
    if fault.own_words and error.message:
        sentence = error.message[:1].upper() + error.message[1:]
        message = sentence if sentence.endswith(".") else sentence + "."
    return S3Error(fault.code, message, **extra)
