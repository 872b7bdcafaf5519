"""Signature version 2: its refusals, its switch, and what it leaves to nobody's signature."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha256
from urllib.parse import quote

import pytest

from cenote.s3 import (
    OPS,
    RequestHead,
    S3Error,
    SignedPayload,
    UnsignedPayload,
    authenticate,
    parse_input,
    resolve,
)
from cenote.s3.query import read_query
from cenote.s3.shapes import Query, places
from cenote.s3.sigv2 import SIGNED_PARAMETERS

NOW = 1_700_000_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
KEY, SECRET = "AKID", "secret"
# Read by listings, and not signed by version 2: none changes what a caller may see of a bucket.
UNSIGNED_READS = {
    "continuation-token",
    "delimiter",
    "encoding-type",
    "fetch-owner",
    "key-marker",
    "list-type",
    "marker",
    "max-buckets",
    "max-keys",
    "max-parts",
    "max-uploads",
    "part-number-marker",
    "prefix",
    "start-after",
    "upload-id-marker",
    "bucket-region",
    "attributes",  # does nothing without x-amz-object-attributes, which is signed
}


def signature(string: str) -> str:
    return b64encode(hmac.digest(SECRET.encode(), string.encode(), "sha1")).decode()


def head(method: str, target: str, headers: dict[str, str] | None = None, *repeated: str):
    path, _, query = target.partition("?")
    return RequestHead(method, path.encode(), query.encode(), headers or {}, frozenset(repeated))


def signed(string: str, method: str, target: str, headers: dict[str, str] | None = None):
    """Make a request whose Authorization is over `string`."""
    sent = {"date": DATE, **(headers or {}), "authorization": f"AWS {KEY}:{signature(string)}"}
    return head(method, target, sent)


def link(string: str, method: str, target: str, expires: object = NOW // 1000 + 60):
    mark = "&" if "?" in target else "?"
    proof = quote(signature(string), safe="")
    return head(method, f"{target}{mark}AWSAccessKeyId={KEY}&Expires={expires}&Signature={proof}")


def check(request: RequestHead, now_ms: int = NOW, *, signature_v2: bool = True, **more):
    return authenticate(
        request,
        read_query(request.query),
        keys={KEY: SECRET}.get,
        now_ms=now_ms,
        signature_v2=signature_v2,
        **more,
    )


def refusal(request: RequestHead, **more) -> tuple[int, str, str]:
    with pytest.raises(S3Error) as refused:
        check(request, **more)
    return refused.value.status, refused.value.code, refused.value.message


GET = f"GET\n\n\n{DATE}\n/bucket/key"
GET_LINK = f"GET\n\n\n{NOW // 1000 + 60}\n/bucket/key"


def test_an_honest_request_and_an_honest_url() -> None:
    assert check(signed(GET, "GET", "/bucket/key")).access_key == KEY
    assert check(link(GET_LINK, "GET", "/bucket/key")).access_key == KEY


@pytest.mark.parametrize(
    "request_",
    [signed(GET, "GET", "/bucket/key"), link(GET_LINK, "GET", "/bucket/key")],
    ids=["header", "url"],
)
def test_the_switch(request_: RequestHead) -> None:
    status, code, message = refusal(request_, signature_v2=False)
    assert (status, code) == (400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in message


@pytest.mark.parametrize(
    "authorization", ["AWS ", "AWS AKID", "AWS :x", "AWS AKID:", "AWS AKID:a:b", "AWS AKID:x:"]
)
def test_a_malformed_authorization(authorization: str) -> None:
    request = head("GET", "/bucket/key", {"date": DATE, "authorization": authorization})
    assert refusal(request)[:2] == (400, "InvalidArgument")


def test_an_unknown_key() -> None:
    for request in (
        head("GET", "/b/k", {"date": DATE, "authorization": "AWS NOBODY:AAAA"}),
        head("GET", "/b/k?AWSAccessKeyId=NOBODY&Signature=AAAA&Expires=9999999999"),
    ):
        assert refusal(request)[:2] == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize(
    "date",
    [None, "", "yesterday", "1700000000", "Bad Date", "Tue, 07 Jul 1950 21:53:04 GMT"],
)
def test_a_date_that_is_none(date: str | None) -> None:
    sent = {"authorization": f"AWS {KEY}:AAAA"} | ({} if date is None else {"date": date})
    assert refusal(head("GET", "/b/k", sent))[:2] == (403, "AccessDenied")


def test_x_amz_date_takes_the_place_of_the_date() -> None:
    string = f"GET\n\n\n\nx-amz-date:{DATE}\n/bucket/key"
    for sent in ({"x-amz-date": DATE}, {"x-amz-date": DATE, "date": "whatever"}):
        assert check(signed(string, "GET", "/bucket/key", sent)).access_key == KEY
    late = signed(string, "GET", "/bucket/key", {"x-amz-date": DATE})
    assert refusal(late, now_ms=NOW + 3_600_000)[1] == "RequestTimeTooSkewed"


@pytest.mark.parametrize("missing", ["AWSAccessKeyId", "Signature", "Expires"])
def test_a_url_without_a_parameter(missing: str) -> None:
    names = {"AWSAccessKeyId": KEY, "Signature": "AAAA", "Expires": "9999999999"}
    del names[missing]
    target = "/b/k?" + "&".join(f"{n}={v}" for n, v in names.items())
    assert refusal(head("GET", target))[:2] == (403, "AccessDenied")


@pytest.mark.parametrize("expires", ["-1", "soon", "1e9", "1700000060.5", "9" * 12, "١٧"])
def test_an_expiry_that_is_no_number_of_seconds(expires: str) -> None:
    request = link(f"GET\n\n\n{expires}\n/b/k", "GET", "/b/k", quote(expires))
    status, code, message = refusal(request)
    assert (status, code) == (403, "AccessDenied")
    assert message.startswith("Invalid date (should be seconds since epoch)")


def test_an_expiry_is_to_the_second() -> None:
    request = link(GET_LINK, "GET", "/bucket/key")
    assert check(request, NOW + 60_000).access_key == KEY
    assert refusal(request, now_ms=NOW + 60_001) == (403, "AccessDenied", "Request has expired")


def test_a_url_is_no_header_and_a_header_no_url() -> None:
    """The expiry and the date share a place in the string; neither reads as the other."""
    expires = NOW // 1000 + 60
    request = signed(GET_LINK, "GET", "/bucket/key", {"date": str(expires)})
    assert refusal(request)[1] == "AccessDenied"
    assert refusal(link(GET, "GET", "/bucket/key", quote(DATE)))[1] == "AccessDenied"


def test_only_one_mechanism() -> None:
    both = link(GET_LINK, "GET", "/bucket/key")
    for authorization in (f"AWS {KEY}:AAAA", "AWS4-HMAC-SHA256 Credential=x", "Basic eDp5"):
        sent = {"date": DATE, "authorization": authorization}
        request = RequestHead("GET", both.path, both.query, sent)
        assert refusal(request)[:2] == (400, "InvalidArgument")
        assert refusal(request, signature_v2=False)[:2] == (400, "InvalidArgument")


def test_temporary_credentials_are_refused() -> None:
    string = f"GET\n\n\n{DATE}\nx-amz-security-token:t\n/b/k"
    request = signed(string, "GET", "/b/k", {"x-amz-security-token": "t"})
    assert refusal(request)[1] == "InvalidToken"
    string = f"GET\n\n\n{NOW // 1000 + 60}\nx-amz-security-token:t\n/b/k"
    assert refusal(link(string, "GET", "/b/k?x-amz-security-token=t"))[1] == "InvalidToken"


@pytest.mark.parametrize(
    "sent",
    [
        {"content-encoding": "aws-chunked"},
        {"content-encoding": "gzip,aws-chunked"},
        {"x-amz-decoded-content-length": "1"},
        {"x-amz-trailer": "x-amz-checksum-crc32"},
        {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"},
        {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"},
        {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
    ],
    ids=lambda sent: "".join(f"{n}: {v}" for n, v in sent.items()),
)
def test_chunked_bodies_are_refused(sent: dict[str, str]) -> None:
    amz = "".join(f"{n}:{v}\n" for n, v in sent.items() if n.startswith("x-amz-"))
    request = signed(f"PUT\n\n\n{DATE}\n{amz}/b/k", "PUT", "/b/k", sent)
    assert refusal(request)[:2] == (400, "InvalidRequest")


def test_a_body_is_under_its_hash_when_the_signer_sent_one() -> None:
    assert check(signed(f"PUT\n\n\n{DATE}\n/b/k", "PUT", "/b/k")).payload == UnsignedPayload()
    digest = sha256(b"body").hexdigest()
    for claim, payload in {
        digest: SignedPayload(digest),
        "UNSIGNED-PAYLOAD": UnsignedPayload(),
    }.items():
        string = f"PUT\n\n\n{DATE}\nx-amz-content-sha256:{claim}\n/b/k"
        request = signed(string, "PUT", "/b/k", {"x-amz-content-sha256": claim})
        assert check(request).payload == payload


@pytest.mark.parametrize(
    ("resource", "target"),
    [
        ("/bucket?uploads", "/bucket?uploads"),
        ("/bucket?uploads", "/bucket?uploads="),
        ("/bucket/?uploads=", "/bucket?uploads="),
        ("/bucket/?location", "/bucket/?location"),
        ("/b/k?partNumber=1&uploadId=x", "/b/k?uploadId=x&prefix=p&partNumber=1"),
        ("/b/k?response-content-type=a b/ü", "/b/k?response-content-type=a%20b%2F%C3%BC"),
        ("/b/k?response-expires=a b", "/b/k?response-expires=a+b"),
        ("/b/a%2fb", "/b/a%2fb"),
        ("/b/a/b", "/b/a%2Fb"),
        ("/b/a(b)", "/b/a(b)"),
        ("/b/a%28b%29", "/b/a(b)"),
        ("/b//k/../", "/b//k/../"),
        ("/", "/"),
    ],
)
def test_spellings_of_one_resource(resource: str, target: str) -> None:
    assert check(signed(f"GET\n\n\n{DATE}\n{resource}", "GET", target)).access_key == KEY


@pytest.mark.parametrize(
    ("resource", "target"),
    [
        ("/b/a/b", "/b/a%252Fb"),
        ("/b/k", "/b//k"),
        ("/b/k/", "/b/k"),
        ("/b/k", "/b/k?tagging"),
        ("/b/k?tagging", "/b/k"),
        ("/b", "/"),
        ("/b/k?uploadId=x", "/b/k?uploadId=y"),
        ("/b/k?uploadId=x", "/b/k?uploadid=x"),
    ],
)
def test_resources_that_are_not_one(resource: str, target: str) -> None:
    request = signed(f"GET\n\n\n{DATE}\n{resource}", "GET", target)
    assert refusal(request)[1] == "SignatureDoesNotMatch"


def test_a_value_cannot_hold_a_line_end() -> None:
    """Else `a` with a line end and a second header in it would be signed like the two."""
    string = f"PUT\n\n\n{NOW // 1000 + 60}\nx-amz-meta-a:1\nx-amz-meta-b:2\n/b/k"
    assert check(link(string, "PUT", "/b/k?x-amz-meta-a=1&x-amz-meta-b=2")).access_key == KEY
    forged = link(string, "PUT", "/b/k?x-amz-meta-a=1%0Ax-amz-meta-b:2")
    assert refusal(forged)[1] == "InvalidArgument"
    forged = link(string, "PUT", "/b/k?x-amz-meta-a:1%0Ax-amz-meta-b=2")
    assert refusal(forged)[1] == "InvalidArgument"


def test_a_name_in_two_spellings_is_one_value() -> None:
    string = f"PUT\n\n\n{NOW // 1000 + 60}\nx-amz-meta-a:1\n/b/k"
    assert check(link(string, "PUT", "/b/k?X-Amz-Meta-A=1")).access_key == KEY
    assert refusal(link(string, "PUT", "/b/k?x-amz-meta-a=1&X-Amz-Meta-A=2"))[1] == (
        "InvalidArgument"
    )


def test_parameters_that_stand_for_headers_are_acted_on_as_headers() -> None:
    string = f"PUT\n\ntext/plain\n{NOW // 1000 + 60}\nx-amz-meta-a:1\n/bucket/key"
    request = link(string, "PUT", "/bucket/key?content-type=text%2Fplain&x-amz-meta-a=1")
    assert check(request).access_key == KEY
    read = parse_input(resolve(request), request.headers)
    assert (read.content_type, read.metadata) == ("text/plain", {"a": "1"})
    # Without the signature they stand for nothing: an unknown word, refused on a change.
    with pytest.raises(S3Error) as refused:
        resolve(head("PUT", "/bucket/key?content-type=text%2Fplain"))
    assert refused.value.code == "NotImplemented"


@pytest.mark.parametrize("name", ["authorization", "date", "x-amz-date", "host"])
def test_a_single_header_twice(name: str) -> None:
    sent = {"date": DATE, "authorization": f"AWS {KEY}:{signature(GET)}", "host": "h"}
    assert refusal(head("GET", "/bucket/key", sent, name))[1] == "InvalidArgument"


def test_every_parameter_that_changes_something_is_signed() -> None:
    for op in OPS.values():
        if not op.implemented:
            continue
        read = {name for name, _ in op.query} | {
            member.place.wire for member in places(op.input) if isinstance(member.place, Query)
        }
        if op.method in ("PUT", "POST", "DELETE"):
            assert read <= SIGNED_PARAMETERS, op.name
        else:
            assert read <= SIGNED_PARAMETERS | UNSIGNED_READS, op.name
