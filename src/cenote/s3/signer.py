"""The client's side of SigV4: signed headers, presigned URLs, signed chunks.

Owns: making what `sigv4` and `chunked` verify, for our own client and for tests.
Does not own: sending any of it, or where keys come from.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from cenote.s3.canonical import (
    ALGORITHM,
    canonical_headers,
    canonical_path,
    canonical_query,
    canonical_request,
    encode_text,
    string_to_sign,
)
from cenote.s3.chunked import CHUNK_SIZE_MIN, chunk_to_sign, trailer_to_sign
from cenote.s3.claims import UNSIGNED_PAYLOAD, ChunkedPayload
from cenote.s3.credential import EXPIRES_MAX_S
from cenote.s3.keyring import SigningKey, signing_key
from cenote.s3.stamps import stamp

__all__ = ["encode_chunks", "presign", "sign_request"]

# Headers that proxies and HTTP libraries rewrite: a signature over them would break on the way.
_UNSIGNED: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "expect",
        "te",
        "transfer-encoding",
        "user-agent",
        "x-amzn-trace-id",
    }
)


def sign_request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    *,
    access_key: str,
    secret_key: str,
    now_ms: int,
    region: str = "us-east-1",
    body_hash: str = UNSIGNED_PAYLOAD,
    service: str = "s3",
) -> dict[str, str]:
    """Return the headers to send: those given, in lower case, and the signature's.

    `url` is used as it stands: its path and query must be percent-encoded already. `body_hash` is
    the hex SHA-256 of the body, or another form of x-amz-content-sha256.
    """
    target = urlsplit(url)
    signed = {name.lower(): value for name, value in headers.items()}
    signed.setdefault("host", target.netloc)
    signed["x-amz-date"] = timestamp = stamp(now_ms)
    signed["x-amz-content-sha256"] = body_hash
    names = sorted(name for name in signed if name not in _UNSIGNED)
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    canonical = canonical_request(
        method,
        canonical_path(target.path.encode()),
        canonical_query(target.query.encode()),
        canonical_headers(signed, names),
        ";".join(names),
        body_hash,
    )
    key = signing_key(secret_key, timestamp[:8], region, service)
    signature = key.sign(string_to_sign(timestamp, scope, canonical))
    signed["authorization"] = (
        f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={';'.join(names)}, "
        f"Signature={signature}"
    )
    return signed


def presign(
    method: str,
    url: str,
    *,
    access_key: str,
    secret_key: str,
    now_ms: int,
    expires_s: int = 3600,
    region: str = "us-east-1",
    headers: Mapping[str, str] | None = None,
    service: str = "s3",
) -> str:
    """Return `url` with a signature in its query, good for `expires_s` seconds from `now_ms`.

    `headers` must be sent by whoever uses the URL, with these values. Requires: 1 <= expires_s <=
    604800, and a URL that is percent-encoded already and has no fragment.
    """
    if not 1 <= expires_s <= EXPIRES_MAX_S:
        raise ValueError(f"a presigned URL lasts 1 to {EXPIRES_MAX_S} seconds, not {expires_s}")
    target = urlsplit(url)
    signed = {name.lower(): value for name, value in (headers or {}).items()}
    signed.setdefault("host", target.netloc)
    names = sorted(signed)
    timestamp = stamp(now_ms)
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    claims = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": ";".join(names),
    }
    added = "&".join(f"{name}={encode_text(value.encode())}" for name, value in claims.items())
    query = f"{target.query}&{added}" if target.query else added
    canonical = canonical_request(
        method,
        canonical_path(target.path.encode()),
        canonical_query(query.encode()),
        canonical_headers(signed, names),
        ";".join(names),
        UNSIGNED_PAYLOAD,
    )
    key = signing_key(secret_key, timestamp[:8], region, service)
    signature = key.sign(string_to_sign(timestamp, scope, canonical))
    return f"{target.scheme}://{target.netloc}{target.path}?{query}&X-Amz-Signature={signature}"


def encode_chunks(
    payload: ChunkedPayload, chunks: Iterable[bytes], trailers: Iterable[tuple[str, str]] = ()
) -> Iterator[bytes]:
    """Yield the aws-chunked form of a body, as `payload` says it is.

    Requires: every chunk but the last holds at least 8192 bytes, and none is empty; `trailers` are
    those `payload` announced.
    """
    prefix = f"{payload.timestamp}\n{payload.scope}\n"
    key = payload.signing_key if payload.signed else None
    previous = payload.seed_signature
    size = CHUNK_SIZE_MIN
    for chunk in chunks:
        if not chunk or size < CHUNK_SIZE_MIN:
            raise ValueError("only the last chunk may hold less than 8192 bytes, and none is empty")
        size = len(chunk)
        line, previous = _chunk_header(key, prefix, previous, chunk)
        yield line
        yield chunk
        yield b"\r\n"
    line, previous = _chunk_header(key, prefix, previous, b"")
    yield line
    fields = list(trailers)
    for name, value in fields:
        yield f"{name}:{value}\r\n".encode("latin-1")
    if key is not None and fields:
        yield b"x-amz-trailer-signature:%b\r\n" % (
            key.sign(trailer_to_sign(prefix, previous, fields)).encode("ascii")
        )
    yield b"\r\n"


def _chunk_header(
    key: SigningKey | None, prefix: str, previous: str, chunk: bytes
) -> tuple[bytes, str]:
    if key is None:
        return b"%x\r\n" % len(chunk), ""
    signature = key.sign(chunk_to_sign(prefix, previous, sha256(chunk).hexdigest()))
    return f"{len(chunk):x};chunk-signature={signature}\r\n".encode("ascii"), signature
