"""What faces the clients in one process: listener, pipeline, threads, over a store that is open.

Owns: putting them together, and their end: not ready, no new connections, requests finished,
threads ended.
Does not own: the store, or how many processes there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Final

from cenote.base import Clock, Rand
from cenote.buckets import Store
from cenote.errors import UnavailableError
from cenote.server.accesslog import AccessLog
from cenote.server.credentials import Credentials
from cenote.server.listener import Application, Listener
from cenote.server.meters import Meters
from cenote.server.pipeline import Pipeline
from cenote.server.settings import Settings
from cenote.server.tls import server_context
from cenote.server.workers import Workers

__all__ = ["Front", "cannot_listen", "settle_process", "tls_context"]

_log = logging.getLogger("cenote.server")
_GC_THRESHOLDS: Final = (20_000, 20, 20)
_SWITCH_INTERVAL: Final = 0.0002  # seconds

# glibc's, from its malloc.h; other C libraries have no such call.
_mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MAPPED_FROM: Final = 4 << 20
_KEPT_MAX: Final = 16 << 20


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what TLS needs, or None. Raises InvalidError for files that do not serve."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return server_context(settings.tls_cert, settings.tls_key)


def settle_process() -> None:
    """Set the process up for serving: memory and threads. Not for a program with a server in it.

    What is alive now stays: the collector need not look at it again. Requests leave no cycles
    behind, so it need not come often either. A group of commits goes from the loop to a thread that
    syncs and back: with Python's 5 ms a busy loop lets that thread wait twice as long as the disk
    takes. And pieces of long bodies come and go, a quarter of
    a MiB each: were their pages given back each time, a tenth of a long PUT went to new ones.
    """
    if _mallopt is not None:
        _mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        _mallopt(_M_TRIM_THRESHOLD, _KEPT_MAX)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_SWITCH_INTERVAL)


class Front:
    """One process's front. Made on the loop; `close` when it was opened, and when that failed."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        store: Store,
        clock: Clock,
        rand: Rand,
        tls: ssl.SSLContext | None,
        meters: Meters,
        *,
        around: Callable[[Application], Application] | None = None,
        signing_clock: Clock | None = None,
    ) -> None:
        """`around` puts something between the connections and the pipeline. See `Pipeline`."""
        self._settings = settings
        self._tls = tls
        self._stack = contextlib.ExitStack()
        access_log = None
        if settings.access_log != "off":
            access_log = AccessLog(settings.access_log, settings.access_log_file)
            self._stack.callback(access_log.close)
        self._loop = asyncio.get_running_loop()
        self._workers = Workers(self._loop, settings.threads)
        self._stack.callback(self._workers.close)
        self.pipeline = Pipeline(
            store,
            settings,
            credentials.secrets.get,
            self._workers,
            clock,
            rand,
            meters,
            access_log,
            signing_clock,
        )
        application: Application = self.pipeline if around is None else around(self.pipeline)
        self._listener = listener = Listener(application, settings.limits, clock)
        meters.gauge("cenote_connections", "Open connections.", lambda: len(listener.connections))
        meters.gauge(
            "cenote_connections_refused",
            "Connections refused for their number.",
            lambda: listener.refused,
        )

    async def open(self) -> int:
        """Listen where the settings say, and return the port. Raises UnavailableError."""
        settings = self._settings
        try:
            return await self._listener.start(settings.host, settings.port, self._tls)
        except OSError as error:
            raise cannot_listen(settings, error) from error

    async def open_on(self, sockets: Sequence[socket.socket]) -> None:
        """Listen on sockets that are bound already."""
        await self._listener.start_on(sockets, self._tls)

    def open_nowhere(self) -> None:
        """Serve what is given to `accept`, and listen nowhere yet."""
        self._listener.start_beat()

    async def accept(self, connected: socket.socket) -> None:
        """Serve the client at the other end of a socket."""
        await self._listener.accept(connected)

    async def drain(self, close_store: Callable[[], None]) -> None:
        """Finish what is under way, accept nothing new, and close the store."""
        self.pipeline.ready = False
        cut = await self._listener.stop()
        if cut:
            _log.warning("%d connections were cut: their requests took too long", cut)
        # The store may still need the loop for commits that worker threads wait for.
        await self._loop.run_in_executor(None, self._workers.close)
        await self._loop.run_in_executor(None, close_store)

    def close(self) -> None:
        """Give back what is left. Harmless when repeated."""
        self._stack.close()


def cannot_listen(settings: Settings, error: OSError) -> UnavailableError:
    """Make the error of an address that cannot be had."""
    return UnavailableError(
        f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
        kind="address",
    )
