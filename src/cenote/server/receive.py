"""How a streamed body comes in: straight through when small, by a worker thread when long.

Owns: the choice between the two, the announced length, giving back what is not stored.

A small body needs no thread: it is gathered, hashed in microseconds and travels in the commit. A
long one is written as it comes, on a thread, while the loop serves others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cenote.ports import Bucket, StagedBody
from cenote.s3 import Auth, ChunkedPayload, S3Error
from cenote.server.body import Gather, Pour
from cenote.server.call import PENDING, Call
from cenote.server.intake import Intake, Taken

__all__ = ["body_length", "discard", "receive"]

GATHER_MAX: Final = 64 << 10
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
    bodies = bucket.bodies
    payload = _auth(call).payload
    intake = Intake(lambda: bodies.writer(length, algorithms), payload, length)
    if length <= min(GATHER_MAX, bodies.inline_max):

        def whole(data: bytes) -> object:
            try:
                if data:
                    intake.write(data)
                body = intake.finish()
            except BaseException:
                intake.give_up()
                raise
            return _settle(call, bucket, body, taken)

        def too_large() -> None:
            call.go_on(_refuse_length)

        size_max = length + (_FRAMING if isinstance(payload, ChunkedPayload) else 0)
        exchange.accept(Gather(size_max, lambda data: call.go_on(whole, data), too_large))
        return PENDING

    def done(body: Taken | None, error: BaseException | None) -> None:
        if error is not None or body is None:
            call.go_on(_raise, error)
        else:
            call.go_on(_settle, call, bucket, body, taken)

    exchange.accept(Pour(exchange, call.pipeline.workers, intake, done))
    return PENDING


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


def _refuse_length() -> object:
    raise S3Error("IncompleteBody")


def _raise(error: BaseException | None) -> object:
    raise error or S3Error("InternalError")
