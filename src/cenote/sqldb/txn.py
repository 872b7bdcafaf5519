"""Writing one bucket's records: the transaction a change runs in.

Owns: every INSERT, UPDATE and DELETE; reference counts; what becomes free.
Does not own: BEGIN and COMMIT (`commit`), or giving space back (`reclaim`).

References are summed up while a change runs and settled at its end, so that moving ten thousand
parts into an object touches no count at all.

Invariants:
1. A body's references are the objects and parts that name it and the joined bodies it is a run of.
   At the end of a change no body has none.
2. Dropping the last reference writes `freed` rows in the same commit, except for an inline value
   that no lease can be reading: up to `EAGER_MAX` bytes and never shared, it is deleted at once.
3. Body ids come from a counter that only grows; ids of a failed commit are skipped or given to
   bodies nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import apsw

from cenote.errors import DataError, InvalidError, NotFoundError
from cenote.ports import (
    EMPTY_BODY,
    BucketRecord,
    ObjectRecord,
    PartMark,
    PartRecord,
    StagedBody,
    UploadRecord,
)
from cenote.sqldb.rows import object_row, part_row, signed, upload_row
from cenote.sqldb.runs import Run
from cenote.sqldb.schema import CELL_TABLE
from cenote.sqldb.view import View

__all__ = ["EAGER_MAX", "SPOOL", "Txn"]

T = TypeVar("T")
EAGER_MAX: Final = 256 << 10
SPOOL: Final = -1  # the `pack` of a staged body that waits in a file to become an inline value
_ID_BLOCK: Final = 4096

_PUT_OBJECT: Final = f"INSERT OR REPLACE INTO object VALUES({','.join('?' * 15)})"
_PUT_BODY: Final = "INSERT INTO body VALUES(?,?,?)"
_PUT_EXTENT: Final = "INSERT INTO extent VALUES(?,?,?,?,?,?)"
_PUT_UPLOAD: Final = f"INSERT INTO upload VALUES({','.join('?' * 10)})"
_PUT_PART: Final = f"INSERT OR REPLACE INTO part VALUES({','.join('?' * 9)})"
_PUT_CELL: Final = "INSERT OR REPLACE INTO cell VALUES(?,?,?)"
_PUT_FREED: Final = "INSERT INTO freed VALUES(?,?,?,?)"

SpoolReader = Callable[[int], Any]


class Txn(View):
    """`IndexTxn` on the writing connection. One is kept and used for change after change."""

    __slots__ = (
        "_bodies_before",
        "_connection",
        "_deltas",
        "_fresh",
        "_ids_end",
        "_live",
        "_next_id",
        "_spool",
        "closing",
        "freed",
        "grows",
        "settings_changed",
        "taken",
        "wrote",
    )

    def __init__(self, connection: apsw.Connection, name: str, spool: SpoolReader) -> None:
        super().__init__(connection.cursor().execute, name)
        self._connection = connection
        self._spool = spool
        self._next_id = self._ids_end = 0
        self.start_group()

    # A group is one SQLite transaction, holding many changes.

    def start_group(self) -> None:
        """Forget what the last group did; call before its BEGIN."""
        self._ids_end = self._next_id  # the block may have been rolled back
        self._live: dict[int, int] = {}
        self.freed = False
        self.taken: list[StagedBody] = []
        self.closing = False
        self.settings_changed = False
        self._start_change()
        self.grows = True  # until a change has run, who knows

    def finish_group(self) -> None:
        """Write what is summed up over the group; call before its COMMIT."""
        for pack, delta in self._live.items():
            self._execute(
                "INSERT INTO pack VALUES(?,0,?) ON CONFLICT(id) DO UPDATE SET live=live+?",
                (pack, delta, delta),
            )

    def _start_change(self) -> None:
        self._deltas: dict[int, int] = {}
        self._fresh: dict[int, StagedBody | None] = {}
        self._bodies_before: dict[str, int | None] = {}
        self.wrote = False
        self.grows = False

    def run(self, change: Callable[[Txn], T]) -> T:
        """Run one change and settle its references.

        Raises what it raises; if `wrote` is then true, the whole group must be rolled back.
        """
        if self.closing:
            raise NotFoundError(f"bucket {self._name} was deleted", kind="no_such_bucket")
        self._start_change()
        result = change(self)
        if self._deltas or self._fresh:
            self._settle()
        return result

    # Reads that writes can use again.

    def object(self, key: str) -> ObjectRecord | None:
        record = super().object(key)
        self._bodies_before[key] = None if record is None else record.body
        return record

    # The bucket.

    def put_bucket(self, record: BucketRecord) -> None:
        self.wrote = self.settings_changed = self.grows = True
        self._execute(
            "UPDATE bucket SET name=?, created_ms=?, region=?, owner=?, inline_max=?",
            (record.name, record.created_ms, record.region, record.owner, record.inline_max),
        )

    def close_bucket(self) -> None:
        self.closing = True

    # Bodies.

    def add_body(self, staged: StagedBody) -> int:
        if not staged.size:
            return EMPTY_BODY
        body = self._new_id()
        self._fresh[body] = staged
        self.wrote = self.grows = True
        if staged.data is not None:
            self._execute(_PUT_BODY, (body, staged.size, staged.data))
        elif staged.extents and staged.extents[0].pack == SPOOL:
            self._copy_spooled(body, staged)
        elif staged.extents:
            self._execute(_PUT_BODY, (body, staged.size, None))
            for seq, extent in enumerate(staged.extents):
                self._execute(
                    _PUT_EXTENT,
                    (body, seq, extent.pack, extent.offset, extent.size, signed(extent.crc)),
                )
                self._live[extent.pack] = self._live.get(extent.pack, 0) + extent.size
            self.taken.append(staged)
        else:
            raise InvalidError("a staged body has neither data nor extents")
        return body

    def join_bodies(self, bodies: Sequence[int], marks: Sequence[PartMark]) -> int:
        leaves = [leaf for body in bodies if body for leaf in self._leaves(body)]
        if not leaves:
            return EMPTY_BODY
        body = self._new_id()
        self._fresh[body] = None
        self.wrote = self.grows = True
        self._execute(_PUT_BODY, (body, sum(size for _, size, _ in leaves), None))
        for seq, (leaf, size, is_inline) in enumerate(leaves):
            self._execute(_PUT_EXTENT, (body, seq, 0, leaf, size, None))
            self._add(leaf, 1)
            if is_inline:  # a lease may now be reading it long after: see `_release`
                self._execute("INSERT OR IGNORE INTO share VALUES(?,1)", (leaf,))
        for mark in marks:
            self._execute(
                "INSERT INTO mark VALUES(?,?,?,?,?)",
                (body, mark.number, mark.offset, mark.size, mark.checksum),
            )
        return body

    def _leaves(self, body: int) -> list[tuple[int, int, bool]]:
        children = self._rows(
            "SELECT e.offset, e.size, b.value IS NOT NULL FROM extent e JOIN body b"
            " ON b.id=e.offset WHERE e.body=? AND e.pack=0 ORDER BY e.seq",
            (body,),
        )
        if children:
            return [(leaf, size, bool(inline)) for leaf, size, inline in children]
        rows = self._rows("SELECT size, value IS NOT NULL FROM body WHERE id=?", (body,))
        if not rows:
            raise DataError(f"body {body} is missing", kind="missing_body", body=body)
        return [(body, rows[0][0], bool(rows[0][1]))]

    def _copy_spooled(self, body: int, staged: StagedBody) -> None:
        self._execute("INSERT INTO body VALUES(?,?,zeroblob(?))", (body, staged.size, staged.size))
        with (
            self._connection.blob_open("main", "body", "value", body, True) as blob,
            self._spool(staged.extents[0].offset) as file,
        ):
            while piece := file.read(1 << 20):
                blob.write(piece)
        self.taken.append(staged)

    def _new_id(self) -> int:
        if self._next_id >= self._ids_end:
            ((start,),) = self._rows(
                "UPDATE counter SET value=max(value, ?)+? WHERE name='body' RETURNING value-?",
                (self._next_id, _ID_BLOCK, _ID_BLOCK),
            )
            self._next_id = start
            self._ids_end = start + _ID_BLOCK
        body = self._next_id
        self._next_id += 1
        return body

    # Objects.

    def put_object(self, record: ObjectRecord) -> None:
        self.wrote = self.grows = True
        before = self._body_at(record.key)
        self._execute(_PUT_OBJECT, object_row(record))
        self._bodies_before[record.key] = record.body
        self._add(record.body, 1)
        if before:
            self._add(before, -1)

    def delete_object(self, key: str) -> None:
        before = self._body_at(key)
        if before is None:
            return
        self.wrote = True
        self._execute("DELETE FROM object WHERE key=?", (key,))
        self._bodies_before[key] = None
        self._add(before, -1)

    def _body_at(self, key: str) -> int | None:
        try:
            return self._bodies_before[key]
        except KeyError:
            rows = self._rows("SELECT body FROM object WHERE key=?", (key,))
            return rows[0][0] if rows else None

    # Uploads.

    def put_upload(self, record: UploadRecord) -> None:
        self.wrote = self.grows = True
        self._execute(_PUT_UPLOAD, upload_row(record))

    def delete_upload(self, upload_id: str) -> None:
        self.wrote = True
        self._execute("DELETE FROM upload WHERE upload_id=?", (upload_id,))
        for (body,) in self._rows(
            "DELETE FROM part WHERE upload_id=? RETURNING body", (upload_id,)
        ):
            self._add(body, -1)

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        self.wrote = self.grows = True
        for (before,) in self._rows(
            "SELECT body FROM part WHERE upload_id=? AND number=?", (upload_id, part.number)
        ):
            self._add(before, -1)
        self._execute(_PUT_PART, (upload_id, *part_row(part)))
        self._add(part.body, 1)

    # Cells.

    def put_cell(self, space: str, key: bytes, value: bytes) -> None:
        self.wrote = self.grows = True
        try:
            self._execute(_PUT_CELL, (space, key, value))
        except apsw.SQLError as error:
            if "no such table: cell" not in str(error):
                raise
            self._execute(CELL_TABLE)
            self._execute(_PUT_CELL, (space, key, value))

    def delete_cell(self, space: str, key: bytes) -> None:
        self._change_cells("DELETE FROM cell WHERE space=? AND key=?", (space, key))

    def clear_cells(self, space: str) -> None:
        self._change_cells("DELETE FROM cell WHERE space=?", (space,))

    def _change_cells(self, sql: str, bindings: tuple[Any, ...]) -> None:
        self.wrote = True
        try:
            self._execute(sql, bindings)
        except apsw.SQLError as error:
            if "no such table: cell" not in str(error):
                raise

    # Owed work, for reclaim.

    def move_run(self, old: Run, pack: int, offset: int) -> bool:
        """Let an extent point at a copy of its bytes, if it still stands where it did."""
        rows = self._rows(
            "UPDATE extent SET pack=?, offset=? WHERE pack=? AND offset=? AND body=? RETURNING 1",
            (pack, offset, old.pack, old.offset, old.body),
        )
        if rows:
            self.wrote = True
            self._live[pack] = self._live.get(pack, 0) + old.size
            self._owe(old)
        return bool(rows)

    def settle_freed(self, regions: Sequence[Run]) -> None:
        """Forget space that was given back, and delete the inline values among it."""
        self.wrote = True
        for run in regions:
            self._execute("DELETE FROM freed WHERE pack=? AND offset=?", (run.pack, run.offset))
            if not run.pack:
                self._execute("DELETE FROM body WHERE id=?", (run.body,))

    def seal_pack(self, pack: int) -> None:
        """Record that a pack will not grow."""
        self.wrote = True
        self._execute("UPDATE pack SET sealed=1 WHERE id=?", (pack,))

    def forget_pack(self, pack: int) -> bool:
        """Forget a pack no extent is in; False if one is."""
        if self._rows("SELECT 1 FROM extent WHERE pack=? AND pack>0 LIMIT 1", (pack,)):
            return False
        self.wrote = True
        self._execute("DELETE FROM freed WHERE pack=?", (pack,))
        self._execute("DELETE FROM pack WHERE id=?", (pack,))
        return True

    # References.

    def _add(self, body: int, delta: int) -> None:
        if body:
            self._deltas[body] = self._deltas.get(body, 0) + delta

    def _settle(self) -> None:
        fresh, deltas = self._fresh, self._deltas
        for body in fresh:
            deltas.setdefault(body, 0)
        # Releasing a joined body drops references of its runs, which adds to the work.
        while deltas:
            body, delta = deltas.popitem()
            if body in fresh:
                del fresh[body]
                if delta <= 0:
                    self._execute("DELETE FROM share WHERE body=?", (body,))
                    self._release(body)
                elif delta > 1:
                    self._execute("INSERT OR REPLACE INTO share VALUES(?,?)", (body, delta))
            elif delta:
                self._change_refs(body, delta)

    def _change_refs(self, body: int, delta: int) -> None:
        rows = self._rows("SELECT refs FROM share WHERE body=?", (body,))
        refs = (rows[0][0] if rows else 1) + delta
        if refs < 1:
            self._release(body, was_shared=bool(rows))
        elif rows or refs > 1:
            # The row stays when refs is 1 again: it tells that the value was once shared.
            self._execute("INSERT OR REPLACE INTO share VALUES(?,?)", (body, refs))

    def _release(self, body: int, *, was_shared: bool = False) -> None:
        if was_shared:
            self._execute("DELETE FROM share WHERE body=?", (body,))
        rows = self._rows("SELECT size, value IS NOT NULL FROM body WHERE id=?", (body,))
        if not rows:
            raise DataError(f"body {body} is missing", kind="missing_body", body=body)
        size, is_inline = rows[0]
        if is_inline:
            if size <= EAGER_MAX and not was_shared:
                self._execute("DELETE FROM body WHERE id=?", (body,))
            else:
                self._owe(Run(body, 0, body, size, 0))
            return
        for pack, offset, run_size in self._rows(
            "DELETE FROM extent WHERE body=? RETURNING pack, offset, size", (body,)
        ):
            if pack:
                self._owe(Run(body, pack, offset, run_size, 0))
            else:
                self._add(offset, -1)
        self._execute("DELETE FROM mark WHERE body=?", (body,))
        self._execute("DELETE FROM body WHERE id=?", (body,))

    def _owe(self, run: Run) -> None:
        self._execute(_PUT_FREED, (run.pack, run.offset, run.size, run.body))
        self.freed = True
        if run.pack:
            self._live[run.pack] = self._live.get(run.pack, 0) - run.size
