"""Replies' XML, read into values, and requests' XML, written.

Owns: the few documents the client needs: pages, uploads, deletes, errors.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations.html

Invariants:
1. What is not the document asked for raises UnavailableError: a proxy's page is never an empty
   bucket.
2. Keys come with encoding-type=url, for XML cannot carry every character, and are decoded here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from msgspec import Struct

from cenote.errors import UnavailableError

__all__ = [
    "Bucket",
    "Entry",
    "ObjectsPage",
    "Upload",
    "fits_xml",
    "read_bucket_page",
    "read_deleted",
    "read_error",
    "read_objects_page",
    "read_tag",
    "read_uploads",
    "write_complete",
    "write_delete",
]

# A parser makes a plain CR or tab another character; a reference stays what it is.
ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)
UNFIT = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


class Bucket(Struct, frozen=True):
    """A bucket in a listing."""

    name: str
    created_ms: int


class Entry(Struct, frozen=True):
    """An object in a listing."""

    key: str
    size: int
    modified_ms: int
    etag: str = ""
    storage_class: str = "STANDARD"


class ObjectsPage(Struct, frozen=True):
    """One page of a listing; `next_token` None: the last."""

    entries: list[Entry]
    prefixes: list[str]
    next_token: str | None = None


class Upload(Struct, frozen=True):
    """A multipart upload under way."""

    key: str
    upload_id: str


def _root(body: bytes, *names: str) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise UnavailableError(f"the reply is not XML: {error}", kind="bad_reply") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    if names and root.tag not in names:
        raise UnavailableError(f"the reply is <{root.tag}>, not <{names[0]}>", kind="bad_reply")
    return root


def _milliseconds(text: str | None) -> int:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError as error:
        raise UnavailableError(f"{text!r} in the reply is no time", kind="bad_reply") from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _size(text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise UnavailableError(f"{text!r} in the reply is no size", kind="bad_reply")
    return int(text)


def read_bucket_page(body: bytes) -> tuple[list[Bucket], str | None]:
    """Read a ListBuckets reply: buckets and the next page's token."""
    root = _root(body, "ListAllMyBucketsResult")
    buckets = [
        Bucket(item.findtext("Name", ""), _milliseconds(item.findtext("CreationDate")))
        for item in root.iterfind("Buckets/Bucket")
    ]
    return buckets, root.findtext("ContinuationToken") or None


def read_objects_page(body: bytes) -> ObjectsPage:
    """Read a ListObjectsV2 reply."""
    root = _root(body, "ListBucketResult")
    decode = unquote_plus if root.findtext("EncodingType") == "url" else str
    entries = [
        Entry(
            decode(item.findtext("Key", "")),
            _size(item.findtext("Size")),
            _milliseconds(item.findtext("LastModified")),
            item.findtext("ETag", "").strip('"'),
            item.findtext("StorageClass") or "STANDARD",
        )
        for item in root.iterfind("Contents")
    ]
    prefixes = [decode(item.findtext("Prefix", "")) for item in root.iterfind("CommonPrefixes")]
    token = root.findtext("NextContinuationToken")
    if root.findtext("IsTruncated") == "true" and not token:
        raise UnavailableError("the listing goes on, but tells not where", kind="bad_reply")
    return ObjectsPage(entries, prefixes, token or None)


def read_uploads(body: bytes) -> tuple[list[Upload], tuple[str, str] | None]:
    """Read a ListMultipartUploads reply: uploads and the next page's markers."""
    root = _root(body, "ListMultipartUploadsResult")
    decode = unquote_plus if root.findtext("EncodingType") == "url" else str
    uploads = [
        Upload(decode(item.findtext("Key", "")), item.findtext("UploadId", ""))
        for item in root.iterfind("Upload")
    ]
    if root.findtext("IsTruncated") != "true":
        return uploads, None
    marker = decode(root.findtext("NextKeyMarker", "")), root.findtext("NextUploadIdMarker", "")
    return uploads, marker


def read_tag(body: bytes, root: str, name: str) -> str:
    """Return the text of `name` in a reply whose root is `root`.

    Raises: UnavailableError when it is absent.
    """
    text = _root(body, root).findtext(name)
    if not text:
        raise UnavailableError(f"the reply has no {name}", kind="bad_reply")
    return text


def read_deleted(body: bytes) -> list[tuple[str, str, str]]:
    """Read a DeleteObjects reply: (key, code, message) of what was not deleted."""
    return [
        (item.findtext("Key", ""), item.findtext("Code", ""), item.findtext("Message", ""))
        for item in _root(body, "DeleteResult").iterfind("Error")
    ]


def read_error(body: bytes) -> tuple[str, str]:
    """Return code and message of an <Error> document, or two empty strings."""
    try:
        root = _root(body, "Error")
    except UnavailableError:
        return "", ""
    return root.findtext("Code", ""), root.findtext("Message", "")


def fits_xml(key: str) -> bool:
    """Tell whether XML 1.0 can carry `key` (its section 2.2)."""
    return UNFIT.search(key) is None


def _text(value: str) -> str:
    return value.translate(ESCAPES)


def write_delete(keys: Iterable[str]) -> bytes:
    """Return the body of a quiet DeleteObjects."""
    items = "".join(f"<Object><Key>{_text(key)}</Key></Object>" for key in keys)
    return f"<Delete><Quiet>true</Quiet>{items}</Delete>".encode()


def write_complete(parts: Iterable[tuple[int, str, str]]) -> bytes:
    """Return the body of CompleteMultipartUpload for (number, ETag, CRC32 in base64)."""
    items = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{_text(etag)}</ETag>"
        f"<ChecksumCRC32>{crc}</ChecksumCRC32></Part>"
        for number, etag, crc in parts
    )
    return f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()
