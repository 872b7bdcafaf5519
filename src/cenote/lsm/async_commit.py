"""Waiting for durability, and for room, on an event loop.

Owns: gathering who waits in one turn of a loop, having one thread put for all of them.
Does not own: the put (`cenote.lsm.writer`).

Each loop has a `_Turns`. Who waits first has the loop call it back when the turn is over; then
everything up to the greatest number waited for is committed at once: in the loop itself when the
log's store answers at once, else in a thread, while the next ones gather.

Invariants:
1. A task that is cancelled stops waiting, and nothing else: what it wrote stays written.
2. Everybody who waits is told, whatever the commit raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

from cenote.errors import Error, UnavailableError
from cenote.lsm.admission import STALL_SECONDS
from cenote.lsm.writer import Writer
from cenote.objstore import MemoryStore

__all__ = ["Commits"]

_INTERRUPTED: Final = "the commit was interrupted; the write is seen, and is tried again"


class Commits:
    """Who waits for a writer, on any number of event loops. Thread-safe."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        # A memtable takes a while to encode: without a log, nothing is done in the loop.
        place = writer.place
        self.inline = writer.settings.wal_enabled and isinstance(place.wal_store, MemoryStore)
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()

    async def durable(self, seq: int) -> None:
        """Return when all up to `seq` is durable. Raises as `Writer.commit`."""
        if self.writer.durable_seq >= seq:
            return
        loop = asyncio.get_running_loop()
        turns = self._turns.get(loop)
        if turns is None:
            turns = self._turns[loop] = _Turns(self, loop)
        await turns.wait(seq)

    async def relieved(self) -> None:
        """Return when writes are admitted again. Raises UnavailableError when that fails."""
        writer = self.writer
        if not writer.background:
            await asyncio.to_thread(writer.relieve)
            return
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def told(error: UnavailableError | None) -> None:
            _tell_from_thread(loop, lambda: _settle(waiting, error))

        writer.when_relieved(told)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await waiting
        except TimeoutError as error:
            raise UnavailableError(
                "memtables are full, and level 0 is",
                kind="stalled",
                hint="is there a compactor?",
            ) from error


class _Turns:
    """Who waits on one loop. Only used on its thread."""

    def __init__(self, commits: Commits, loop: asyncio.AbstractEventLoop) -> None:
        self._commits = commits
        self._loop = loop
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._busy = False

    async def wait(self, seq: int) -> None:
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((seq, waiting))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._commit)
        await waiting

    def _commit(self) -> None:
        writer = self._commits.writer
        seq = max((seq for seq, waiting in self._waiting if not waiting.done()), default=None)
        if seq is None:  # all were cancelled
            self._waiting.clear()
            self._busy = False
            return
        if not self._commits.inline:
            work = self._loop.run_in_executor(None, writer.commit, seq)
            work.add_done_callback(lambda done: self._ended(seq, _error_of(done)))
            return
        error: BaseException | None = UnavailableError(_INTERRUPTED, effect_unknown=True)
        try:
            writer.commit(seq)
            error = None
        except Error as failure:
            error = failure
        finally:
            self._ended(seq, error)

    def _ended(self, seq: int, error: BaseException | None) -> None:
        told = [waiting for each, waiting in self._waiting if each <= seq]
        self._waiting = [each for each in self._waiting if each[0] > seq]
        for waiting in told:
            _settle(waiting, error)
        if self._waiting:
            self._loop.call_soon(self._commit)
        else:
            self._busy = False


def _error_of(done: asyncio.Future[None]) -> BaseException | None:
    if done.cancelled():  # the loop is shutting down
        return UnavailableError(_INTERRUPTED, effect_unknown=True)
    return done.exception()


def _settle(waiting: asyncio.Future[None], error: BaseException | None) -> None:
    if waiting.done():
        return
    if error is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(error)


def _tell_from_thread(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():  # nobody waits on a closed one
            raise
