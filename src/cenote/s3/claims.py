"""What a request says of its body's form: plain, hashed, or sent in aws-chunked pieces.

Owns: the `Payload` values and the reading of `x-amz-content-sha256`, `x-amz-trailer`,
`x-amz-decoded-content-length`.
Does not own: checksums (`checksums`), signatures (`sigv4`), or the decoding (`chunked`).

Invariants:
1. A form that is not known is refused; nothing falls back to "unsigned".
2. A chunked payload knows the length of its decoded bytes before the first of them comes.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and the pages
sigv4-streaming and sigv4-streaming-trailers beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from cenote.s3.codes import S3Error
from cenote.s3.keyring import SigningKey

__all__ = [
    "EMPTY_SHA256",
    "UNSIGNED",
    "UNSIGNED_PAYLOAD",
    "ChunkedPayload",
    "Payload",
    "SignedPayload",
    "UnsignedPayload",
    "anonymous_payload",
    "chunk_form",
    "decoded_length",
    "plain_payload",
    "refuse_new_algorithm",
    "trailer_names",
]

EMPTY_SHA256: Final = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
CHECKSUM_TRAILERS: Final = {
    "x-amz-checksum-crc32": "CRC32",
    "x-amz-checksum-crc32c": "CRC32C",
    "x-amz-checksum-crc64nvme": "CRC64NVME",
    "x-amz-checksum-sha1": "SHA1",
    "x-amz-checksum-sha256": "SHA256",
}

_LENGTH_MAX: Final = (1 << 63) - 1
_is_sha256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII).fullmatch
_is_length = re.compile(r"[0-9]{1,19}", re.ASCII).fullmatch
# The forms of x-amz-content-sha256 that announce aws-chunked: (chunks are signed, has trailers).
_CHUNK_FORMS: Final = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}


class UnsignedPayload(Struct, frozen=True):
    """The body's bytes are not part of any signature."""


class SignedPayload(Struct, frozen=True):
    """The signature covers the SHA-256 of the whole body: 64 lower-case hex digits."""

    sha256_hex: str


class ChunkedPayload(Struct, frozen=True):
    """The body comes aws-chunked and holds `decoded_length` bytes.

    `signed`: each chunk carries a signature, chained from `seed_signature` with `signing_key`,
    `timestamp` (yyyymmddThhmmssZ) and `scope` (date/region/service/aws4_request). `trailer`: a
    section of trailing headers may follow; `announced` names those it must hold.
    """

    signed: bool
    trailer: bool
    decoded_length: int
    announced: tuple[str, ...] = ()
    seed_signature: str = ""
    signing_key: SigningKey | None = None
    timestamp: str = ""
    scope: str = ""


Payload = UnsignedPayload | SignedPayload | ChunkedPayload

UNSIGNED: Final = UnsignedPayload()
_EMPTY: Final = SignedPayload(EMPTY_SHA256)


def plain_payload(claim: str) -> UnsignedPayload | SignedPayload | None:
    """Return the payload of an `x-amz-content-sha256` that is not chunked, or None if it is.

    Raises S3Error: InvalidArgument for what is no known form, NotImplemented for SigV4A chunks.
    """
    if claim == UNSIGNED_PAYLOAD:
        return UNSIGNED
    if claim == EMPTY_SHA256:
        return _EMPTY
    if _is_sha256(claim):
        return SignedPayload(claim.lower())
    if claim in _CHUNK_FORMS:
        return None
    if claim.startswith("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"):
        raise S3Error("NotImplemented", f"The chunk encoding algorithm {claim} is not supported.")
    raise S3Error(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a "
        "valid sha256 value.",
        ArgumentName="x-amz-content-sha256",
        ArgumentValue=claim,
    )


def chunk_form(claim: str) -> tuple[bool, bool]:
    """Return (chunks are signed, has trailers) of a claim `plain_payload` called chunked."""
    return _CHUNK_FORMS[claim]


def anonymous_payload(headers: Mapping[str, str]) -> Payload:
    """Return the form of a body that came with no credentials at all.

    Without a signature there is nothing chunks could be chained to, so signed ones are refused.
    A client that skips signing may still chunk its body to send a checksum behind it, and then
    says so only in `content-encoding` and `x-amz-trailer`.
    """
    claim = headers.get("x-amz-content-sha256")
    if claim is not None:
        plain = plain_payload(claim)
        if plain is not None:
            return plain
        if chunk_form(claim)[0]:
            raise S3Error("InvalidRequest", "A body in signed chunks needs a signed request.")
    elif "x-amz-trailer" not in headers or not _is_chunked(headers):
        return UNSIGNED
    return ChunkedPayload(False, True, decoded_length(headers), trailer_names(headers))


def decoded_length(headers: Mapping[str, str]) -> int:
    """Return the number of bytes an aws-chunked body decodes to.

    Raises S3Error: MissingContentLength, InvalidArgument.
    """
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise S3Error("MissingContentLength")
    if not _is_length(text) or int(text) > _LENGTH_MAX:
        raise S3Error(
            "InvalidArgument",
            "x-amz-decoded-content-length must be a number of bytes.",
            ArgumentName="x-amz-decoded-content-length",
            ArgumentValue=text,
        )
    return int(text)


def trailer_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the trailers announced in `x-amz-trailer`: at most one, a checksum.

    Raises S3Error: InvalidRequest for more than one, or another header than a checksum;
    NotImplemented for a checksum that is not computed here.
    """
    text = headers.get("x-amz-trailer")
    if text is None:
        return ()
    name = text.strip().lower()
    if name in CHECKSUM_TRAILERS:
        return (name,)
    refuse_new_algorithm(name)
    raise S3Error(
        "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
    )


_NEW_ALGORITHMS: Final = frozenset(
    f"x-amz-checksum-{name}" for name in ("sha512", "md5", "xxhash64", "xxhash3", "xxhash128")
)


def refuse_new_algorithm(name: str) -> None:
    """Raise NotImplemented if `name` is the header of a checksum S3 knows and cenote does not."""
    if name in _NEW_ALGORITHMS:
        raise S3Error(
            "NotImplemented",
            f"The checksum of {name} is not implemented; use CRC32, CRC32C, CRC64NVME, SHA1 or "
            "SHA256.",
        )


def _is_chunked(headers: Mapping[str, str]) -> bool:
    codings = headers.get("content-encoding", "").lower().split(",")
    return any(coding.strip() == "aws-chunked" for coding in codings)
