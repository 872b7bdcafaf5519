"""Inputs and outputs of the two listings of objects.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjects.html and
API_ListObjectsV2.html.

Keys are held plain; `render` percent-encodes what S3 encodes when `encoding_type` is "url".
"""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Struct

from cenote.s3.shapes import Element, Header, Items, Nested, Query
from cenote.s3.structs_shared import CHECKSUM_TYPE, BucketInput, EncodingType, Owner
from cenote.s3.values import (
    BOOLEAN,
    ENCODED,
    ETAG,
    INTEGER,
    ISO_DATE,
    MAX_ITEMS,
    OPTIONAL_STRING,
    STORAGE_CLASS,
    listed,
)

__all__ = [
    "CommonPrefix",
    "ListObjectsInput",
    "ListObjectsOutput",
    "ListObjectsV2Input",
    "ListObjectsV2Output",
    "ObjectEntry",
]

OptionalAttributes = Annotated[
    tuple[str, ...],
    Header(
        "x-amz-optional-object-attributes",
        listed("RestoreStatus", message="Invalid attribute name specified"),
    ),
]
Delimiter = Annotated[str | None, Query("delimiter", OPTIONAL_STRING)]
Prefix = Annotated[str, Query("prefix")]
MaxKeys = Annotated[int, Query("max-keys", MAX_ITEMS)]


class ListObjectsInput(BucketInput, frozen=True, kw_only=True):
    """`max_keys` is at most 1000, whatever was asked for. `delimiter` None: none, or empty."""

    delimiter: Delimiter = None
    encoding_type: EncodingType = None
    marker: Annotated[str, Query("marker")] = ""
    max_keys: MaxKeys = 1000
    prefix: Prefix = ""
    optional_object_attributes: OptionalAttributes = ()


class ListObjectsV2Input(BucketInput, frozen=True, kw_only=True):
    """`continuation_token` outranks `start_after`."""

    delimiter: Delimiter = None
    encoding_type: EncodingType = None
    max_keys: MaxKeys = 1000
    prefix: Prefix = ""
    continuation_token: Annotated[str | None, Query("continuation-token")] = None
    fetch_owner: Annotated[bool, Query("fetch-owner", BOOLEAN)] = False
    start_after: Annotated[str | None, Query("start-after")] = None
    optional_object_attributes: OptionalAttributes = ()


class ObjectEntry(Struct, frozen=True, kw_only=True):
    """One object of a listing. `last_modified`: milliseconds; `size`: bytes."""

    key: Annotated[str, Element("Key", ENCODED)]
    last_modified: Annotated[int, Element("LastModified", ISO_DATE)]
    etag: Annotated[str, Element("ETag", ETAG)]
    checksum_algorithm: Annotated[str | None, Element("ChecksumAlgorithm")] = None
    checksum_type: Annotated[str | None, Element("ChecksumType", CHECKSUM_TYPE)] = None
    size: Annotated[int, Element("Size", INTEGER)]
    owner: Annotated[Owner | None, Nested("Owner", Owner)] = None
    storage_class: Annotated[str, Element("StorageClass", STORAGE_CLASS)] = "STANDARD"


class CommonPrefix(Struct, frozen=True, kw_only=True):
    """The keys that share `prefix`, up to and with the delimiter, told as one."""

    prefix: Annotated[str, Element("Prefix", ENCODED)]


class ListObjectsOutput(Struct, frozen=True, kw_only=True):
    """S3 tells `next_marker` only with a delimiter; without one it is the last key."""

    name: Annotated[str, Element("Name")]
    prefix: Annotated[str, Element("Prefix", ENCODED)] = ""
    marker: Annotated[str, Element("Marker", ENCODED)] = ""
    next_marker: Annotated[str | None, Element("NextMarker", ENCODED)] = None
    max_keys: Annotated[int, Element("MaxKeys", INTEGER)] = 1000
    delimiter: Annotated[str | None, Element("Delimiter", ENCODED)] = None
    encoding_type: Annotated[str | None, Element("EncodingType")] = None
    is_truncated: Annotated[bool, Element("IsTruncated", BOOLEAN)] = False
    contents: Annotated[Sequence[ObjectEntry], Items("Contents", ObjectEntry)] = ()
    common_prefixes: Annotated[Sequence[CommonPrefix], Items("CommonPrefixes", CommonPrefix)] = ()


class ListObjectsV2Output(Struct, frozen=True, kw_only=True):
    """`key_count` counts contents and common prefixes. Tokens are never percent-encoded."""

    name: Annotated[str, Element("Name")]
    prefix: Annotated[str, Element("Prefix", ENCODED)] = ""
    start_after: Annotated[str | None, Element("StartAfter", ENCODED)] = None
    continuation_token: Annotated[str | None, Element("ContinuationToken")] = None
    next_continuation_token: Annotated[str | None, Element("NextContinuationToken")] = None
    key_count: Annotated[int, Element("KeyCount", INTEGER)] = 0
    max_keys: Annotated[int, Element("MaxKeys", INTEGER)] = 1000
    delimiter: Annotated[str | None, Element("Delimiter", ENCODED)] = None
    encoding_type: Annotated[str | None, Element("EncodingType")] = None
    is_truncated: Annotated[bool, Element("IsTruncated", BOOLEAN)] = False
    contents: Annotated[Sequence[ObjectEntry], Items("Contents", ObjectEntry)] = ()
    common_prefixes: Annotated[Sequence[CommonPrefix], Items("CommonPrefixes", CommonPrefix)] = ()
