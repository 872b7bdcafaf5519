"""Speak HTTP to a store byte by byte: signed requests, and anything a decent client cannot send.

Owns: one blocking connection, the head it writes, the reply it reads.
Does not own: how a request is signed (`cenote.s3`).

Invariants:
1. What is given is what is sent: no header is added, dropped, folded or re-encoded behind the
   caller's back but those `head` names in its contract.
2. A reply is read exactly to its end, so that bytes the server sent too many show up in the next.

Why not an HTTP library: they mend what this must be able to break, and cost ten times as much.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from cenote.base import Clock, SystemClock
from cenote.s3 import sign_request

__all__ = ["ConnectionLost", "Endpoint", "Reply", "WireClient", "raw_head"]

Headers = Mapping[str, str] | Sequence[tuple[str, str]]

RECEIVE_SIZE = 1 << 16
_CODE = re.compile(rb"<Code>([A-Za-z0-9]+)</Code>")


class ConnectionLost(ConnectionError):
    """The server ended the connection before a whole reply. `received` is what came of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"connection ended after {len(received)} bytes of a reply")
        self.received = received


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is, and who the client claims to be."""

    host: str
    port: int
    access_key: str = ""
    secret_key: str = ""
    region: str = "us-east-1"


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `headers` has lower-case names; `interim` lists the 1xx statuses before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()

    @property
    def code(self) -> str | None:
        """The S3 error code in the body, if it has one."""
        found = _CODE.search(self.body)
        return found[1].decode() if found else None

    @property
    def closes(self) -> bool:
        """Whether the server said that it ends the connection."""
        return self.headers.get("connection", "").lower() == "close"

    @property
    def etag(self) -> str:
        """The ETag as sent, with its quotes; empty when there is none."""
        return self.headers.get("etag", "")


class WireClient:
    """One connection, made when first needed and made anew after the server ended it.

    Not thread-safe. `timeout` (seconds) bounds each wait; it raises TimeoutError.
    """

    def __init__(
        self, endpoint: Endpoint, *, clock: Clock | None = None, timeout: float = 20.0
    ) -> None:
        self.endpoint = endpoint
        self._clock = clock or SystemClock()
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._received = bytearray()

    def connect(self) -> socket.socket:
        """Return the connection's socket, connecting first if there is none."""
        if self._socket is None:
            address = (self.endpoint.host, self.endpoint.port)
            self._socket = socket.create_connection(address, self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received.clear()
        return self._socket

    def close(self) -> None:
        """End the connection, if there is one. The next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Reply:
        """Send a signed request and return its reply.

        Raises: ConnectionLost, TimeoutError, OSError; the outcome is then unknown.
        """
        self.send(self.head(method, target, headers, body) + body)
        return self.reply(method)

    def head(
        self,
        method: str,
        target: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        payload: str | None = None,
    ) -> bytes:
        """Return the head of a signed request.

        `target` goes out as it is. Host, Authorization, X-Amz-Date and X-Amz-Content-Sha256 are
        added; Content-Length too, unless `headers` has one or the request has no body and its
        method needs none. `payload` is the content digest to claim; None: the body's SHA-256.
        """
        lines = [(name.lower(), value) for name, value in _pairs(headers)]
        names = {name for name, _ in lines}
        if "content-length" not in names and (body or method in ("PUT", "POST")):
            lines.append(("content-length", str(len(body))))
        if "host" not in names:
            lines.insert(0, ("host", f"{self.endpoint.host}:{self.endpoint.port}"))
        if payload is None:
            payload = hashlib.sha256(body).hexdigest()
        signed = sign_request(
            method,
            "http://" + dict(lines)["host"] + target,
            dict(lines),
            access_key=self.endpoint.access_key,
            secret_key=self.endpoint.secret_key,
            region=self.endpoint.region,
            now_ms=self._clock.now_ms(),
            body_hash=payload,
        )
        sent = {name for name, _ in lines}
        lines += [(name, value) for name, value in signed.items() if name not in sent]
        return raw_head(method, target, lines)

    def send(self, data: bytes) -> None:
        """Send bytes as they are, on a new connection if the last one has ended."""
        if self._socket is not None and not self._received and self.ended(0.0):
            self.close()
        self.connect().sendall(data)

    def finish_sending(self) -> None:
        """Half-close: tell the server that nothing more comes."""
        self.connect().shutdown(socket.SHUT_WR)

    def reply(self, method: str = "GET") -> Reply:
        """Read one reply to a request of `method`; 1xx replies before it are taken along."""
        interim: list[int] = []
        while True:
            status, headers = self._read_head()
            if status >= 200:
                break
            interim.append(status)
        body = b""
        if method != "HEAD" and status not in (204, 304):
            body = self._read_body(headers)
        reply = Reply(status, headers, body, tuple(interim))
        if reply.closes:
            self._drop_when_ended()
        return reply

    def ended(self, wait: float) -> bool:
        """Tell whether the server has ended the connection, or does within `wait` seconds.

        False when more bytes came, or there was nothing to end within that time.
        """
        connection = self._socket
        if connection is None:
            return True
        connection.settimeout(wait or 1e-6)
        try:
            data = connection.recv(RECEIVE_SIZE)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            connection.settimeout(self._timeout)
        self._received += data
        return not data

    def _drop_when_ended(self) -> None:
        """Forget a connection the server ends, unless more bytes than the reply came over it."""
        if not self._received and self.ended(self._timeout):
            self.close()

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        lines = bytes(self._received[:end]).decode("latin-1").split("\r\n")
        del self._received[: end + 4]
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(lines[0].split(" ", 2)[1]), headers

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return self._take(int(headers["content-length"]))
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._line().split(b";")[0], 16):
                body += self._take(size)
                self._take(2)
            while self._line():
                pass
            return body
        try:
            while True:
                self._receive()
        except ConnectionLost as lost:
            self.close()
            return lost.received

    def _line(self) -> bytes:
        while (end := self._received.find(b"\r\n")) < 0:
            self._receive()
        return self._take(end + 2)[:-2]

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _receive(self) -> None:
        data = self.connect().recv(RECEIVE_SIZE)
        if not data:
            self.close()
            raise ConnectionLost(bytes(self._received))
        self._received += data

    def __enter__(self) -> WireClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def raw_head(method: str, target: str, headers: Headers = ()) -> bytes:
    """Return a request's head made of exactly these parts; text goes out as UTF-8."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in _pairs(headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    return list(headers.items() if isinstance(headers, Mapping) else headers)
