"""Who sent a request: the outcome of either signature version, and the refusals both know.

Owns: the `Auth` value, how far clocks may be apart, and the words for a clock further off.
Does not own: how a sender is proven (`sigv4`, `sigv2`), or what a sender may do (`cenote.server`).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from cenote.s3.claims import Payload
from cenote.s3.codes import S3Error
from cenote.s3.times import iso_date

__all__ = ["SKEW_MAX_MS", "Auth", "too_skewed", "unsupported"]

SKEW_MAX_MS: Final = 15 * 60 * 1000


class Auth(Struct, frozen=True):
    """A request's proven sender and its body's form. `access_key` None: no credentials came."""

    access_key: str | None
    payload: Payload
    presigned: bool = False


def too_skewed(text: str, now_ms: int) -> S3Error:
    """Return the error for a request whose time, sent as `text`, is too far from `now_ms`."""
    return S3Error(
        "RequestTimeTooSkewed",
        RequestTime=text,
        ServerTime=iso_date(now_ms),
        MaxAllowedSkewMilliseconds=SKEW_MAX_MS,
    )


def unsupported() -> S3Error:
    """Return the error for a signature of a version that is not taken."""
    return S3Error(
        "InvalidRequest",
        "The authorization mechanism you have provided is not supported. Please use "
        "AWS4-HMAC-SHA256.",
    )
