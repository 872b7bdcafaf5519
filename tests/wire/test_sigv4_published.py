"""The signatures AWS prints in its own pages, byte for byte.

Sources, below https://docs.aws.amazon.com/AmazonS3/latest/API/: sig-v4-header-based-auth.html,
sigv4-query-string-auth.html, sigv4-streaming.html, sigv4-streaming-trailers.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

import pytest

from cenote.s3 import (
    ChunkDecoder,
    ChunkedPayload,
    RequestHead,
    S3Error,
    SignedPayload,
    UnsignedPayload,
    authenticate,
    encode_chunks,
    presign,
    sign_request,
)
from cenote.s3.query import read_query

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW_MS = 1_369_353_600_000  # 20130524T000000Z
SCOPE = f"{ACCESS_KEY}/20130524/us-east-1/s3/aws4_request"
EMPTY = sha256(b"").hexdigest()


@dataclass
class Example:
    method: str
    path: bytes
    query: bytes
    headers: dict[str, str]
    names: str
    signature: str
    host: str = "examplebucket.s3.amazonaws.com"
    sha: str = EMPTY

    def head(self) -> RequestHead:
        return RequestHead(
            self.method,
            self.path,
            self.query,
            {
                "host": self.host,
                "x-amz-date": "20130524T000000Z",
                "x-amz-content-sha256": self.sha,
                **self.headers,
                "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE},"
                f"SignedHeaders={self.names},Signature={self.signature}",
            },
        )


EXAMPLES = {
    "GET object": Example(
        "GET",
        b"/test.txt",
        b"",
        {"range": "bytes=0-9"},
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT object": Example(
        "PUT",
        b"/test$file.text",
        b"",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        sha=sha256(b"Welcome to Amazon S3.").hexdigest(),
    ),
    "GET bucket lifecycle": Example(
        "GET",
        b"/",
        b"lifecycle",
        {},
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "GET bucket (list objects)": Example(
        "GET",
        b"/",
        b"max-keys=2&prefix=J",
        {},
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


def check(head: RequestHead, now_ms: int = NOW_MS):
    keys = {ACCESS_KEY: SECRET_KEY}.get
    return authenticate(head, read_query(head.query), keys=keys, now_ms=now_ms)


@pytest.mark.parametrize("name", EXAMPLES)
def test_header_examples(name: str) -> None:
    example = EXAMPLES[name]
    auth = check(example.head())
    assert auth.access_key == ACCESS_KEY
    assert auth.payload == SignedPayload(example.sha)
    assert not auth.presigned


@pytest.mark.parametrize("name", EXAMPLES)
def test_our_signer_makes_the_printed_signature(name: str) -> None:
    example = EXAMPLES[name]
    headers = {"Host": example.host, **example.headers}
    url = f"https://{example.host}{example.path.decode()}"
    url += f"?{example.query.decode()}" if example.query else ""
    signed = sign_request(
        example.method,
        url,
        headers,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=NOW_MS,
        body_hash=example.sha,
    )
    assert signed["authorization"].endswith(
        f"SignedHeaders={example.names}, Signature={example.signature}"
    )


PRESIGNED = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"


def test_presigned_example() -> None:
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256"
        b"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        b"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        b"&X-Amz-Signature=" + PRESIGNED.encode()
    )
    head = RequestHead("GET", b"/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"})
    for now_ms in (NOW_MS, NOW_MS + 86_400_000):
        auth = check(head, now_ms)
        assert (auth.access_key, auth.presigned) == (ACCESS_KEY, True)
        assert auth.payload == UnsignedPayload()
    with pytest.raises(S3Error, match="Request has expired"):
        check(head, NOW_MS + 86_400_001)


def test_our_presigned_url_carries_the_printed_signature() -> None:
    url = presign(
        "GET",
        "https://examplebucket.s3.amazonaws.com/test.txt",
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=NOW_MS,
        expires_s=86_400,
    )
    assert url.endswith(f"&X-Amz-SignedHeaders=host&X-Amz-Signature={PRESIGNED}")


@dataclass
class Stream:
    example: Example
    chunk_signatures: list[str]
    body: bytes
    trailers: dict[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        out = b""
        for chunk, signature in zip(
            (self.body[:65536], self.body[65536:], b""), self.chunk_signatures, strict=True
        ):
            out += b"%x;chunk-signature=%b\r\n" % (len(chunk), signature.encode())
            out += chunk + b"\r\n" if chunk else b""
        return out


BODY = b"a" * 66_560
STREAM = Stream(
    Example(
        "PUT",
        b"/examplebucket/chunkObject.txt",
        b"",
        {
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": "66560",
            "content-length": "66824",
        },
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
        "x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        host="s3.amazonaws.com",
        sha="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    ),
    [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ],
    BODY,
)
TRAILER = Stream(
    Example(
        "PUT",
        b"/examplebucket/chunkObject.txt",
        b"",
        {
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": "66560",
            "x-amz-trailer": "x-amz-checksum-crc32c",
        },
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;"
        "x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        host="s3.amazonaws.com",
        sha="STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    ),
    [
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ],
    BODY,
    {"x-amz-checksum-crc32c": "sOO8/Q=="},
)
TRAILER_SIGNATURE = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def decode(payload: object, wire: bytes, step: int) -> tuple[bytes, dict[str, str]]:
    assert isinstance(payload, ChunkedPayload)
    decoder = ChunkDecoder(payload)
    out = b"".join(
        piece for at in range(0, len(wire), step) for piece in decoder.feed(wire[at : at + step])
    )
    return out, decoder.finish()


@pytest.mark.parametrize("step", [1, 7, 4096, 1 << 20])
def test_streaming_example(step: int) -> None:
    payload = check(STREAM.example.head()).payload
    wire = STREAM.wire() + b"\r\n"
    assert len(wire) == 66_824  # the Content-Length the page prints
    assert decode(payload, wire, step) == (BODY, {})
    assert isinstance(payload, ChunkedPayload)
    assert b"".join(encode_chunks(payload, [BODY[:65536], BODY[65536:]])) == wire


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n\r\n"], ids=["CRLF", "LF CRLF, as printed"])
@pytest.mark.parametrize("step", [1, 4096, 1 << 20])
def test_streaming_example_with_trailer(step: int, line_end: bytes) -> None:
    payload = check(TRAILER.example.head()).payload
    wire = TRAILER.wire() + b"x-amz-checksum-crc32c:sOO8/Q==" + line_end
    wire += b"x-amz-trailer-signature:" + TRAILER_SIGNATURE.encode() + b"\r\n\r\n"
    assert decode(payload, wire, step) == (BODY, TRAILER.trailers)
    assert isinstance(payload, ChunkedPayload)
    ours = b"".join(encode_chunks(payload, [BODY[:65536], BODY[65536:]], TRAILER.trailers.items()))
    assert ours.replace(b"==\r\n", b"==" + line_end) == wire
