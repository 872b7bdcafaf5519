"""One request and its answer, as the application sees them.

Owns: the state of one exchange on a connection: what has come in, who takes the body, whether it
was answered. Does not own the socket (`http.Connection`) or what the request means (`pipeline`).

Invariants:
1. An exchange is answered at most once. An answer to a client that left is dropped in silence.
2. "100 Continue" is sent only when a body is accepted, and never after an answer.
3. A body taker hears `feed` any number of times, then exactly one of `end` and `abort`.
4. When the body was not read to its end and is too long to throw away, the answer says
   "connection: close": what follows on the socket is never taken for a request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from cenote.s3 import RequestHead

if TYPE_CHECKING:
    from cenote.server.http import Connection

__all__ = ["BodyTaker", "Exchange", "Stream"]


class BodyTaker(Protocol):
    """Takes the body of a request as it comes in. Called on the loop; must not block."""

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def abort(self) -> None:
        """The client left, or stopped sending, before the body was complete."""
        ...


class Stream(Protocol):
    """Sends a long body piece by piece. Called on the loop; must not block."""

    def writable(self) -> None:
        """The transport takes more again."""
        ...

    def cancel(self) -> None:
        """The client left: stop, and give back what is held."""
        ...


class Exchange:
    """A request under way.

    `length` is the announced body size in bytes, or None when the body is sent in chunks; the
    connection guarantees no more than that many bytes are fed.
    """

    __slots__ = (
        "answered",
        "bytes_in",
        "bytes_out",
        "call",
        "chunked",
        "connection",
        "expects",
        "gone",
        "head",
        "keep",
        "length",
        "pieces",
        "received",
        "started",
        "status",
        "taker",
    )

    def __init__(
        self, connection: Connection, head: RequestHead, length: int, chunked: bool, keep: bool
    ) -> None:
        self.connection = connection
        self.head = head
        self.length: int | None = None if chunked else length
        self.chunked = chunked
        self.keep = keep
        self.expects = False
        self.received = False
        self.answered = False
        self.gone = False
        self.taker: BodyTaker | None = None
        self.pieces: list[bytes] = []
        self.bytes_in = 0
        self.bytes_out = 0
        self.status = 0
        self.started = 0.0
        self.call: object = None

    @property
    def has_body(self) -> bool:
        return self.chunked or self.length != 0

    def accept(self, taker: BodyTaker) -> None:
        """Give the body to `taker`: what has come in already at once, the rest as it comes.

        Sends 100 Continue when the client waits for it.
        """
        self.taker = taker
        if self.expects and not self.pieces and not self.received:
            self.connection.send_continue()
        self.expects = False
        pieces, self.pieces = self.pieces, []
        for piece in pieces:
            taker.feed(piece)
        if self.received and not self.answered:
            taker.end()

    def pause(self) -> None:
        """Stop reading from the client until `resume`."""
        self.connection.hold(True)

    def resume(self) -> None:
        self.connection.hold(False)

    def reply(self, status: int, headers: bytes, body: bytes = b"") -> None:
        """Answer. `headers` are complete lines, Content-Length among them where it belongs."""
        if self.answered:
            return
        self.answered = True
        self.status = status
        self.bytes_out = len(body)
        if self.gone:
            self.connection.record(self)
        else:
            self.connection.send_answer(self, status, headers, body)
