"""The members many operations share, and the structs they build on.

Owns: bases for inputs and outputs, and aliases for places that come in several operations.
Does not own: each operation's own members (`structs_buckets`, `structs_objects`, ...).

Names are botocore's member names in snake case (IfNoneMatch: `if_none_match`, ETag: `etag`).
Members that are read to be checked and then forgotten (ACL, RequestPayer, ...) are not fields:
`headers` refuses or accepts them.

Annotations here are evaluated at definition, so the structs' files do without the usual future
import: the table is built from the objects.
"""

from typing import Annotated

from msgspec import Struct

from cenote.s3.copysource import CopySource
from cenote.s3.shapes import Element, Header, HeaderMap, PathPart, Query
from cenote.s3.values import (
    CHECKSUM_ALGORITHM,
    CONTENT_ENCODING,
    COPY_SOURCE,
    ETAG,
    HTTP_DATE,
    PART_NUMBER,
    REDIRECT,
    STORAGE_CLASS,
    TAGGING,
    VERSION_ID,
    enum,
)

__all__ = [
    "BucketInput",
    "ChecksumElements",
    "ChecksumHeaders",
    "Digest",
    "IfMatch",
    "IfNoneMatch",
    "ObjectInput",
    "Owner",
    "PartNumber",
    "StoredInput",
    "Tag",
    "UploadId",
    "VersionId",
]

CHECKSUM_TYPE = enum(
    "COMPOSITE",
    "FULL_OBJECT",
    code="InvalidRequest",
    message="Value for x-amz-checksum-type header is invalid.",
)
DIRECTIVE = enum("COPY", "REPLACE", message="Unknown metadata directive.")
TAGGING_DIRECTIVE = enum("COPY", "REPLACE", message="Unknown tagging directive.")
ENCODING_TYPE = enum(
    "url", message="Invalid Encoding Method specified in Request", ignore_empty=True
)

IfMatch = Annotated[str | None, Header("If-Match")]
IfNoneMatch = Annotated[str | None, Header("If-None-Match")]
VersionId = Annotated[str | None, Query("versionId", VERSION_ID)]
UploadId = Annotated[str, Query("uploadId")]
PartNumber = Annotated[int, Query("partNumber", PART_NUMBER)]
Digest = Annotated[str | None, Header("Content-MD5")]
Algorithm = Annotated[str | None, Header("x-amz-sdk-checksum-algorithm", CHECKSUM_ALGORITHM)]
HeaderCrc32 = Annotated[str | None, Header("x-amz-checksum-crc32")]
HeaderCrc32c = Annotated[str | None, Header("x-amz-checksum-crc32c")]
HeaderCrc64nvme = Annotated[str | None, Header("x-amz-checksum-crc64nvme")]
HeaderSha1 = Annotated[str | None, Header("x-amz-checksum-sha1")]
HeaderSha256 = Annotated[str | None, Header("x-amz-checksum-sha256")]
HeaderChecksumType = Annotated[str | None, Header("x-amz-checksum-type", CHECKSUM_TYPE)]
EncodingType = Annotated[str | None, Query("encoding-type", ENCODING_TYPE)]
RedirectLocation = Annotated[str | None, Header("x-amz-website-redirect-location", REDIRECT)]


class BucketInput(Struct, frozen=True, kw_only=True):
    """An input that names a bucket.

    `expected_bucket_owner`, if set, must be the account of the server.
    """

    bucket: Annotated[str, PathPart("Bucket")]
    expected_bucket_owner: Annotated[str | None, Header("x-amz-expected-bucket-owner")] = None


class ObjectInput(BucketInput, frozen=True, kw_only=True):
    """An input that names an object."""

    key: Annotated[str, PathPart("Key")]


class StoredInput(ObjectInput, frozen=True, kw_only=True):
    """An input that says what is stored with an object. `tagging` None: not said."""

    cache_control: Annotated[str | None, Header("Cache-Control")] = None
    content_disposition: Annotated[str | None, Header("Content-Disposition")] = None
    content_encoding: Annotated[str | None, Header("Content-Encoding", CONTENT_ENCODING)] = None
    content_language: Annotated[str | None, Header("Content-Language")] = None
    content_type: Annotated[str | None, Header("Content-Type")] = None
    expires: Annotated[str | None, Header("Expires")] = None
    metadata: Annotated[dict[str, str], HeaderMap("x-amz-meta-")] = {}
    storage_class: Annotated[str | None, Header("x-amz-storage-class", STORAGE_CLASS)] = None
    website_redirect_location: Annotated[
        str | None, Header("x-amz-website-redirect-location", REDIRECT)
    ] = None
    tagging: Annotated[tuple[tuple[str, str], ...] | None, Header("x-amz-tagging", TAGGING)] = None


class ChecksumHeaders(Struct, frozen=True, kw_only=True):
    """An output with an object's checksum in headers: at most one of the five is set."""

    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None


class ChecksumElements(Struct, frozen=True, kw_only=True):
    """A struct with a checksum in XML elements: at most one of the five is set."""

    checksum_crc32: Annotated[str | None, Element("ChecksumCRC32")] = None
    checksum_crc32c: Annotated[str | None, Element("ChecksumCRC32C")] = None
    checksum_crc64nvme: Annotated[str | None, Element("ChecksumCRC64NVME")] = None
    checksum_sha1: Annotated[str | None, Element("ChecksumSHA1")] = None
    checksum_sha256: Annotated[str | None, Element("ChecksumSHA256")] = None


CopySourceHeader = Annotated[CopySource, Header("x-amz-copy-source", COPY_SOURCE)]
CopySourceIfMatch = Annotated[str | None, Header("x-amz-copy-source-if-match")]
CopySourceIfNoneMatch = Annotated[str | None, Header("x-amz-copy-source-if-none-match")]
CopySourceIfModifiedSince = Annotated[
    int | None, Header("x-amz-copy-source-if-modified-since", HTTP_DATE)
]
CopySourceIfUnmodifiedSince = Annotated[
    int | None, Header("x-amz-copy-source-if-unmodified-since", HTTP_DATE)
]
ExpectedSourceOwner = Annotated[str | None, Header("x-amz-source-expected-bucket-owner")]


class Owner(Struct, frozen=True, kw_only=True):
    """Who owns a bucket or an object, or began an upload."""

    id: Annotated[str, Element("ID")]
    display_name: Annotated[str | None, Element("DisplayName")] = None


class Tag(Struct, frozen=True, kw_only=True):
    """One tag."""

    key: Annotated[str, Element("Key")]
    value: Annotated[str, Element("Value")]


EtagHeader = Annotated[str | None, Header("ETag", ETAG)]
EtagElement = Annotated[str | None, Element("ETag", ETAG)]
