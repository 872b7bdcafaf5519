"""How a streamed body comes in: straight through when small, by a worker thread when long.

Owns: the choice between the two, the announced length, giving back what is not stored.

A small body needs no thread: it is gathered, hashed in microseconds and travels in the commit. A
long one is written as it comes, on a thread, while the loop serves others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cenote.ports import Bodies, Bucket, StagedBody
from cenote.s3 import Auth, ChunkDecoder, ChunkedPayload, Payload, S3Error
from cenote.server.body import Pour
from cenote.server.call import PENDING, Call
from cenote.server.intake import Intake, Taken

__all__ = ["body_length", "discard", "receive"]

GATHER_MAX: Final = 64 << 10
_NO_TRAILERS: Final[dict[str, str]] = {}
_FRAMING: Final = 64 << 10  # what aws-chunked may add to a small body: signatures, a trailer


def _auth(call: Call) -> Auth:
    if call.auth is None:
        raise S3Error("InternalError")
    return call.auth


def body_length(call: Call) -> int:
    """Return how many bytes will be stored.

    Raises S3Error: MissingContentLength; NotImplemented for a chunked transfer whose length
    nobody announced, as AWS does.
    """
    payload = _auth(call).payload
    if isinstance(payload, ChunkedPayload):
        return payload.decoded_length
    exchange = call.exchange
    if exchange.chunked:
        raise S3Error("NotImplemented", Header="Transfer-Encoding")
    if "content-length" not in exchange.head.headers or exchange.length is None:
        raise S3Error("MissingContentLength")
    return exchange.length


def receive(
    call: Call,
    bucket: Bucket,
    length: int,
    algorithms: Sequence[str],
    taken: Callable[[Taken], object],
) -> object:
    """Accept the body, and go on with `taken` when all of it is staged. Returns PENDING."""
    exchange = call.exchange
    payload = _auth(call).payload
    if length <= min(GATHER_MAX, bucket.bodies.inline_max):
        exchange.accept(_Small(call, bucket.bodies, payload, length, algorithms, taken))
        return PENDING
    intake = Intake(lambda: bucket.bodies.writer(length, algorithms), payload, length)

    def done(body: Taken | None, error: BaseException | None) -> None:
        if error is not None or body is None:
            call.go_on(_raise, error)
        else:
            call.go_on(_settle, call, bucket, body, taken)

    exchange.accept(Pour(exchange, call.pipeline.workers, intake, done))
    return PENDING


class _Small:
    """Takes a body that stays in memory, and goes on with it whole."""

    __slots__ = (
        "_algorithms",
        "_bodies",
        "_call",
        "_length",
        "_payload",
        "_pieces",
        "_room",
        "_taken",
    )

    def __init__(
        self,
        call: Call,
        bodies: Bodies,
        payload: Payload,
        length: int,
        algorithms: Sequence[str],
        taken: Callable[[Taken], object],
    ) -> None:
        self._call = call
        self._bodies = bodies
        self._payload = payload
        self._length = length
        self._algorithms = algorithms
        self._taken = taken
        self._pieces: list[bytes] = []
        self._room = length + (_FRAMING if isinstance(payload, ChunkedPayload) else 0)

    def feed(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room >= 0:
            self._pieces.append(data)
        else:
            self._pieces.clear()
            self._call.go_on(_raise, S3Error("IncompleteBody"))

    def end(self) -> None:
        self._call.go_on(self._stage)

    def abort(self) -> None:
        self._pieces.clear()

    def _stage(self) -> object:
        pieces, trailers = self._pieces, _NO_TRAILERS
        if isinstance(self._payload, ChunkedPayload):
            decoder = ChunkDecoder(self._payload)
            pieces = [piece for sent in pieces for piece in decoder.feed(sent)]
            trailers = decoder.finish()
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(data) != self._length:
            raise S3Error("IncompleteBody")
        return self._taken(Taken(self._bodies.stage(data, self._algorithms), trailers))


def _settle(call: Call, bucket: Bucket, body: Taken, taken: Callable[[Taken], object]) -> object:
    try:
        return taken(body)
    except BaseException:
        discard(call, bucket, body.staged)
        raise


def discard(call: Call, bucket: Bucket, staged: StagedBody) -> None:
    """Give back a staged body that will not be stored, without holding up the loop."""
    if staged.extents:
        call.pipeline.workers.submit(lambda: bucket.bodies.discard(staged))


def _raise(error: BaseException | None) -> object:
    raise error or S3Error("InternalError")
