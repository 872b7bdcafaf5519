"""Requests whose frame is wrong: lengths, lines, chunks and trailers.

Where a proxy in front could see another end of the request than the server does, the connection
must be closed: what follows on it could be a request that nobody authorised.
Sources: RFC 9112 sections 2.2, 3, 5, 6; sigv4-streaming.html; sigv4-streaming-trailers.html; and
what S3 itself was seen to answer where the pages are silent.
"""

from __future__ import annotations

import pytest
from forge import crc32, head, unsigned_chunks, write_chunk
from lab import Case, Lab, named

from cenote.testing import ConnectionLost

BODY = b"0123456789"
BIG = bytes(range(256)) * 256  # 64 KiB


def bare(lab: Lab, method: str, target: str, *lines: tuple[str, str]) -> list[tuple[str, str]]:
    """Return signed header lines, to be mangled."""
    return lab.forge.headers(method, target, list(lines), "UNSIGNED-PAYLOAD")


def put(lab: Lab, *extra: str, body: bytes = BODY, version: str = "HTTP/1.1") -> bytes:
    """Return a PUT whose framing lines are `extra`, as raw text, unsigned."""
    target = lab.fresh
    lines = bare(lab, "PUT", target)
    text = head("PUT", target, lines, version)[:-2]
    return text + "".join(line + "\r\n" for line in extra).encode("latin-1") + b"\r\n" + body


def smuggled(lab: Lab) -> bytes:
    """Return a request that would delete the object if it were taken for one."""
    return lab.forge.request("DELETE", lab.seed)


# The end of the request can be read in two ways: refuse and close.
SMUGGLING = [
    Case(
        "Content-Length and Transfer-Encoding",
        lambda lab: put(
            lab,
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            body=b"0\r\n\r\n" + smuggled(lab),
        ),
        (400, 501),
    ),
    Case(
        "Transfer-Encoding and Content-Length",
        lambda lab: put(
            lab,
            "Transfer-Encoding: chunked",
            "Content-Length: 5",
            body=b"0\r\n\r\n" + smuggled(lab),
        ),
        (400, 501),
    ),
    Case(
        "two lengths that differ",
        lambda lab: put(lab, "Content-Length: 10", "Content-Length: 3"),
        400,
    ),
    Case(
        "two lengths that agree",
        lambda lab: put(lab, "Content-Length: 10", "Content-Length: 10"),
        400,
    ),
    Case("a list of lengths", lambda lab: put(lab, "Content-Length: 10, 10"), 400),
    Case("a length with a sign", lambda lab: put(lab, "Content-Length: +10"), 400),
    Case("a negative length", lambda lab: put(lab, "Content-Length: -1"), 400),
    Case("a length in hex", lambda lab: put(lab, "Content-Length: 0xa"), 400),
    Case("a length with a space", lambda lab: put(lab, "Content-Length: 1 0"), 400),
    Case("an empty length", lambda lab: put(lab, "Content-Length:"), 400),
    Case("a length beyond 64 bits", lambda lab: put(lab, "Content-Length: " + "9" * 30), 400),
    Case(
        "a space before the colon",
        lambda lab: put(lab, "Content-Length : 10", "Content-Length: 10"),
        400,
    ),
    Case(
        "an unknown transfer coding",
        lambda lab: put(lab, "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        (400, 501),
    ),
    Case(
        "chunked twice",
        lambda lab: put(lab, "Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"),
        (400, 501),
    ),
    Case(
        "a disguised transfer coding",
        lambda lab: put(lab, "Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        (400, 501),
    ),
    Case(
        "a folded header line",
        lambda lab: put(lab, "Content-Length: 10", "X-Folded: a\r\n b"),
        400,
    ),
    Case(
        "a NUL in a header",
        lambda lab: put(lab, "Content-Length: 10", "X-Nul: a\0b"),
        400,
    ),
    Case(
        "a bare CR in a header",
        lambda lab: put(lab, "Content-Length: 10", "X-Cr: a\rX-Injected: b"),
        400,
    ),
    Case(
        "a header without a colon",
        lambda lab: put(lab, "Content-Length: 10", "nonsense"),
        400,
    ),
    Case(
        "a header without a name",
        lambda lab: put(lab, "Content-Length: 10", ": value"),
        400,
    ),
]


@named(SMUGGLING)
def test_ambiguous_ends_are_refused_and_the_connection_closed(lab: Lab, case: Case):
    with lab.client() as client:
        client.send(case.attack(lab) + smuggled(lab))
        reply = client.reply("PUT")
        assert case.fits(reply), (reply.status, reply.code)
        assert client.ended(5.0)


MALFORMED = [
    Case("no version", lambda lab: b"GET /\r\n\r\n", (400, 505)),
    Case("no target", lambda lab: b"GET HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    Case("an unknown version", lambda lab: b"GET / HTTP/7.3\r\nhost: a\r\n\r\n", (400, 505)),
    Case("HTTP/2's preface", lambda lab: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    Case("a TLS hello", lambda lab: bytes.fromhex("16030100c8010000c40303") + bytes(64), 400),
    Case("random bytes", lambda lab: bytes(range(128, 256)) + b"\r\n\r\n", 400),
    Case("a space in the target", lambda lab: b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    Case(
        "a control character in the target",
        lambda lab: b"GET /a\x01 HTTP/1.1\r\nhost: a\r\n\r\n",
        400,
    ),
    Case("an unknown method", lambda lab: b"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", (400, 405, 501)),
    Case("no Host", lambda lab: b"GET / HTTP/1.1\r\n\r\n", 400),
    Case("two Hosts", lambda lab: b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    Case(
        "a Host that is a path", lambda lab: b"GET / HTTP/1.1\r\nhost: a/../b\r\n\r\n", (400, 403)
    ),
    Case("CONNECT", lambda lab: b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n", (400, 405, 501)),
    Case("TRACE", lambda lab: b"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", (400, 405, 501)),
    Case(
        "a header line of 64 KiB",
        lambda lab: b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 65536 + b"\r\n\r\n",
        (400, 431),
    ),
    Case(
        "headers of 1 MiB",
        lambda lab: b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x-a: b\r\n" * 131072 + b"\r\n",
        (400, 431),
    ),
    Case(
        "a target of 64 KiB",
        lambda lab: b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        (400, 414),
    ),
    Case(
        "a head that never ends",
        lambda lab: b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 200_000,
        (400, 431),
    ),
]


@named(MALFORMED)
def test_malformed_heads(lab: Lab, case: Case):
    with lab.client() as client:
        try:
            client.send(case.attack(lab))
        except OSError:
            return  # refused so early that the rest was not taken
        try:
            reply = client.reply()
        except ConnectionError:
            return  # closed on bytes that are not HTTP, or before the rest was read
        assert case.fits(reply), (reply.status, reply.code)


def frame(text: bytes, decoded: int | str | None = 10, **more) -> callable:
    """Return an attack: a PUT of unsigned chunks that are `text`, claiming `decoded` bytes."""
    return lambda lab: unsigned_chunks(lab.forge, lab.fresh, text, decoded=decoded, **more)


TEN = f"x-amz-checksum-crc32:{crc32(BODY)}\r\n\r\n".encode()
INCOMPLETE = ("IncompleteBody", "InvalidRequest", "MalformedTrailerError", "InvalidArgument")

CHUNKS = [
    Case("not hex", frame(b"zz\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("negative", frame(b"-a\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("a plus sign", frame(b"+a\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("0x", frame(b"0xa\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("a space", frame(b" a\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("empty", frame(b"\r\n0123456789\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("beyond 63 bits", frame(b"ffffffffffffffff\r\n0123456789"), 400, INCOMPLETE),
    Case("beyond 64 bits", frame(b"f" * 40 + b"\r\n0123456789"), 400, INCOMPLETE),
    Case("a line of 20 KiB", frame(b"a;x=" + b"y" * 20480 + b"\r\n0123456789\r\n0\r\n" + TEN), 400),
    Case("no CRLF behind the data", frame(b"a\r\n01234567890\r\n" + TEN), 400, INCOMPLETE),
    Case("bare LF", frame(b"a\n0123456789\n0\n" + TEN), 400, INCOMPLETE),
    Case("too little data", frame(b"a\r\n01234\r\n0\r\n" + TEN), 400, INCOMPLETE),
    Case("no last chunk", frame(b"a\r\n0123456789\r\n"), 400, INCOMPLETE),
    Case("nothing at all", frame(b""), 400, INCOMPLETE),
    Case(
        "bytes behind the end", frame(b"a\r\n0123456789\r\n0\r\n" + TEN + b"more"), 400, INCOMPLETE
    ),
    Case(
        "a second body behind the end",
        frame(b"a\r\n0123456789\r\n0\r\n" + TEN + b"a\r\n9876543210\r\n0\r\n" + TEN),
        400,
        INCOMPLETE,
    ),
    Case("a raw body", frame(b"0123456789"), 400, INCOMPLETE),
    Case("more than announced", frame(b"a\r\n0123456789\r\n0\r\n" + TEN, 9), 400, "IncompleteBody"),
    Case(
        "less than announced", frame(b"a\r\n0123456789\r\n0\r\n" + TEN, 11), 400, "IncompleteBody"
    ),
    Case(
        "no decoded length",
        frame(b"a\r\n0123456789\r\n0\r\n" + TEN, None),
        411,
        "MissingContentLength",
    ),
    Case("a negative decoded length", frame(b"a\r\n0123456789\r\n0\r\n" + TEN, -1), (400, 411)),
    Case("a decoded length of words", frame(b"a\r\n0123456789\r\n0\r\n" + TEN, "ten"), (400, 411)),
    Case(
        "a decoded length with a sign", frame(b"a\r\n0123456789\r\n0\r\n" + TEN, "+10"), (400, 411)
    ),
    Case(
        "a decoded length of 6 TiB",
        frame(b"a\r\n0123456789\r\n0\r\n" + TEN, 6 << 40),
        400,
        ("EntityTooLarge", "IncompleteBody"),
    ),
    Case(
        "small chunks before the last",
        frame(
            b"5\r\n01234\r\n5\r\n56789\r\n0\r\n" + TEN,
        ),
        (400, 403),
        ("InvalidChunkSizeError", "IncompleteBody"),
    ),
    Case(
        "a wrong trailing checksum",
        frame(b"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"),
        400,
        "BadDigest",
    ),
    Case(
        "a trailing checksum that is not base64",
        frame(b"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:!!!\r\n\r\n"),
        400,
        ("InvalidRequest", "MalformedTrailerError"),
    ),
    Case(
        "a trailer announced and absent",
        frame(b"a\r\n0123456789\r\n0\r\n\r\n"),
        400,
        "MalformedTrailerError",
    ),
    Case(
        "another trailer than announced",
        frame(b"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n"),
        400,
        "MalformedTrailerError",
    ),
    Case(
        "a trailer nobody announced",
        frame(b"a\r\n0123456789\r\n0\r\n" + TEN, trailer=""),
        400,
        ("MalformedTrailerError", "InvalidRequest", "IncompleteBody"),
    ),
    Case(
        "the trailer twice",
        frame(b"a\r\n0123456789\r\n0\r\n" + TEN[:-2] + TEN),
        400,
        ("MalformedTrailerError", "IncompleteBody"),
    ),
    Case(
        "a trailer of 100 KiB",
        frame(b"a\r\n0123456789\r\n0\r\nx-amz-checksum-crc32:" + b"A" * 102400 + b"\r\n\r\n"),
        400,
    ),
    Case(
        "an announced trailer S3 does not know",
        frame(b"a\r\n0123456789\r\n0\r\nx-evil:1\r\n\r\n", trailer="x-evil"),
        400,
    ),
    Case(
        "a checksum in the header and another in the trailer",
        frame(
            b"a\r\n0123456789\r\n0\r\n" + TEN,
            lines=[("x-amz-checksum-crc32c", "AAAAAA==")],
        ),
        400,
    ),
]


@named(CHUNKS)
def test_unsigned_chunks(lab: Lab, case: Case):
    data = case.attack(lab)
    path = data.split(b" ", 2)[1].decode()
    reply = lab.send(data, "PUT")
    assert case.fits(reply), (reply.status, reply.code)
    assert lab.get(path).status == 404, "something was stored"


def signed(**bent) -> callable:
    """Return an attack: a PUT of three signed chunks, bent."""
    chunks = bent.pop("chunks", [BIG, BIG, b"tail"])
    return lambda lab: lab.forge.chunked("PUT", lab.fresh, chunks, **bent)


def uppercase(index: int, chunk: bytes, signature: str) -> bytes:
    return write_chunk(index, chunk, signature.upper())


def without_signature(index: int, chunk: bytes, signature: str) -> bytes:
    return b"%x\r\n" % len(chunk) + (chunk + b"\r\n" if chunk else b"")


def swapped(index: int, chunk: bytes, signature: str) -> bytes:
    """Write the bytes of the second chunk otherwise than they were signed."""
    return write_chunk(index, chunk[::-1] if index == 1 else chunk, signature)


WRONG = "SignatureDoesNotMatch"
CHECKSUM = [("x-amz-checksum-crc32", crc32(BIG + BIG + b"tail"))]

SIGNED = [
    Case("the first chunk's signature", signed(bend_chunk=0), 403, WRONG),
    Case("a middle chunk's signature", signed(bend_chunk=1), 403, WRONG),
    Case("the last chunk of data's signature", signed(bend_chunk=2), 403, WRONG),
    Case("the empty chunk's signature", signed(bend_chunk=3), 403, WRONG),
    Case("a chunk's bytes", signed(write=swapped), 403, WRONG),
    Case("signatures in capitals", signed(write=uppercase), (400, 403)),
    Case("no signatures", signed(write=without_signature), (400, 403)),
    Case("a short decoded length", signed(decoded="5"), 400, "IncompleteBody"),
    Case("a long decoded length", signed(decoded="999999"), 400, "IncompleteBody"),
    Case("no decoded length", signed(decoded=""), 411, "MissingContentLength"),
    Case("bytes behind the end", signed(end=b"\r\nmore"), 400, INCOMPLETE),
    Case(
        "small chunks before the last",
        signed(chunks=[b"01234", b"56789", b"x"]),
        403,
        "InvalidChunkSizeError",
    ),
    Case(
        "the trailer's signature",
        signed(trailer=CHECKSUM, bend_trailer=lambda text: text[::-1]),
        403,
        WRONG,
    ),
    Case(
        "an empty trailer signature",
        signed(trailer=CHECKSUM, bend_trailer=lambda t: ""),
        (400, 403),
    ),
    Case(
        "a signed trailer that is wrong",
        signed(trailer=[("x-amz-checksum-crc32", "AAAAAA==")]),
        400,
        "BadDigest",
    ),
    Case(
        "a signed trailer nobody announced",
        signed(trailer=CHECKSUM, announce=""),
        400,
    ),
]


@named(SIGNED)
def test_signed_chunks(lab: Lab, case: Case):
    data = case.attack(lab)
    path = data.split(b" ", 2)[1].decode()
    reply = lab.send(data, "PUT")
    assert case.fits(reply), (reply.status, reply.code)
    assert lab.get(path).status == 404, "something was stored"


@pytest.mark.parametrize("name", ["signed", "signed with trailer", "unsigned with trailer"])
def test_honest_chunks_are_taken(lab: Lab, name: str):
    """The forgery is right when nothing is bent: else the tests above would show nothing."""
    path, body = lab.fresh, BIG + b"tail"
    checksum = [("x-amz-checksum-crc32", crc32(body))]
    if name == "unsigned with trailer":
        text = b"%x\r\n" % len(body) + body + b"\r\n0\r\n"
        text += f"x-amz-checksum-crc32:{crc32(body)}\r\n\r\n".encode()
        data = unsigned_chunks(lab.forge, path, text, decoded=len(body))
    else:
        trailer = checksum if name == "signed with trailer" else None
        data = lab.forge.chunked("PUT", path, [BIG, b"tail"], trailer=trailer)
    reply = lab.send(data, "PUT")
    assert reply.status == 200, reply.body
    assert lab.get(path).body == body


def test_leading_zeros_of_a_chunk_size_change_nothing(lab: Lab):
    path = lab.fresh
    data = unsigned_chunks(lab.forge, path, b"0000A\r\n0123456789\r\n0\r\n" + TEN, decoded=10)
    reply = lab.send(data, "PUT")
    assert reply.status in (200, 400)
    assert lab.get(path).body == BODY if reply.status == 200 else lab.get(path).status == 404


def test_aws_chunked_is_not_kept_as_a_content_encoding(lab: Lab):
    """aws-chunked is how the body travelled, not what the object is; gzip stays."""
    path, both = lab.fresh, lab.fresh
    assert lab.send(lab.forge.chunked("PUT", path, [BODY]), "PUT").status == 200
    assert "content-encoding" not in lab.get(path).headers
    data = lab.forge.chunked("PUT", both, [BODY], encoding="aws-chunked,gzip")
    assert lab.send(data, "PUT").status == 200
    assert lab.get(both).headers["content-encoding"] == "gzip"


def test_transfer_encoding_chunked_is_not_implemented(lab: Lab):
    """S3 answers 501 to a PUT of unknown length; it never stores one."""
    data = put(lab, "Transfer-Encoding: chunked", body=b"a\r\n0123456789\r\n0\r\n\r\n")
    path = data.split(b" ", 2)[1].decode()
    reply = lab.send(data, "PUT")
    assert (reply.status, reply.code) in ((501, "NotImplemented"), (411, "MissingContentLength"))
    assert lab.get(path).status == 404


def test_put_without_a_length(lab: Lab):
    path = lab.fresh
    data = head("PUT", path, bare(lab, "PUT", path))
    reply = lab.send(data, "PUT")
    assert (reply.status, reply.code) == (411, "MissingContentLength")


def test_body_shorter_than_its_length(lab: Lab):
    """The client half-closes early: S3 answers 400, or the connection just ends."""
    path = lab.fresh
    with lab.client() as client:
        client.send(lab.forge.request("PUT", path, body=BIG)[:-100])
        client.finish_sending()
        try:
            reply = client.reply("PUT")
        except ConnectionLost:
            pass
        else:
            assert (reply.status, reply.code) == (400, "IncompleteBody")
    assert lab.get(path).status == 404


def test_body_longer_than_its_length_is_another_request(lab: Lab):
    path = lab.fresh
    with lab.client() as client:
        client.send(lab.forge.request("PUT", path, body=BODY) + b"EXTRA BYTES\r\n\r\n")
        assert client.reply("PUT").status == 200
        assert client.reply().status == 400
        assert client.ended(5.0)
    assert lab.get(path).body == BODY


def test_pipelined_requests_are_answered_in_order(lab: Lab):
    paths = [lab.fresh for _ in range(20)]
    with lab.client() as client:
        data = b"".join(lab.forge.request("PUT", p, body=p.encode()) for p in paths)
        data += b"".join(lab.forge.request("GET", p) for p in paths)
        client.send(data)
        assert [client.reply("PUT").status for _ in paths] == [200] * len(paths)
        assert [client.reply().body.decode() for _ in paths] == paths


def test_a_request_byte_by_byte(lab: Lab):
    path = lab.fresh
    with lab.client() as client:
        for byte in lab.forge.request("PUT", path, body=BODY):
            client.send(bytes([byte]))
        assert client.reply("PUT").status == 200
    assert lab.get(path).body == BODY


def test_http_1_0_is_answered_and_closed(lab: Lab):
    lines = bare(lab, "GET", lab.seed)
    with lab.client() as client:
        client.send(head("GET", lab.seed, lines, "HTTP/1.0"))
        reply = client.reply()
        assert (reply.status, reply.body) == (200, lab.stored)
        assert client.ended(5.0)


def test_absolute_form_target(lab: Lab):
    """RFC 9112 3.2.2: a server must accept it; refusing is safe, acting on another path is not."""
    target = f"http://{lab.forge.address}{lab.seed}"
    lines = bare(lab, "GET", lab.seed)
    reply = lab.send(head("GET", target, lines))
    assert (reply.status, reply.body) == (200, lab.stored) or reply.status in (400, 403)


def test_absolute_form_with_another_host(lab: Lab):
    lines = bare(lab, "GET", lab.seed)
    reply = lab.send(head("GET", f"http://victim.invalid{lab.seed}", lines))
    assert reply.status in (400, 403, 404)


def test_bare_line_feeds(lab: Lab):
    data = lab.forge.request("GET", lab.seed).replace(b"\r\n", b"\n")
    with lab.client() as client:
        client.send(data)
        client.finish_sending()
        try:
            reply = client.reply()
        except ConnectionLost:
            return
        assert reply.status in (200, 400)


@pytest.mark.parametrize("size", [0, 1, 5 << 30])
def test_expect_continue_is_not_granted_to_the_refused(lab: Lab, size: int):
    """A refused upload must not be asked for: no 100, and the answer comes at once."""
    lines = [("content-length", str(size)), ("expect", "100-continue")]
    target = "/no-such-bucket-here/key"
    data = head("PUT", target, lab.forge.headers("PUT", target, lines, "UNSIGNED-PAYLOAD"))
    reply = lab.send(data, "PUT")
    assert (reply.status, reply.code) == (404, "NoSuchBucket")
    assert 100 not in reply.interim


def test_expect_continue_is_granted_to_the_welcome(lab: Lab):
    path = lab.fresh
    lines = [("content-length", str(len(BODY))), ("expect", "100-continue")]
    with lab.client() as client:
        client.send(head("PUT", path, lab.forge.headers("PUT", path, lines, "UNSIGNED-PAYLOAD")))
        assert not client.ended(0.2)
        client.send(BODY)
        reply = client.reply("PUT")
    assert (reply.status, reply.interim) == (200, (100,))


def test_an_unknown_expectation(lab: Lab):
    path = lab.fresh
    lines = [("content-length", "10"), ("expect", "the-unexpected")]
    data = head("PUT", path, lab.forge.headers("PUT", path, lines, "UNSIGNED-PAYLOAD"))
    assert lab.send(data + BODY, "PUT").status == 200


def test_a_refused_body_does_not_become_the_next_request(lab: Lab):
    """The bytes of a refused upload that look like a request are never taken for one."""
    inner = smuggled(lab)
    target = "/no-such-bucket-here/key"
    data = lab.forge.request("PUT", target, body=inner)
    with lab.client() as client:
        client.send(data)
        assert client.reply("PUT").status == 404
        if not client.ended(0.2):
            client.send(lab.forge.request("HEAD", lab.seed))
            assert client.reply("HEAD").status == 200
    assert lab.get(lab.seed).status == 200


def test_a_huge_refused_body_is_not_read_to_its_end(lab: Lab):
    """5 GiB announced and refused: the answer comes while the client has sent 1 MiB."""
    target = "/no-such-bucket-here/key"
    lines = [("content-length", str(5 << 30))]
    data = head("PUT", target, lab.forge.headers("PUT", target, lines, "UNSIGNED-PAYLOAD"))
    with lab.client() as client:
        client.send(data + bytes(1 << 20))
        reply = client.reply("PUT")
        assert (reply.status, reply.code) == (404, "NoSuchBucket")
        assert reply.closes


def test_put_larger_than_five_gib(lab: Lab):
    target = lab.fresh
    lines = [("content-length", str((5 << 30) + 1))]
    data = head("PUT", target, lab.forge.headers("PUT", target, lines, "UNSIGNED-PAYLOAD"))
    reply = lab.send(data, "PUT")
    assert (reply.status, reply.code) == (400, "EntityTooLarge")
