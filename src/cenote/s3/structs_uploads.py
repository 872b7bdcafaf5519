"""Inputs and outputs of the multipart operations.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html and its
neighbours.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Struct

from cenote.s3.shapes import Element, Header, Items, Nested, Payload, Query
from cenote.s3.structs_listings import CommonPrefix
from cenote.s3.structs_shared import (
    CHECKSUM_TYPE,
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
    EncodingType,
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
    Owner,
    PartNumber,
    StoredInput,
    UploadId,
)
from cenote.s3.values import (
    BOOLEAN,
    CHECKSUM_ALGORITHM,
    ENCODED,
    ETAG,
    INTEGER,
    ISO_DATE,
    MAX_ITEMS,
    OPTIONAL_STRING,
    PART_NUMBER,
    STORAGE_CLASS,
    integer,
)

__all__ = [
    "AbortMultipartUploadInput",
    "AbortMultipartUploadOutput",
    "CompleteMultipartUploadInput",
    "CompleteMultipartUploadOutput",
    "CompletedMultipartUpload",
    "CompletedPart",
    "CopyPartResult",
    "CreateMultipartUploadInput",
    "CreateMultipartUploadOutput",
    "ListMultipartUploadsInput",
    "ListMultipartUploadsOutput",
    "ListPartsInput",
    "ListPartsOutput",
    "MultipartUpload",
    "Part",
    "UploadPartCopyInput",
    "UploadPartCopyOutput",
    "UploadPartInput",
    "UploadPartOutput",
]


class CreateMultipartUploadInput(StoredInput, frozen=True, kw_only=True):
    """What the object will be, but for its parts."""

    checksum_algorithm: Annotated[
        str | None, Header("x-amz-checksum-algorithm", CHECKSUM_ALGORITHM)
    ] = None
    checksum_type: HeaderChecksumType = None


class CreateMultipartUploadOutput(Struct, frozen=True, kw_only=True):
    """The checksum's algorithm and type are told when the client named an algorithm."""

    bucket: Annotated[str, Element("Bucket")]
    key: Annotated[str, Element("Key")]
    upload_id: Annotated[str, Element("UploadId")]
    checksum_algorithm: Annotated[
        str | None, Header("x-amz-checksum-algorithm", CHECKSUM_ALGORITHM)
    ] = None
    checksum_type: HeaderChecksumType = None


class UploadPartInput(ObjectInput, frozen=True, kw_only=True):
    """The body itself is streamed beside it."""

    part_number: PartNumber
    upload_id: UploadId
    content_md5: Digest = None
    checksum_algorithm: Algorithm = None
    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None


class UploadPartOutput(ChecksumHeaders, frozen=True, kw_only=True):
    """What was stored."""

    etag: EtagHeader = None


class UploadPartCopyInput(ObjectInput, frozen=True, kw_only=True):
    """`copy_source_range` is as sent: "bytes=first-last" and nothing else is allowed."""

    copy_source: CopySourceHeader
    copy_source_if_match: CopySourceIfMatch = None
    copy_source_if_modified_since: CopySourceIfModifiedSince = None
    copy_source_if_none_match: CopySourceIfNoneMatch = None
    copy_source_if_unmodified_since: CopySourceIfUnmodifiedSince = None
    copy_source_range: Annotated[str | None, Header("x-amz-copy-source-range")] = None
    part_number: PartNumber
    upload_id: UploadId
    expected_source_bucket_owner: ExpectedSourceOwner = None


class CopyPartResult(ChecksumElements, frozen=True, kw_only=True):
    """The new part. `last_modified`: milliseconds."""

    last_modified: Annotated[int | None, Element("LastModified", ISO_DATE)] = None
    etag: EtagElement = None


class UploadPartCopyOutput(Struct, frozen=True, kw_only=True):
    """The result is the document."""

    copy_part_result: Annotated[CopyPartResult, Payload("CopyPartResult", CopyPartResult)]


class CompletedPart(ChecksumElements, frozen=True, kw_only=True):
    """A part as the client names it. `etag` without quotes."""

    refused: ClassVar[frozenset[str]] = frozenset(
        {
            "ChecksumMD5",
            "ChecksumSHA512",
            "ChecksumXXHASH128",
            "ChecksumXXHASH3",
            "ChecksumXXHASH64",
        }
    )

    part_number: Annotated[int, Element("PartNumber", PART_NUMBER)]
    etag: Annotated[str, Element("ETag", ETAG)]


class CompletedMultipartUpload(Struct, frozen=True, kw_only=True):
    """The body of CompleteMultipartUpload."""

    parts: Annotated[Sequence[CompletedPart], Items("Part", CompletedPart, least=1, most=10_000)]


class CompleteMultipartUploadInput(ObjectInput, frozen=True, kw_only=True):
    """The checksum is the whole object's; `mpu_object_size` is what its size must be."""

    upload_id: UploadId
    multipart_upload: Annotated[
        CompletedMultipartUpload, Payload("CompleteMultipartUpload", CompletedMultipartUpload)
    ]
    checksum_crc32: HeaderCrc32 = None
    checksum_crc32c: HeaderCrc32c = None
    checksum_crc64nvme: HeaderCrc64nvme = None
    checksum_sha1: HeaderSha1 = None
    checksum_sha256: HeaderSha256 = None
    checksum_type: HeaderChecksumType = None
    mpu_object_size: Annotated[int | None, Header("x-amz-mp-object-size", INTEGER)] = None
    if_match: IfMatch = None
    if_none_match: IfNoneMatch = None


class CompleteMultipartUploadOutput(ChecksumElements, frozen=True, kw_only=True):
    """The object made. `location` is its URL."""

    location: Annotated[str | None, Element("Location")] = None
    bucket: Annotated[str, Element("Bucket")]
    key: Annotated[str, Element("Key")]
    etag: EtagElement = None
    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None


class AbortMultipartUploadInput(ObjectInput, frozen=True, kw_only=True):
    """Only the upload."""

    upload_id: UploadId


class AbortMultipartUploadOutput(Struct, frozen=True, kw_only=True):
    """Nothing."""


class ListPartsInput(ObjectInput, frozen=True, kw_only=True):
    """Parts behind `part_number_marker`, `max_parts` of them at most."""

    upload_id: UploadId
    max_parts: Annotated[int, Query("max-parts", MAX_ITEMS)] = 1000
    part_number_marker: Annotated[int, Query("part-number-marker", integer(empty=0))] = 0


class Part(ChecksumElements, frozen=True, kw_only=True):
    """One part of an upload. `last_modified`: milliseconds."""

    part_number: Annotated[int, Element("PartNumber", INTEGER)]
    last_modified: Annotated[int, Element("LastModified", ISO_DATE)]
    etag: Annotated[str, Element("ETag", ETAG)]
    size: Annotated[int, Element("Size", INTEGER)]


class ListPartsOutput(Struct, frozen=True, kw_only=True):
    """`next_part_number_marker` is the last number told."""

    bucket: Annotated[str, Element("Bucket")]
    key: Annotated[str, Element("Key")]
    upload_id: Annotated[str, Element("UploadId")]
    part_number_marker: Annotated[int, Element("PartNumberMarker", INTEGER)] = 0
    next_part_number_marker: Annotated[int | None, Element("NextPartNumberMarker", INTEGER)] = None
    max_parts: Annotated[int, Element("MaxParts", INTEGER)] = 1000
    is_truncated: Annotated[bool, Element("IsTruncated", BOOLEAN)] = False
    parts: Annotated[Sequence[Part], Items("Part", Part)] = ()
    initiator: Annotated[Owner | None, Nested("Initiator", Owner)] = None
    owner: Annotated[Owner | None, Nested("Owner", Owner)] = None
    storage_class: Annotated[str | None, Element("StorageClass", STORAGE_CLASS)] = None
    checksum_algorithm: Annotated[str | None, Element("ChecksumAlgorithm", CHECKSUM_ALGORITHM)] = (
        None
    )
    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None


class ListMultipartUploadsInput(BucketInput, frozen=True, kw_only=True):
    """`upload_id_marker` counts only with a `key_marker`."""

    delimiter: Annotated[str | None, Query("delimiter", OPTIONAL_STRING)] = None
    encoding_type: EncodingType = None
    key_marker: Annotated[str, Query("key-marker")] = ""
    max_uploads: Annotated[int, Query("max-uploads", MAX_ITEMS)] = 1000
    prefix: Annotated[str, Query("prefix")] = ""
    upload_id_marker: Annotated[str, Query("upload-id-marker")] = ""


class MultipartUpload(Struct, frozen=True, kw_only=True):
    """One upload under way. `initiated`: milliseconds."""

    upload_id: Annotated[str, Element("UploadId")]
    key: Annotated[str, Element("Key", ENCODED)]
    initiated: Annotated[int, Element("Initiated", ISO_DATE)]
    storage_class: Annotated[str, Element("StorageClass", STORAGE_CLASS)] = "STANDARD"
    owner: Annotated[Owner | None, Nested("Owner", Owner)] = None
    initiator: Annotated[Owner | None, Nested("Initiator", Owner)] = None
    checksum_algorithm: Annotated[str | None, Element("ChecksumAlgorithm", CHECKSUM_ALGORITHM)] = (
        None
    )
    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None


class ListMultipartUploadsOutput(Struct, frozen=True, kw_only=True):
    """The next markers are set when `is_truncated`."""

    bucket: Annotated[str, Element("Bucket")]
    key_marker: Annotated[str, Element("KeyMarker", ENCODED)] = ""
    upload_id_marker: Annotated[str, Element("UploadIdMarker")] = ""
    next_key_marker: Annotated[str | None, Element("NextKeyMarker", ENCODED)] = None
    next_upload_id_marker: Annotated[str | None, Element("NextUploadIdMarker")] = None
    prefix: Annotated[str, Element("Prefix", ENCODED)] = ""
    delimiter: Annotated[str | None, Element("Delimiter", ENCODED)] = None
    encoding_type: Annotated[str | None, Element("EncodingType")] = None
    max_uploads: Annotated[int, Element("MaxUploads", INTEGER)] = 1000
    is_truncated: Annotated[bool, Element("IsTruncated", BOOLEAN)] = False
    uploads: Annotated[Sequence[MultipartUpload], Items("Upload", MultipartUpload)] = ()
    common_prefixes: Annotated[Sequence[CommonPrefix], Items("CommonPrefixes", CommonPrefix)] = ()
