"""Reading one bucket's records from its SQLite file.

Owns: every SELECT a reader needs (`IndexView`), and the snapshot that makes them agree.
Does not own: writing (`txn`).

Invariants:
1. All reads of one snapshot see the same commit.
2. Every listing is a range scan of a primary key: its cost follows what it returns.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

import apsw

from cenote.errors import DataError
from cenote.ports import (
    BucketRecord,
    Extent,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    PartRecord,
    UploadRecord,
)
from cenote.sqldb.faults import translate
from cenote.sqldb.pool import Pool
from cenote.sqldb.rows import (
    OBJECT_COLUMNS,
    PART_COLUMNS,
    SUMMARY_COLUMNS,
    UPLOAD_COLUMNS,
    object_of,
    part_of,
    summary_of,
    upload_of,
    valued_object_of,
)
from cenote.sqldb.runs import Run, load_runs

__all__ = ["OBJECT_VALUE", "Snapshot", "View"]

_OBJECT: Final = f"SELECT {OBJECT_COLUMNS} FROM object WHERE key=?"
# A correlated sub-select costs 4 us where the LEFT JOIN costs 12.
OBJECT_VALUE: Final = (
    f"SELECT {OBJECT_COLUMNS}, CASE WHEN o.size<=? THEN"
    " (SELECT value FROM body WHERE id=o.body) END FROM object o WHERE key=?"
)
_LIST: Final = {
    (after, bounded): f"SELECT {SUMMARY_COLUMNS} FROM object WHERE key{'>' if after else '>='}?"
    f"{' AND key<?' if bounded else ''} ORDER BY key LIMIT ?"
    for after in (False, True)
    for bounded in (False, True)
}
_UPLOADS: Final = {
    bounded: f"SELECT {UPLOAD_COLUMNS} FROM upload WHERE (key, upload_id)>(?,?)"
    f"{' AND key<?' if bounded else ''} ORDER BY key, upload_id LIMIT ?"
    for bounded in (False, True)
}
_CELL: Final = "SELECT value FROM cell WHERE space=? AND key=?"
_CELLS: Final = {
    (bounded, reverse): "SELECT key, value FROM cell WHERE space=? AND key>=?"
    f"{' AND key<?' if bounded else ''} ORDER BY key{' DESC' if reverse else ''} LIMIT ?"
    for bounded in (False, True)
    for reverse in (False, True)
}
_SQL_INT_MAX: Final = (1 << 63) - 1

Execute = Callable[..., apsw.Cursor]


class View:
    """`IndexView` over one connection's cursor. `name` is the bucket's, from its file's name."""

    __slots__ = ("_execute", "_name")

    def __init__(self, execute: Execute, name: str) -> None:
        self._execute = execute
        self._name = name

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[Any]:
        try:
            return self._execute(sql, bindings).fetchall()
        except apsw.Error as error:
            raise translate(error, f"reading bucket {self._name}") from error

    def bucket(self) -> BucketRecord:
        rows = self._rows("SELECT created_ms, region, owner, inline_max FROM bucket")
        if len(rows) != 1:
            raise DataError(f"bucket file {self._name} has {len(rows)} bucket rows")
        return BucketRecord(self._name, *rows[0])

    def object(self, key: str) -> ObjectRecord | None:
        rows = self._rows(_OBJECT, (key,))
        return object_of(key, rows[0]) if rows else None

    def object_value(self, key: str, size_max: int) -> tuple[ObjectRecord, bytes | None] | None:
        rows = self._rows(OBJECT_VALUE, (size_max, key))
        if not rows:
            return None
        return valued_object_of(key, rows[0])

    def objects(
        self, start: str, end: str | None, limit: int, *, after: bool = False
    ) -> list[ObjectSummary]:
        bindings = (start, limit) if end is None else (start, end, limit)
        return [summary_of(row) for row in self._rows(_LIST[after, end is not None], bindings)]

    def is_empty(self) -> bool:
        if self._rows("SELECT 1 FROM object LIMIT 1"):
            return False
        return not self.cells("tables", b"", None, 1)

    def upload(self, upload_id: str) -> UploadRecord | None:
        rows = self._rows(f"SELECT {UPLOAD_COLUMNS} FROM upload WHERE upload_id=?", (upload_id,))
        return upload_of(rows[0]) if rows else None

    def uploads(self, start: tuple[str, str], end: str | None, limit: int) -> list[UploadRecord]:
        bindings = (*start, limit) if end is None else (*start, end, limit)
        return [upload_of(row) for row in self._rows(_UPLOADS[end is not None], bindings)]

    def part(self, upload_id: str, number: int) -> PartRecord | None:
        rows = self._rows(
            f"SELECT {PART_COLUMNS} FROM part WHERE upload_id=? AND number=?", (upload_id, number)
        )
        return part_of(rows[0]) if rows else None

    def parts(self, upload_id: str, after: int, limit: int | None) -> list[PartRecord]:
        rows = self._rows(
            f"SELECT {PART_COLUMNS} FROM part WHERE upload_id=? AND number>?"
            " ORDER BY number LIMIT ?",
            (upload_id, after, _SQL_INT_MAX if limit is None else limit),
        )
        return [part_of(row) for row in rows]

    def marks(self, body: int, after: int, limit: int) -> list[PartMark]:
        rows = self._rows(
            "SELECT number, offset, size, checksum FROM mark WHERE body=? AND number>?"
            " ORDER BY number LIMIT ?",
            (body, after, limit),
        )
        return [PartMark(*row) for row in rows]

    def extents(self, body: int) -> list[Extent]:
        return [
            Extent(run.pack, run.offset if run.pack else run.body, run.size, run.crc)
            for run in self.runs(body)
        ]

    def cell(self, space: str, key: bytes) -> bytes | None:
        rows = self._cells(_CELL, (space, key))
        return rows[0][0] if rows else None

    def cells(
        self, space: str, start: bytes, end: bytes | None, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        bounds = (space, start) if end is None else (space, start, end)
        return self._cells(_CELLS[end is not None, reverse], (*bounds, limit))

    def cells_use(self, space: str) -> tuple[int, int]:
        rows = self._cells(
            "SELECT count(*), coalesce(sum(length(key) + length(value)), 0) FROM cell"
            " WHERE space=?",
            (space,),
        )
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def _cells(self, sql: str, bindings: tuple[Any, ...]) -> list[Any]:
        try:
            return self._execute(sql, bindings).fetchall()
        except apsw.SQLError as error:
            if "no such table: cell" in str(error):  # made with the first cell
                return []
            raise translate(error, f"reading bucket {self._name}") from error
        except apsw.Error as error:
            raise translate(error, f"reading bucket {self._name}") from error

    def runs(self, body: int) -> tuple[Run, ...]:
        """Return the body's runs in order, each with the body that owns it."""
        return load_runs(self._rows, body)


class Snapshot:
    """A context manager around one read transaction. Not reusable at the same time twice."""

    __slots__ = ("_name", "_pool", "_reader")

    def __init__(self, pool: Pool, name: str) -> None:
        self._pool = pool
        self._name = name

    def __enter__(self) -> View:
        reader = self._reader = self._pool.acquire()
        try:
            reader.execute("BEGIN")
        except apsw.Error as error:
            self._pool.release(reader)
            raise translate(error, f"reading bucket {self._name}") from error
        return View(reader.execute, self._name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        reader = self._reader
        if reader.connection.in_transaction:
            reader.execute("ROLLBACK")
        self._pool.release(reader)
