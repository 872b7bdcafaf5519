"""Requests that are not signed as they should be: each is refused, and nothing changes.

Sources: sigv4-auth-using-authorization-header.html, sigv4-query-string-auth.html and
ErrorResponses.html of the S3 API reference; RFC 3986 section 2.
"""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta
from urllib.parse import quote, unquote_to_bytes

import pytest
from forge import EMPTY_SHA, Forge, head
from lab import Case, Lab, named

DENIED = (403, "AccessDenied")
MALFORMED = "AuthorizationHeaderMalformed"
QUERY = "AuthorizationQueryParametersError"
WRONG = "SignatureDoesNotMatch"


def get(lab: Lab, **bent) -> bytes:
    """Return a GET of the object that is there, by a bent signer."""
    return dataclasses.replace(lab.forge, **bent).request("GET", lab.seed)


def link(lab: Lab, expires: object = 300, extra=(), bent: dict | None = None, **more) -> bytes:
    """Return a GET by a presigned URL of a bent signer."""
    forge = dataclasses.replace(lab.forge, **(bent or {}))
    target = forge.presign("GET", lab.seed, expires, extra, **more)
    return head("GET", target, [("host", forge.address)])


def authorization(lab: Lab, text: str) -> bytes:
    """Return a GET whose Authorization is `text` ({credential} is filled in)."""
    lines = [
        ("host", lab.forge.address),
        ("x-amz-date", lab.forge.time),
        ("x-amz-content-sha256", EMPTY_SHA),
        ("authorization", text.replace("{credential}", lab.forge.credential)),
    ]
    return head("GET", lab.seed, lines)


def strip(data: bytes, name: str) -> bytes:
    """Return a request without its header `name`."""
    lines = data.split(b"\r\n")
    return b"\r\n".join(ln for ln in lines if not ln.lower().startswith(name.encode() + b":"))


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


CASES = [
    Case("no signature", lambda lab: head("GET", lab.seed, [("host", "a")]), *DENIED),
    Case(
        "an unknown key", lambda lab: get(lab, access_key="AKIDNOBODY"), 403, "InvalidAccessKeyId"
    ),
    Case("a wrong secret", lambda lab: get(lab, secret_key="x" * 40), 403, WRONG),
    Case("an empty secret", lambda lab: get(lab, secret_key="\0"), 403, WRONG),
    Case("16 minutes late", lambda lab: get(lab, age=minutes(16)), 403, "RequestTimeTooSkewed"),
    Case("16 minutes early", lambda lab: get(lab, age=minutes(-16)), 403, "RequestTimeTooSkewed"),
    Case("a year late", lambda lab: get(lab, age=timedelta(365)), 403, "RequestTimeTooSkewed"),
    Case("another date in the scope", lambda lab: get(lab, scope_date="20150830"), 400, MALFORMED),
    Case("a date of letters", lambda lab: get(lab, scope_date="ABCDEFGH"), 400, MALFORMED),
    Case("another service", lambda lab: get(lab, service="dynamodb"), 400, MALFORMED),
    Case("another terminator", lambda lab: get(lab, terminator="aws5_request"), 400, MALFORMED),
    Case("a signature in capitals", lambda lab: get(lab, bend=str.upper), (400, 403)),
    Case("half a signature", lambda lab: get(lab, bend=lambda s: s[:32]), (400, 403)),
    Case("an empty signature", lambda lab: get(lab, bend=lambda s: ""), (400, 403)),
    Case("a signature and more", lambda lab: get(lab, bend=lambda s: s + "0"), (400, 403)),
    Case("an unsigned host", lambda lab: get(lab, unsigned=["host"]), (400, 403)),
    Case("an unsigned date", lambda lab: get(lab, unsigned=["x-amz-date"]), (400, 403)),
    Case(
        "no digest",
        lambda lab: strip(get(lab), "x-amz-content-sha256"),
        (400, 403),
    ),
    Case("no date", lambda lab: strip(get(lab), "x-amz-date"), (400, 403)),
    Case("no host", lambda lab: strip(get(lab), "host"), 400),
    Case(
        "a digest of letters",
        lambda lab: lab.forge.request("GET", lab.seed, payload="z" * 64),
        400,
        ("InvalidArgument", "XAmzContentSHA256Mismatch"),
    ),
    Case(
        "an unknown streaming digest",
        lambda lab: lab.forge.request("GET", lab.seed, payload="STREAMING-NOTHING"),
        400,
        ("InvalidArgument", "InvalidRequest", "XAmzContentSHA256Mismatch"),
    ),
    Case(
        "chunks signed by curves",
        lambda lab: lab.forge.request(
            "PUT", lab.fresh, body=b"x", payload="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
        ),
        (400, 501),
        method="PUT",
    ),
    Case(
        "Signature Version 2",
        lambda lab: authorization(lab, "AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg="),
        403,
        ("InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ),
    Case(
        "Signature Version 4A",
        lambda lab: get(lab, algorithm="AWS4-ECDSA-P256-SHA256"),
        (400, 501),
    ),
    Case("Basic", lambda lab: authorization(lab, "Basic dXNlcjpwYXNz"), (400, 403)),
    Case("Bearer", lambda lab: authorization(lab, "Bearer abc.def.ghi"), (400, 403)),
    Case("an empty Authorization", lambda lab: authorization(lab, ""), (400, 403)),
    Case("only the algorithm", lambda lab: authorization(lab, "AWS4-HMAC-SHA256"), 400),
    Case("only commas", lambda lab: authorization(lab, "AWS4-HMAC-SHA256 ,,,,"), 400, MALFORMED),
    Case(
        "no signed headers",
        lambda lab: authorization(
            lab, "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=, Signature=" + "0" * 64
        ),
        (400, 403),
    ),
    Case(
        "a credential of too few parts",
        lambda lab: authorization(
            lab, "AWS4-HMAC-SHA256 Credential=AKID, SignedHeaders=host, Signature=" + "0" * 64
        ),
        400,
        MALFORMED,
    ),
    Case(
        "a credential of a thousand parts",
        lambda lab: authorization(
            lab,
            "AWS4-HMAC-SHA256 Credential="
            + "/" * 1000
            + ", SignedHeaders=host, Signature="
            + "0" * 64,
        ),
        (400, 403),
    ),
    Case(
        "a signed header that is not there",
        lambda lab: authorization(
            lab,
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date;x-absent, "
            "Signature=" + "0" * 64,
        ),
        (400, 403),
    ),
    Case(
        "a field twice",
        lambda lab: authorization(
            lab,
            "AWS4-HMAC-SHA256 Credential={credential}, Credential={credential}, "
            "SignedHeaders=host, Signature=" + "0" * 64,
        ),
        (400, 403),
    ),
    Case(
        "two Authorization lines",
        lambda lab: get(lab)[:-2] + b"authorization: AWS4-HMAC-SHA256 nothing\r\n\r\n",
        (400, 403),
    ),
    Case(
        "two dates",
        lambda lab: get(lab)[:-2] + b"x-amz-date: 20150830T123600Z\r\n\r\n",
        (400, 403),
    ),
    Case(
        "two digests",
        lambda lab: get(lab)[:-2] + b"x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\r\n",
        (400, 403),
    ),
    Case(
        "a token we never gave",
        lambda lab: lab.forge.request("GET", lab.seed, [("x-amz-security-token", "FwoGZXIvYXdz")]),
        (400, 403),
        ("InvalidToken", "InvalidAccessKeyId", "AccessDenied"),
    ),
    Case(
        "a header that is not ASCII",
        lambda lab: get(lab).replace(b"Credential=", "Credential=é".encode(), 1),
        (400, 403),
    ),
    Case("header and query", lambda lab: both(lab), 400, "InvalidArgument"),
]


def both(lab: Lab) -> bytes:
    target = lab.forge.presign("GET", lab.seed)
    return lab.forge.request("GET", target)


@named(CASES)
def test_bad_headers(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab), case.method)
    assert case.fits(reply), (reply.status, reply.code, reply.body)


LINKS = [
    Case("expires 0", lambda lab: link(lab, 0), (400, 403)),
    Case("expires -1", lambda lab: link(lab, -1), 400, QUERY),
    Case("expires 604801", lambda lab: link(lab, 604801), 400, QUERY),
    Case("expires in words", lambda lab: link(lab, "soon"), 400, QUERY),
    Case("expires 1e3", lambda lab: link(lab, "1e3"), 400, QUERY),
    Case("expires in 30 digits", lambda lab: link(lab, "9" * 30), 400, QUERY),
    Case("expires nothing", lambda lab: link(lab, ""), 400, QUERY),
    Case("expired", lambda lab: link(lab, 60, bent={"age": minutes(2)}), *DENIED),
    Case(
        "not yet valid",
        lambda lab: link(lab, 600, bent={"age": minutes(-30)}),
        403,
        ("AccessDenied", "RequestTimeTooSkewed"),
    ),
    Case("wrong secret", lambda lab: link(lab, bent={"secret_key": "x"}), 403, WRONG),
    Case("unknown key", lambda lab: link(lab, bent={"access_key": "X"}), 403, "InvalidAccessKeyId"),
    Case("other service", lambda lab: link(lab, bent={"service": "ec2"}), 400, QUERY),
    Case("other terminator", lambda lab: link(lab, bent={"terminator": "x"}), 400, QUERY),
    Case("other scope date", lambda lab: link(lab, bent={"scope_date": "20150830"}), 400, QUERY),
    Case("other algorithm", lambda lab: link(lab, bent={"algorithm": "NONE"}), 400),
    Case(
        "curves",
        lambda lab: link(lab, bent={"algorithm": "AWS4-ECDSA-P256-SHA256"}),
        (400, 501),
    ),
    Case("no host signed", lambda lab: link(lab, signed=[]), (400, 403)),
    Case("a second Expires", lambda lab: link(lab, 60, ["X-Amz-Expires=604800"]), (400, 403)),
    Case("a second Date", lambda lab: link(lab, 60, ["X-Amz-Date=20990101T000000Z"]), (400, 403)),
    Case(
        "a second Signature",
        lambda lab: link(lab).replace(b" HTTP", b"&X-Amz-Signature=" + b"0" * 64 + b" HTTP"),
        (400, 403),
    ),
    Case(
        "a parameter added",
        lambda lab: link(lab).replace(b" HTTP", b"&response-content-type=text/html HTTP"),
        403,
        WRONG,
    ),
    Case(
        "a sub-resource added",
        lambda lab: link(lab).replace(b" HTTP", b"&tagging HTTP"),
        403,
        WRONG,
    ),
    Case("another key", lambda lab: link(lab).replace(b"/seed?", b"/seed2?"), 403, WRONG),
    Case("another bucket", lambda lab: link(lab).replace(b"/hostile-", b"/hostile2-"), 403, WRONG),
    Case("another method", lambda lab: link(lab).replace(b"GET", b"DELETE"), 403, WRONG),
    Case(
        "the signature missing",
        lambda lab: link(lab).partition(b"&X-Amz-Signature")[0] + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
        QUERY,
    ),
    Case(
        "the date missing",
        lambda lab: link(lab).replace(b"X-Amz-Date", b"X-Amz-Other"),
        400,
        QUERY,
    ),
    Case(
        "Signature Version 2",
        lambda lab: head(
            "GET",
            f"{lab.seed}?AWSAccessKeyId=A&Expires=4102444800&Signature=abc",
            [("host", lab.forge.address)],
        ),
        403,
        ("InvalidAccessKeyId", "SignatureDoesNotMatch"),
    ),
]


@named(LINKS)
def test_bad_links(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab), case.method)
    assert case.fits(reply), (reply.status, reply.code, reply.body)


def test_an_honest_link_works(lab: Lab):
    reply = lab.send(link(lab))
    assert (reply.status, reply.body) == (200, lab.stored)


UNSIGNED = [
    ("x-amz-copy-source", "/hostile-bucket/seed"),
    ("x-amz-acl", "public-read"),
    ("x-amz-meta-owner", "mallory"),
    ("x-amz-tagging", "a=b"),
    ("x-amz-checksum-crc32", "AAAAAA=="),
    ("x-amz-storage-class", "GLACIER"),
    ("x-amz-security-token", "token"),
    ("x-amz-bypass-governance-retention", "true"),
    ("x-amz-website-redirect-location", "http://evil.invalid/"),
    ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-unheard-of", "1"),
]


@pytest.mark.parametrize(("name", "value"), UNSIGNED, ids=[name for name, _ in UNSIGNED])
@pytest.mark.parametrize("way", ["header", "link"])
def test_amz_headers_that_were_not_signed(lab: Lab, way: str, name: str, value: str):
    """An upload link must not become a copy, or anything its signer did not ask for."""
    path = lab.fresh
    if way == "header":
        forge = dataclasses.replace(lab.forge, unsigned=[name])
        data = forge.request("PUT", path, [(name, value)], b"body")
    else:
        lines = [("host", lab.forge.address), (name, value), ("content-length", "4")]
        data = head("PUT", lab.forge.presign("PUT", path), lines) + b"body"
    reply = lab.send(data, "PUT")
    assert reply.status in (400, 403), (reply.status, reply.code)
    assert reply.code in ("AccessDenied", "SignatureDoesNotMatch", "InvalidToken")
    assert lab.get(path).status == 404


def test_a_link_of_one_method_is_not_of_another(lab: Lab):
    target = lab.forge.presign("PUT", lab.seed)
    reply = lab.send(head("GET", target, [("host", lab.forge.address)]))
    assert (reply.status, reply.code) == (403, WRONG)


@pytest.mark.parametrize(
    "claim",
    [
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    ],
)
def test_streaming_claims_do_not_pass_for_a_signature(lab: Lab, claim: str):
    """A body claimed to be streamed must still come with a signed head, whatever the query says."""
    path = lab.fresh
    text = b"4\r\nevil\r\n0\r\n\r\n"
    lines = [
        ("host", lab.forge.address),
        ("content-length", str(len(text))),
        ("x-amz-content-sha256", claim),
        ("x-amz-decoded-content-length", "4"),
        ("x-amz-date", lab.forge.time),
    ]
    wrong = quote(f"{lab.forge.endpoint.access_key}/{lab.forge.scope}", safe="")
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={wrong}&X-Amz-Signature={'0' * 64}"
    half = f"{query}&X-Amz-Date={lab.forge.time}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    for target in (path, f"{path}?{query}", f"{path}?{half}"):
        reply = lab.send(head("PUT", target, lines) + text, "PUT")
        assert reply.status in (400, 403), (target, reply.status)
    assert lab.get(path).status == 404


def test_a_body_other_than_the_signed_digest(lab: Lab):
    path = lab.fresh
    claimed = hashlib.sha256(b"good").hexdigest()
    lines = lab.forge.headers("PUT", path, [("content-length", "4")], claimed)
    reply = lab.send(head("PUT", path, lines) + b"evil", "PUT")
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert lab.get(path).status == 404


SPELLINGS = [
    "a%2Fb",
    "a//b",
    "a/../b",
    "a/./b",
    "../../x",
    "a+b",
    "a%2Bb",
    "a%20b",
    "%E2%82%AC",
    "%F0%9F%98%80",
    "a%25b",
    "a%2525b",
    "a%3Fb",
    "a%23b",
    "a%26b=c",
    "%2e%2e%2fx",
    "a%5Cb",
    "a~b",
    "a!b",
    "(a)",
    "a*b",
    "a'b",
    "a%3Bb",
    "a@b",
    "a,b",
    "a=b",
    "a:b",
    "a$b",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_path_is_signed_as_sent_and_kept_apart(lab: Lab, spelling: str):
    """What is authorised is what is acted on: the key listed is the decoded path, to the byte."""
    path = f"/{lab.bucket}/spelt/{spelling}"
    body = spelling.encode()
    assert lab.send(lab.forge.request("PUT", path, body=body), "PUT").status == 200
    assert lab.get(path).body == body
    prefix = quote(unquote_to_bytes("spelt/" + spelling), safe="")
    listing = lab.send(
        lab.forge.request("GET", f"/{lab.bucket}?list-type=2&encoding-type=url&prefix={prefix}")
    )
    assert listing.status == 200
    assert f"<Key>{quote(unquote_to_bytes('spelt/' + spelling), safe='/-_.~*')}</Key>" in (
        listing.body.decode().replace("+", "%20").replace("%2A", "*").replace("%7E", "~")
    )
    assert lab.send(lab.forge.request("DELETE", path), "DELETE").status == 204


QUERIES = [
    "list-type=2&prefix=seed",
    "prefix=seed&list-type=2",
    "list-type=2&prefix=seed&delimiter=",
    "list-type=2&prefix=seed&delimiter",
    "list-type=2&prefix=%73eed",
    "list-type=2&&prefix=seed",
    "list-type=2&prefix=seed&start-after=a%20b",
    "list-type=2&prefix=seed&start-after=A%2FB",
]


@pytest.mark.parametrize("query", QUERIES)
def test_every_spelling_of_a_query_is_understood(lab: Lab, query: str):
    reply = lab.send(lab.forge.request("GET", f"/{lab.bucket}?{query}"))
    assert reply.status == 200, reply.body
    assert b"<Key>seed</Key>" in reply.body


def test_a_parameter_twice_is_refused_or_the_same_everywhere(lab: Lab):
    reply = lab.send(lab.forge.request("GET", f"/{lab.bucket}?list-type=2&prefix=a&prefix=seed"))
    assert reply.status in (200, 400)


def test_any_region_is_taken_when_none_is_pinned(lab: Lab):
    for region in ("eu-central-1", "auto", "garage", "mars-north-7"):
        assert lab.send(get(lab, region=region)).status == 200


def test_spaces_inside_a_signed_header_are_folded(lab: Lab):
    path = lab.fresh
    data = lab.forge.request("PUT", path, [("x-amz-meta-note", "a   b")], b"x")
    reply = lab.send(data, "PUT")
    assert reply.status == 200, reply.body


def test_the_reply_to_a_forgery_tells_no_secret(lab: Lab):
    reply = lab.send(get(lab, secret_key="x" * 40))
    assert lab.endpoint.secret_key.encode() not in reply.body


def test_probing_conditions_without_a_signature_tells_nothing(lab: Lab):
    """Whether a key exists, or changed, is not to be learnt from conditional headers."""
    for path in (lab.seed, lab.fresh):
        for line in (
            ("if-match", "*"),
            ("if-none-match", "*"),
            ("if-modified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ):
            lines = [("host", lab.forge.address), line]
            reply = lab.send(head("GET", path, lines))
            assert (reply.status, reply.code) == DENIED


def test_forge_can_be_right(lab: Lab):
    assert isinstance(lab.forge, Forge)
    assert lab.send(get(lab)).body == lab.stored
