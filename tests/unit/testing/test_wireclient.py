"""The wire client against a peer that plays back canned bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from cenote.base import ManualClock
from cenote.testing import ConnectionLost, Endpoint, WireClient, raw_head


class Peer:
    """Accepts connections one by one; sends `script[i]` on the i-th, then ends it if told so."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.received: list[bytes] = []
        self.script: list[tuple[bytes, bool]] = []
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def play(self, *script: tuple[bytes, bool]) -> Endpoint:
        self.script = list(script)
        self._thread.start()
        return Endpoint("127.0.0.1", self.listener.getsockname()[1], "AKID", "secret")

    def _run(self) -> None:
        for data, ends in self.script:
            connection, _ = self.listener.accept()
            self.received.append(connection.recv(1 << 16))
            connection.sendall(data)
            if ends:
                connection.close()
            else:
                self._open.append(connection)

    def close(self) -> None:
        self.listener.close()
        self._thread.join()
        for connection in self._open:
            connection.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def test_a_reply_of_known_length(peer: Peer):
    endpoint = peer.play((b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 2\r\n\r\nhi', False))
    with WireClient(endpoint) as client:
        reply = client.request("GET", "/b/k")
    assert (reply.status, reply.body, reply.etag, reply.closes) == (200, b"hi", '"x"', False)


def test_a_chunked_reply(peer: Peer):
    text = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"
    )
    with WireClient(peer.play((text, False))) as client:
        assert client.request("GET", "/").body == b"abc"


def test_interim_replies_are_taken_along(peer: Peer):
    text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    with WireClient(peer.play((text, False))) as client:
        reply = client.request("PUT", "/")
    assert (reply.status, reply.interim) == (204, (100,))


def test_an_error_code_is_found(peer: Peer):
    body = b"<Error><Code>NoSuchKey</Code></Error>"
    text = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with WireClient(peer.play((text, False))) as client:
        assert client.request("GET", "/").code == "NoSuchKey"


def test_half_a_reply_is_a_lost_connection(peer: Peer):
    endpoint = peer.play((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True))
    with WireClient(endpoint) as client, pytest.raises(ConnectionLost) as lost:
        client.request("GET", "/")
    assert lost.value.received == b"half"


def test_a_closed_connection_is_made_anew(peer: Peer):
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    closing = ok.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with WireClient(peer.play((closing, True), (ok, False))) as client:
        assert client.request("GET", "/one").closes
        assert client.request("GET", "/two").status == 200
    assert [data.split(b" ")[1] for data in peer.received] == [b"/one", b"/two"]


def test_the_head_holds_what_was_given_and_the_signature():
    """The signature is botocore's for the same request."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    clock = ManualClock(1_440_938_160_000)
    endpoint = Endpoint("127.0.0.1", 9000, "AKIDEXAMPLE", "wJalrXUtnFEMI")
    client = WireClient(endpoint, clock=clock)
    head = client.head("PUT", "/b/a%20b?x=%20", {"If-None-Match": "*"}, b"abc").decode()
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    request = AWSRequest("PUT", "http://127.0.0.1:9000/b/a%20b?x=%20", data=b"abc")
    for name in ("host", "if-none-match", "x-amz-date", "x-amz-content-sha256"):
        request.headers[name] = lines[name]
    request.context["timestamp"] = lines["x-amz-date"]
    signer = S3SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI"), "s3", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert lines["authorization"].endswith("Signature=" + signer.signature(text, request))
    assert lines["content-length"] == "3"
    assert head.startswith("PUT /b/a%20b?x=%20 HTTP/1.1\r\n")


def test_a_raw_head_is_made_of_its_parts():
    head = raw_head("GET", "/", [("host", "a"), ("host", "b")])
    assert head == b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"
