"""Whether bytes are what their sender said, and which checksum is stored with them.

Owns: the comparison of a staged body with its claimed digests; the checksum of an object made of
parts, COMPOSITE or FULL_OBJECT; which algorithm allows which.
Does not own: the algorithms (`cenote.base`), or headers and trailers (`cenote.s3`).

Invariants:
1. Every object and part has a checksum; CRC64NVME over the full object when none was asked for.
2. Nothing whose digest differs from a claim is ever stored.

Source: AWS, "Checking object integrity in Amazon S3".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from cenote.base import (
    CHECKSUM_ALGORITHMS,
    CRC_ALGORITHMS,
    crc_combine,
    digest_base64,
    digest_from_base64,
    digest_of,
)
from cenote.buckets.model import Claims
from cenote.errors import DataError, InvalidError
from cenote.ports import Checksum, PartRecord, StagedBody

__all__ = [
    "ALGORITHM_DEFAULT",
    "COMPOSITE",
    "FULL_OBJECT",
    "algorithms_of",
    "check_algorithm",
    "full_object",
    "multipart_checksum",
    "multipart_etag",
    "upload_checksum_type",
    "verify",
]

ALGORITHM_DEFAULT: Final = "CRC64NVME"
FULL_OBJECT: Final = "FULL_OBJECT"
COMPOSITE: Final = "COMPOSITE"

_TYPES: Final[dict[str, tuple[str, ...]]] = {  # the default first
    "CRC32": (COMPOSITE, FULL_OBJECT),
    "CRC32C": (COMPOSITE, FULL_OBJECT),
    "CRC64NVME": (FULL_OBJECT,),
    "SHA1": (COMPOSITE,),
    "SHA256": (COMPOSITE,),
}


def check_algorithm(algorithm: str) -> str:
    """Return the algorithm's name if it is one of S3's five.

    Raises InvalidError(kind="invalid_request").
    """
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise InvalidError(
            f"{algorithm!r} is not a checksum algorithm that is served here",
            kind="invalid_request",
            hint=f"one of {', '.join(CHECKSUM_ALGORITHMS)}",
        )
    return algorithm


def algorithms_of(claims: Claims, also: str | None = None) -> tuple[str, ...]:
    """Return what a body's writer must compute beside MD5 to satisfy `claims`.

    `also` is an algorithm wanted whatever the claims are: a part's is its upload's.
    Raises InvalidError(kind="invalid_request") for a name that is not S3's.
    """
    wanted = dict.fromkeys(claims.checksums)
    if claims.algorithm is not None:
        wanted[claims.algorithm] = None
    if also is not None:
        wanted[also] = None
    if not wanted:
        return (ALGORITHM_DEFAULT,)
    for name in wanted:
        check_algorithm(name)
    return tuple(wanted)


def verify(staged: StagedBody, claims: Claims) -> str:
    """Compare a body with what was claimed of it, and return the algorithm to store.

    Requires: the writer was opened with `algorithms_of(claims)`.
    Raises InvalidError(kind="bad_digest", algorithm=); kind "invalid_request" when the stored
    algorithm is not the one the claim is of.
    """
    if claims.md5 is not None and claims.md5 != staged.md5:
        raise _bad_digest("MD5", claims.md5, staged.md5)
    for name, claimed in claims.checksums.items():
        if staged.checksums[name] != claimed:
            raise _bad_digest(name, claimed, staged.checksums[name])
    if claims.algorithm is not None:
        if claims.checksums and claims.algorithm not in claims.checksums:
            raise InvalidError(
                f"the checksum sent is not of the algorithm named, {claims.algorithm}",
                kind="invalid_request",
            )
        return claims.algorithm
    return next(iter(claims.checksums), ALGORITHM_DEFAULT)


def full_object(algorithm: str, digest: bytes) -> Checksum:
    """Make the checksum of bytes taken in one piece."""
    return Checksum(algorithm, FULL_OBJECT, digest_base64(digest))


def upload_checksum_type(algorithm: str | None, asked: str | None) -> str | None:
    """Return the checksum type of an upload begun with `algorithm` and `asked` type.

    None when no algorithm was named. Raises InvalidError(kind="invalid_request") when the
    algorithm does not allow the type.
    """
    if algorithm is None:
        if asked is not None:
            raise InvalidError("a checksum type needs a checksum algorithm", kind="invalid_request")
        return None
    types = _TYPES[check_algorithm(algorithm)]
    if asked is None:
        return types[0]
    if asked not in types:
        raise InvalidError(
            f"the {asked} checksum type cannot be used with the {algorithm} algorithm",
            kind="invalid_request",
        )
    return asked


def multipart_etag(etags: Sequence[str]) -> str:
    """Return the ETag of an object made of parts: MD5 of their MD5s, "-" and their number."""
    joined = b"".join(map(bytes.fromhex, etags))
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"


def multipart_checksum(algorithm: str, kind: str, parts: Sequence[PartRecord]) -> Checksum:
    """Return the checksum of an object made of `parts`, each with its own of `algorithm`.

    Raises DataError if a part has none: an upload's parts are all checked as they come in.
    Cost: one hash of the digests, or one CRC combination a part; never the bytes.
    """
    digests = [_part_digest(algorithm, part) for part in parts]
    if kind == COMPOSITE:
        value = digest_base64(digest_of(algorithm, b"".join(digests)))
        return Checksum(algorithm, COMPOSITE, f"{value}-{len(parts)}")
    if algorithm not in CRC_ALGORITHMS:
        raise InvalidError(f"{algorithm} has no full-object form for parts", kind="invalid_request")
    whole = digests[0]
    for digest, part in zip(digests[1:], parts[1:], strict=True):
        whole = crc_combine(algorithm, whole, digest, part.size)
    return full_object(algorithm, whole)


def _part_digest(algorithm: str, part: PartRecord) -> bytes:
    if part.checksum is not None and part.checksum.algorithm == algorithm:
        digest = digest_from_base64(algorithm, part.checksum.value)
        if digest is not None:
            return digest
    raise DataError(f"part {part.number} is stored without its {algorithm} checksum")


def _bad_digest(name: str, claimed: bytes, computed: bytes) -> InvalidError:
    return InvalidError(
        f"the {name} that was sent is not that of the bytes that came",
        kind="bad_digest",
        algorithm=name,
        expected=digest_base64(claimed),
        computed=digest_base64(computed),
    )
