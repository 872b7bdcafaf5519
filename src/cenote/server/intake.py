"""Taking a body in: from what was sent to what is stored, checked on the way.

Owns: undoing aws-chunked, and the length.
Does not own: what digests were claimed (`claims`), threads (`body`), where bodies lie.

Invariants:
1. A body is staged only when all of it came and the signature of every chunk held.
2. What is given up leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from cenote.ports import BodyWriter, StagedBody
from cenote.s3 import ChunkDecoder, ChunkedPayload, Payload, S3Error

__all__ = ["Intake", "Taken"]


class Taken(Struct, frozen=True):
    """A body taken in, and the headers that came behind it."""

    staged: StagedBody
    trailers: dict[str, str]


class Intake:
    """A body on its way in. Not thread-safe; may be handed from thread to thread.

    `open_writer` is called at the first byte, on the thread that brings it. `length` is the size
    of the body as it will be stored.
    """

    def __init__(
        self, open_writer: Callable[[], BodyWriter], payload: Payload, length: int
    ) -> None:
        self._open_writer = open_writer
        self._writer: BodyWriter | None = None
        self._length = length
        self._size = 0
        self._decoder = ChunkDecoder(payload) if isinstance(payload, ChunkedPayload) else None

    def write(self, data: bytes) -> None:
        """Take in the next bytes as they were sent. Raises S3Error."""
        if self._decoder is None:
            self._keep(data)
        else:
            for piece in self._decoder.feed(data):
                self._keep(piece)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._length:
            raise S3Error("IncompleteBody")
        if self._writer is None:
            self._writer = self._open_writer()
        self._writer.write(data)

    def finish(self) -> Taken:
        """The body is complete. Raises S3Error, or what the writer raises."""
        trailers = self._decoder.finish() if self._decoder is not None else {}
        if self._size != self._length:
            raise S3Error("IncompleteBody")
        if self._writer is None:
            self._writer = self._open_writer()
        return Taken(self._writer.finish(), trailers)

    def give_up(self) -> None:
        if self._writer is not None:
            self._writer.abort()
