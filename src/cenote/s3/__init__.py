"""The S3 protocol, sans-io: bytes and values in, bytes and values out.

Owns: the table of operations and its readers (routing, parsing, rendering), signatures, claims
about bodies, chunked framing, checksums, conditions and ranges.
Does not own: sockets and threads (`cenote.server`), buckets (`cenote.buckets`).

The structs of one operation are reached through its row: `OPS["PutObject"].input`, or by name:
`structs.PutObjectInput`.
"""

from cenote.s3 import structs
from cenote.s3.auth import Auth
from cenote.s3.checksums import BodyClaims, body_claims, with_trailer
from cenote.s3.chunked import ChunkDecoder
from cenote.s3.claims import (
    EMPTY_SHA256,
    ChunkedPayload,
    Payload,
    SignedPayload,
    UnsignedPayload,
)
from cenote.s3.codes import CODES, S3Error
from cenote.s3.conditions import settled_date
from cenote.s3.copysource import CopySource
from cenote.s3.coverage import coverage_table
from cenote.s3.keyring import SigningKey
from cenote.s3.ops import OPS, Op, Route
from cenote.s3.parse import parse_input
from cenote.s3.plain import PlainGet, PlainPut, plain_get, plain_put
from cenote.s3.ranges import content_range, settle_range
from cenote.s3.render import render_error, render_output
from cenote.s3.route import resolve
from cenote.s3.signer import encode_chunks, presign, sign_request
from cenote.s3.sigv4 import authenticate, authenticate_whole
from cenote.s3.times import http_date
from cenote.s3.values import CHECKSUM_ALGORITHMS
from cenote.s3.wire import Rendered, RequestHead
from cenote.s3.xml import XML_BYTES_MAX

__all__ = [
    "CHECKSUM_ALGORITHMS",
    "CODES",
    "EMPTY_SHA256",
    "OPS",
    "XML_BYTES_MAX",
    "Auth",
    "BodyClaims",
    "ChunkDecoder",
    "ChunkedPayload",
    "CopySource",
    "Op",
    "Payload",
    "PlainGet",
    "PlainPut",
    "Rendered",
    "RequestHead",
    "Route",
    "S3Error",
    "SignedPayload",
    "SigningKey",
    "UnsignedPayload",
    "authenticate",
    "authenticate_whole",
    "body_claims",
    "content_range",
    "coverage_table",
    "encode_chunks",
    "http_date",
    "parse_input",
    "plain_get",
    "plain_put",
    "presign",
    "render_error",
    "render_output",
    "resolve",
    "settle_range",
    "settled_date",
    "sign_request",
    "structs",
    "with_trailer",
]
