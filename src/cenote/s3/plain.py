"""The requests most requests are: a signed GET or PUT of a whole object that asks for no more.

Owns: recognising it and proving its signature, at a third of the cost of the general way.
Does not own: any refusal. What is not plain or not proven is None here, and then `resolve`,
`authenticate` and `parse_input` say what it is.

Invariants:
1. What is returned is what those three give: the same bucket and key, the same sender, and an input
   with no other member than a checksum mode, or the body's type. `tests/unit/s3/test_plain.py`
   compares them.
2. What is remembered is a function of the bytes it is remembered by, and bounded.

Why a second way: the general one is made of many small steps, each right for every operation, and
together they cost more than looking the object up, or storing it.
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
from cenote.s3.canonical import ALGORITHM, canonical_headers, canonical_query
from cenote.s3.claims import UNSIGNED, UNSIGNED_PAYLOAD, plain_payload
from cenote.s3.codes import S3Error
from cenote.s3.credential import (
    EXPIRES_MAX_S,
    Credential,
    read_authorization,
    read_credential,
)
from cenote.s3.keyring import signing_key
from cenote.s3.query import split_signature
from cenote.s3.stamps import read_stamp, stamp
from cenote.s3.uri import KEY_BYTES_MAX, percent_decode
from cenote.s3.wire import RequestHead

__all__ = [
    "BESIDE",
    "BESIDE_PUT",
    "BESIDE_SIGNED",
    "BESIDE_SIGNED_PUT",
    "PlainGet",
    "PlainPut",
    "plain_get",
    "plain_put",
]

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
# Beside those, headers of a body that is stored as it comes, with nothing said of it but its type.
_OF_BODY: Final = frozenset({"content-length", "content-type", "expect"})
BESIDE_PUT: Final = BESIDE | _OF_BODY
BESIDE_SIGNED_PUT: Final = BESIDE_PUT | {"authorization", "x-amz-content-sha256", "x-amz-date"}
# A presigned URL's query before the signature, as SDKs write it: in canonical order.
_presigned_form = re.compile(
    rb"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=([A-Za-z0-9%._~-]+)"
    rb"&X-Amz-Date=([0-9]{8}T[0-9]{6}Z)&X-Amz-Expires=([1-9][0-9]{0,5})"
    rb"&X-Amz-SignedHeaders=host(?:&x-id=[A-Za-z]+)?"
).fullmatch
_PATH_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_CREDENTIAL_MAX: Final = 256
_is_bucket = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]").fullmatch


class PlainGet(Struct, frozen=True):
    """All of the object at `key`, for a proven sender; `with_checksum`: tell its checksum too."""

    bucket: str
    key: str
    auth: Auth
    with_checksum: bool


class PlainPut(Struct, frozen=True):
    """Store the body at `key`, for a proven sender, with no more said of it than its type."""

    bucket: str
    key: str
    auth: Auth
    content_type: str | None


# Whose URL it is, the sender once that is proven, the time stamp, the canonical query without the
# signature, and the first and the last millisecond it is good for.
_Asked = tuple[Credential, Auth, str, str, int, int]


@lru_cache(maxsize=256)
def _presigned(before: bytes, region: str | None) -> _Asked | None:
    """Read what stands before a signature that stands last."""
    match = _presigned_form(before)
    if match is None:
        return None
    raw, date, expires = match.groups()
    text = _credential_text(raw)
    timestamp = date.decode("ascii")
    time_ms = read_stamp(timestamp)
    if text is None or time_ms is None:
        return None
    expires_s = int(expires)
    try:
        credential = read_credential(text, "host", region, "s3")
    except S3Error:
        return None
    if expires_s > EXPIRES_MAX_S or not timestamp.startswith(credential.date):
        return None
    auth = Auth(credential.access_key, UNSIGNED, True)
    start_ms, end_ms = time_ms - SKEW_MAX_MS, time_ms + expires_s * 1000
    return credential, auth, timestamp, before.decode("ascii"), start_ms, end_ms


@lru_cache(maxsize=256)
def _credential_text(raw: bytes) -> str | None:
    """Decode a credential that is written in its canonical form, at most 256 bytes of it."""
    if len(raw) > _CREDENTIAL_MAX or canonical_query(b"a=" + raw) != "a=" + raw.decode("ascii"):
        return None
    try:
        return percent_decode(raw)
    except S3Error:
        return None


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
    headers = head.headers
    known = BESIDE if head.query else BESIDE_SIGNED
    found = _proven(head, "GET", known, keys, now_ms, region)
    if found is None or headers.get("x-amz-checksum-mode", "ENABLED") != "ENABLED":
        return None
    return PlainGet(*found, "x-amz-checksum-mode" in headers)


def plain_put(
    head: RequestHead, *, keys: Callable[[str], str | None], now_ms: int, region: str | None
) -> PlainPut | None:
    """Return what a plain PUT asks for, its signature proven, or None for any other request.

    As `plain_get`. The body is not read; a signature over its hash is in `auth.payload`.
    """
    headers = head.headers
    known = BESIDE_PUT if head.query else BESIDE_SIGNED_PUT
    found = _proven(head, "PUT", known, keys, now_ms, region)
    if found is None:
        return None
    content_type = headers.get("content-type")
    if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
        return None
    return PlainPut(*found, content_type)


def _proven(
    head: RequestHead,
    method: str,
    known: frozenset[str],
    keys: Callable[[str], str | None],
    now_ms: int,
    region: str | None,
) -> tuple[str, str, Auth] | None:
    """Return bucket, key and sender of a request that has none but `known` headers, or None."""
    path, headers = head.path, head.headers
    if (
        head.method != method
        or head.repeated
        or len(path) > KEY_BYTES_MAX
        or path.translate(None, _PATH_BYTES)
        or not known.issuperset(headers)
    ):
        return None
    text = path.decode("ascii")
    query = ""
    if head.query:
        before, signature = split_signature(head.query)
        asked = _presigned(before, region) if signature else None
        if asked is None:
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
    canonical = f"{method}\n{text}\n{query}\n{lines}\n{credential.signed_names}\n{claim}"
    digest = sha256(canonical.encode("latin-1")).hexdigest()
    key = signing_key(secret, credential.date, credential.region, "s3")
    proof = key.sign(f"{ALGORITHM}\n{timestamp}\n{credential.scope}\n{digest}".encode("latin-1"))
    if not signature.isascii() or not compare_digest(proof, signature):
        return None
    root, _, rest = text.partition("/")
    bucket, _, name = rest.partition("/")
    if root or not name or _is_bucket(bucket) is None:
        return None
    return bucket, name, auth


def _by_header(
    head: RequestHead, now_ms: int, region: str | None
) -> tuple[Credential, Auth, str, str, str] | None:
    """Return whose request it is, the sender once that is proven, time stamp, claim, signature."""
    headers = head.headers
    timestamp, claim = headers.get("x-amz-date"), headers.get("x-amz-content-sha256")
    if timestamp is None or claim is None or not (_is_hash(claim) or claim == UNSIGNED_PAYLOAD):
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
