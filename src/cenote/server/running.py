"""What is told of a server that runs, and what it asks of the system."""

from __future__ import annotations

import resource

from cenote.server.credentials import Credentials
from cenote.server.settings import Settings

__all__ = ["Running", "raise_file_limit"]


class Running:
    """A server that listens. `port` is the one bound; `endpoint` its URL."""

    def __init__(self, settings: Settings, credentials: Credentials, port: int) -> None:
        self.settings = settings
        self.credentials = credentials
        self.port = port

    @property
    def endpoint(self) -> str:
        scheme = "https" if self.settings.tls_cert is not None else "http"
        host = self.settings.host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host)
        if shown is None:
            shown = f"[{host}]" if ":" in host else host
        return f"{scheme}://{shown}:{self.port}"


def raise_file_limit(settings: Settings) -> None:
    """Allow as many files as connections need, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A connection, its duplicate while a long body is sent, and that body's lease.
    wanted = settings.limits.connections_max * 3 + 1024
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
