"""The writer's end: every worker's changes into one queue, every answer back.

Owns: the workers' connections, the regions they were given, adding up figures.
Does not own: the directory, whose commits the same loop drives (`sqldb.commit`).

Changes of one read of a socket are in one group commit at the latest with those of the next; its
results go back in one write per worker.

Invariants:
1. A region that was given out is stored by a commit, given back by its worker, or given back here
   when its worker is gone: a change that names another region is refused.
2. While a change with a region is under way the region belongs to the change, whoever dies.
3. Only processes of our own user are heard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from cenote.base import Figure, sum_figures
from cenote.buckets import changes
from cenote.errors import DataError, DeniedError, Error, UnavailableError
from cenote.fleet.faults import fault_of
from cenote.fleet.messages import (
    Ask,
    Commit,
    Create,
    Delete,
    Failed,
    Frames,
    GiveBack,
    Hello,
    Reserve,
    Result,
    Tell,
    Told,
    Welcome,
    decode_for_writer,
    frame_of,
)
from cenote.ports import Extent
from cenote.sqldb import Directory
from cenote.tables import BindChange, ExpireChange, PutWithItems, TableChange

__all__ = ["Desk"]

_log = logging.getLogger("cenote.fleet")
_THREADS: Final = 4
_PATIENCE_S: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")

Region = tuple[str, int, int]  # bucket, pack, offset of the bytes


class Desk:
    """Where workers come with their changes. `directory` None: a read-only service has none."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        directory: Directory | None,
        figures: Callable[[], list[Figure]],
    ) -> None:
        self.loop = loop
        self.figures = figures
        self.peers: set[Peer] = set()
        self.retired: list[Figure] = []
        self._directory = directory
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="cenote-desk")
        self._server: asyncio.AbstractServer | None = None
        self._counts: dict[int, _Count] = {}
        self._asked = 0
        self._closed = False

    async def open(self, listening: socket.socket) -> None:
        """Hear workers."""
        self._server = await self.loop.create_unix_server(lambda: Peer(self), sock=listening)

    async def close(self) -> None:
        """Hear no more, and wait for what is under way on threads."""
        if self._server is not None:
            self._server.close()
        for peer in tuple(self.peers):
            peer.hang_up()
        self._closed = True
        await self.loop.run_in_executor(None, self._threads.shutdown)

    @property
    def directory(self) -> Directory:
        """The directory. Raises DeniedError(kind="read_only") when there is none."""
        if self._directory is None:
            raise DeniedError("the server is read-only", kind="read_only")
        return self._directory

    def on_thread(self, job: Callable[[], Any], done: Callable[[Any, Any], None]) -> None:
        """Run `job` on a thread, and `done(result, error)` on the loop. At the end: neither."""
        if self._closed:
            return

        def work() -> None:
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001 - the supervisor: reported, never lost
                self.loop.call_soon_threadsafe(done, None, error)
            else:
                self.loop.call_soon_threadsafe(done, result, None)

        self._threads.submit(work)

    def give_back(self, regions: dict[Region, Extent], broken: bool = False) -> None:
        """Give regions back, on a thread."""

        def job() -> None:
            for (bucket, _, _), extent in regions.items():
                self.directory.open(bucket).bodies.give_back(extent, broken=broken)

        def done(result: Any, error: BaseException | None) -> None:
            if error is not None and not isinstance(error, Error):
                _log.error("a region could not be given back", exc_info=error)

        if regions:
            self.on_thread(job, done)

    # Figures.

    def count(self, done: Callable[[list[Figure]], None]) -> None:
        """Add up the figures of all; whoever is slow counts as it was last told."""
        self._asked += 1
        count = self._counts[self._asked] = _Count(self, set(self.peers), done)
        for peer in self.peers:
            peer.send(Tell(self._asked))
        count.timer = self.loop.call_later(_PATIENCE_S, count.finish)
        count.finish_when_told()

    def told(self, number: int, peer: Peer) -> None:
        """A worker has told its figures."""
        count = self._counts.get(number)
        if count is not None:
            count.missing.discard(peer)
            count.finish_when_told()

    def forget_count(self, count: _Count) -> None:
        """A count is over."""
        self._counts = {n: c for n, c in self._counts.items() if c is not count}

    def leave(self, peer: Peer) -> None:
        """A worker is gone: keep what it counted, for sums must not go down."""
        self.peers.discard(peer)
        counted = [f for f in peer.figures if f.kind != "gauge"]
        self.retired = sum_figures([self.retired, counted])
        if self._directory is not None:
            directory = self._directory
            self.on_thread(lambda: directory.sweep_spools(peer.pid), _ignore)
        for count in tuple(self._counts.values()):
            count.missing.discard(peer)
            count.finish_when_told()


def _ignore(result: Any, error: BaseException | None) -> None:
    pass


class _Count:
    """One adding up under way."""

    def __init__(self, desk: Desk, missing: set[Peer], done: Callable[[list[Figure]], None]):
        self._desk = desk
        self._done = done
        self.missing = missing
        self.timer: asyncio.TimerHandle | None = None

    def finish_when_told(self) -> None:
        if not self.missing:
            self.finish()

    def finish(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self._desk.forget_count(self)
        peers = [peer.figures for peer in self._desk.peers]
        self._done(sum_figures([*peers, self._desk.retired, self._desk.figures()]))


class Peer(asyncio.Protocol):
    """One worker's connection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._flushing = False
        self._regions: dict[Region, Extent] = {}
        self._gone = False
        self.pid = 0
        self.figures: list[Figure] = []

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is."""
        self._transport = cast(asyncio.Transport, transport)
        channel = transport.get_extra_info("socket")
        raw = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid, user, _ = _CREDENTIALS.unpack(raw)
        if user != os.getuid():
            _log.error("process %d of user %d came to the writer, and was sent away", *raw[:2])
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take requests in."""
        try:
            for frame in self._frames.feed(data):
                self._receive(decode_for_writer(frame))
        except (msgspec.MsgspecError, DataError) as error:
            _log.error("worker %d sent what is no message: %s", self.pid, error)
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        """The worker is gone: so are its claims."""
        self._gone = True
        self._desk.leave(self)
        regions, self._regions = self._regions, {}
        self._desk.give_back(regions)

    def hang_up(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, message: Struct) -> None:
        """Send a message with the others of this round."""
        self._out.append(frame_of(message))
        if not self._flushing:
            self._flushing = True
            self._desk.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        out, self._out = self._out, []
        if self._transport is not None and not self._gone:
            self._transport.writelines(out)

    # Requests.

    def _receive(self, message: Struct) -> None:
        match message:
            case Commit():
                self._commit(message)
            case Reserve():
                self._reserve(message)
            case GiveBack():
                self._take_back(message)
            case Create():
                record = message.record
                self._run(message.id, lambda: self._desk.directory.create(record))
            case Delete():
                name, decide = message.bucket, message.decide
                self._run(message.id, lambda: self._delete(name, decide))
            case Ask():
                number = message.id
                self._desk.count(lambda figures: self.send(Result(number, figures)))
            case Told():
                self.figures = message.figures
                self._desk.told(message.id, self)
            case Hello():
                self._desk.peers.add(self)
                self.send(Welcome())

    def _commit(self, message: Commit) -> None:
        change = message.change
        staged = None
        if isinstance(change, PutWithItems):
            staged = change.put.staged
        elif not isinstance(change, TableChange | ExpireChange | BindChange):
            staged = changes.staged_of(change)
        claimed: dict[Region, Extent] = {}
        try:
            bucket = self._desk.directory.open(message.bucket)
            if staged is not None and staged.extents:
                claimed = self._claim(message.bucket, staged.extents)
            bucket.index.submit(change, partial(self._committed, message.id, claimed))
        except Exception as error:  # noqa: BLE001 - the supervisor: answered, and logged there
            self._regions.update(claimed)
            self._answer(message.id, None, error)

    def _claim(self, bucket: str, extents: tuple[Extent, ...]) -> dict[Region, Extent]:
        claimed: dict[Region, Extent] = {}
        for extent in extents:
            if extent.pack <= 0:
                continue
            region = (bucket, extent.pack, extent.offset)
            given = self._regions.get(region)
            if given is None or given.size != extent.size:
                raise UnavailableError("the space for the body was lost", kind="writer_away")
            claimed[region] = given
        for region in claimed:
            del self._regions[region]
        return claimed

    def _committed(
        self,
        number: int,
        claimed: dict[Region, Extent],
        result: Any,
        error: BaseException | None,
    ) -> None:
        if error is not None and claimed:
            if self._gone:
                self._desk.give_back(claimed)
            else:
                self._regions.update(claimed)
        self._answer(number, result, error)

    def _answer(self, number: int, result: Any, error: BaseException | None) -> None:
        if self._gone:
            return
        if error is None:
            self.send(Result(number, result))
            return
        if not isinstance(error, Error):
            _log.error("unforeseen fault", exc_info=error)
        self.send(Failed(number, fault_of(error)))

    def _run(self, number: int, job: Callable[[], object]) -> None:
        def nothing() -> None:
            job()

        self._desk.on_thread(nothing, partial(self._answer, number))

    def _delete(self, name: str, decide: changes.AnyChange) -> None:
        self._desk.directory.delete(name, cast(Any, decide))

    def _reserve(self, message: Reserve) -> None:
        name = message.bucket

        def job() -> Extent:
            return self._desk.directory.open(name).bodies.reserve(message.size)

        def done(extent: Extent | None, error: BaseException | None) -> None:
            if extent is None:
                self._answer(message.id, None, error)
                return
            regions = {(name, extent.pack, extent.offset): extent}
            if self._gone:
                self._desk.give_back(regions)
            else:
                self._regions.update(regions)
                self.send(Result(message.id, (extent.pack, extent.offset)))

        self._desk.on_thread(job, done)

    def _take_back(self, message: GiveBack) -> None:
        extent = message.extent
        region = (message.bucket, extent.pack, extent.offset)
        given = self._regions.pop(region, None)
        if given is not None:
            self._desk.give_back({region: given}, message.broken)
