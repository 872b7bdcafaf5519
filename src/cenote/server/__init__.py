"""The HTTP server: connections, the pipeline of a request, the operations' handlers."""

from cenote.server.app import BackgroundServer, Running, serve
from cenote.server.credentials import Credentials, load_credentials
from cenote.server.limits import Limits
from cenote.server.settings import Settings

__all__ = [
    "BackgroundServer",
    "Credentials",
    "Limits",
    "Running",
    "Settings",
    "load_credentials",
    "serve",
]
