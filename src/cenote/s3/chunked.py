"""The aws-chunked decoder: framing, chunk signatures, trailers.

Owns: taking the framing off a body, and proving that every chunk and the trailer are the signer's.
Does not own: checksums over the decoded bytes (`checksums`), HTTP's own chunked coding.

The three forms, with CRLF written as a line's end:

    unsigned, trailer        signed                              signed, trailer
    2000                     2000;chunk-signature=<64 hex>       2000;chunk-signature=<64 hex>
    <0x2000 bytes>           <0x2000 bytes>                      <0x2000 bytes>
    0                        0;chunk-signature=<64 hex>          0;chunk-signature=<64 hex>
    x-amz-checksum-crc32:..                                      x-amz-checksum-crc32:..
                                                                 x-amz-trailer-signature:<64 hex>

each ended by an empty line. A chunk's signature covers its bytes and the signature before it, the
trailer's covers the trailer and the last chunk's.

Invariants:
1. However the body is cut into feeds, the same bytes or the same error come out.
2. Bytes of a signed chunk are handed out before its signature is known. They must not be stored
   for good until `finish` has returned.
3. Memory is bounded: at most one header of 1 KiB or one trailer of 8 KiB is held.
4. Not one byte more than `decoded_length` is handed out.

Why the 8 KiB rule is kept although nothing here needs it: AWS refuses such bodies, and a client
tested against a laxer server finds out in production.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and
sigv4-streaming-trailers.html; the error codes are those AWS was seen to answer with.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from cenote.s3.claims import EMPTY_SHA256, ChunkedPayload
from cenote.s3.codes import S3Error
from cenote.s3.keyring import SigningKey

__all__ = ["CHUNK_SIZE_MIN", "ChunkDecoder", "chunk_to_sign", "trailer_to_sign"]

CHUNK_SIZE_MIN: Final = 8192  # every chunk but the last

_HEADER, _DATA, _CRLF, _TRAILER, _END = range(5)
_LINE_MAX: Final = 1024
_TRAILER_MAX: Final = 4096
_SIGNATURE_TRAILER: Final = "x-amz-trailer-signature"
_is_unsigned_header = re.compile(rb"([0-9a-fA-F]{1,16})").fullmatch
_is_signed_header = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})").fullmatch
_is_trailer_line = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:([^\x00\r\n]*)\n?").fullmatch


class ChunkDecoder:
    """Decodes one aws-chunked body. Not thread-safe; may change threads.

    `feed` the body's bytes as they come, then `finish`. After an S3Error it is of no more use.
    """

    __slots__ = (
        "_announced",
        "_chunk",
        "_fields",
        "_hash",
        "_key",
        "_left",
        "_line",
        "_prefix",
        "_previous",
        "_remaining",
        "_signature",
        "_size",
        "_state",
        "_trailer",
        "_trailer_size",
    )

    def __init__(self, payload: ChunkedPayload) -> None:
        self._key: SigningKey | None = payload.signing_key if payload.signed else None
        if payload.signed and self._key is None:
            raise ValueError("a signed payload needs its signing key")
        self._prefix = f"{payload.timestamp}\n{payload.scope}\n"
        self._previous = payload.seed_signature
        self._announced = payload.announced
        self._trailer = payload.trailer
        self._remaining = payload.decoded_length
        self._state = _HEADER
        self._line = bytearray()
        self._chunk = 0  # chunks begun
        self._size = CHUNK_SIZE_MIN  # of the chunk before
        self._left = 0  # bytes to come of this chunk, then of its CRLF
        self._signature = b""
        self._hash = sha256()
        self._fields: list[tuple[str, str]] = []
        self._trailer_size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the body and return the decoded ones among them, in order.

        Raises S3Error: IncompleteBody (malformed framing, more bytes than announced or after the
        end), InvalidChunkSizeError, SignatureDoesNotMatch, MalformedTrailerError.
        Cost: one copy of the bytes at most, and their SHA-256 when chunks are signed.
        """
        out: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            state = self._state
            if state == _DATA:
                at = self._take_data(data, at, out)
            elif state == _CRLF:
                at = self._take_crlf(data, at)
            elif state == _HEADER:
                at = self._take_header(data, at)
            elif state == _TRAILER:
                at = self._take_trailer(data, at)
            else:
                raise _incomplete()
        return out

    def finish(self) -> dict[str, str]:
        """Return the trailers by lower-case name, once all of the body was fed.

        Raises S3Error: IncompleteBody when the body ended early or is shorter than announced.
        """
        if self._state != _END:
            raise _incomplete()
        return dict(self._fields)

    # Each of these takes at least a byte of data[at:], and returns where it stopped.

    def _take_line(self, data: bytes, at: int, limit: int) -> tuple[bytes | None, int]:
        """Return a line without its CRLF, or None while it is incomplete, and where it stops."""
        held = self._line
        stop = data.find(b"\n", at)
        while stop != -1:
            before = data[stop - 1 : stop] if stop > at else bytes(held[-1:])
            if before == b"\r":
                held += data[at : stop + 1]
                if len(held) > limit + 2:
                    raise _incomplete()
                line = bytes(held[:-2])
                held.clear()
                return line, stop + 1
            stop = data.find(b"\n", stop + 1)
        held += data[at : at + limit + 3]
        if len(held) > limit + 2:
            raise _incomplete()
        return None, len(data)

    def _take_header(self, data: bytes, at: int) -> int:
        line, at = self._take_line(data, at, _LINE_MAX)
        if line is None:
            return at
        match = (_is_unsigned_header if self._key is None else _is_signed_header)(line)
        if match is None:
            raise _incomplete()
        size = int(match[1], 16)
        self._chunk += 1
        if size and self._size < CHUNK_SIZE_MIN:
            raise S3Error(
                "InvalidChunkSizeError",
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                Chunk=self._chunk,
                BadChunkSize=self._size,
            )
        if size > self._remaining:
            raise _incomplete()
        if self._key is not None:
            self._signature = match[2]
        if size:
            self._remaining -= size
            self._size = self._left = size
            self._state = _DATA
            return at
        if self._remaining:
            raise _incomplete()
        self._check_chunk(EMPTY_SHA256)
        self._state = _TRAILER
        return at

    def _take_data(self, data: bytes, at: int, out: list[bytes]) -> int:
        stop = min(len(data), at + self._left)
        piece = data if at == 0 and stop == len(data) else data[at:stop]
        out.append(piece)
        if self._key is not None:
            self._hash.update(piece)
        self._left -= stop - at
        if not self._left:
            if self._key is not None:
                self._check_chunk(self._hash.hexdigest())
                self._hash = sha256()
            self._left = 2
            self._state = _CRLF
        return stop

    def _take_crlf(self, data: bytes, at: int) -> int:
        if data[at] != b"\r\n"[2 - self._left]:
            raise _incomplete()
        self._left -= 1
        if not self._left:
            self._state = _HEADER
        return at + 1

    def _take_trailer(self, data: bytes, at: int) -> int:
        line, at = self._take_line(data, at, _TRAILER_MAX)
        if line is None:
            return at
        if line:
            self._trailer_size += len(line)
            if self._trailer_size > _TRAILER_MAX or not self._trailer:
                raise _malformed_trailer()
            self._fields.append(_trailer_field(line))
            return at
        self._check_trailer()
        self._state = _END
        return at

    def _check_chunk(self, digest: str) -> None:
        if self._key is None:
            return
        message = chunk_to_sign(self._prefix, self._previous, digest)
        self._check(message, self._signature)
        self._previous = self._signature.decode("ascii")

    def _check(self, message: bytes, signature: bytes) -> None:
        if self._key is None:
            return
        if not compare_digest(self._key.sign(message).encode("ascii"), signature):
            raise S3Error("SignatureDoesNotMatch")

    def _check_trailer(self) -> None:
        """Refuse a trailer that is not exactly what was announced, or not the signer's."""
        fields = self._fields
        signature = None
        if self._key is not None and (fields or self._announced):
            if not fields or fields[-1][0] != _SIGNATURE_TRAILER:
                raise _malformed_trailer()
            signature = fields.pop()[1].encode("latin-1")
        if tuple(name for name, _ in fields) != self._announced:
            raise _malformed_trailer()
        if signature is not None:
            self._check(trailer_to_sign(self._prefix, self._previous, fields), signature)


def chunk_to_sign(prefix: str, previous: str, digest: str) -> bytes:
    """Return what a chunk's signature is over.

    `prefix` is "timestamp, newline, scope, newline"; `previous` the signature before this one;
    `digest` the hex SHA-256 of the chunk's bytes.
    """
    return f"AWS4-HMAC-SHA256-PAYLOAD\n{prefix}{previous}\n{EMPTY_SHA256}\n{digest}".encode("ascii")


def trailer_to_sign(prefix: str, previous: str, fields: list[tuple[str, str]]) -> bytes:
    """Return what the trailer's signature is over: its fields, each ended by a newline."""
    lines = "".join([f"{name}:{value}\n" for name, value in fields])
    digest = sha256(lines.encode("latin-1")).hexdigest()
    return f"AWS4-HMAC-SHA256-TRAILER\n{prefix}{previous}\n{digest}".encode("ascii")


def _trailer_field(line: bytes) -> tuple[str, str]:
    # Some clients end a value with a newline of its own, as the page's example prints it.
    match = _is_trailer_line(line)
    if match is None:
        raise _malformed_trailer()
    return match[1].decode("ascii").lower(), match[2].decode("latin-1").strip(" \t")


def _incomplete() -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly")


def _malformed_trailer() -> S3Error:
    return S3Error("MalformedTrailerError")
