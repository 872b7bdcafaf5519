"""Bodies on their way in: gathered when small, streamed through a worker thread when not.

Owns: the two `BodyTaker`s, the bound on what waits in memory, and giving up cleanly.
Does not own: what the bytes must be (`intake`), or where they go (`ports.BodyWriter`).

Invariants:
1. At most `_HIGH` bytes and one read of the socket wait for the thread; beyond that the client is
   held back. So memory is flat, whatever the size.
2. Exactly one of `finish` and `give_up` of the sink runs, last, on the strand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from cenote.server.exchange import Exchange
from cenote.server.workers import Strand, Workers

__all__ = ["Gather", "Pour", "Sink"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_HIGH = 2 << 20
_LOW = 512 << 10


class Gather:
    """Keeps a small body and hands it over whole."""

    __slots__ = ("_done", "_pieces", "_size", "_size_max", "_too_large")

    def __init__(
        self, size_max: int, done: Callable[[bytes], None], too_large: Callable[[], None]
    ) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._size_max = size_max
        self._done = done
        self._too_large = too_large

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._size_max:
            self._pieces.clear()
            self._too_large()
        else:
            self._pieces.append(data)

    def end(self) -> None:
        pieces = self._pieces
        self._done(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def abort(self) -> None:
        self._pieces.clear()


class Sink(Protocol[T_co]):
    """Takes a long body on a worker thread."""

    def write(self, data: bytes) -> None:
        """Take bytes in. Raises what makes the body unacceptable."""
        ...

    def finish(self) -> T_co:
        """The body is complete: check it, make it durable, and return what became of it."""
        ...

    def give_up(self) -> None:
        """Forget the body. Must not raise."""
        ...


class Pour(Generic[T]):
    """Streams a body into a sink on a strand of the workers."""

    def __init__(
        self,
        exchange: Exchange,
        workers: Workers,
        sink: Sink[T],
        done: Callable[[T | None, BaseException | None], object],
    ) -> None:
        self._exchange = exchange
        self._workers = workers
        self._strand = Strand(workers)
        self._sink = sink
        self._done = done
        self._queued = 0
        self._held = False
        self._over = False  # on the loop: nothing more is handed to the strand
        self._failed = False  # on the strand: the sink has been given up

    def feed(self, data: bytes) -> None:
        if self._over:
            return
        self._queued += len(data)
        self._strand.submit(lambda: self._write(data))
        if self._queued > _HIGH and not self._held:
            self._held = True
            self._exchange.pause()

    def end(self) -> None:
        if not self._over:
            self._over = True
            self._strand.submit(self._finish)

    def abort(self) -> None:
        if not self._over:
            self._over = True
            self._strand.submit(self._give_up)

    def _write(self, data: bytes) -> None:
        error: BaseException | None = None
        if not self._failed:
            try:
                self._sink.write(data)
            except BaseException as caught:  # noqa: BLE001 - the supervisor: reported, never lost
                error = caught
                self._give_up()
        self._workers.tell(self._written, len(data), error)

    def _finish(self) -> None:
        if self._failed:
            return
        try:
            result = self._sink.finish()
        except BaseException as error:  # noqa: BLE001 - the supervisor: reported, never lost
            self._give_up()
            self._workers.tell(self._done, None, error)
        else:
            self._workers.tell(self._done, result, None)

    def _give_up(self) -> None:
        if not self._failed:
            self._failed = True
            self._sink.give_up()

    def _written(self, size: int, error: BaseException | None) -> None:
        self._queued -= size
        if error is not None:
            self._over = True
            self._done(None, error)
        if self._held and self._queued <= _LOW:
            self._held = False
            self._exchange.resume()
