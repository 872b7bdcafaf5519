"""A worker's tie to whoever writes: one line, and another one when it is lost.

Owns: connecting, trying again, telling who the owner is now.
Does not own: what is said (`line`).

Invariants:
1. A line counts from the writer's welcome on: the socket of a writer that is not there yet takes
   connections too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import Final

from cenote.base import Figure
from cenote.errors import UnavailableError
from cenote.fleet.line import Line, Nobody
from cenote.sqldb import Owner

__all__ = ["Link"]

_log = logging.getLogger("cenote.fleet")
_AGAIN_S: Final = 0.02


class Link:
    """Keeps a line to the writer at `address`. All methods run on the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: bytes,
        figures: Callable[[], list[Figure]],
        changed: Callable[[Owner], None],
    ) -> None:
        """`changed` is called with every new owner, a `Nobody` while there is none."""
        self._loop = loop
        self._address = address
        self._figures = figures
        self._changed = changed
        self._line: Line | None = None
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def line(self) -> Line | None:
        """The line, while there is one."""
        return self._line

    async def open(self, limit: float = 30.0) -> None:
        """Connect, and return when the writer takes requests. Raises UnavailableError."""
        self._connect()
        try:
            await asyncio.wait_for(self._up.wait(), limit)
        except TimeoutError as error:
            raise UnavailableError("the process that writes did not answer") from error

    def close(self) -> None:
        """Hang up, and stay so. Harmless when repeated."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        if self._line is not None:
            self._line.close()

    def _connect(self) -> None:
        if not self._closed:
            self._task = self._loop.create_task(self._try())

    async def _try(self) -> None:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        channel.setblocking(False)
        try:
            await self._loop.sock_connect(channel, self._address)
            await self._loop.create_unix_connection(
                lambda: Line(self._loop, os.getpid(), self._figures, self._welcomed, self._lost),
                sock=channel,
            )
        except OSError:
            channel.close()
            self._loop.call_later(_AGAIN_S, self._connect)

    def _welcomed(self, line: Line) -> None:
        self._line = line
        self._up.set()
        self._changed(line)

    def _lost(self, line: Line) -> None:
        if self._line is line:
            self._line = None
            self._up.clear()
            if not self._closed:
                _log.warning("the process that writes is gone")
            self._changed(Nobody())
        self._loop.call_later(_AGAIN_S, self._connect)
