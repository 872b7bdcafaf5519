"""The Range header: which bytes of an object a read wants.

Owns: reading `Range`, and settling it against an object's size.
Does not own: `If-Range` (S3 does not know it), parts by number.

Invariants:
1. A range that is settled is half-open, not empty, and within the object.
2. What S3 ignores is ignored: other units, malformed ranges, several ranges: the whole object is
   the answer. Only a well-formed range outside the object is refused.

Sources: RFC 9110, 14.1.2 and 14.2;
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (one range per request).
"""

from __future__ import annotations

import re
from typing import Final

from cenote.s3.codes import S3Error

__all__ = ["content_range", "settle_range"]

_DIGITS_MAX: Final = 20  # more than any 64-bit size
_is_range = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII | re.I).fullmatch


def settle_range(text: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, end), half-open, or None when the whole object is to be sent with 200.

    Raises S3Error: InvalidRange (416) with the object's size, when no byte of it is in the range.
    """
    if text is None:
        return None
    match = _is_range(text.strip(" \t"))
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        length = min(_number(last), size)
        if length == 0:
            raise _not_satisfiable(text, size)
        return size - length, size
    start = _number(first)
    if last and _number(last) < start:
        return None
    if start >= size:
        raise _not_satisfiable(text, size)
    return start, min(_number(last) + 1, size) if last else size


def content_range(start: int, end: int, size: int) -> str:
    """Write the Content-Range of the bytes start <= i < end of `size`."""
    return f"bytes {start}-{end - 1}/{size}"


def _number(digits: str) -> int:
    digits = digits.lstrip("0") or "0"
    # Beyond every size, so its digits need no reading.
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def _not_satisfiable(text: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        headers=[("Content-Range", f"bytes */{size}")],
        RangeRequested=text,
        ActualObjectSize=size,
    )
