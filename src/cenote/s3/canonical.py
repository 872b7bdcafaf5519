"""The canonical request: what both ends of a SigV4 signature hash.

Owns: percent-encoding by AWS's rule, and the canonical path, query, headers and request.
Does not own: keys (`keyring`), or what must be signed (`sigv4`).

    method \\n path \\n query \\n  name:value \\n ...  \\n name;name;... \\n hash of the body

Invariants:
1. All of it is computed from the bytes as sent; S3 decodes a path once and never normalises it, so
   `//`, `.` and `..` stay.
2. Two spellings of a target have the same canonical form only if they decode to the same bytes
   (`+` in a query being a space).

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = [
    "ALGORITHM",
    "canonical_headers",
    "canonical_path",
    "canonical_query",
    "canonical_request",
    "encode_path",
    "encode_text",
    "string_to_sign",
]

ALGORITHM: Final = "AWS4-HMAC-SHA256"

_is_plain = re.compile(rb"[A-Za-z0-9_.~-]*").fullmatch
_UNRESERVED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_NOT_AN_ESCAPE: Final = re.compile(  # or one that should not be: of a byte that needs none
    rb"%(?!(?:[0189A-F][0-9A-F]|2[0-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-DF]))"
)
_PATH_BYTES: Final = _UNRESERVED + b"/"
_QUERY_BYTES: Final = _UNRESERVED + b"%&="
_SPACES: Final = re.compile(" {2,}")
_QUOTED: Final = [chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in range(256)]
_QUOTED_PATH: Final = [*_QUOTED[: ord("/")], "/", *_QUOTED[ord("/") + 1 :]]


def encode_text(data: bytes) -> str:
    """Percent-encode every byte but A-Z a-z 0-9 - . _ ~ with upper-case digits."""
    if _is_plain(data):
        return data.decode("ascii")
    return "".join([_QUOTED[byte] for byte in data])


def encode_path(data: bytes) -> str:
    """Percent-encode like `encode_text`, but keep `/`."""
    return "".join([_QUOTED_PATH[byte] for byte in data])


def canonical_path(raw: bytes) -> str:
    """Return the canonical form of a target's path: decoded once and encoded again."""
    if not raw.translate(None, _PATH_BYTES):
        return raw.decode("ascii") or "/"
    return encode_path(unquote_to_bytes(raw))


def canonical_query(raw: bytes, leave_out: str | None = None) -> str:
    """Return the canonical form of a raw query, without the parameter `leave_out`.

    A name without `=` has an empty value; empty pieces between `&` are left out.
    Cost: 1.5 us for a presigned URL's, which is encoded as it should be.
    """
    if not raw:
        return ""
    # Sorted by name, then value: between them stands a NUL, which sorts before what a name may go
    # on with. A raw NUL is not taken for one: it needs an escape, so it goes the longer way.
    pieces = raw.replace(b"=", b"\0").decode("latin-1").split("&")
    if (
        raw.translate(None, _QUERY_BYTES)
        or raw.count(b"=") != len(pieces)
        or [piece for piece in pieces if "\0" not in piece]
        or _NOT_AN_ESCAPE.search(raw)
    ):
        pieces = [_piece_again(piece) for piece in raw.split(b"&") if piece]
    pieces.sort()
    if leave_out is not None:
        start = f"{leave_out}\0"
        pieces = [piece for piece in pieces if not piece.startswith(start)]
    return "&".join(pieces).replace("\0", "=")


def _piece_again(piece: bytes) -> str:
    name, _, value = piece.partition(b"=")
    return f"{_encode_again(name)}\0{_encode_again(value)}"


def _encode_again(data: bytes) -> str:
    if _is_plain(data):
        return data.decode("ascii")
    return encode_text(unquote_to_bytes(data.replace(b"+", b" ")))


def canonical_headers(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """Return a line for each of `names`: spaces trimmed, and runs of them made one.

    A name that is not among the headers stands with an empty value.
    """
    lines = []
    for name in names:
        value = headers.get(name, "").strip(" \t")
        if "  " in value:
            value = _SPACES.sub(" ", value)
        lines.append(f"{name}:{value}\n")
    return "".join(lines)


def canonical_request(
    method: str, path: str, query: str, headers: str, signed_names: str, body_hash: str
) -> bytes:
    """Join the six parts. Header values are latin-1, so the bytes are those that were sent."""
    return f"{method}\n{path}\n{query}\n{headers}\n{signed_names}\n{body_hash}".encode("latin-1")


def string_to_sign(timestamp: str, scope: str, canonical: bytes) -> bytes:
    """Return what is signed: algorithm, time, scope, and the hash of the canonical request."""
    digest = sha256(canonical).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}".encode("latin-1")
