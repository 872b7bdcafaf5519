"""A database as it was at one moment.

Owns: the handle. Does not own: what keeps old versions (the writer's pins), reading (`reads`).

A snapshot lives in this process: another process reads the past from a checkpoint.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from cenote.lsm.async_reads import AsyncReads
from cenote.lsm.head import PastSource
from cenote.lsm.reads import Reads
from cenote.lsm.source import Source

__all__ = ["AsyncSnapshot", "Snapshot"]


class _Handle:
    """What both faces have."""

    _source: Source

    def __init__(self, past: PastSource) -> None:
        self._source = self._past = past

    @property
    def seq(self) -> int:
        """The sequence number that is read: of the newest write that is seen."""
        return self._past.seq

    def close(self) -> None:
        """Let go of what it keeps. Harmless when repeated; reads raise ClosedError from then on."""
        self._past.close()

    def __repr__(self) -> str:
        state = "" if self._past.open else ", closed"
        return f"<{type(self).__name__} seq={self.seq}{state}>"


class Snapshot(_Handle, Reads):
    """Reads what was there when it was made. A context manager; thread-safe.

    >>> import cenote
    >>> with cenote.Db.open("memory://") as db:
    ...     _ = db.put(b"k", b"old")
    ...     with db.snapshot() as snapshot:
    ...         _ = db.put(b"k", b"new")
    ...         snapshot.get(b"k"), db.get(b"k")
    (b'old', b'new')
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncSnapshot(_Handle, AsyncReads):
    """Reads what was there when it was made. An asynchronous context manager.

    >>> import asyncio, cenote
    >>> async def main():
    ...     async with await cenote.AsyncDb.open("memory://") as db:
    ...         await db.put(b"k", b"old")
    ...         async with db.snapshot() as snapshot:
    ...             await db.put(b"k", b"new")
    ...             return await snapshot.get(b"k"), await db.get(b"k")
    >>> asyncio.run(main())
    (b'old', b'new')
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
