"""Whatever comes, only S3Error goes out, and nobody is taken for a key's owner."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from sigv4_lab import (
    EMPTY,
    KEY,
    NOW,
    SECRETS,
)

from cenote.s3 import (
    RequestHead,
    S3Error,
    authenticate,
)
from cenote.s3.stamps import stamp

STREAMS = [
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
]

chars = st.characters(max_codepoint=0xFF)
words = st.sampled_from(
    [
        "AWS4-HMAC-SHA256",
        " ",
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        ",",
        "/",
        "host",
        ";",
        "=",
        "x-amz-date",
        f"{KEY}/{stamp(NOW)[:8]}/us-east-1/s3/aws4_request",
        "0" * 64,
    ]
)
soup = st.lists(words | st.text(chars, max_size=3), max_size=12).map("".join)
names = st.sampled_from(
    [
        "x-amz-date",
        "date",
        "x-amz-content-sha256",
        "x-amz-trailer",
        "content-encoding",
        "host",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
    ]
)
contents = st.sampled_from([stamp(NOW), EMPTY, "aws-chunked", *STREAMS]) | st.text(max_size=9)


@given(soup | st.none(), st.dictionaries(names, contents), st.binary(max_size=9))
def test_nothing_but_s3error_comes_out_of_headers(
    authorization: str | None, headers: dict[str, str], path: bytes
) -> None:
    sent = headers if authorization is None else {**headers, "authorization": authorization}
    try:
        auth = authenticate(
            RequestHead("GET", b"/" + path, path, sent), {}, keys=SECRETS, now_ms=NOW
        )
    except S3Error:
        return
    assert auth.access_key is None
    assert authorization is None


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "X-Amz-Algorithm",
                "X-Amz-Credential",
                "X-Amz-Date",
                "X-Amz-Expires",
                "X-Amz-SignedHeaders",
                "X-Amz-Signature",
                "X-Amz-Content-Sha256",
            ]
        ),
        soup | contents | st.integers().map(str) | st.text(max_size=5),
        min_size=1,
    ),
    st.dictionaries(names, contents),
)
def test_nothing_but_s3error_comes_out_of_queries(
    params: dict[str, str], headers: dict[str, str]
) -> None:
    query = "&".join(f"{name}={quote(value, errors='replace')}" for name, value in params.items())
    request = RequestHead("GET", b"/bucket/key", query.encode(), headers)
    try:
        auth = authenticate(request, params, keys=SECRETS, now_ms=NOW)
    except S3Error:
        return
    assert auth.access_key is None
    assert set(params) == {"X-Amz-Content-Sha256"}
