"""The S3 protocol, sans-io: bytes and values in, bytes and values out.

Owns: the table of operations and its readers (routing, parsing, rendering), signatures, claims
about bodies, chunked framing, checksums, conditions and ranges.
Does not own: sockets and threads (`cenote.server`), buckets (`cenote.buckets`).

The structs of one operation are reached through its row: `OPS["PutObject"].input`, or by name:
`structs.PutObjectInput`.
"""

from cenote.s3 import structs
from cenote.s3.codes import CODES, S3Error
from cenote.s3.copysource import CopySource
from cenote.s3.ops import OPS, Op, Route
from cenote.s3.wire import Rendered, RequestHead

__all__ = [
    "CODES",
    "OPS",
    "CopySource",
    "Op",
    "Rendered",
    "RequestHead",
    "Route",
    "S3Error",
    "structs",
]
