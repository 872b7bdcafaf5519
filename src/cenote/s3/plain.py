"""The request most requests are: a signed GET of a whole object that asks for nothing else.

Owns: recognising it and proving its signature, at a third of the cost of the general way.
Does not own: any refusal. What is not plain or not proven is None here, and then `resolve`,
`authenticate` and `parse_input` say what it is.

Invariants:
1. What is returned is what those three give: the same bucket and key, the same sender, and an input
   with no other member than a checksum mode. `tests/unit/s3/test_plain.py` compares them.
2. What is remembered is a function of the bytes it is remembered by, and bounded.

Why a second way: the general one is made of many small steps, each right for every operation, and
together they cost more than looking the object up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from msgspec import Struct

from cenote.s3.auth import SKEW_MAX_MS, Auth
from cenote.s3.canonical import ALGORITHM, canonical_headers
from cenote.s3.claims import EMPTY_SHA256, UNSIGNED_PAYLOAD, plain_payload
from cenote.s3.codes import S3Error
from cenote.s3.credential import Credential, read_authorization
from cenote.s3.keyring import signing_key
from cenote.s3.query import split_signature
from cenote.s3.sigv4 import remembered_claims
from cenote.s3.stamps import read_stamp, stamp
from cenote.s3.uri import KEY_BYTES_MAX
from cenote.s3.wire import RequestHead

__all__ = ["BESIDE", "BESIDE_SIGNED", "PlainGet", "plain_get"]

# Headers that GetObject neither reads nor checks, and that need no signature.
BESIDE: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "connection",
        "host",
        "user-agent",
    }
)
BESIDE_SIGNED: Final = BESIDE | {
    "authorization",
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-date",
}
_PRESIGNED_NAMES: Final = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
    }
)
_PATH_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
_is_bucket = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch


class PlainGet(Struct, frozen=True):
    """All of the object at `key`, for a proven sender; `with_checksum`: tell its checksum too."""

    bucket: str
    key: str
    auth: Auth
    with_checksum: bool


# Whose URL it is, the sender once that is proven, the time stamp, the canonical query without the
# signature, and the first and the last millisecond it is good for.
_Asked = tuple[Credential, Auth, str, str, int, int]


@lru_cache(maxsize=256)
def _presigned(before: bytes, region: str | None) -> _Asked | None:
    """Read what stands before a signature that stands last."""
    found = remembered_claims(before, region, "s3")
    if found is None:
        return None
    claims, query, start_ms, end_ms = found
    credential = claims.credential
    names = frozenset(pair.partition("=")[0] for pair in query.split("&"))
    if names != _PRESIGNED_NAMES or credential.signed_names != "host":
        return None
    payload = plain_payload(UNSIGNED_PAYLOAD)
    if payload is None:
        return None
    auth = Auth(credential.access_key, payload, True)
    return credential, auth, claims.timestamp, query, start_ms, end_ms


@lru_cache(maxsize=256)
def _signed_ms(timestamp: str) -> int | None:
    """Read a time stamp that is written as it is signed."""
    time_ms = read_stamp(timestamp)
    return time_ms if time_ms is not None and stamp(time_ms) == timestamp else None


def plain_get(
    head: RequestHead, *, keys: Callable[[str], str | None], now_ms: int, region: str | None
) -> PlainGet | None:
    """Return what a plain GET asks for, its signature proven, or None for any other request.

    Requires: the Host header names no bucket. The other arguments are those of `authenticate`.
    Cost: 3 us.
    """
    path, headers = head.path, head.headers
    if (
        head.method != "GET"
        or head.repeated
        or len(path) > KEY_BYTES_MAX
        or path.translate(None, _PATH_BYTES)
    ):
        return None
    text = path.decode("ascii")
    query = ""
    if head.query:
        before, signature = split_signature(head.query)
        asked = _presigned(before, region) if signature else None
        if asked is None or not BESIDE.issuperset(headers):
            return None
        credential, auth, timestamp, query, start_ms, end_ms = asked
        if not start_ms <= now_ms <= end_ms:
            return None
        claim = UNSIGNED_PAYLOAD
    else:
        signed = _by_header(head, now_ms, region)
        if signed is None:
            return None
        credential, auth, timestamp, claim, signature = signed
    secret = keys(credential.access_key)
    if secret is None:
        return None
    lines = canonical_headers(headers, credential.names)
    canonical = f"GET\n{text}\n{query}\n{lines}\n{credential.signed_names}\n{claim}"
    digest = sha256(canonical.encode("latin-1")).hexdigest()
    key = signing_key(secret, credential.date, credential.region, "s3")
    proof = key.sign(f"{ALGORITHM}\n{timestamp}\n{credential.scope}\n{digest}".encode("latin-1"))
    if not signature.isascii() or not compare_digest(proof, signature):
        return None
    root, _, rest = text.partition("/")
    bucket, _, name = rest.partition("/")
    if root or not name or _is_bucket(bucket) is None:
        return None
    return PlainGet(bucket, name, auth, "x-amz-checksum-mode" in headers)


def _by_header(
    head: RequestHead, now_ms: int, region: str | None
) -> tuple[Credential, Auth, str, str, str] | None:
    """Return whose request it is, the sender once that is proven, time stamp, claim, signature."""
    headers = head.headers
    timestamp, claim = headers.get("x-amz-date"), headers.get("x-amz-content-sha256")
    if (
        timestamp is None
        or (claim != EMPTY_SHA256 and claim != UNSIGNED_PAYLOAD)
        or not BESIDE_SIGNED.issuperset(headers)
        or headers.get("x-amz-checksum-mode", "ENABLED") != "ENABLED"
    ):
        return None
    try:
        credential, signature = read_authorization(headers.get("authorization", ""), region, "s3")
    except S3Error:
        return None
    time_ms = _signed_ms(timestamp)
    payload = plain_payload(claim)
    if (
        time_ms is None
        or payload is None
        or abs(now_ms - time_ms) > SKEW_MAX_MS
        or not timestamp.startswith(credential.date)
        or not credential.covered.issuperset(headers)
    ):
        return None
    return credential, Auth(credential.access_key, payload), timestamp, claim, signature
