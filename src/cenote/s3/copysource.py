"""The source of a copy, as x-amz-copy-source names it.

Owns: reading and writing of "bucket/key", "/bucket/key" and "...?versionId=id", percent-encoded.
Does not own: whether there is such an object.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html, x-amz-copy-source.
"""

from __future__ import annotations

from urllib.parse import quote

from msgspec import Struct

from cenote.s3.codes import S3Error
from cenote.s3.uri import check_bucket, check_key, percent_decode

__all__ = ["CopySource", "read_copy_source", "write_copy_source"]

_VERSION = "?versionId="


class CopySource(Struct, frozen=True):
    """An object to copy from. `version_id` is as sent, or None."""

    bucket: str
    key: str
    version_id: str | None = None


def read_copy_source(name: str, text: str) -> CopySource:
    """Read the header's value (latin-1 text of what may be UTF-8).

    The version is looked for before decoding, so that an encoded "?" belongs to the key.
    Raises S3Error: InvalidArgument without a bucket and a key or with a bad escape,
    InvalidBucketName, KeyTooLongError, NotImplemented for an access point's ARN. Whether there
    can be such a version is the reader's to check.
    """
    if text.startswith("arn:"):
        raise S3Error(
            "NotImplemented", "Access points are not implemented as a source of copies", Header=name
        )
    path, mark, version = text.partition(_VERSION)
    try:
        decoded = percent_decode(path.encode("latin-1"))
    except (S3Error, UnicodeEncodeError):
        raise _refused(name, text, "Invalid copy source encoding.") from None
    bucket, slash, key = decoded.removeprefix("/").partition("/")
    if not slash or not bucket or not key:
        raise _refused(
            name,
            text,
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    return CopySource(check_bucket(bucket), check_key(key), version if mark else None)


def write_copy_source(source: CopySource) -> str:
    """Return the header's value for `source`."""
    version = f"{_VERSION}{quote(source.version_id, safe='')}" if source.version_id else ""
    return quote(f"{source.bucket}/{source.key}", safe="/-_.~") + version


def _refused(name: str, text: str, message: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=text)
