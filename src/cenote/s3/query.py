"""The query string: split, decoded, and told apart from the signature's part of it.

Owns: decoding of `application/x-www-form-urlencoded` pairs, and the names the query signature uses.
Does not own: which names an operation takes (`ops`), the signature (`sigv4`, `sigv2`).

Invariants:
1. Decoded exactly once; "+" is a space here, unlike in a path.
2. A name that comes twice is refused: two readers could otherwise believe two values.
3. What is remembered of a query is a function of its bytes alone.

Why remember: URLs presigned within one second by one key differ in their path and signature only,
and a signature stands last in most of them. What is before it is read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from cenote.s3.codes import S3Error
from cenote.s3.uri import percent_decode

__all__ = [
    "PARAMETERS_MAX",
    "SIGNATURE_PARAMETERS",
    "V2_HEADERS",
    "brings_header",
    "decode_query",
    "read_query",
    "split_signature",
]

PARAMETERS_MAX = 200
_SIGNATURE: Final = "X-Amz-Signature"
_LAST: Final = b"&X-Amz-Signature="
_REMEMBERED_MAX: Final = 1024  # bytes of a query worth remembering

# Signature version 4 in the query, and version 2.
SIGNATURE_PARAMETERS = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Content-Sha256",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Region-Set",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
        "AWSAccessKeyId",
        "Expires",
        "Signature",
    }
)
# Headers that a URL presigned by version 2 may bring as parameters.
V2_HEADERS: Final = frozenset({"content-md5", "content-type"})


def decode_query(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield the decoded (name, value) pairs of a raw query, in order; a bare name has value "".

    Raises S3Error InvalidURI for escapes that are none and bytes that are not UTF-8.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    if "\x00" in text:
        raise S3Error("InvalidURI")
    if "+" in text:
        text = text.replace("+", " ")
    for pair in text.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            yield (
                percent_decode(name.encode()) if "%" in name else name,
                percent_decode(value.encode()) if "%" in value else value,
            )


def read_query(raw: bytes) -> dict[str, str]:
    """Return all parameters of a raw query.

    Raises S3Error: InvalidURI; InvalidArgument for a name that comes twice; InvalidRequest for
    more than PARAMETERS_MAX of them.
    """
    if not raw:
        return {}
    before, signature = split_signature(raw)
    if signature:
        params = _remembered(before)
        if params is not None:
            return {**params, _SIGNATURE: signature}
    return _read(raw)


def brings_header(name: str, params: Mapping[str, str]) -> bool:
    """Tell if a parameter stands for a header: an `x-amz-*` one, or in version 2 one of two more.

    Whoever believes it must have the signature cover it: all of the query in version 4, all that
    is told here in version 2.
    """
    lowered = name.lower()
    return lowered[:6] == "x-amz-" or (lowered in V2_HEADERS and "AWSAccessKeyId" in params)


def split_signature(raw: bytes) -> tuple[bytes, str]:
    """Return what stands before a signature that stands last and needs no decoding, and it.

    Without one that is so, or when what stands before it is too long to remember: (raw, "").
    """
    before, found, signature = raw.rpartition(_LAST)
    if found and len(before) <= _REMEMBERED_MAX and signature.isalnum():
        return before, signature.decode("ascii")
    return raw, ""


@lru_cache(maxsize=256)
def _remembered(before: bytes) -> dict[str, str] | None:
    """Read what stands before a signature; None when the whole must be read to say what it is."""
    if before.count(b"&") + 1 >= PARAMETERS_MAX:
        return None
    try:
        params = _read(before)
    except S3Error:
        return None
    return None if _SIGNATURE in params else params


def _read(raw: bytes) -> dict[str, str]:
    if raw.count(b"&") >= PARAMETERS_MAX:
        raise S3Error("InvalidRequest", f"More than {PARAMETERS_MAX} query parameters")
    params: dict[str, str] = {}
    for name, value in decode_query(raw):
        if name in params:
            raise S3Error(
                "InvalidArgument",
                f"The query parameter {name} was given more than once",
                ArgumentName=name,
                ArgumentValue=value,
            )
        params[name] = value
    return params
