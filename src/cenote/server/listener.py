"""The listener: accepts connections, keeps their count and their pace, and drains them at the end.

Owns: listening sockets, the set of open connections, the one-second beat (Date line, slow
clients), the graceful stop.
Does not own: what is said on a connection (`http`).

Why one beat for all and not a timer each: arming and cancelling a timer costs a fifth of a small
request, and no limit here needs better than a second.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Protocol

from cenote.base import Clock
from cenote.server.exchange import Exchange
from cenote.server.http import Connection
from cenote.server.limits import Limits
from cenote.server.response import common_lines

__all__ = ["Application", "Listener"]

_BACKLOG: Final = 1024


class Application(Protocol):
    """What the requests are for."""

    def begin(self, exchange: Exchange) -> None:
        """Take a request whose head has come in. Must not block or raise."""
        ...

    def record(self, exchange: Exchange) -> None:
        """Note an exchange that is over, or whose answer has been handed to the socket."""
        ...

    def beat(self) -> None:
        """A second has gone by."""
        ...

    def refuse(self, code: str, message: str) -> tuple[bytes, bytes]:
        """Return header lines and body of the answer to a request that could not be read."""
        ...


class Listener:
    """Accepts for one application on one event loop."""

    def __init__(self, application: Application, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self.tick = 0
        self.lines = common_lines(clock.now_ms())
        self.begin = application.begin
        self.record = application.record
        self.refuse = application.refuse
        self._application = application
        self.connections: set[Connection] = set()
        self.refused = 0
        self._clock = clock
        self._servers: list[asyncio.Server] = []
        self._beat: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen, and return the port (that the system chose, when `port` is 0)."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=self._handshake_timeout(tls),
            backlog=_BACKLOG,
            reuse_address=True,
        )
        self._servers.append(server)
        self.start_beat()
        bound: socket.socket = server.sockets[0]
        return int(bound.getsockname()[1])

    async def start_on(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Listen on sockets that are bound."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            self._servers.append(
                await loop.create_server(
                    lambda: Connection(self),
                    sock=each,
                    ssl=tls,
                    ssl_handshake_timeout=self._handshake_timeout(tls),
                    backlog=_BACKLOG,
                )
            )
        self.start_beat()

    def start_beat(self) -> None:
        """Let the seconds be counted. Harmless when repeated."""
        if self._beat is None:
            loop = asyncio.get_running_loop()
            self._beat = loop.call_later(1.0, self._on_beat, loop)

    async def accept(self, connected: socket.socket) -> None:
        """Take a client in that is connected already."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: Connection(self), connected)

    def _handshake_timeout(self, tls: ssl.SSLContext | None) -> float | None:
        # A client that never ends its handshake is not counted as a connection yet.
        return None if tls is None else float(self.limits.head_timeout)

    def _on_beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tick += 1
        self.lines = common_lines(self._clock.now_ms())
        for connection in tuple(self.connections):
            connection.check_pace(self.tick)
        self._application.beat()
        self._beat = loop.call_later(1.0, self._on_beat, loop)

    def admit(self, connection: Connection) -> bool:
        """Count a new connection in; False when there are too many."""
        self.connections.add(connection)
        if len(self.connections) > self.limits.connections_max:
            self.refused += 1
            return False
        return True

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)

    async def stop(self) -> int:
        """Accept no more, finish what is under way within `stop_timeout`, then cut.

        Returns how many connections were cut.
        """
        for server in self._servers:
            server.close()
        if self.connections:
            self._empty = asyncio.get_running_loop().create_future()
            for connection in tuple(self.connections):
                connection.retire()
            await asyncio.wait([self._empty], timeout=self.limits.stop_timeout)
        cut = tuple(self.connections)
        for connection in cut:
            connection.transport.abort()
        if self._beat is not None:
            self._beat.cancel()
        for server in self._servers:
            await server.wait_closed()
        return len(cut)
