"""The short way of plain requests takes nobody the general way refuses, and asks for the same."""

from __future__ import annotations

from hashlib import sha256
from unittest.mock import patch
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sigv4_lab import EMPTY, KEY, MINUTE, NOW, SECRETS, head, link, signed

from cenote.s3 import (
    RequestHead,
    S3Error,
    SignedPayload,
    authenticate,
    parse_input,
    plain_get,
    plain_put,
    resolve,
    structs,
)
from cenote.s3.parse import _PLANS
from cenote.s3.plain import BESIDE, BESIDE_PUT, BESIDE_SIGNED, BESIDE_SIGNED_PUT
from cenote.s3.query import read_query

ROOT = "http://127.0.0.1:9000"


def plain(request: RequestHead, now_ms: int = NOW, region: str | None = None):
    return plain_get(request, keys=SECRETS, now_ms=now_ms, region=region)


def put(request: RequestHead, now_ms: int = NOW, region: str | None = None):
    return plain_put(request, keys=SECRETS, now_ms=now_ms, region=region)


def general(request: RequestHead, now_ms: int, region: str | None):
    route = resolve(request)
    auth = authenticate(request, route.params, keys=SECRETS, now_ms=now_ms, region=region)
    return route, auth, parse_input(route, request.headers)


paths = st.sampled_from(
    [
        "/bucket/key",
        "/bucket/a/b//c",
        "/bucket/",
        "/bucket",
        "/",
        "//key",
        "/b/key",
        "/BUCKET/key",
        "/bucket/a%2Fb",
        "/bucket/%C3%A9",
        "/bucket/a+b",
        "/buck..et/key",
        "/bucket/../key",
        "/_cenote/health",
        "/bucket/" + "k" * 1024,
        "/bucket/a~b_c-d.e",
    ]
)
queries = st.sampled_from(
    [
        "",
        "",
        "",
        "x-id=GetObject",
        "versionId=null",
        "partNumber=1",
        "acl",
        "uploads",
        "tagging",
        "response-content-type=a",
        "X-Amz-Security-Token=t",
        "x-amz-checksum-mode=ENABLED",
        "X-Amz-Content-Sha256=UNSIGNED-PAYLOAD",
        "AWSAccessKeyId=a",
        "list-type=2",
        "unheard=of",
    ]
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "range",
            "if-match",
            "if-none-match",
            "if-modified-since",
            "x-amz-checksum-mode",
            "accept",
            "x-amz-expected-bucket-owner",
            "x-amz-content-sha256",
            "user-agent",
            "expect",
            "date",
            "x-amz-request-payer",
            "x-amz-security-token",
            "x-amz-object-lock-mode",
            "host",
            "content-length",
            "x-amz-server-side-encryption-customer-key",
            "accept-encoding",
            "content-type",
            "content-md5",
            "content-encoding",
            "cache-control",
            "x-amz-acl",
            "x-amz-copy-source",
            "x-amz-meta-a",
            "x-amz-tagging",
            "x-amz-checksum-crc32",
            "x-amz-sdk-checksum-algorithm",
            "x-amz-trailer",
            "transfer-encoding",
        ]
    ),
    st.sampled_from(["", "ENABLED", "enabled", "*", "bytes=0-1", "a  b ", EMPTY, "requester"])
    | st.just("UNSIGNED-PAYLOAD"),
    max_size=2,
)
methods = st.sampled_from(["GET", "GET", "GET", "HEAD", "PUT", "PUT", "PUT", "DELETE"])
times = st.sampled_from([0, 0, MINUTE, -MINUTE, 20 * MINUTE, -20 * MINUTE, 61 * MINUTE])
regions = st.sampled_from([None, None, "us-east-1", "eu-west-3"])
bends = st.sampled_from(["", "", "", "path", "query", "signature", "time", "drop", "case"])


def bent(request: RequestHead, bend: str) -> RequestHead:
    """Change one thing behind the signer's back."""
    path, query, sent = request.path, request.query, dict(request.headers)
    if bend == "path":
        path += b"x"
    elif bend == "query":
        query += b"&acl"
    elif bend == "signature":
        query = query.replace(b"Signature=", b"Signature=0")
        sent = {name: value.replace("Signature=", "Signature=0") for name, value in sent.items()}
    elif bend == "time":
        query = query.replace(b"X-Amz-Expires=", b"X-Amz-Expires=1")
        sent = {n: "20231114T221321Z" if n == "x-amz-date" else v for n, v in sent.items()}
    elif bend == "drop":
        sent.pop("x-amz-date", None)
        query = query.replace(b"X-Amz-Date", b"X-Amz-Dated")
    elif bend == "case":
        query = query.replace(b"X-Amz-Expires", b"X%2DAmz-Expires")
        sent = {name: value.upper() for name, value in sent.items()}
    return RequestHead(request.method, path, query, sent, request.repeated)


@given(methods, paths, queries, headers, headers, times, regions, bends, st.booleans())
@example("GET", "/bucket/key", "", {}, {}, 0, None, "", True)
@example("GET", "/bucket/key", "", {}, {}, 0, None, "", False)
@example("PUT", "/bucket/key", "", {}, {"content-type": "a/b"}, 0, None, "", True)
@example("PUT", "/bucket/key", "", {}, {"content-type": "a/b"}, 0, None, "", False)
def test_what_is_taken_is_taken_in_general_and_means_the_same(
    method: str,
    path: str,
    query: str,
    covered: dict[str, str],
    added: dict[str, str],
    late_ms: int,
    region: str | None,
    bend: str,
    presigned: bool,
) -> None:
    url = f"{ROOT}{path}" + (f"?{query}" if query else "")
    if presigned:
        request = link(url, method, sent={**covered, **added})
    else:
        request = signed(url, covered, added=added, method=method)
    request = bent(request, bend)
    now_ms = NOW + late_ms
    stored = put(request, now_ms, region)
    if stored is not None:
        route, auth, asked = general(request, now_ms, region)
        assert (route.op.name, route.bucket, route.key) == ("PutObject", stored.bucket, stored.key)
        assert auth == stored.auth
        assert asked == structs.PutObjectInput(
            bucket=stored.bucket, key=stored.key, content_type=stored.content_type
        )
    found = plain(request, now_ms, region)
    if found is None:
        return
    route, auth, asked = general(request, now_ms, region)
    assert (route.op.name, route.bucket, route.key) == ("GetObject", found.bucket, found.key)
    assert auth == found.auth
    mode = "ENABLED" if found.with_checksum else None
    assert asked == structs.GetObjectInput(bucket=found.bucket, key=found.key, checksum_mode=mode)


@pytest.mark.parametrize("name", sorted(BESIDE_SIGNED - {"x-amz-checksum-mode"}))
def test_headers_it_passes_over_say_nothing_to_the_operation(name: str):
    assert _PLANS["GetObject"].telling((name,)) == ()
    assert name in BESIDE or name.startswith(("x-amz-", "authorization"))


@pytest.mark.parametrize("name", sorted(BESIDE_SIGNED_PUT - {"content-type"}))
def test_headers_a_put_passes_over_say_nothing_to_the_operation(name: str):
    assert _PLANS["PutObject"].telling((name,)) == ()
    assert name in BESIDE_PUT or name.startswith(("x-amz-", "authorization"))


def test_puts_of_common_clients_are_plain():
    body = sha256(b"body").hexdigest()
    sent = {"content-length": "4", "content-type": "text/plain", "expect": "100-continue"}
    for request in (
        signed(method="PUT", added=sent, body_hash=body),
        signed(method="PUT", added=sent, body_hash="UNSIGNED-PAYLOAD"),
        link(method="PUT", sent=sent),
    ):
        found = put(request)
        assert found is not None
        assert (found.bucket, found.key, found.content_type) == ("bucket", "key", "text/plain")
        assert found.auth.presigned is bool(request.query)
        assert plain(request) is None
    found = put(signed(method="PUT", body_hash=body))
    assert found is not None
    assert found.auth.payload == SignedPayload(body)
    assert found.content_type is None


@pytest.mark.parametrize(
    "name", ["x-amz-copy-source", "x-amz-tagging", "if-none-match", "content-md5", "x-amz-acl"]
)
def test_a_put_that_says_more_is_not_plain(name: str):
    assert put(signed(method="PUT", headers={name: "a"})) is None
    assert put(link(method="PUT", sent={name: "a"})) is None


def test_a_put_that_is_not_proven_is_not_plain():
    assert put(link()) is None
    assert put(signed()) is None
    assert put(link(method="PUT", secret_key="other")) is None
    assert put(signed(method="PUT", secret_key="other")) is None
    assert put(signed(method="PUT", body_hash="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")) is None
    assert put(signed(method="PUT"), NOW + 16 * MINUTE) is None
    assert put(link(method="PUT", expires_s=60), NOW + 61_000) is None


def test_requests_of_common_clients_are_plain():
    agents = {"user-agent": "x/1", "accept-encoding": "identity", "amz-sdk-request": "attempt=1"}
    made = [
        (signed(), False),
        (signed(added=agents), False),
        (signed(headers={"x-amz-checksum-mode": "ENABLED"}, added=agents), True),
        (link(), False),
        (link(sent={"accept": "*/*", "user-agent": "curl/8"}), False),
    ]
    for request, with_checksum in made:
        found = plain(request)
        assert found is not None
        assert (found.bucket, found.key, found.auth.access_key) == ("bucket", "key", KEY)
        assert found.with_checksum is with_checksum
        assert found.auth.presigned is bool(request.query)


def test_what_is_not_proven_is_not_plain():
    assert plain(link(secret_key="other")) is None
    assert plain(signed(secret_key="other")) is None
    assert plain(link(access_key="unknown")) is None
    assert plain(head("GET", f"{ROOT}/bucket/key", {"host": "127.0.0.1:9000"})) is None
    assert plain(link(expires_s=60), NOW + 61_000) is None
    assert plain(signed(), NOW + 16 * MINUTE) is None
    assert plain(signed(repeated=("x-amz-date",))) is None


pieces = st.sampled_from(
    [
        "X-Amz-Signature=" + "a" * 64,
        "X-Amz-Signature=",
        "X-Amz-Signature=a%41",
        "X-Amz-Date=1",
        "X%2DAmz-Signature=b",
        "a=b",
        "a",
        "",
        "=",
        "%",
        "%00",
        "a=%E9",
        "a+b=c%20d",
        "&&",
    ]
) | st.text(max_size=3).map(quote)


@given(st.lists(pieces, max_size=6).map("&".join))
def test_a_query_means_the_same_whether_remembered_or_not(query: str) -> None:
    def outcome() -> dict[str, str] | str:
        try:
            return read_query(query.encode())
        except S3Error as error:
            return error.code

    first, again = outcome(), outcome()
    with patch("cenote.s3.query.split_signature", lambda raw: (raw, "")):
        assert first == again == outcome()


@given(st.lists(pieces, max_size=3).map("&".join), bends, times)
def test_a_sender_is_the_same_whether_remembered_or_not(
    query: str, bend: str, late_ms: int
) -> None:
    url = f"{ROOT}/bucket/key"
    request = link(url)
    raw = request.query + b"&" + query.encode() if query else request.query
    request = bent(RequestHead("GET", request.path, raw, request.headers), bend)

    def outcome() -> object:
        try:
            params = read_query(request.query)
            return authenticate(request, params, keys=SECRETS, now_ms=NOW + late_ms)
        except S3Error as error:
            return error.code, error.message

    first, again = outcome(), outcome()
    with patch("cenote.s3.sigv4.split_signature", lambda raw: (raw, "")):
        assert first == again == outcome()


def test_what_is_remembered_of_header_names_is_bounded():
    plan = _PLANS["GetObject"]
    for number in range(1000):
        plan.telling((f"x-{number}", "range"))
    plan.telling(("y" * 8000,))
    assert len(plan._telling) <= 64
    assert max(sum(map(len, names)) for names in plan._telling) <= 512
