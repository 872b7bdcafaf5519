"""The values that go into and come out of a bucket's operations.

Owns: requests, results and pages, as a program sees them; one struct per noun.
Does not own: what is stored (`cenote.ports`), or how any of it looks on a wire.

Invariants:
1. Keys are text whose UTF-8 form is 1 to 1024 bytes; their order is that of their UTF-8 bytes.
2. ETags in results carry no quotes; conditions take them with or without.
3. Times are milliseconds since the Unix epoch, sizes bytes, ranges half-open.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cenote.ports import (
    BucketRecord,
    Checksum,
    Content,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    PartRecord,
    UploadRecord,
)

__all__ = [
    "ABSENT",
    "NO_CONDITIONS",
    "NO_READ_CONDITIONS",
    "Attributes",
    "BucketPage",
    "Claims",
    "CompleteUpload",
    "CompletedPart",
    "Conditions",
    "CopyObject",
    "CopyPart",
    "CreateUpload",
    "DeleteKey",
    "DeleteOutcome",
    "ListObjects",
    "ListUploads",
    "ObjectPage",
    "PartPage",
    "PutObject",
    "PutPart",
    "ReadConditions",
    "UploadPage",
    "WriteResult",
]


class Conditions(Struct, frozen=True):
    """What must hold of the key's current object for a write to happen.

    `if_match`: an ETag, or `*` for any object. `if_none_match`: only `*`, for no object.
    """

    if_match: str | None = None
    if_none_match: str | None = None


ABSENT: Final = Conditions(if_none_match="*")
NO_CONDITIONS: Final = Conditions()


class ReadConditions(Struct, frozen=True):
    """What must hold of an object for a read, or for being the source of a copy.

    ETags may be lists separated by commas, or `*`; times are milliseconds, compared by second.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since_ms: int | None = None
    if_unmodified_since_ms: int | None = None


NO_READ_CONDITIONS: Final = ReadConditions()


class Claims(Struct, frozen=True):
    """What the caller says of the bytes it sends: refused unless the bytes agree.

    `md5` is 16 bytes. `checksums` maps an algorithm's name to its digest in bytes.
    `algorithm` is the one to store; None means the one in `checksums`, else CRC64NVME.
    """

    md5: bytes | None = None
    checksums: dict[str, bytes] = {}
    algorithm: str | None = None


class PutObject(Struct, frozen=True):
    """A new object, all but its bytes."""

    key: str
    content: Content = Content()
    metadata: dict[str, str] = {}
    tags: tuple[tuple[str, str], ...] = ()
    storage_class: str = "STANDARD"
    claims: Claims = Claims()
    conditions: Conditions = NO_CONDITIONS


class CopyObject(Struct, frozen=True):
    """A copy of `source_key` to `key`.

    `content` and `metadata` both None keep the source's (directive COPY), else both are replaced;
    `tags` likewise. `website_redirect_location` is never the source's. `storage_class` None is
    STANDARD, whatever the source's. `checksum_algorithm` None keeps the source's checksum.
    """

    key: str
    source_key: str
    content: Content | None = None
    metadata: dict[str, str] | None = None
    tags: tuple[tuple[str, str], ...] | None = None
    website_redirect_location: str | None = None
    storage_class: str | None = None
    checksum_algorithm: str | None = None
    source_conditions: ReadConditions = NO_READ_CONDITIONS
    conditions: Conditions = NO_CONDITIONS


class WriteResult(Struct, frozen=True):
    """What a put, a copy or a completed upload made."""

    key: str
    etag: str
    size: int
    modified_ms: int
    checksum: Checksum | None = None
    storage_class: str = "STANDARD"


class DeleteKey(Struct, frozen=True):
    """One key of a delete of many, and the ETag (or `*`) it must have, if any."""

    key: str
    etag: str | None = None


class DeleteOutcome(Struct, frozen=True):
    """What became of one key of a delete. `error_kind` None: it is gone (or never was)."""

    key: str
    existed: bool = False
    error_kind: str | None = None
    error_message: str | None = None


class Attributes(Struct, frozen=True):
    """What GetObjectAttributes tells; `parts` is one page of a multipart object's parts.

    `next_part` is the last number of the page.
    """

    object: ObjectRecord
    parts: tuple[PartMark, ...] = ()
    next_part: int = 0
    truncated: bool = False


class ListObjects(Struct, frozen=True):
    """A question for one page of a listing.

    At most one of `marker` (V1), `start_after` and `token` (V2) decides where the page begins;
    a token outranks `start_after`. With a delimiter, a common prefix that `marker` lies in is
    not told again.
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    start_after: str = ""
    token: str | None = None
    max_keys: int = 1000


class ObjectPage(Struct, frozen=True):
    """One page of a listing. `len(contents) + len(prefixes)` is at most `max_keys`.

    `next_token` (V2) and `next_marker` (V1, the last entry) are set when `truncated`.
    """

    contents: list[ObjectSummary]
    prefixes: list[str]
    truncated: bool = False
    next_token: str | None = None
    next_marker: str | None = None


class CreateUpload(Struct, frozen=True):
    """A multipart upload to begin: what the object will be, but for its parts.

    `checksum_algorithm` None: CRC64NVME over the full object. `checksum_type` None: the
    algorithm's default.
    """

    key: str
    content: Content = Content()
    metadata: dict[str, str] = {}
    tags: tuple[tuple[str, str], ...] = ()
    storage_class: str = "STANDARD"
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


class PutPart(Struct, frozen=True):
    """A part of an upload, all but its bytes. `number` is 1 to 10000."""

    key: str
    upload_id: str
    number: int
    claims: Claims = Claims()


class CopyPart(Struct, frozen=True):
    """A part made of the bytes start <= i < end of an object; both None: all of it."""

    key: str
    upload_id: str
    number: int
    source_key: str
    start: int | None = None
    end: int | None = None
    source_conditions: ReadConditions = NO_READ_CONDITIONS


class CompletedPart(Struct, frozen=True):
    """A part as the caller of complete names it. `checksums`: algorithm to base64 text."""

    number: int
    etag: str
    checksums: dict[str, str] = {}


class CompleteUpload(Struct, frozen=True):
    """The parts that make the object, in ascending order, and what the whole must be.

    `checksums` maps an algorithm to the base64 text the whole object's checksum must have;
    `size` is the size it must have.
    """

    key: str
    upload_id: str
    parts: tuple[CompletedPart, ...]
    checksums: dict[str, str] = {}
    checksum_type: str | None = None
    size: int | None = None
    conditions: Conditions = NO_CONDITIONS


class PartPage(Struct, frozen=True):
    """One page of an upload's parts. `next_part` is the last number told."""

    upload: UploadRecord
    parts: list[PartRecord]
    next_part: int = 0
    truncated: bool = False


class ListUploads(Struct, frozen=True):
    """A question for one page of uploads under way.

    `upload_id_marker` counts only with a `key_marker`.
    """

    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    upload_id_marker: str = ""
    max_uploads: int = 1000


class UploadPage(Struct, frozen=True):
    """One page of uploads under way. The next markers are set when `truncated`."""

    uploads: list[UploadRecord]
    prefixes: list[str]
    truncated: bool = False
    next_key_marker: str | None = None
    next_upload_id_marker: str | None = None


class BucketPage(Struct, frozen=True):
    """One page of buckets, by name. `next_token` is set when there are more."""

    buckets: list[BucketRecord]
    next_token: str | None = None
