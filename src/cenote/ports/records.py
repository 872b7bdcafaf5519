"""The values an index keeps: buckets, objects, uploads, parts.

Owns: the shape of what is stored, independent of how.
Does not own: S3's rules about them (`cenote.buckets`), or tables and files (`cenote.sqldb`).

Invariants:
1. Times are integers, milliseconds since the Unix epoch, UTC. Sizes are bytes.
2. ETags are stored without quotes: 32 lower-case hex digits, or those and "-N" for N parts.
3. A body id names an immutable sequence of bytes; id 0 is the empty body and is never stored.

Why msgspec structs: one is built for every request on the hot path, at a tenth of the cost of a
dataclass, and details encode to the JSON column without a second mapping.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "EMPTY_BODY",
    "BucketRecord",
    "Checksum",
    "Content",
    "Extent",
    "ObjectRecord",
    "ObjectSummary",
    "PartMark",
    "PartRecord",
    "StagedBody",
    "UploadRecord",
]

EMPTY_BODY = 0


class BucketRecord(Struct, frozen=True):
    """A bucket. `region` is the location constraint it was created with, or None."""

    name: str
    created_ms: int
    region: str | None = None
    owner: str = ""
    inline_max: int | None = None  # bytes; None: the store's default


class Checksum(Struct, frozen=True):
    """A checksum as S3 reports it.

    `algorithm`: CRC32, CRC32C, CRC64NVME, SHA1 or SHA256. `type`: FULL_OBJECT or COMPOSITE.
    `value`: base64, and for COMPOSITE "-N" behind it.
    """

    algorithm: str
    type: str
    value: str


class Content(Struct, frozen=True, omit_defaults=True):
    """The headers stored with an object and sent back as they came."""

    content_type: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    expires: str | None = None
    website_redirect_location: str | None = None


class PartMark(Struct, frozen=True):
    """Where one part of a finished multipart object lies in it.

    `offset` and `size` in bytes; `checksum` is the part's own value (base64) or None.
    """

    number: int
    offset: int
    size: int
    checksum: str | None = None


class ObjectRecord(Struct, frozen=True):
    """One object, all but its bytes. `part_count` is 0 unless it came from a multipart upload.

    `upload_id` is the upload whose completion made it, or None: by it a completion that is sent
    twice is told from one of an unknown upload.
    """

    key: str
    size: int
    etag: str
    modified_ms: int
    body: int = EMPTY_BODY
    storage_class: str = "STANDARD"
    content: Content = Content()
    metadata: dict[str, str] = {}
    tags: tuple[tuple[str, str], ...] = ()
    checksum: Checksum | None = None
    part_count: int = 0
    upload_id: str | None = None


class ObjectSummary(Struct, frozen=True):
    """What a listing tells of an object."""

    key: str
    size: int
    etag: str
    modified_ms: int
    storage_class: str = "STANDARD"
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


class UploadRecord(Struct, frozen=True):
    """A multipart upload under way: what the object will be, but for its parts."""

    upload_id: str
    key: str
    initiated_ms: int
    storage_class: str = "STANDARD"
    content: Content = Content()
    metadata: dict[str, str] = {}
    tags: tuple[tuple[str, str], ...] = ()
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


class PartRecord(Struct, frozen=True):
    """One uploaded part. `checksum` holds a FULL_OBJECT checksum of the part's bytes."""

    number: int
    size: int
    etag: str
    modified_ms: int
    body: int = EMPTY_BODY
    checksum: Checksum | None = None


class Extent(Struct, frozen=True):
    """A run of bytes: in pack file `pack` at `offset`, or, with pack 0, the inline body `offset`.

    `crc` is the CRC64NVME of the run.
    """

    pack: int
    offset: int
    size: int
    crc: int


class StagedBody(Struct, frozen=True):
    """Bytes handed over but not yet part of anything.

    Either `data` (to be stored inline with the commit) or `extents` (already durable in packs).
    `md5` is 16 bytes; `checksums` maps an algorithm's name to its digest in bytes.
    """

    size: int
    md5: bytes
    checksums: dict[str, bytes]
    data: bytes | None = None
    extents: tuple[Extent, ...] = ()
