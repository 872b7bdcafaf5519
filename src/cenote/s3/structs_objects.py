"""Inputs and outputs of the operations on one object, and of DeleteObjects.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from cenote.s3.shapes import Element, Header, HeaderMap, Items, Nested, Payload, Query
from cenote.s3.structs_shared import (
    CHECKSUM_TYPE,
    DIRECTIVE,
    TAGGING_DIRECTIVE,
    Algorithm,
    BucketInput,
    ChecksumElements,
    ChecksumHeaders,
    CopySourceHeader,
    CopySourceIfMatch,
    CopySourceIfModifiedSince,
    CopySourceIfNoneMatch,
    CopySourceIfUnmodifiedSince,
    Digest,
    EtagElement,
    EtagHeader,
    ExpectedSourceOwner,
    HeaderChecksumType,
    HeaderCrc32,
    HeaderCrc32c,
    HeaderCrc64nvme,
    HeaderSha1,
    HeaderSha256,
    IfMatch,
    IfNoneMatch,
    ObjectInput,
    StoredInput,
    Tag,
    VersionId,
)
from cenote.s3.values import (
    BOOLEAN,
    CHECKSUM_ALGORITHM,
    ETAG,
    HEADER_VALUE,
    HTTP_DATE,
    HTTP_DATE_IF_VALID,
    INTEGER,
    ISO_DATE,
    MAX_ITEMS,
    PART_NUMBER,
    STORAGE_CLASS,
    VERSION_ID,
    enum,
    integer,
    listed,
)

__all__ = [
    "AttributesParts",
    "Checksum",
    "CopyObjectInput",
    "CopyObjectOutput",
    "CopyObjectResult",
    "Delete",
    "DeleteError",
    "DeleteObjectInput",
    "DeleteObjectOutput",
    "DeleteObjectTaggingInput",
    "DeleteObjectTaggingOutput",
    "DeleteObjectsInput",
    "DeleteObjectsOutput",
    "DeletedObject",
    "GetObjectAttributesInput",
    "GetObjectAttributesOutput",
    "GetObjectInput",
    "GetObjectOutput",
    "GetObjectTaggingInput",
    "GetObjectTaggingOutput",
    "HeadObjectInput",
    "HeadObjectOutput",
    "ObjectIdentifier",
    "ObjectPart",
    "PutObjectInput",
    "PutObjectOutput",
    "PutObjectTaggingInput",
    "PutObjectTaggingOutput",
    "Tagging",
]

ResponseCacheControl = Annotated[str | None, Query("response-cache-control", HEADER_VALUE)]
ResponseContentDisposition = Annotated[
    str | None, Query("response-content-disposition", HEADER_VALUE)
]
ResponseContentEncoding = Annotated[str | None, Query("response-content-encoding", HEADER_VALUE)]
ResponseContentLanguage = Annotated[str | None, Query("response-content-language", HEADER_VALUE)]
ResponseContentType = Annotated[str | None, Query("response-content-type", HEADER_VALUE)]
ResponseExpires = Annotated[str | None, Query("response-expires", HEADER_VALUE)]


class PutObjectInput(StoredInput, frozen=True, kw_only=True):
    """The body itself is streamed beside it."""

    content_md5: Digest = None
    checksum_algorithm: Algorithm = None
    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None
    if_match: IfMatch = None
    if_none_match: IfNoneMatch = None


class PutObjectOutput(ChecksumHeaders, frozen=True, kw_only=True):
    """What was stored."""

    etag: EtagHeader = None
    checksum_type: HeaderChecksumType = None
    size: Annotated[int | None, Header("x-amz-object-size", INTEGER)] = None


class GetObjectInput(ObjectInput, frozen=True, kw_only=True):
    """`response_*` replace stored headers; S3 refuses them on unsigned requests."""

    if_match: IfMatch = None
    if_modified_since: Annotated[int | None, Header("If-Modified-Since", HTTP_DATE_IF_VALID)] = None
    if_none_match: IfNoneMatch = None
    if_unmodified_since: Annotated[
        int | None, Header("If-Unmodified-Since", HTTP_DATE_IF_VALID)
    ] = None
    range: Annotated[str | None, Header("Range")] = None
    response_cache_control: ResponseCacheControl = None
    response_content_disposition: ResponseContentDisposition = None
    response_content_encoding: ResponseContentEncoding = None
    response_content_language: ResponseContentLanguage = None
    response_content_type: ResponseContentType = None
    response_expires: ResponseExpires = None
    version_id: VersionId = None
    part_number: Annotated[int | None, Query("partNumber", PART_NUMBER)] = None
    # The C++ SDK writes it in lower case.
    checksum_mode: Annotated[
        str | None, Header("x-amz-checksum-mode", enum("ENABLED", ignore_case=True))
    ] = None


class GetObjectOutput(ChecksumHeaders, frozen=True, kw_only=True):
    """The answer is 206 when `content_range` is set, else 200. `last_modified`: milliseconds.

    x-amz-missing-meta is not a member: the renderer counts what it can not write.
    """

    accept_ranges: Annotated[str | None, Header("accept-ranges")] = "bytes"
    last_modified: Annotated[int | None, Header("Last-Modified", HTTP_DATE)] = None
    content_length: Annotated[int | None, Header("Content-Length", INTEGER)] = None
    etag: EtagHeader = None
    checksum_type: HeaderChecksumType = None
    cache_control: Annotated[str | None, Header("Cache-Control")] = None
    content_disposition: Annotated[str | None, Header("Content-Disposition")] = None
    content_encoding: Annotated[str | None, Header("Content-Encoding")] = None
    content_language: Annotated[str | None, Header("Content-Language")] = None
    content_range: Annotated[str | None, Header("Content-Range")] = None
    content_type: Annotated[str | None, Header("Content-Type")] = None
    expires: Annotated[str | None, Header("Expires")] = None
    website_redirect_location: Annotated[str | None, Header("x-amz-website-redirect-location")] = (
        None
    )
    metadata: Annotated[dict[str, str], HeaderMap("x-amz-meta-")] = {}
    storage_class: Annotated[str | None, Header("x-amz-storage-class", STORAGE_CLASS)] = None
    parts_count: Annotated[int | None, Header("x-amz-mp-parts-count", INTEGER)] = None
    tag_count: Annotated[int | None, Header("x-amz-tagging-count", INTEGER)] = None


class HeadObjectInput(GetObjectInput, frozen=True, kw_only=True):
    """As GetObject."""


class HeadObjectOutput(GetObjectOutput, frozen=True, kw_only=True):
    """As GetObject, without the bytes."""


class DeleteObjectInput(ObjectInput, frozen=True, kw_only=True):
    """The last two conditions are of directory buckets on AWS."""

    version_id: VersionId = None
    if_match: IfMatch = None
    if_match_last_modified_time: Annotated[
        int | None, Header("x-amz-if-match-last-modified-time", HTTP_DATE)
    ] = None
    if_match_size: Annotated[int | None, Header("x-amz-if-match-size", INTEGER)] = None


class DeleteObjectOutput(Struct, frozen=True, kw_only=True):
    """Nothing: without versioning there is no delete marker to tell of."""


class ObjectIdentifier(Struct, frozen=True, kw_only=True):
    """One key to delete, and what must hold of it. `etag` without quotes, or "*".

    `version_id` is as sent: it is judged key by key, not for the request.
    """

    key: Annotated[str, Element("Key")]
    version_id: Annotated[str | None, Element("VersionId")] = None
    etag: Annotated[str | None, Element("ETag", ETAG)] = None
    last_modified_time: Annotated[int | None, Element("LastModifiedTime", HTTP_DATE)] = None
    size: Annotated[int | None, Element("Size", INTEGER)] = None


class Delete(Struct, frozen=True, kw_only=True):
    """The body of DeleteObjects. `quiet`: the answer names only what failed."""

    objects: Annotated[
        Sequence[ObjectIdentifier], Items("Object", ObjectIdentifier, least=1, most=1000)
    ]
    quiet: Annotated[bool, Element("Quiet", BOOLEAN)] = False


class DeleteObjectsInput(BucketInput, frozen=True, kw_only=True):
    """1 to 1000 keys."""

    delete: Annotated[Delete, Payload("Delete", Delete)]
    content_md5: Digest = None
    checksum_algorithm: Algorithm = None
    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None


class DeletedObject(Struct, frozen=True, kw_only=True):
    """A key that is gone."""

    key: Annotated[str, Element("Key")]
    version_id: Annotated[str | None, Element("VersionId")] = None


class DeleteError(Struct, frozen=True, kw_only=True):
    """A key that is not gone, and why."""

    key: Annotated[str, Element("Key")]
    version_id: Annotated[str | None, Element("VersionId")] = None
    code: Annotated[str, Element("Code")]
    message: Annotated[str, Element("Message")]


class DeleteObjectsOutput(Struct, frozen=True, kw_only=True):
    """Every key asked for is in one of the two (with Quiet, only errors are)."""

    deleted: Annotated[Sequence[DeletedObject], Items("Deleted", DeletedObject)] = ()
    errors: Annotated[Sequence[DeleteError], Items("Error", DeleteError)] = ()


class CopyObjectInput(StoredInput, frozen=True, kw_only=True):
    """`if_match` and `if_none_match` are about the destination."""

    copy_source: CopySourceHeader
    copy_source_if_match: CopySourceIfMatch = None
    copy_source_if_modified_since: CopySourceIfModifiedSince = None
    copy_source_if_none_match: CopySourceIfNoneMatch = None
    copy_source_if_unmodified_since: CopySourceIfUnmodifiedSince = None
    checksum_algorithm: Annotated[
        str | None, Header("x-amz-checksum-algorithm", CHECKSUM_ALGORITHM)
    ] = None
    if_match: IfMatch = None
    if_none_match: IfNoneMatch = None
    metadata_directive: Annotated[str, Header("x-amz-metadata-directive", DIRECTIVE)] = "COPY"
    tagging_directive: Annotated[str, Header("x-amz-tagging-directive", TAGGING_DIRECTIVE)] = "COPY"
    expected_source_bucket_owner: ExpectedSourceOwner = None


class CopyObjectResult(ChecksumElements, frozen=True, kw_only=True):
    """The new object. `last_modified`: milliseconds."""

    last_modified: Annotated[int | None, Element("LastModified", ISO_DATE)] = None
    etag: EtagElement = None
    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None


class CopyObjectOutput(Struct, frozen=True, kw_only=True):
    """The result is the document."""

    copy_object_result: Annotated[CopyObjectResult, Payload("CopyObjectResult", CopyObjectResult)]


class GetObjectAttributesInput(ObjectInput, frozen=True, kw_only=True):
    """`object_attributes` says which to tell: one at least."""

    object_attributes: Annotated[
        tuple[str, ...],
        Header(
            "x-amz-object-attributes",
            listed(
                "ETag",
                "Checksum",
                "ObjectParts",
                "StorageClass",
                "ObjectSize",
                message="Invalid attribute name specified.",
            ),
        ),
    ]
    version_id: VersionId = None
    max_parts: Annotated[int, Header("x-amz-max-parts", MAX_ITEMS)] = 1000
    part_number_marker: Annotated[int, Header("x-amz-part-number-marker", integer())] = 0


class Checksum(ChecksumElements, frozen=True, kw_only=True):
    """An object's checksum."""

    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None


class ObjectPart(ChecksumElements, frozen=True, kw_only=True):
    """A part of an object, as GetObjectAttributes tells it. `size` in bytes."""

    part_number: Annotated[int, Element("PartNumber", INTEGER)]
    size: Annotated[int, Element("Size", INTEGER)]


class AttributesParts(Struct, frozen=True, kw_only=True):
    """One page of parts."""

    total_parts_count: Annotated[int | None, Element("PartsCount", INTEGER)] = None
    part_number_marker: Annotated[int | None, Element("PartNumberMarker", INTEGER)] = None
    next_part_number_marker: Annotated[int | None, Element("NextPartNumberMarker", INTEGER)] = None
    max_parts: Annotated[int | None, Element("MaxParts", INTEGER)] = None
    is_truncated: Annotated[bool | None, Element("IsTruncated", BOOLEAN)] = None
    parts: Annotated[Sequence[ObjectPart], Items("Part", ObjectPart)] = ()


class GetObjectAttributesOutput(Struct, frozen=True, kw_only=True):
    """Only what was asked for is set. Here, unlike anywhere else, the ETag has no quotes."""

    last_modified: Annotated[int | None, Header("Last-Modified", HTTP_DATE)] = None
    etag: Annotated[str | None, Element("ETag")] = None
    checksum: Annotated[Checksum | None, Nested("Checksum", Checksum)] = None
    object_parts: Annotated[AttributesParts | None, Nested("ObjectParts", AttributesParts)] = None
    storage_class: Annotated[str | None, Element("StorageClass", STORAGE_CLASS)] = None
    object_size: Annotated[int | None, Element("ObjectSize", INTEGER)] = None


class Tagging(Struct, frozen=True, kw_only=True):
    """A set of tags; how many and which are allowed is `cenote.buckets`' to say."""

    tag_set: Annotated[Sequence[Tag], Items("Tag", Tag, wrapper="TagSet", most=1000)]


class GetObjectTaggingInput(ObjectInput, frozen=True, kw_only=True):
    """Only the object."""

    version_id: VersionId = None


class GetObjectTaggingOutput(Struct, frozen=True, kw_only=True):
    """An object without tags has an empty set."""

    tag_set: Annotated[Sequence[Tag], Items("Tag", Tag, wrapper="TagSet")] = ()


class PutObjectTaggingInput(ObjectInput, frozen=True, kw_only=True):
    """The whole set; it replaces the old one."""

    tagging: Annotated[Tagging, Payload("Tagging", Tagging)]
    version_id: Annotated[str | None, Query("versionId", VERSION_ID)] = None
    content_md5: Digest = None
    checksum_algorithm: Algorithm = None
    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None


class PutObjectTaggingOutput(Struct, frozen=True, kw_only=True):
    """Nothing."""


class DeleteObjectTaggingInput(ObjectInput, frozen=True, kw_only=True):
    """Only the object."""

    version_id: VersionId = None


class DeleteObjectTaggingOutput(Struct, frozen=True, kw_only=True):
    """Nothing."""
