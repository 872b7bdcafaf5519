"""The path of a request: percent-encoding undone once, bucket and key told apart.

Owns: what a raw path may be, and which bucket and key it names.
Does not own: the rules for a new bucket's name (`cenote.buckets`), query strings (`query`).

Invariants:
1. A path is decoded exactly once; "+" stays "+". Nothing is normalised: "//", ".", ".." and a
   trailing slash are bytes of the key like any other.
2. A key that comes out of here is 1 to 1024 bytes of UTF-8 without NUL.
3. A bucket that comes out of here consists of letters, digits, ".", "_" and "-", and is neither
   "." nor "..": it can not name another directory.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from cenote.s3.codes import S3Error

__all__ = ["KEY_BYTES_MAX", "check_bucket", "check_key", "percent_decode", "split_path"]

KEY_BYTES_MAX = 1024
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BUCKET_MAX = 64  # bytes of a bucket's name worth remembering
_BUCKET = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,255}\Z")


def percent_decode(raw: bytes) -> str:
    """Undo percent-encoding once and read the bytes as UTF-8.

    Raises S3Error InvalidURI for an escape that is none, bytes that are not UTF-8, and NUL.
    """
    if b"%" in raw:
        if _BAD_ESCAPE.search(raw):
            raise S3Error("InvalidURI")
        raw = unquote_to_bytes(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    if "\x00" in text:
        raise S3Error("InvalidURI")
    return text


def check_key(key: str) -> str:
    """Return `key` if it is short enough. Raises S3Error KeyTooLongError."""
    if len(key) > KEY_BYTES_MAX or (
        len(key) * 4 > KEY_BYTES_MAX and len(key.encode()) > KEY_BYTES_MAX
    ):
        raise S3Error("KeyTooLongError", Size=len(key.encode()), MaxSizeAllowed=KEY_BYTES_MAX)
    return key


def check_bucket(bucket: str) -> str:
    """Return `bucket` if it can be a bucket's name at all. Raises S3Error InvalidBucketName."""
    if _BUCKET.match(bucket) is None:
        raise S3Error("InvalidBucketName", BucketName=bucket)
    return bucket


# A server has few buckets, and every request names one.
@lru_cache(maxsize=512)
def _bucket(raw: bytes) -> str:
    return check_bucket(percent_decode(raw))


def split_path(path: bytes, host_bucket: str | None) -> tuple[str | None, str | None]:
    """Return (bucket, key) that a raw path names; None for what it does not name.

    `host_bucket` is the bucket of a virtual-host request, whose path is all key.
    Raises S3Error: InvalidURI, InvalidBucketName, KeyTooLongError.
    """
    if path[:1] != b"/":
        raise S3Error("InvalidURI")
    if host_bucket is not None:
        bucket: str | None = check_bucket(host_bucket)
        rest = path[1:]
    else:
        first, _, rest = path[1:].partition(b"/")
        if not first and not rest and path == b"/":
            return None, None
        bucket = (
            _bucket(first) if len(first) <= _BUCKET_MAX else check_bucket(percent_decode(first))
        )
    if not rest:
        return bucket, None
    return bucket, check_key(percent_decode(rest))
