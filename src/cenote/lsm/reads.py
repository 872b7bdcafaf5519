"""Reading without an event loop: what databases, snapshots, transactions and readers share.

Owns: the calls. Does not own: what is read (`source`), how a scan is gone through (`db_scan`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar, overload

from cenote.lsm.db_scan import Scan
from cenote.lsm.entry import Entry
from cenote.lsm.plan import PENDING, run
from cenote.lsm.source import ScanOptions, Source, range_of

__all__ = ["Reads"]

T = TypeVar("T")


class Reads:
    """Something to read. `key in db`, `db.get(key)`, `for key, value in db.scan()`."""

    _source: Source

    @overload
    def get(
        self, key: bytes, default: None = None, *, durable_only: bool = False
    ) -> bytes | None: ...

    @overload
    def get(self, key: bytes, default: T, *, durable_only: bool = False) -> bytes | T: ...

    def get(
        self, key: bytes, default: T | None = None, *, durable_only: bool = False
    ) -> bytes | T | None:
        """Return the value of `key`, or `default`.

        `durable_only`: what is not durable yet is not seen.
        Raises TypeError, InvalidError, ClosedError, DataError, UnavailableError, and what the merge
        operator raises.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.get(b"k"), db.get(b"none"), db.get(b"none", b"-")
        (b'v', None, b'-')
        """
        source = self._source
        row = source.find(key, durable_only)
        if row is PENDING:
            row = run(source.store, source.find_plan(key, durable_only))
        return default if row is None else row[1]

    def entry(self, key: bytes, *, durable_only: bool = False) -> Entry | None:
        """Return the row of `key`: its value, sequence number and times; None if there is none.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v", expire_at_ms=9_999_999_999_999)
        ...     row = db.entry(b"k")
        ...     row.seq, row.value, row.expire_ts
        (1, b'v', 9999999999999)
        """
        source = self._source
        row = source.find(key, durable_only)
        if row is PENDING:
            row = run(source.store, source.find_plan(key, durable_only))
        return None if row is None else Entry(*row)

    def get_many(self, keys: Iterable[bytes], *, durable_only: bool = False) -> list[bytes | None]:
        """Return the value of each key, None where there is none. Fetches for all together.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.put(b"k", b"v")
        ...     db.get_many([b"none", b"k"])
        [None, b'v']
        """
        source = self._source
        rows = run(source.store, source.find_many(list(keys), durable_only))
        return [None if row is None else row[1] for row in rows]

    def __contains__(self, key: bytes) -> bool:
        """Tell whether there is a value: `key in db`."""
        return self.entry(key) is not None

    def __iter__(self) -> None:
        """Refuse `for key in db`: say which rows with `scan`."""
        raise TypeError("iterate over db.scan()")

    def scan(
        self,
        start: bytes | None = None,
        end: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        durable_only: bool = False,
        cache_blocks: bool = True,
        readahead: int | None = None,
    ) -> Scan:
        """Return the keys start <= key < end and their values, in order or in reverse.

        `prefix`: only keys that begin with it. `readahead`: how many bytes are asked for at once
        when some were read; `cache_blocks`: whether what was fetched is kept in memory.
        The scan reads the moment it was begun at, whatever is written meanwhile.
        Raises TypeError, InvalidError, ClosedError; what reading raises comes as it is read.

        >>> import cenote
        >>> with cenote.Db.open("memory://") as db:
        ...     _ = db.write(cenote.WriteBatch().put(b"a1", b"").put(b"a2", b"").put(b"b", b""))
        ...     [key for key, _ in db.scan(prefix=b"a", reverse=True)]
        [b'a2', b'a1']
        """
        low, high = range_of(start, end, prefix)
        options = ScanOptions(reverse, durable_only, cache_blocks, readahead)
        return Scan(self._source.store, self._source.walk(low, high, options))
