"""Requests signed as the tests want them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from cenote.s3 import RequestHead, S3Error, authenticate, presign, sign_request
from cenote.s3.query import read_query

NOW = 1_700_000_000_000
MINUTE = 60_000
KEY, SECRET = "AKID/with/slashes", "secret"
EMPTY = sha256(b"").hexdigest()
SECRETS = {KEY: SECRET}.get
URL = "http://127.0.0.1:9000/bucket/key"


def head(method: str, url: str, headers: dict[str, str], repeated: tuple[str, ...] = ()):
    target, _, query = url.removeprefix("http://127.0.0.1:9000").partition("?")
    return RequestHead(method, target.encode(), query.encode(), headers, frozenset(repeated))


def signed(
    url: str = URL,
    headers: dict[str, str] | None = None,
    *,
    added: dict[str, str] | None = None,
    bend: Callable[[str], str] = str,
    now_ms: int = NOW,
    method: str = "GET",
    repeated: tuple[str, ...] = (),
    **more: str,
) -> RequestHead:
    """Sign a request; `added` headers come on top unsigned; `bend` rewrites Authorization."""
    options = {"access_key": KEY, "secret_key": SECRET, "body_hash": EMPTY, **more}
    made = sign_request(method, url, headers or {}, now_ms=now_ms, **options)
    made["authorization"] = bend(made["authorization"])
    return head(method, url, {**made, **(added or {})}, repeated)


def link(
    url: str = URL,
    method: str = "GET",
    *,
    expires_s: int = 3600,
    sent: dict[str, str] | None = None,
    **more,
):
    options = {"access_key": KEY, "secret_key": SECRET, "now_ms": NOW, **more}
    made = presign(method, url, expires_s=expires_s, **options)
    return head(method, made, {"host": "127.0.0.1:9000", **(sent or {})})


def rewritten(request: RequestHead, old: bytes, new: bytes) -> RequestHead:
    assert old in request.query
    return RequestHead(
        request.method, request.path, request.query.replace(old, new, 1), request.headers
    )


def check(request: RequestHead, now_ms: int = NOW, **more):
    return authenticate(request, read_query(request.query), keys=SECRETS, now_ms=now_ms, **more)


def refused(request: RequestHead, code: str, now_ms: int = NOW, **more) -> S3Error:
    with pytest.raises(S3Error) as caught:
        check(request, now_ms, **more)
    assert caught.value.code == code, caught.value
    return caught.value
