"""The HTTP server: connections, the pipeline of a request, the operations' handlers."""

from cenote.server.app import BackgroundServer, Running, serve
from cenote.server.call import Call
from cenote.server.credentials import Credentials, load_credentials
from cenote.server.exchange import Exchange
from cenote.server.hooks import run_hooks
from cenote.server.http import Connection
from cenote.server.limits import Limits
from cenote.server.listener import Application
from cenote.server.response import header_lines
from cenote.server.settings import Settings

__all__ = [
    "Application",
    "BackgroundServer",
    "Call",
    "Connection",
    "Credentials",
    "Exchange",
    "Limits",
    "Running",
    "Settings",
    "header_lines",
    "load_credentials",
    "run_hooks",
    "serve",
]
