"""What a request says of its body, from its head until the trailer has come.

Owns: joining the protocol's claims (`cenote.s3`) to those the buckets verify.
Does not own: the syntax of either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from cenote.base import Digests
from cenote.buckets import Claims, integrity
from cenote.s3 import (
    BodyClaims,
    ChunkDecoder,
    ChunkedPayload,
    Payload,
    S3Error,
    body_claims,
    with_trailer,
)
from cenote.server.call import Call
from cenote.server.intake import Taken

__all__ = ["Claimed", "whole_body"]

_MD5_LENGTH: Final = len("content-md5")
_NO_CLAIMS: Final = Claims()
_DEFAULT: Final = (integrity.ALGORITHM_DEFAULT,)
_DEFAULT_SIGNED: Final = (integrity.ALGORITHM_DEFAULT, "SHA256")


def _headers(call: Call) -> Mapping[str, str]:
    """Return the headers, and the Content-MD5 that a presigned URL has among its parameters.

    Not its `x-amz-checksum-*`: S3 passes over those, and SDKs that sign a URL before there is a
    body put the empty body's checksum there.
    """
    headers = call.exchange.head.headers
    if call.auth is None or not call.auth.presigned or call.route is None:
        return headers
    for name, value in call.route.params.items():
        if len(name) == _MD5_LENGTH and name.lower() == "content-md5":
            return {**headers, "content-md5": value}
    return headers


class Claimed(Struct, frozen=True):
    """The claims on one streamed body."""

    claims: BodyClaims

    @classmethod
    def of(cls, call: Call) -> Claimed:
        """Read the claims of a call. Raises S3Error: InvalidDigest, InvalidRequest."""
        if call.auth is None:
            raise S3Error("InternalError")
        return cls(body_claims(_headers(call), call.auth.payload))

    def algorithms(self, also: str | None = None) -> tuple[str, ...]:
        """Return what the body's writer must compute; `also` whatever the claims are."""
        claims = self.claims
        if claims.algorithm is None and also is None:
            return _DEFAULT if claims.sha256_hex is None else _DEFAULT_SIGNED
        wanted = integrity.algorithms_of(Claims(algorithm=claims.algorithm), also)
        if claims.sha256_hex is not None and "SHA256" not in wanted:
            return (*wanted, "SHA256")
        return wanted

    def settled(self, body: Taken) -> Claims:
        """Return what the buckets are to verify, now that the trailer is known.

        Raises S3Error: XAmzContentSHA256Mismatch, InvalidRequest, MalformedTrailerError.
        """
        claims = with_trailer(self.claims, body.trailers)
        if claims.sha256_hex is not None:
            BodyClaims(sha256_hex=claims.sha256_hex).verify(body.staged.checksums)
        if claims.algorithm is None and claims.md5 is None:
            return _NO_CLAIMS
        if claims.algorithm is None or claims.digest is None:
            return Claims(md5=claims.md5, algorithm=claims.algorithm)
        return Claims(claims.md5, {claims.algorithm: claims.digest}, claims.algorithm)


def whole_body(call: Call, data: bytes, payload: Payload) -> bytes:
    """Return a document's bytes, unwrapped and checked against every claim made of them.

    Raises S3Error, InvalidRequest among them when S3 demands a digest and none came.
    """
    if call.route is None:
        raise S3Error("InternalError")
    op = call.route.op
    headers = _headers(call)
    if op.name == "CompleteMultipartUpload":
        # There the checksum headers are about the object.
        headers = {n: v for n, v in headers.items() if not n.startswith("x-amz-checksum-")}
    claims = body_claims(headers, payload)
    if op.digest_required and claims.md5 is None and claims.algorithm is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5")
    trailers: dict[str, str] = {}
    if isinstance(payload, ChunkedPayload):
        decoder = ChunkDecoder(payload)
        data = b"".join(decoder.feed(data))
        trailers = decoder.finish()
    claims = with_trailer(claims, trailers)
    algorithms = ("MD5", *claims.algorithms)
    digests = Digests(algorithms)
    digests.update(data)
    claims.verify(digests.results())
    return data
