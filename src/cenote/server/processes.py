"""The server as a family of processes: workers that face the clients, and one that writes.

Owns: what each process of `--workers N` does, the sockets they share.
Does not own: keeping them alive (`cenote.fleet.Supervisor`), or what they say to each other
(`cenote.fleet`).

The parent takes the directory's lock, binds the sockets and forks. A worker accepts, checks
signatures, parses, and reads SQLite and packs itself; every change goes to the writer, whose loop
drives group commits as a single process's does. A read-only service has no writer of the
directory, but the same process for adding up figures.

Each worker has listening sockets of its own (SO_REUSEPORT), so that the kernel spreads
connections; the parent holds them too, so that those of a worker that died wait for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import uvloop

from cenote.base import Clock, Figure, Rand, Registry, exposition_of
from cenote.buckets import Store
from cenote.errors import UnsupportedError
from cenote.fleet import Child, Desk, Link, Supervisor
from cenote.server.credentials import Credentials, load_credentials
from cenote.server.front import Front, cannot_listen, settle_process, tls_context
from cenote.server.meters import Meters, watch_directory
from cenote.server.notify import notify
from cenote.server.running import Running, raise_file_limit
from cenote.server.seeds import make_buckets
from cenote.server.settings import Settings
from cenote.sqldb import Outposts, Owner, Tenure

__all__ = ["serve_processes"]

_BACKLOG: Final = 256
_REST_S: Final = 10.0


def serve_processes(
    settings: Settings, ready: Callable[[Running], None], clock: Clock, rand: Rand
) -> None:
    """Serve with `settings.workers` processes and a writer until SIGTERM or SIGINT. See `serve`.

    Requires: the main thread, and no other threads.
    """
    if sys.platform != "linux":
        raise UnsupportedError(
            "several workers need Linux: locks of open files, and the parent's death signal",
            kind="not_implemented",
        )
    tls_context(settings)  # what is wrong with it is told before anything starts
    raise_file_limit(settings)
    with contextlib.ExitStack() as stack:
        tenure = None
        if not settings.read_only:
            tenure = Tenure(settings.path, create=True)
            stack.callback(tenure.release)
        credentials = load_credentials(settings, rand)
        try:
            sockets = _bind(settings)
        except OSError as error:
            raise cannot_listen(settings, error) from error
        for group in sockets:
            for each in group:
                stack.callback(each.close)
        desk = stack.enter_context(_desk_socket())
        family = _Family(settings, credentials, tenure, sockets, desk, clock, rand)
        supervisor = Supervisor(
            family.write,
            family.work,
            settings.workers,
            clock,
            stop_timeout=settings.limits.stop_timeout + 10,
            restarting_writer=family.lose_writer,
        )
        port = int(sockets[0][0].getsockname()[1])

        def started() -> None:
            ready(Running(settings, credentials, port))
            notify("READY=1")

        def stopping() -> None:
            notify("STOPPING=1")

        supervisor.run(started, stopping)


class _Family:
    """What the children inherit, and what they do."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        tenure: Tenure | None,
        sockets: list[list[socket.socket]],
        desk: socket.socket,
        clock: Clock,
        rand: Rand,
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._tenure = tenure
        self._sockets = sockets
        self._desk = desk
        self._clock = clock
        self._rand = rand

    def lose_writer(self) -> None:
        """The next writer finds workers with what the last one gave them."""
        if self._tenure is not None:
            self._tenure.fresh = False

    # The writer.

    def write(self, child: Child) -> None:
        """Be the process that writes, until the lifeline is cut."""
        for group in self._sockets:
            for each in group:
                each.close()
        _run(self._write, child)

    async def _write(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_reader(child.lifeline, stop.set)
        store = None
        registry = Registry()
        if self._tenure is not None:
            store = Store(
                self._settings.path,
                clock=self._clock,
                rand=self._rand,
                tenure=self._tenure,
                scheduler=loop.call_soon_threadsafe,
            )
            watch_directory(registry, store.directory, self._settings.path)
            make_buckets(store, self._settings)
        desk = Desk(loop, store.directory if store is not None else None, registry.figures)
        registry.gauge("cenote_workers", "Worker processes.", lambda: len(desk.peers))
        await desk.open(self._desk)
        settle_process()
        child.ready()
        await stop.wait()
        loop.remove_reader(child.lifeline)
        await desk.close()
        if store is not None:
            await loop.run_in_executor(None, store.close)

    # A worker.

    def work(self, child: Child) -> None:
        """Be a worker, until SIGTERM."""
        for index, group in enumerate(self._sockets, 1):
            if index != child.index:
                for each in group:
                    each.close()
        _run(self._work, child)

    async def _work(self, child: Child) -> None:
        address = self._desk.getsockname()
        self._desk.close()
        meters = Meters()
        worker = _Worker(self._settings, self._tenure, meters, address)
        try:
            await worker.link.open()
            store = worker.store(self._clock, self._rand)
            front = Front(
                self._settings,
                self._credentials,
                store,
                self._clock,
                self._rand,
                tls_context(self._settings),
                meters,
            )
            try:
                front.pipeline.count = worker.count
                worker.front = front
                await front.open_on(self._sockets[child.index - 1])
                settle_process()
                child.ready()
                await worker.stop.wait()
                await front.drain(store.close)
            finally:
                front.close()
        finally:
            worker.link.close()


class _Worker:
    """A worker's tie to the writer, and what hangs on it."""

    def __init__(
        self, settings: Settings, tenure: Tenure | None, meters: Meters, address: bytes
    ) -> None:
        self._settings = settings
        self._tenure = tenure
        self._loop = asyncio.get_running_loop()
        self._outposts: Outposts | None = None
        self.front: Front | None = None
        self.stop = asyncio.Event()
        self._loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        self.link = Link(self._loop, address, meters.registry.figures, self._changed)

    def store(self, clock: Clock, rand: Rand) -> Store:
        """Open the store: over what the writer has open, or read-only by ourselves."""
        line = self.link.line
        if self._tenure is None or line is None:
            return Store(self._settings.path, read_only=True, clock=clock, rand=rand)
        self._outposts = Outposts(
            self._settings.path, line, self._tenure.generations, spool_base=os.getpid() << 40
        )
        self._rest()
        return Store(self._settings.path, buckets=self._outposts, clock=clock, rand=rand)

    def count(self, done: Callable[[str | None], None]) -> None:
        """Hand over the metrics of all processes as text, or None when they cannot be had."""
        line = self.link.line
        if line is None:
            done(None)
            return

        def counted(figures: list[Figure] | None, error: BaseException | None) -> None:
            done(None if figures is None else exposition_of(figures))

        line.figures(counted)

    def _changed(self, owner: Owner) -> None:
        if self._outposts is not None:
            self._outposts.change_owner(owner)
        if self.front is not None and not self.stop.is_set():
            self.front.pipeline.ready = self.link.line is not None

    def _rest(self) -> None:
        """Close now and then what is idle: an open file keeps the space of a removed one."""
        if self._outposts is not None:
            self._outposts.rest()
        self._loop.call_later(_REST_S, self._rest)


def _run(main: Callable[[Child], Coroutine[Any, Any, None]], child: Child) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(child))


def _desk_socket() -> socket.socket:
    """Make the socket workers find the writer at: an abstract address the kernel chooses.

    It leaves nothing in the file system. Any process may knock: the desk looks whose it is.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    listening.bind("")
    listening.listen(_BACKLOG)
    return listening


def _bind(settings: Settings) -> list[list[socket.socket]]:
    """Bind sockets of its own for each worker, all on one port. Raises OSError."""
    found = socket.getaddrinfo(
        settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    places = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    if settings.port:
        for family, address in places:
            # With SO_REUSEPORT a second server would share our port, and half of our clients.
            _bound(family, address, shared=False).close()
    port = settings.port
    groups: list[list[socket.socket]] = []
    for _ in range(settings.workers):
        group: list[socket.socket] = []
        groups.append(group)
        for family, (host, _, *rest) in places:
            group.append(_bound(family, (host, port, *rest), shared=True))
            port = port or int(group[0].getsockname()[1])
    return groups


def _bound(family: int, address: tuple[Any, ...], *, shared: bool) -> socket.socket:
    each = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        each.bind(address)
        if not shared:
            each.listen(1)  # else two sockets may be bound, and only one of them heard
        each.setblocking(False)
    except BaseException:
        each.close()
        raise
    return each
