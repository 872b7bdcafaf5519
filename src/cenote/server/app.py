"""The server put together, and the two ways to run it.

Owns: opening and closing in the right order, signals, `serve` for a process and `BackgroundServer`
for a thread of a test or a program.

Order: settings are checked, credentials found, the store opened, the port bound, and only then is
the service called ready. At the end: not ready, no new connections, requests finished, threads
ended, store closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import uvloop

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.buckets import Store
from cenote.errors import InvalidError, UnavailableError
from cenote.server.accesslog import AccessLog
from cenote.server.credentials import Credentials, load_credentials
from cenote.server.diskspace import disk_bytes
from cenote.server.listener import Listener
from cenote.server.meters import Meters
from cenote.server.notify import notify
from cenote.server.pipeline import Pipeline
from cenote.server.settings import Settings
from cenote.server.tls import server_context
from cenote.server.workers import Workers

__all__ = ["BackgroundServer", "Running", "serve"]

_log = logging.getLogger("cenote.server")
_GC_THRESHOLDS = (20_000, 20, 20)


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


async def _run(
    settings: Settings,
    clock: Clock,
    rand: Rand,
    stop: asyncio.Event,
    ready: Callable[[Running], None],
) -> None:
    loop = asyncio.get_running_loop()
    settings.check()
    tls = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = server_context(settings.tls_cert, settings.tls_key)
    credentials = load_credentials(settings, rand)
    _raise_file_limit(settings)
    meters = Meters()
    access_log = None
    with contextlib.ExitStack() as stack:
        if settings.access_log != "off":
            access_log = AccessLog(settings.access_log, settings.access_log_file)
            stack.callback(access_log.close)
        store = Store(
            settings.path,
            read_only=settings.read_only,
            clock=clock,
            rand=rand,
            create=not settings.read_only,
            scheduler=loop.call_soon_threadsafe,
        )
        stack.callback(store.close)
        workers = Workers(loop, settings.threads)
        stack.callback(workers.close)
        pipeline = Pipeline(
            store, settings, credentials.secrets.get, workers, clock, rand, meters, access_log
        )
        listener = Listener(pipeline, settings.limits, clock)
        _watch(meters, store, listener, settings.path)
        try:
            port = await listener.start(settings.host, settings.port, tls)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}",
                kind="address",
            ) from error
        ready(Running(settings, credentials, port))
        await stop.wait()
        pipeline.ready = False
        cut = await listener.stop()
        if cut:
            _log.warning("%d connections were cut: their requests took too long", cut)
        # The store may still need the loop for commits that worker threads wait for.
        await loop.run_in_executor(None, workers.close)
        await loop.run_in_executor(None, store.close)


def _watch(meters: Meters, store: Store, listener: Listener, root: str) -> None:
    directory = store.directory
    meters.gauge("cenote_connections", "Open connections.", lambda: len(listener.connections))
    meters.gauge(
        "cenote_connections_refused",
        "Connections refused for their number.",
        lambda: listener.refused,
    )
    meters.gauge(
        "cenote_commit_groups",
        "Commits made durable since the start.",
        lambda: directory.groups()[0],
    )
    meters.gauge(
        "cenote_commit_changes", "Changes that shared those commits.", lambda: directory.groups()[1]
    )
    meters.gauge("cenote_buckets", "Buckets in the directory.", lambda: len(directory.names()))
    meters.gauge("cenote_disk_bytes", "Bytes the directory takes.", lambda: disk_bytes(root))


def _raise_file_limit(settings: Settings) -> None:
    """Allow as many files as connections need, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.limits.connections_max * 2 + 1024
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def serve(
    settings: Settings,
    *,
    ready: Callable[[Running], None] | None = None,
    clock: Clock | None = None,
    rand: Rand | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully.

    `ready` is called once the port is bound. Raises InvalidError or UnsupportedError for settings
    that do not serve, UnavailableError when the port or the directory is taken.
    """

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)

        def told(running: Running) -> None:
            # What is alive now stays: the collector need not look at it again. Requests leave no
            # cycles behind, so it need not come often either.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLDS)
            if ready is not None:
                ready(running)
            notify("READY=1")

        task = asyncio.ensure_future(stop.wait())
        task.add_done_callback(lambda _: notify("STOPPING=1"))
        try:
            await _run(settings, clock or SystemClock(), rand or SystemRand(), stop, told)
        finally:
            task.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


class BackgroundServer:
    """A server on a thread of this process: a context manager.

    Settings are `Settings` fields; the port is chosen by the system and the key pair is made up
    unless they are given. Example:

        with BackgroundServer(root=folder) as server:
            client = boto3.client("s3", **server.client_arguments())
    """

    def __init__(
        self, *, clock: Clock | None = None, rand: Rand | None = None, **fields: Any
    ) -> None:
        fields.setdefault("port", 0)
        if "credentials" not in fields:
            fields.setdefault("access_key", "background")
            fields.setdefault("secret_key", "background-secret")
        self.settings = Settings(**fields)
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._running: Running | None = None

    def start(self) -> BackgroundServer:
        """Start, and return when requests are served. Raises as `serve`."""
        up = threading.Event()

        def told(running: Running) -> None:
            self._running = running
            up.set()

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            await _run(self.settings, self._clock, self._rand, self._stop, told)

        def work() -> None:
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(main())
            except BaseException as error:  # noqa: BLE001 - the supervisor: raised by start or stop
                self._failure = error
            finally:
                up.set()

        self._thread = threading.Thread(target=work, name="cenote-server", daemon=True)
        self._thread.start()
        up.wait()
        if self._running is None:
            self._thread.join()
            raise self._failure or UnavailableError("the server ended before it was ready")
        return self

    def stop(self) -> None:
        """Stop gracefully and wait for the end. Harmless when repeated."""
        thread, self._thread = self._thread, None
        if thread is None or self._loop is None or self._stop is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join()
        self._running = None
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> BackgroundServer:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> Running:
        if self._running is None:
            raise InvalidError("the server is not running", kind="closed")
        return self._running

    @property
    def endpoint(self) -> str:
        return self.running.endpoint

    @property
    def port(self) -> int:
        return self.running.port

    @property
    def access_key(self) -> str:
        return next(iter(self.running.credentials.secrets))

    @property
    def secret_key(self) -> str:
        return self.running.credentials.secrets[self.access_key]

    def client_arguments(self) -> dict[str, Any]:
        """Return what boto3.client("s3", ...) needs to reach this server."""
        return {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.settings.region or "us-east-1",
        }
