"""One long body over one connection, read or written with nothing in the way but the kernel.

The client must cost less than what it measures, so it neither parses nor copies: it counts bytes
into one buffer, or sends one buffer.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from bench.process import Process

__all__ = ["Transfer", "get", "put", "request"]

_PIECE = 1 << 20
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Transfer:
    """GB a second, and the server's CPU seconds per GB."""

    rate: float
    cpu: float


def get(server: Process, port: int, head: bytes, size: int, times: int) -> Transfer:
    """Fetch a body of `size` bytes several times over one connection."""
    buffer = bytearray(_PIECE)
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
        began, used = time.perf_counter(), server.cpu_s()
        for _ in range(times):
            connection.sendall(head)
            left = size - _answer(connection, buffer)
            while left:
                got = connection.recv_into(buffer)
                if not got:
                    raise RuntimeError("the body ends too early")
                left -= got
        return _result(server, began, used, size * times)


def put(server: Process, port: int, heads: list[bytes], body: bytes) -> Transfer:
    """Send `body` behind each of the heads, over one connection."""
    buffer = bytearray(_PIECE)
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
        began, used = time.perf_counter(), server.cpu_s()
        for head in heads:
            connection.sendall(head)
            connection.sendall(body)
            _answer(connection, buffer)
        return _result(server, began, used, len(body) * len(heads))


def _answer(connection: socket.socket, buffer: bytearray) -> int:
    """Read the answer's head, and return how many bytes of the body came with it."""
    seen = 0
    while (end := buffer.find(b"\r\n\r\n", 0, seen)) < 0:
        got = connection.recv_into(memoryview(buffer)[seen:])
        if not got:
            raise RuntimeError("the connection was closed")
        seen += got
    if not buffer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(bytes(buffer[:seen]).decode("latin-1"))
    return seen - end - 4


def _result(server: Process, began: float, used: float, size: int) -> Transfer:
    seconds = time.perf_counter() - began
    return Transfer(size / seconds / 1e9, (server.cpu_s() - used) / (size / 1e9))


def request(port: int, head: bytes, body: bytes = b"") -> bytes:
    """Send one request on a connection of its own, and return all of the answer."""
    closing = head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
        connection.sendall(closing + body)
        pieces = []
        while piece := connection.recv(_PIECE):
            pieces.append(piece)
    return b"".join(pieces)
