"""boto3's requests answered in the same process, by way of a socket pair.

Owns: sending a prepared request down a connected socket, and handing the reply to botocore.
Does not own: the server at the other end.

Invariants:
1. A thread has a connection of its own, kept while the server keeps it.
2. What goes wrong with a connection is the error that it would be with a port, so that botocore
   tries again as it would.
"""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from cenote.errors import UnsupportedError

__all__ = ["boto3_session", "go_inside"]

_PIECE = 64 << 10
_TIMEOUT = 60.0


def boto3_session() -> Any:
    """Return a boto3 session that knows no other credentials. Raises UnsupportedError."""
    try:
        import boto3
    except ModuleNotFoundError as error:
        if error.name != "boto3":
            raise
        raise UnsupportedError(
            "clients need the package boto3", hint="pip install boto3"
        ) from error
    return boto3.session.Session()


def go_inside(client: Any, connect: Callable[[], socket.socket]) -> None:
    """Have a client's requests answered through sockets that `connect` returns."""
    lines = _Lines(connect)
    client.meta.events.register("before-send.*", lines.send)


class _Raw(BytesIO):
    """A body as botocore's responses want it."""

    def stream(self, amt: int = _PIECE, decode_content: bool | None = None) -> Iterator[bytes]:
        while piece := self.read(amt):
            yield piece

    def release_conn(self) -> None:
        """Nothing is held."""


class _Connection(http.client.HTTPConnection):
    """HTTP on a socket that is connected already."""

    def __init__(self, host: str, connect: Callable[[], socket.socket]) -> None:
        super().__init__(host, timeout=_TIMEOUT)
        self._connected = connect

    def connect(self) -> None:
        self.sock = self._connected()
        self.sock.settimeout(_TIMEOUT)

    def __del__(self) -> None:
        # boto3's clients are dropped, not closed.
        self.close()


class _Lines:
    """The connections of a client."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._mine = threading.local()

    def send(self, request: Any, **_: Any) -> Any:
        """Answer a prepared request; botocore then sends it nowhere else."""
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        try:
            status, headers, body = self._exchange(request)
        except TimeoutError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionClosedError(endpoint_url=request.url, error=error) from error
        return AWSResponse(request.url, status, headers, _Raw(body))

    def _exchange(self, request: Any) -> tuple[int, Any, bytes]:
        from botocore.awsrequest import HeadersDict

        url = urlsplit(request.url)
        connection = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = _Connection(url.netloc, self._connect)
        try:
            target = url.path + (f"?{url.query}" if url.query else "")
            headers = {name.lower(): _text(value) for name, value in request.headers.items()}
            headers.pop("expect", None)  # nothing is saved by waiting, inside
            body = request.body
            if hasattr(body, "read"):
                body = body.read()
            connection.request(request.method, target or "/", body or b"", headers)
            reply = connection.getresponse()
            data = reply.read()
            return reply.status, HeadersDict(reply.headers.items()), data
        except BaseException:
            self._mine.connection = None
            connection.close()
            raise


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
