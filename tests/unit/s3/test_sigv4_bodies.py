"""What a signed head may say of its body, and what it may not."""

from __future__ import annotations

from hashlib import sha256

import pytest
from sigv4_lab import (
    EMPTY,
    KEY,
    NOW,
    SECRET,
    URL,
    check,
    head,
    link,
    refused,
    signed,
)

from cenote.s3 import (
    ChunkedPayload,
    RequestHead,
    S3Error,
    SignedPayload,
    UnsignedPayload,
)
from cenote.s3.canonical import canonical_headers, canonical_request, string_to_sign
from cenote.s3.keyring import signing_key
from cenote.s3.stamps import stamp


def streamed(claim: str, **headers: str) -> RequestHead:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return signed(headers=sent, body_hash=claim, method="PUT")


def test_body_forms() -> None:
    digest = sha256(b"x").hexdigest()
    assert check(signed(body_hash=digest.upper())).payload == SignedPayload(digest)
    assert check(signed(body_hash="UNSIGNED-PAYLOAD")).payload == UnsignedPayload()
    length = {"x_amz_decoded_content_length": "10"}
    payload = check(streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", **length)).payload
    assert isinstance(payload, ChunkedPayload)
    assert (payload.signed, payload.trailer, payload.decoded_length) == (True, False, 10)
    assert payload.timestamp == stamp(NOW)
    assert payload.scope == f"{stamp(NOW)[:8]}/us-east-1/s3/aws4_request"
    trailer = {"x_amz_trailer": "x-amz-checksum-crc32"}
    for claim, is_signed in (
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", True),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", False),
    ):
        payload = check(streamed(claim, **length, **trailer)).payload
        assert isinstance(payload, ChunkedPayload)
        assert (payload.signed, payload.trailer) == (is_signed, True)
        assert payload.announced == ("x-amz-checksum-crc32",)


def test_a_payload_does_not_show_its_key() -> None:
    request = streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", x_amz_decoded_content_length="10")
    assert SECRET not in repr(check(request))


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ("", "InvalidArgument"),
        ("z" * 64, "InvalidArgument"),
        ("0" * 63, "InvalidArgument"),
        ("unsigned-payload", "InvalidArgument"),
        ("STREAMING-UNSIGNED-PAYLOAD", "InvalidArgument"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented"),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", "NotImplemented"),
    ],
)
def test_body_forms_that_are_none(claim: str, code: str) -> None:
    refused(streamed(claim, x_amz_decoded_content_length="10"), code)


def test_body_form_is_required_and_signed() -> None:
    request = signed()
    del request.headers["x-amz-content-sha256"]
    refused(request, "InvalidRequest")
    other = signed(added={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
    refused(other, "SignatureDoesNotMatch")


def test_body_form_outside_the_signed_names_is_signed_all_the_same() -> None:
    made = signed().headers
    names = "host;x-amz-date"
    lines = canonical_headers(made, names.split(";"))
    scope = f"{stamp(NOW)[:8]}/us-east-1/s3/aws4_request"
    canonical = canonical_request("GET", "/bucket/key", "", lines, names, EMPTY)
    key = signing_key(SECRET, stamp(NOW)[:8], "us-east-1", "s3")
    signature = key.sign(string_to_sign(stamp(NOW), scope, canonical))
    made["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    assert check(head("GET", URL, made)).access_key == KEY
    bent = {**made, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    refused(head("GET", URL, bent), "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("length", "code"),
    [
        (None, "MissingContentLength"),
        ("", "InvalidArgument"),
        ("-1", "InvalidArgument"),
        ("+1", "InvalidArgument"),
        ("1e3", "InvalidArgument"),
        (str(1 << 63), "InvalidArgument"),
        ("9" * 5000, "InvalidArgument"),
    ],
)
def test_decoded_length(length: str | None, code: str) -> None:
    headers = {} if length is None else {"x_amz_decoded_content_length": length}
    refused(streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", **headers), code)


@pytest.mark.parametrize(
    ("claim", "trailer", "code"),
    [
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-evil", "InvalidRequest"),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-md4", "InvalidRequest"),
        (
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-checksum-crc32,x-amz-checksum-sha1",
            "InvalidRequest",
        ),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x-amz-checksum-xxhash3", "NotImplemented"),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-checksum-crc32", "InvalidRequest"),
    ],
)
def test_trailers_that_cannot_be(claim: str, trailer: str, code: str) -> None:
    headers = {"x_amz_decoded_content_length": "1", "x_amz_trailer": trailer}
    refused(streamed(claim, **headers), code)


STREAMS = [
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
]


@pytest.mark.parametrize("claim", [*STREAMS, EMPTY])
def test_presigned_url_with_an_unsigned_body_form(claim: str) -> None:
    refused(link(sent={"x-amz-content-sha256": claim}), "AccessDenied")
    refused(
        link(f"{URL}?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", sent={"x-amz-content-sha256": claim}),
        "AccessDenied",
    )


@pytest.mark.parametrize("claim", STREAMS)
def test_presigned_url_with_a_signed_chunked_form(claim: str) -> None:
    headers = {"x-amz-content-sha256": claim}
    refused(link(headers=headers, sent=headers), "InvalidRequest")


def test_presigned_url_may_name_its_body_unsigned() -> None:
    sent = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    assert check(link(sent=sent)).payload == UnsignedPayload()
    named = f"{URL}?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    assert check(link(named)).payload == UnsignedPayload()
    assert check(link(named, sent=sent)).payload == UnsignedPayload()


def test_anonymous_bodies() -> None:
    def payload(**headers: str):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return check(head("PUT", URL, named)).payload

    trailer = {
        "content_encoding": "aws-chunked",
        "x_amz_trailer": "x-amz-checksum-crc32",
        "x_amz_decoded_content_length": "3",
    }
    expected = ChunkedPayload(False, True, 3, ("x-amz-checksum-crc32",))
    assert payload(**trailer) == expected
    streaming = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert payload(**trailer, x_amz_content_sha256=streaming) == expected
    assert payload(x_amz_content_sha256=EMPTY) == SignedPayload(EMPTY)
    with pytest.raises(S3Error, match="needs a signed request"):
        payload(**trailer, x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
