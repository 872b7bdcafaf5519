"""The server put together, and the two ways to run it.

Owns: opening and closing in the right order, signals, `serve` for a process and `BackgroundServer`
for a thread of a test or a program.
Does not own: several processes (`processes`).

Order: settings are checked, credentials found, the store opened, the port bound, and only then is
the service called ready. At the end: not ready, no new connections, requests finished, threads
ended, store closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.buckets import Store
from cenote.errors import InvalidError, UnavailableError, UnsupportedError
from cenote.server.credentials import load_credentials
from cenote.server.front import Front, settle_process, tls_context
from cenote.server.listener import Application
from cenote.server.meters import Meters, watch_directory
from cenote.server.notify import notify
from cenote.server.running import Running, raise_file_limit
from cenote.server.seeds import make_buckets
from cenote.server.settings import Settings

__all__ = ["BackgroundServer", "Running", "serve"]

T = TypeVar("T")


async def _run(
    settings: Settings,
    clock: Clock,
    rand: Rand,
    stop: asyncio.Event,
    ready: Callable[[Running], None],
    *,
    opened: Callable[[Front], None] | None = None,
    listens: bool = True,
    around: Callable[[Application], Application] | None = None,
    signing_clock: Clock | None = None,
) -> None:
    loop = asyncio.get_running_loop()
    settings.check()
    tls = tls_context(settings)
    credentials = load_credentials(settings, rand)
    raise_file_limit(settings)
    meters = Meters()
    with contextlib.ExitStack() as stack:
        store = Store(
            settings.path,
            read_only=settings.read_only,
            clock=clock,
            rand=rand,
            create=not settings.read_only,
            scheduler=loop.call_soon_threadsafe,
        )
        stack.callback(store.close)
        # A commit here would wait for the loop, which is this thread; to make a bucket needs none.
        make_buckets(store, settings)
        front = Front(
            settings,
            credentials,
            store,
            clock,
            rand,
            tls,
            meters,
            around=around,
            signing_clock=signing_clock,
        )
        stack.callback(front.close)
        watch_directory(meters.registry, store.directory, settings.path)
        port = 0
        if listens:
            port = await front.open()
        else:
            front.open_nowhere()
        if opened is not None:
            opened(front)
        ready(Running(settings, credentials, port))
        await stop.wait()
        await front.drain(store.close)


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

    clock, rand = clock or SystemClock(), rand or SystemRand()
    if settings.workers > 1:
        # Late: one process needs none of it.
        from cenote.server.processes import serve_processes

        serve_processes(settings, ready or _say_nothing, clock, rand)
        return

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)

        def told(running: Running) -> None:
            settle_process()
            if ready is not None:
                ready(running)
            notify("READY=1")

        task = asyncio.ensure_future(stop.wait())
        task.add_done_callback(lambda _: notify("STOPPING=1"))
        try:
            await _run(settings, clock, rand, stop, told)
        finally:
            task.cancel()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _say_nothing(running: Running) -> None:
    pass


class BackgroundServer:
    """A server on a thread of this process: a context manager.

    Settings are `Settings` fields; the port is chosen by the system and the key pair is made up
    unless they are given. Example:

        with BackgroundServer(root=folder) as server:
            client = boto3.client("s3", **server.client_arguments())
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
        listens: bool = True,
        around: Callable[[Application], Application] | None = None,
        signing_clock: Clock | None = None,
        **fields: Any,
    ) -> None:
        """See `cenote.server.settings.Settings` for the fields.

        With `listens` False no port is taken until `listen`: clients come by `connect`. `around`
        puts something between the connections and the service. `signing_clock` is what signatures
        are compared with, where `clock` is moved.
        """
        fields.setdefault("port", 0)
        if "credentials" not in fields:
            fields.setdefault("access_key", "background")
            fields.setdefault("secret_key", "background-secret")
        self.settings = Settings(**fields)
        if self.settings.workers != 1:
            raise UnsupportedError(
                "a server on a thread is one process", hint="run `cenote serve --workers N`"
            )
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None
        self._running: Running | None = None
        self._front: Front | None = None
        self._listens = listens
        self._around = around
        self._signing_clock = signing_clock

    def start(self) -> BackgroundServer:
        """Start, and return when requests are served. Raises as `serve`."""
        up = threading.Event()

        def told(running: Running) -> None:
            self._running = running
            up.set()

        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            await _run(
                self.settings,
                self._clock,
                self._rand,
                self._stop,
                told,
                opened=lambda front: setattr(self, "_front", front),
                listens=self._listens,
                around=self._around,
                signing_clock=self._signing_clock,
            )

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
        self._running = self._front = None
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

    def connect(self) -> socket.socket:
        """Return a connected socket to this server, which takes no port.

        Raises InvalidError when the server is not running.
        """
        ours, theirs = socket.socketpair()
        self._call(lambda front: front.accept(theirs))
        return ours

    def listen(self) -> str:
        """Take a port now, unless there is one, and return the endpoint. Raises as `serve`."""
        running = self.running
        if not running.port:
            port = self._call(lambda front: front.open())
            self._running = Running(running.settings, running.credentials, port)
        return self.endpoint

    def _call(self, step: Callable[[Front], Coroutine[Any, Any, T]]) -> T:
        front, loop = self._front, self._loop
        if front is None or loop is None:
            raise InvalidError("the server is not running", kind="closed")
        return asyncio.run_coroutine_threadsafe(step(front), loop).result()

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
