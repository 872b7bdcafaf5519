"""What a write returns: its number, and a way to wait until it is durable.

Owns: the handles of both faces. Does not own: how it is made durable (`cenote.lsm.writer`).
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from cenote.errors import Error, UnavailableError
from cenote.lsm.writer import Writer

if TYPE_CHECKING:
    from cenote.lsm.async_commit import Commits

__all__ = ["AsyncWritten", "Written"]


class _Handle:
    __slots__ = ("_writer", "created_ms", "seq")

    def __init__(self, writer: Writer, seq: int, created_ms: int) -> None:
        self._writer = writer
        self.seq = seq
        self.created_ms = created_ms

    @property
    def is_durable(self) -> bool:
        """Whether it outlives this process and this machine."""
        return self._writer.durable_seq >= self.seq

    def __repr__(self) -> str:
        return f"<{type(self).__name__} seq={self.seq} created_ms={self.created_ms}>"


class Written(_Handle):
    """A write that was taken, and is seen: `seq` its number, `created_ms` its time.

    >>> import cenote
    >>> with cenote.Db.open("memory://") as db:
    ...     written = db.put(b"k", b"v", durable=False)
    ...     written.wait()
    ...     written.seq, written.is_durable
    (1, True)
    """

    __slots__ = ()

    def wait(self, timeout: float | None = None) -> None:
        """Return when it is durable, doing what is needed for it.

        With `timeout` in seconds, somebody else does it: the database's own thread, when its
        interval is over. Raises ClosedError; UnavailableError: it is seen, it may be durable, and
        it will be tried again; the kind is "timeout" when the time was up.
        """
        writer = self._writer
        if timeout is None or not writer.background:
            writer.commit(self.seq)
            return
        ended = threading.Event()
        found: list[Error] = []

        def told(error: Error | None) -> None:
            if error is not None:
                found.append(error)
            ended.set()

        writer.when_durable(self.seq, told)
        if not ended.wait(timeout):
            raise _timed_out(timeout)
        if found:
            raise found[0]


class AsyncWritten(_Handle):
    """A write that was taken, and is seen: `seq` its number, `created_ms` its time.

    >>> import asyncio, cenote
    >>> async def main():
    ...     async with await cenote.AsyncDb.open("memory://") as db:
    ...         written = await db.put(b"k", b"v", durable=False)
    ...         await written.wait()
    ...         return written.seq, written.is_durable
    >>> asyncio.run(main())
    (1, True)
    """

    __slots__ = ("_commits",)

    def __init__(self, commits: Commits, seq: int, created_ms: int) -> None:
        self._writer = commits.writer
        self.seq = seq
        self.created_ms = created_ms
        self._commits = commits

    async def wait(self, timeout: float | None = None) -> None:
        """Return when it is durable; all who wait in one turn of the loop share one put.

        Cancellation: it is seen, and becomes durable with the next commit or the interval.
        Raises ClosedError; UnavailableError: it is seen, may be durable, and is tried again; the
        kind is "timeout" when the time, in seconds, was up.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._commits.durable(self.seq)
        except TimeoutError as error:
            raise _timed_out(timeout) from error


def _timed_out(timeout: float | None) -> UnavailableError:
    return UnavailableError(
        f"it is not durable after {timeout or 0:g} s", kind="timeout", effect_unknown=True
    )
