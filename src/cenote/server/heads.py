"""Request heads: what a parsed request line and its headers mean for the connection.

Owns: the request's target form, host, framing and version rules beyond syntax, and the refusals.
Does not own: syntax (httptools), or the limits on sizes (`http`).

Sources: RFC 9112, sections 2.3, 3.2 and 6; RFC 9110, 7.2.
"""

from __future__ import annotations

from typing import Final

from cenote.s3 import RequestHead

__all__ = ["SPELLINGS", "Refusal", "head_too_large", "read_head", "timed_out"]

_METHODS: Final = {
    name.encode(): name for name in ("GET", "PUT", "HEAD", "POST", "DELETE", "OPTIONS")
}
_NAMES: Final = (
    "accept",
    "accept-encoding",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "connection",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "expect",
    "host",
    "if-match",
    "if-none-match",
    "range",
    "user-agent",
    "x-amz-checksum-crc32",
    "x-amz-checksum-mode",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-trailer",
    "x-amz-user-agent",
)
# The names most requests are made of, as clients spell them: finding one costs a third of
# decoding it, and all requests share its text.
SPELLINGS: Final = {
    spelling.encode("ascii"): name for name in _NAMES for spelling in (name, name.title())
}
_NONE: Final[frozenset[str]] = frozenset()


class Refusal(Exception):
    """A request that cannot be served on this connection: the answer's status, code, sentence."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def read_head(
    method: bytes, version: str, target: bytes, headers: dict[str, str], repeated: set[str] | None
) -> tuple[RequestHead, int, bool]:
    """Return the head, the announced length of the body, and whether it comes in chunks.

    Requires: the parser refused what is malformed, and two announcements of the length.
    Raises Refusal.
    """
    if version not in ("1.1", "1.0"):
        raise Refusal(505, "HttpVersionNotSupported", "Only HTTP/1.1 and HTTP/1.0 are spoken.")
    if target[:1] != b"/":
        target = _origin_form(target, headers)
    if "host" not in headers and version == "1.1":
        raise Refusal(400, "BadRequest", "The Host header is missing.")
    if repeated and "host" in repeated:
        raise Refusal(400, "BadRequest", "The Host header came more than once.")
    chunked = "transfer-encoding" in headers
    if chunked and (version == "1.0" or headers["transfer-encoding"].lower() != "chunked"):
        raise Refusal(501, "NotImplemented", "Only the chunked transfer coding is supported.")
    length = headers.get("content-length")
    path, _, query = target.partition(b"?")
    head = RequestHead(
        _METHODS.get(method) or method.decode("latin-1"),
        path,
        query,
        headers,
        frozenset(repeated) if repeated else _NONE,
    )
    return head, 0 if length is None else int(length), chunked


def _origin_form(target: bytes, headers: dict[str, str]) -> bytes:
    """Return the path and query of an absolute-form target whose host is the Host header's.

    RFC 9112 3.2.2 makes the target's host win; one that differs from Host is refused instead, for
    a proxy in front may have decided by the other.
    """
    scheme, found, rest = target.partition(b"://")
    if not found or scheme.lower() not in (b"http", b"https"):
        raise Refusal(400, "InvalidURI", "Couldn't parse the specified URI.")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    if rest[:end].decode("latin-1").lower() != headers.get("host", "").lower():
        raise Refusal(400, "BadRequest", "The target's host is not the Host header's.")
    path = rest[end:]
    return path if path[:1] == b"/" else b"/" + path


def head_too_large() -> Refusal:
    """Return the refusal of a head larger than the limits."""
    return Refusal(
        400,
        "RequestHeaderSectionTooLarge",
        "Your request header and query parameters used to make the request exceed the maximum "
        "allowed size.",
    )


def timed_out() -> Refusal:
    """Return the refusal of a client that kept silent for too long."""
    return Refusal(
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout "
        "period. Idle connections will be closed.",
    )
