"""The requests a server had, as a table to ask by SQL.

Owns: the table `requests`, a row per request that is over, in the order they ended.

Columns: number, time_ms, method, target, operation, bucket, key, status, code, bytes_in,
bytes_out, fault. `operation` is S3's or DynamoDB's name, `bucket` the table for the latter, `code`
the error's, `fault` the kind of the fault rule that the request met.

Invariants:
1. Whoever has an answer finds its request in the table.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import Any, NamedTuple

__all__ = ["LoggedRequest", "RequestLog"]

_TABLE = """
CREATE TABLE requests(
  number INTEGER PRIMARY KEY, time_ms INTEGER, method TEXT, target TEXT, operation TEXT,
  bucket TEXT, key TEXT, status INTEGER, code TEXT, bytes_in INTEGER, bytes_out INTEGER, fault TEXT
)
"""


class LoggedRequest(NamedTuple):
    """A row, but for its number."""

    time_ms: int
    method: str
    target: str
    operation: str
    bucket: str
    key: str
    status: int
    code: str | None
    bytes_in: int
    bytes_out: int
    fault: str | None


class RequestLog:
    """The table, in memory. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: list[LoggedRequest] = []
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(_TABLE)

    def note(self, request: LoggedRequest) -> None:
        """Add a row. Cheap: it is written when somebody asks."""
        self._new.append(request)

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return what a SELECT finds. Raises sqlite3.Error."""
        with self._lock:
            new, self._new = self._new, []
            self._database.executemany(
                "INSERT INTO requests(time_ms, method, target, operation, bucket, key, status,"
                " code, bytes_in, bytes_out, fault) VALUES(?,?,?,?,?,?,?,?,?,?,?)",
                new,
            )
            return self._database.execute(statement, parameters).fetchall()

    def operations(self) -> list[str]:
        """Return the names of the operations, in the order they ended."""
        return [name for (name,) in self.sql("SELECT operation FROM requests ORDER BY number")]

    def clear(self) -> None:
        """Forget all requests."""
        self.sql("SELECT 1")
        with self._lock:
            self._database.execute("DELETE FROM requests")

    def close(self) -> None:
        """Give the table up."""
        self._database.close()
