"""Connections to one bucket's file: many readers, one writer.

Owns: how connections are opened, their settings, and the stack of idle readers.
Does not own: who may write when (`commit`), or the statements.

Invariants:
1. A connection is used by one thread at a time; which thread does not matter.
2. Readers cannot write (`query_only`), writers commit with `synchronous=FULL`.
3. With `keep_log` no connection's end copies the log back or removes it: other processes use it,
   and SQLite would remove it by name, though another bucket may have the name by then.
4. `rest` closes what is idle; the next use opens it again. So thousands of buckets need few files.

Why a stack and not one connection a thread: the number open follows what is really concurrent, and
the one used last has the warmest cache.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import apsw

from cenote.errors import ClosedError, NotFoundError
from cenote.sqldb.faults import translate
from cenote.sqldb.schema import require_version

__all__ = ["Pool", "Reader"]

IDLE_MAX: Final = 4
_READ_CACHE_KIB: Final = 2048
_WRITE_CACHE_KIB: Final = 8192
_BUSY_MS: Final = 10_000
_WAL_KEEP: Final = 16 << 20


class Reader:
    """A reading connection with its cursor. `execute` is the cursor's."""

    __slots__ = ("connection", "execute")

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.execute = connection.cursor().execute

    def one(self, sql: str, bindings: tuple[Any, ...] = ()) -> Any:
        """Return the first row, or None."""
        rows = self.execute(sql, bindings).fetchall()
        return rows[0] if rows else None


class Pool:
    """The connections to the file at `path`. Thread-safe."""

    def __init__(self, path: Path, *, read_only: bool = False, keep_log: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.keep_log = keep_log
        self._idle: list[Reader] = []
        self._idle_max = IDLE_MAX
        self._closed = False
        self._dropped = False

    def acquire(self) -> Reader:
        """Take a reader, opening one when none is idle. Cost: 0.2 us when one is.

        Raises ClosedError after close, NotFoundError when the file is gone.
        """
        try:
            return self._idle.pop()
        except IndexError:
            return self._open_reader()

    def release(self, reader: Reader) -> None:
        """Give a reader back, outside any transaction."""
        if self._closed or len(self._idle) >= self._idle_max:
            if self._dropped:
                reader.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            reader.connection.close()
        else:
            self._idle.append(reader)

    def reading(self) -> _Reading:
        """Return a context manager that takes a reader for a block, without a transaction."""
        return _Reading(self)

    def writer(self) -> apsw.Connection:
        """Open a writing connection. The caller closes it.

        Raises: as `acquire`, and FormatVersionError when the file's version is not known.
        """
        connection = self._connect(apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.set_busy_timeout(_BUSY_MS)
            require_version(connection, str(self.path), migrate=True)
            connection.pragma("synchronous", "FULL")
            connection.pragma("cache_size", -_WRITE_CACHE_KIB)
            connection.pragma("journal_size_limit", _WAL_KEEP)
            connection.pragma("wal_autocheckpoint", 0)
            connection.pragma("foreign_keys", 0)
        except BaseException:
            connection.close()
            raise
        return connection

    def retire(self) -> None:
        """Close every reader as soon as it is idle, from now on; who still asks is served."""
        self._idle_max = 0
        self.rest()

    def rest(self) -> None:
        """Close every idle reader."""
        while True:
            try:
                reader = self._idle.pop()
            except IndexError:
                return
            reader.connection.close()

    def close(self, *, dropped: bool = False) -> None:
        """Close idle readers, and each of the others when it is given back.

        `dropped`: the bucket was deleted; later callers are told so.
        """
        self._dropped = dropped
        self._closed = True
        self.rest()

    def _open_reader(self) -> Reader:
        if self.read_only:
            connection = self._connect(apsw.SQLITE_OPEN_READONLY)
        else:
            connection = self._connect(apsw.SQLITE_OPEN_READWRITE)
        try:
            if not self.read_only:
                connection.pragma("query_only", 1)
            connection.set_busy_timeout(_BUSY_MS)
            connection.pragma("cache_size", -_READ_CACHE_KIB)
            require_version(connection, str(self.path), migrate=False)
        except apsw.Error as error:
            connection.close()
            if self._dropped or not self.path.exists():
                # It was moved away between being opened and being read.
                raise NotFoundError(
                    f"bucket file {self.path} is gone", kind="no_such_bucket"
                ) from error
            raise translate(error, f"opening {self.path}") from error
        except BaseException:
            connection.close()
            raise
        return Reader(connection)

    def _connect(self, mode: int) -> apsw.Connection:
        if self._dropped:
            raise NotFoundError(f"{self.path} was deleted", kind="no_such_bucket")
        if self._closed:
            raise ClosedError(f"bucket file {self.path} is closed")
        flags = mode | apsw.SQLITE_OPEN_NOMUTEX | apsw.SQLITE_OPEN_URI
        # A colon or a question mark may stand in the directory's name.
        name = f"file:{quote(str(self.path.absolute()))}"
        if mode == apsw.SQLITE_OPEN_READONLY and self._is_still():
            name += "?immutable=1"
        try:
            connection = apsw.Connection(name, flags=flags, statementcachesize=128)
            if self.keep_log:
                connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            return connection
        except apsw.CantOpenError as error:
            if not self.path.exists():
                raise NotFoundError(
                    f"bucket file {self.path} is gone", kind="no_such_bucket"
                ) from error
            raise translate(error, f"opening {self.path}") from error

    def _is_still(self) -> bool:
        """Tell whether nobody can be writing: the medium is read-only and no log lies there."""
        wal = self.path.with_name(self.path.name + "-wal")
        if wal.exists():
            return False
        return not os.access(self.path.parent, os.W_OK)


class _Reading:
    __slots__ = ("_pool", "_reader")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> Reader:
        self._reader = self._pool.acquire()
        return self._reader

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.release(self._reader)
