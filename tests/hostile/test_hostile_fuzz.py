"""Arbitrary bytes in arbitrary pieces: the server answers or closes, and never with a fault.

Law: after the client has sent all and half-closed, the connection ends soon; what came back is a
row of well-formed replies, none of them 500.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lab import Lab

PATIENCE = 10.0  # seconds until an answer counts as a hang
QUICK = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LONG = settings(QUICK, max_examples=6000)

METHODS = [b"GET", b"PUT", b"POST", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"get", b"G\0T", b""]
TARGETS = [
    b"/",
    b"/b/k",
    b"/hostile-bucket?list-type=2",
    b"/hostile-bucket/seed?partNumber=1&uploadId=x",
    b"/hostile-bucket?delete",
    b"/hostile-bucket/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/b/c",
    b"/%",
    b"/%00/%ff",
    b"//..//",
    b"*",
    b"http://h/x",
    b"/" + b"a" * 5000,
    b"?",
    b"",
]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2", b"http/1.1", b""]
NAMES = [
    b"Host",
    b"Content-Length",
    b"Transfer-Encoding",
    b"Connection",
    b"Expect",
    b"Authorization",
    b"x-amz-date",
    b"x-amz-content-sha256",
    b"x-amz-decoded-content-length",
    b"x-amz-copy-source",
    b"x-amz-meta-a",
    b"Range",
    b"If-Match",
    b"Upgrade",
    b"",
    b"a b",
    b"\xff",
]
VALUES = [
    b"localhost",
    b"0",
    b"5",
    b"-1",
    b"99999999999999999999",
    b"chunked",
    b"close",
    b"keep-alive",
    b"100-continue",
    b"AWS4-HMAC-SHA256 Credential=a/20200101/r/s3/aws4_request, SignedHeaders=host, Signature=0",
    b"AWS a:b",
    b"20200101T000000Z",
    b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    b"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    b"UNSIGNED-PAYLOAD",
    b"bytes=0-",
    b"h2c",
    b"",
    b"\x00",
    b"a" * 9000,
]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n "]
BODIES = [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"\r\n", b"<Delete>"]


@st.composite
def crafted(draw) -> bytes:
    """Return something like one or more requests."""
    out = b""
    for _ in range(draw(st.integers(1, 3))):
        line = [draw(st.sampled_from(METHODS)), draw(st.sampled_from(TARGETS))]
        out += b" ".join([*line, draw(st.sampled_from(VERSIONS))]) + draw(st.sampled_from(ENDS))
        for _ in range(draw(st.integers(0, 6))):
            out += draw(st.sampled_from(NAMES) | st.binary(max_size=6)) + b": "
            out += draw(st.sampled_from(VALUES) | st.binary(max_size=20))
            out += draw(st.sampled_from(ENDS))
        out += draw(st.sampled_from(ENDS)) + draw(st.sampled_from(BODIES) | st.binary(max_size=50))
    return out


Edit = tuple[float, int, bytes]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 30),
        st.binary(max_size=8) | st.sampled_from([b"\r\n", b"\0", b"%", b":", b" ", b"-1"]),
    ),
    max_size=6,
)
SPLITS = st.lists(st.floats(0, 1), max_size=6)


def edited(data: bytes, edits: list[Edit]) -> bytes:
    """Return `data` with runs of bytes replaced."""
    for where, length, by in edits:
        at = int(where * len(data))
        data = data[:at] + by + data[at + length :]
    return data


def pieces(data: bytes, splits: list[float]) -> list[bytes]:
    cuts = sorted({0, len(data), *(int(split * len(data)) for split in splits)})
    return [data[a:b] for a, b in pairwise(cuts)]


def exchange(lab: Lab, sent: list[bytes]) -> bytes:
    """Send the pieces, half-close, and return all that comes until the server ends it."""
    address = (lab.endpoint.host, lab.endpoint.port)
    received = b""
    with socket.create_connection(address, PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in sent:
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(1 << 16):
                received += data
        except TimeoutError:
            raise
        except OSError:
            pass  # it was refused before all was sent
    return received


def judge(received: bytes, with_head: bool) -> None:
    """Demand well-formed replies, none of them a fault. `with_head`: some may be to HEADs."""
    while received:
        head, found, rest = received.partition(b"\r\n\r\n")
        if not found:
            return  # cut by a reset
        lines = head.split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        assert lines[0].startswith(b"HTTP/1.1 "), lines[0]
        assert status not in (500, 502, 504), head
        names = dict(line.lower().split(b": ", 1) for line in lines[1:])
        if status == 100:
            received = rest
            continue
        if b"content-length" not in names:
            assert status in (204, 304) or with_head, head
        length = int(names.get(b"content-length", b"0"))
        # The reply to a HEAD announces a body and sends none; which request it is for is unknown.
        received = rest if rest.startswith(b"HTTP/1.1 ") else rest[length:]


def attack(lab: Lab, data: bytes, splits: list[float]) -> None:
    judge(exchange(lab, pieces(data, splits)), b"HEAD" in data)


def honest(lab: Lab) -> list[Callable[[], bytes]]:
    """Return makers of requests that are right until they are edited."""
    forge = lab.forge
    delete = b"<Delete><Object><Key>absent</Key></Object></Delete>"
    return [
        lambda: forge.request("GET", lab.seed),
        lambda: forge.request("PUT", f"/{lab.bucket}/fuzz", body=b"fuzz" * 100),
        lambda: forge.chunked("PUT", f"/{lab.bucket}/fuzz", [b"f" * 9000, b"uzz"]),
        lambda: forge.request("POST", f"/{lab.bucket}?delete", body=delete),
        lambda: forge.request("GET", f"/{lab.bucket}?list-type=2&prefix=fuzz"),
        lambda: forge.request("POST", f"/{lab.bucket}/fuzz?uploads"),
    ]


@QUICK
@given(data=st.binary(max_size=300), splits=SPLITS)
def test_arbitrary_bytes(lab: Lab, data: bytes, splits: list[float]):
    attack(lab, data, splits)


@QUICK
@given(data=crafted(), splits=SPLITS)
@example(
    data=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI", splits=[]
)
@example(data=b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", splits=[0.5])
def test_crafted_requests(lab: Lab, data: bytes, splits: list[float]):
    attack(lab, data, splits)


@QUICK
@given(which=st.integers(0, 5), edits=EDITS, splits=SPLITS)
def test_edited_requests(lab: Lab, which: int, edits: list[Edit], splits: list[float]):
    attack(lab, edited(honest(lab)[which](), edits), splits)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(data=st.binary(max_size=300) | crafted(), splits=SPLITS)
def test_arbitrary_bytes_long(lab: Lab, data: bytes, splits: list[float]):
    attack(lab, data, splits)


@pytest.mark.slow
@pytest.mark.timeout(600)
@LONG
@given(which=st.integers(0, 5), edits=EDITS, splits=SPLITS)
def test_edited_requests_long(lab: Lab, which: int, edits: list[Edit], splits: list[float]):
    attack(lab, edited(honest(lab)[which](), edits), splits)
