"""What a request says of its body's bytes: digests in headers, digests in the trailer.

Owns: the reading and checking of Content-MD5, `x-amz-checksum-*`, `x-amz-sdk-checksum-algorithm`
and the trailer's checksum; the comparison with what was computed.
Does not own: computing digests (`cenote.base`); checksums of finished objects, and which type of
them goes with which algorithm (`cenote.buckets`).

Invariants:
1. A request names at most one checksum, in a header or in the trailer, not in both.
2. A claim that cannot be understood is refused before a byte of the body is read.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cenote.base import digest_base64, digest_from_base64
from cenote.s3.claims import (
    CHECKSUM_TRAILERS,
    Payload,
    SignedPayload,
    refuse_new_algorithm,
    trailer_names,
)
from cenote.s3.codes import S3Error

__all__ = [
    "BodyClaims",
    "body_claims",
    "with_trailer",
]

_PREFIX: Final = "x-amz-checksum-"
_NO_CHECKSUM: Final = frozenset(
    {"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"}
)


class BodyClaims(Struct, frozen=True):
    """What a body's bytes must be.

    `md5`: 16 bytes. `algorithm`: the checksum the client names, and so the one to keep; None when
    it names none. `digest`: its value, or None while it is still to come in the trailer.
    `sha256_hex`: of the signed payload. `in_trailer`: the checksum comes in the trailer.
    """

    md5: bytes | None = None
    algorithm: str | None = None
    digest: bytes | None = None
    in_trailer: bool = False
    sha256_hex: str | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What must be computed, beside the MD5 that always is, to verify the claims."""
        if self.sha256_hex is None or self.algorithm == "SHA256":
            return () if self.algorithm is None else (self.algorithm,)
        return ("SHA256",) if self.algorithm is None else (self.algorithm, "SHA256")

    def verify(self, digests: Mapping[str, bytes]) -> None:
        """Compare every claim with what was computed.

        Requires: `digests` holds MD5 if it was claimed, and each of `algorithms`; a trailer's
        claim was added by `with_trailer`.
        Raises S3Error: BadDigest, XAmzContentSHA256Mismatch.
        """
        if self.sha256_hex is not None:
            computed = digests["SHA256"].hex()
            if not compare_digest(computed, self.sha256_hex):
                raise S3Error(
                    "XAmzContentSHA256Mismatch",
                    ClientComputedContentSHA256=self.sha256_hex,
                    S3ComputedContentSHA256=computed,
                )
        if self.md5 is not None and digests["MD5"] != self.md5:
            raise S3Error(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=digest_base64(self.md5),
                CalculatedDigest=digest_base64(digests["MD5"]),
            )
        if self.algorithm is not None and digests[self.algorithm] != self.digest:
            raise S3Error(
                "BadDigest",
                f"The {self.algorithm} you specified did not match the calculated checksum.",
            )


_NOTHING: Final = BodyClaims()


def body_claims(headers: Mapping[str, str], payload: Payload) -> BodyClaims:
    """Return what a request's head claims of its body.

    For operations whose `x-amz-checksum-*` describes the body: not CompleteMultipartUpload, where
    it describes the object.
    Raises S3Error: InvalidDigest, InvalidRequest, NotImplemented.
    Cost: 1 us.
    """
    md5 = None
    if "content-md5" in headers:
        md5 = digest_from_base64("MD5", headers["content-md5"])
        if md5 is None:
            raise S3Error("InvalidDigest")
    sha256_hex = payload.sha256_hex if isinstance(payload, SignedPayload) else None
    named = [n for n in headers if n[:15] == _PREFIX and n not in _NO_CHECKSUM]
    trailer = trailer_names(headers)
    asked = headers.get("x-amz-sdk-checksum-algorithm")
    if not named and not trailer and asked is None:
        if md5 is None and sha256_hex is None:
            return _NOTHING
        return BodyClaims(md5=md5, sha256_hex=sha256_hex)
    if len(named) + len(trailer) > 1:
        raise S3Error(
            "InvalidRequest",
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        )
    if not named and not trailer:
        raise S3Error(
            "InvalidRequest",
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found.",
        )
    name = named[0] if named else trailer[0]
    algorithm = _algorithm(name)
    if asked is not None and asked.upper() != algorithm:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    digest = _digest(name, algorithm, headers[name], "header") if named else None
    return BodyClaims(md5, algorithm, digest, not named, sha256_hex)


def with_trailer(claims: BodyClaims, trailers: Mapping[str, str]) -> BodyClaims:
    """Return the claims with the digest that came in the body's trailer.

    Requires: `trailers` is what the decoder's `finish` returned.
    Raises S3Error: InvalidRequest for a value that is no digest, MalformedTrailerError.
    """
    if not claims.in_trailer or claims.algorithm is None:
        return claims
    name = f"{_PREFIX}{claims.algorithm.lower()}"
    if name not in trailers:
        raise S3Error("MalformedTrailerError")
    digest = _digest(name, claims.algorithm, trailers[name], "trailing header")
    return replace(claims, digest=digest)


def _algorithm(name: str) -> str:
    algorithm = CHECKSUM_TRAILERS.get(name)
    if algorithm is None:
        refuse_new_algorithm(name)
        raise S3Error(
            "InvalidRequest",
            "The algorithm type you specified in x-amz-checksum- header is invalid.",
        )
    return algorithm


def _digest(name: str, algorithm: str, text: str, place: str) -> bytes:
    digest = digest_from_base64(algorithm, text)
    if digest is None:
        raise S3Error("InvalidRequest", f"Value for {name} {place} is invalid.")
    return digest
