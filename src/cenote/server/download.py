"""Sending a leased body: from file to socket without passing through Python.

Owns: the two ways a long body leaves (sendfile on a duplicate of the socket, or pieces through the
transport when it is encrypted or busy), waiting for slow readers, and giving the lease back.

Invariants:
1. The lease and the duplicate are closed exactly once, when no thread uses them: at the end, on an
   error, and when the client leaves.
2. A thread works only while the socket takes bytes; a slow reader waits on the loop.
3. Once the head is out the status cannot change: a fault later cuts the connection, so that the
   client sees a short body and never a wrong one.

Why a duplicate: uvloop owns the socket's own descriptor and refuses others on it, and has no
sendfile of its own.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cenote.ports import BodyLease, FileSlice
from cenote.server.exchange import Exchange
from cenote.server.workers import Workers

if TYPE_CHECKING:
    import asyncio

    from cenote.server.http import Connection

__all__ = ["Sender", "body_sender"]

_STEP = 16 << 20  # bytes sent before another client's turn
_PIECE = 256 << 10
_PATIENCE_MS = 20  # how long a thread waits for a full socket before it lets go


def body_sender(
    exchange: Exchange,
    workers: Workers,
    head: bytes,
    lease: BodyLease,
    span: tuple[int, int],
    ended: Callable[[BaseException | None], None],
) -> Sender:
    """Return what sends `head` and the body's bytes span[0] <= i < span[1]; then closes the lease.

    `ended(None)` is called when all is handed to the kernel, `ended(error)` when the body could
    not be read or the client left (ConnectionError).
    Raises what opening the body's files raises: then nothing was sent, and the lease is closed.
    """
    connection = exchange.connection
    try:
        plain = not connection.secure and connection.transport.get_write_buffer_size() == 0
        runs = _file_runs(lease, span) if plain else None
        if runs is not None:
            return _FileSender(connection, workers, lease, ended, head, runs)
        pieces = lease.chunks(*span, _PIECE)
    except BaseException:
        lease.close()
        raise
    return _PieceSender(connection, workers, lease, ended, head, pieces)


def _file_runs(lease: BodyLease, span: tuple[int, int]) -> list[FileSlice] | None:
    """Return where all of the bytes are in files, or None when some are not."""
    runs: list[FileSlice] = []
    for piece in lease.slices(*span):
        if not isinstance(piece, FileSlice):
            return None
        runs.append(piece)
    return runs


class Sender:
    """What both ways share: one step at a time on a thread, then back on the loop."""

    def __init__(
        self,
        connection: Connection,
        workers: Workers,
        lease: BodyLease,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._connection = connection
        self._workers = workers
        self._lease = lease
        self._ended: Callable[[BaseException | None], None] | None = ended
        self._working = False
        self._cancelled = False

    def start(self) -> None:
        """Begin to send."""
        self._connection.stream = self
        self.go_on()

    def go_on(self) -> None:
        self._working = True
        self._workers.submit(self._work)

    def _work(self) -> None:
        try:
            outcome: object = self._step()
        except BaseException as error:  # noqa: BLE001 - the supervisor: reported, never lost
            outcome = error
        self._workers.tell(self._stepped, outcome)

    def _stepped(self, outcome: object) -> None:
        self._working = False
        if self._cancelled:
            self._close(ConnectionResetError("the client left"))
        elif isinstance(outcome, BaseException):
            self._connection.transport.abort()
            self._close(outcome)
        else:
            self._after(outcome)

    def cancel(self) -> None:
        self._cancelled = True
        if not self._working:
            self._close(ConnectionResetError("the client left"))

    def _close(self, error: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            self._lease.close()
            ended(error)

    def writable(self) -> None:
        """The transport's buffer has run low."""

    def _step(self) -> object:
        raise NotImplementedError

    def _after(self, outcome: object) -> None:
        raise NotImplementedError


class _FileSender(Sender):
    """sendfile on a duplicate of the socket."""

    def __init__(
        self,
        connection: Connection,
        workers: Workers,
        lease: BodyLease,
        ended: Callable[[BaseException | None], None],
        head: bytes,
        runs: list[FileSlice],
    ) -> None:
        super().__init__(connection, workers, lease, ended)
        self._head = head
        self._runs = runs
        self._at = 0
        self._offset = 0
        self._fd = os.dup(connection.transport.get_extra_info("socket").fileno())
        self._waiting: asyncio.TimerHandle | None = None

    def _step(self) -> object:
        """Send until done (True), a turn is over (None), or the socket stays full (False)."""
        budget = _STEP
        while budget > 0:
            if self._cancelled:
                return None
            try:
                if self._head:
                    self._head = self._head[os.write(self._fd, self._head) :]
                    continue
                if self._at == len(self._runs):
                    return True
                run = self._runs[self._at]
                left = run.size - self._offset
                sent = os.sendfile(self._fd, run.fd, run.offset + self._offset, min(left, budget))
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(_PATIENCE_MS):
                    return False
                continue
            if sent == 0:
                raise OSError("the body's file ends before the body")
            budget -= sent
            self._offset += sent
            if self._offset == run.size:
                self._at += 1
                self._offset = 0
        return None

    def _after(self, outcome: object) -> None:
        if outcome is True:
            self._close(None)
        elif outcome is None:
            self.go_on()
        else:
            loop = self._workers.loop
            loop.add_writer(self._fd, self._ready)
            patience = self._connection.limits.send_timeout
            self._waiting = loop.call_later(patience, self._connection.transport.abort)

    def _ready(self) -> None:
        self._wait_no_more()
        self.go_on()

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            self._workers.loop.remove_writer(self._fd)

    def _close(self, error: BaseException | None) -> None:
        if self._ended is not None:
            self._wait_no_more()
            os.close(self._fd)
        super()._close(error)


class _PieceSender(Sender):
    """Pieces read on a thread and written through the transport."""

    def __init__(
        self,
        connection: Connection,
        workers: Workers,
        lease: BodyLease,
        ended: Callable[[BaseException | None], None],
        head: bytes,
        pieces: Iterator[bytes],
    ) -> None:
        super().__init__(connection, workers, lease, ended)
        self._head = head
        self._pieces = pieces

    def start(self) -> None:
        self._connection.transport.write(self._head)
        super().start()

    def _step(self) -> object:
        return next(self._pieces, None)

    def _after(self, outcome: object) -> None:
        if not isinstance(outcome, bytes):
            self._close(None)
            return
        self._connection.transport.write(outcome)
        if self._connection.writable:
            self.go_on()

    def writable(self) -> None:
        if not self._working and self._ended is not None:
            self.go_on()
