"""Connections kept alive between requests.

Owns: opening, reusing and dropping `http.client` connections. Thread-safe; a connection is used by
one request at a time.

Invariants:
1. A connection goes back only after its reply was read to the end: nobody reads another's bytes.
2. One that stood idle longer than `IDLE_SECONDS` is not reused: the server may just be closing it,
   and then nobody could tell whether the request was taken.
"""

from __future__ import annotations

import http.client
import ssl
import threading

from cenote.base import Clock
from cenote.client.endpoint import Endpoint

__all__ = ["Pool"]

IDLE_SECONDS = 4.0
BLOCK_SIZE = 1 << 20


class Pool:
    """Connections to one endpoint."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        clock: Clock,
        timeout: float = 60.0,
        ca_file: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._tls = (
            ssl.create_default_context(cafile=ca_file) if endpoint.scheme == "https" else None
        )

    def take(self) -> http.client.HTTPConnection:
        """Return a connection, an idle one where there is a fresh one."""
        now = self._clock.monotonic()
        stale = []
        try:
            with self._lock:
                while self._idle:
                    since, connection = self._idle.pop()
                    if now - since < IDLE_SECONDS:
                        return connection
                    stale.append(connection)
        finally:
            for connection in stale:
                connection.close()
        end = self._endpoint
        if self._tls is not None:
            return http.client.HTTPSConnection(
                end.host,
                end.port,
                timeout=self._timeout,
                blocksize=BLOCK_SIZE,
                context=self._tls,
            )
        return http.client.HTTPConnection(
            end.host, end.port, timeout=self._timeout, blocksize=BLOCK_SIZE
        )

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep `connection` for the next request. Its reply has been read to the end."""
        with self._lock:
            self._idle.append((self._clock.monotonic(), connection))

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            connection.close()
