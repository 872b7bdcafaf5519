"""What the connection hands to the protocol and takes back.

Owns: the request head, as the bytes came, and the rendered answer.
Does not own: reading either from a socket (`cenote.server`), or their meaning (`route`, `parse`).

Invariants:
1. `path` and `query` are the bytes of the request target as sent: signatures are computed over
   them, so nobody decodes, normalises or joins them before `uri` and `query` do.
2. Header names are lower case and unique; a line that came twice is joined with "," and named in
   `repeated`, so that whoever needs one value can refuse two.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = ["Rendered", "RequestHead"]


class RequestHead(Struct, frozen=True):
    """The head of one request.

    `path`: the target before "?", raw. `query`: the target after it, raw, without "?".
    `headers`: lower-case names, latin-1 values. `repeated`: names that came more than once.
    """

    method: str
    path: bytes
    query: bytes
    headers: dict[str, str]
    repeated: frozenset[str] = frozenset()


class Rendered(Struct, frozen=True):
    """An answer: status, headers in order, and a body (empty where the bytes are streamed)."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
