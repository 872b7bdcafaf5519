"""A worker's line to the writer: `sqldb.Owner` over a socket.

Owns: one connection: what waits for an answer, batching of what is sent, what happens when it
breaks.
Does not own: making another one (`link`).

What the loop's callbacks hand over in one round goes out in one write, and what a group commit
answers comes back in one: a message costs microseconds, waking a process costs tens of them.

Invariants:
1. Every request is answered once: by the writer, or by an error when the line is lost. Then the
   effect is unknown, for the writer may have died after the commit and before the answer.
2. A lost line stays lost: what was reserved over it is void, and who holds it hears so.
3. Requests and answers meet on the loop; other threads hand over and wait.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Struct

from cenote.base import Figure
from cenote.buckets import WriteResult, changes
from cenote.errors import DataError, UnavailableError
from cenote.fleet.messages import (
    Ask,
    Commit,
    Create,
    Delete,
    Done,
    Failed,
    Frames,
    GiveBack,
    Hello,
    Reserve,
    Tell,
    Told,
    Welcome,
    decode_for_worker,
    frame_of,
)
from cenote.ports import BucketRecord, Change, Extent
from cenote.tables import BindChange, ExpireChange, PutWithItems, TableAnswer, TableChange

__all__ = ["Line", "Nobody"]

T = TypeVar("T")
Answered = Callable[[Any, BaseException | None], None]
Decode = Callable[[bytes], Any]

_log = logging.getLogger("cenote.fleet")
_KINDS: Final[dict[type[Any], Any]] = {
    **changes.RESULTS,
    TableChange: TableAnswer,
    ExpireChange: int,
    BindChange: bool,
    PutWithItems: WriteResult,
}
_RESULTS: Final[dict[type[Any], Decode]] = {
    kind: msgspec.msgpack.Decoder(result).decode for kind, result in _KINDS.items()
}
_nothing: Final[Decode] = msgspec.msgpack.Decoder(None).decode
_region: Final[Decode] = msgspec.msgpack.Decoder(tuple[int, int]).decode
_figures: Final[Decode] = msgspec.msgpack.Decoder(list[Figure]).decode


def _away() -> UnavailableError:
    return UnavailableError("the process that writes is being started", kind="writer_away")


def _lost() -> UnavailableError:
    return UnavailableError(
        "the process that writes ended before it answered", kind="writer_lost", effect_unknown=True
    )


class Nobody:
    """`Owner` while there is no writer: every change is refused, and has no effect."""

    def commit(self, bucket: str, change: Change[T]) -> T:
        raise _away()

    def submit(self, bucket: str, change: Change[Any], done: Answered) -> None:
        raise _away()

    def reserve(self, bucket: str, size: int) -> tuple[int, int]:
        raise _away()

    def give_back(self, bucket: str, extent: Extent, *, broken: bool) -> None:
        pass

    def create(self, record: BucketRecord) -> None:
        raise _away()

    def delete(self, bucket: str, decide: Change[None]) -> None:
        raise _away()


class Line(asyncio.Protocol):
    """One connection to the writer. See `sqldb.Owner` for what changes and bodies ask."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pid: int,
        figures: Callable[[], list[Figure]],
        welcomed: Callable[[Line], None],
        lost: Callable[[Line], None],
    ) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._pid = pid
        self._figures = figures
        self._welcomed = welcomed
        self._lost = lost
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._dead = False
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[Answered, Decode]] = {}
        self._out: deque[bytes] = deque()  # never another one: threads append to it
        self._flushing = False

    # Owner.

    def submit(self, bucket: str, change: Change[Any], done: Answered) -> None:
        decode = _RESULTS.get(type(change))
        if decode is None:
            raise TypeError(f"{change!r} is not a change that travels")
        number = next(self._ids)
        message = Commit(number, bucket, cast(changes.AnyChange, change))
        self._request(number, message, done, decode)

    def commit(self, bucket: str, change: Change[T]) -> T:
        return cast(T, self._wait(lambda done: self.submit(bucket, change, done)))

    def reserve(self, bucket: str, size: int) -> tuple[int, int]:
        number = next(self._ids)
        found: tuple[int, int] = self._ask(number, Reserve(number, bucket, size), _region)
        return found

    def give_back(self, bucket: str, extent: Extent, *, broken: bool) -> None:
        if not self._dead:
            self._send(frame_of(GiveBack(bucket, extent, broken)))

    def create(self, record: BucketRecord) -> None:
        number = next(self._ids)
        self._ask(number, Create(number, record), _nothing)

    def delete(self, bucket: str, decide: Change[None]) -> None:
        number = next(self._ids)
        message = Delete(number, bucket, cast(changes.AnyChange, decide))
        self._ask(number, message, _nothing)

    def figures(self, done: Answered) -> None:
        """Ask for the figures of all processes together; `done` is called on the loop."""
        number = next(self._ids)
        self._request(number, Ask(number), done, _figures)

    def close(self) -> None:
        """Hang up. On the loop."""
        if self._transport is not None:
            self._transport.close()

    # Asking.

    def _ask(self, number: int, message: Struct, decode: Decode) -> Any:
        return self._wait(lambda done: self._request(number, message, done, decode))

    def _wait(self, ask: Callable[[Answered], None]) -> Any:
        if threading.get_ident() == self._thread:
            raise RuntimeError("the loop's thread must not wait for its own messages")
        answer: Future[Any] = Future()

        def done(result: Any, error: BaseException | None) -> None:
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        ask(done)
        return answer.result()

    def _request(self, number: int, message: Struct, done: Answered, decode: Decode) -> None:
        if self._dead:
            raise _away()
        frame = frame_of(message)
        self._waiting[number] = (done, decode)
        self._send(frame)
        # It may have died in between, on the loop's thread, and missed this one.
        if self._is_dead() and self._waiting.pop(number, None) is not None:
            raise _lost()

    def _is_dead(self) -> bool:
        return self._dead

    def _send(self, frame: bytes) -> None:
        self._out.append(frame)
        if threading.get_ident() != self._thread:
            try:
                self._loop.call_soon_threadsafe(self._flush)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        out = [self._out.popleft() for _ in range(len(self._out))]
        if out and self._transport is not None and not self._dead:
            self._transport.writelines(out)

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast(asyncio.Transport, transport)
        self._send(frame_of(Hello(self._pid)))

    def data_received(self, data: bytes) -> None:
        """Take answers in."""
        try:
            for frame in self._frames.feed(data):
                self._receive(decode_for_worker(frame))
        except (msgspec.MsgspecError, DataError) as error:
            _log.error("the writer sent what is no message: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def _receive(self, message: Welcome | Done | Failed | Tell) -> None:
        match message:
            case Done():
                waiting = self._waiting.pop(message.id, None)
                if waiting is not None:
                    done, decode = waiting
                    done(decode(message.result), None)
            case Failed():
                waiting = self._waiting.pop(message.id, None)
                if waiting is not None:
                    waiting[0](None, message.fault.error())
            case Tell():
                self._send(frame_of(Told(message.id, self._figures())))
            case Welcome():
                self._welcomed(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Answer what waits: nobody else will."""
        self._dead = True
        self._lost(self)
        while self._waiting:
            try:
                _, (done, _) = self._waiting.popitem()
            except KeyError:
                return
            done(None, _lost())
