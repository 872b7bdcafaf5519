"""The bytes of an answer's head.

Owns: status lines, the lines every answer carries (Server, Date), and turning header pairs into
bytes.

Invariants:
1. No header value leaves with CR, LF or NUL in it: `header_lines` refuses them, so nothing that
   came from a client can split an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

__all__ = ["CLOSE", "CONTINUE", "KEEP", "STATUS_LINES", "common_lines", "header_lines"]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close\r\n\r\n"
KEEP = b"\r\n"

STATUS_LINES: dict[int, bytes] = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}


def common_lines(now_ms: int) -> bytes:
    """Return the Server and Date lines for the second of `now_ms` (RFC 9110 6.6.1, 10.2.4)."""
    return f"server: cenote\r\ndate: {formatdate(now_ms // 1000, usegmt=True)}\r\n".encode("ascii")


def header_lines(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return `name: value` lines, each ended by CRLF.

    Raises ValueError when a value could split the answer. Text outside latin-1 is sent as UTF-8.
    """
    text = "".join([f"{name}: {value}\r\n" for name, value in pairs])
    count = len(pairs)
    if text.count("\n") != count or text.count("\r") != count or "\0" in text:
        raise ValueError("a header value holds a control character")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
