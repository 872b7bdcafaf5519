"""The index port: how a bucket's records are read and changed.

Owns: the protocol every backend implements. One backend is SQLite (`cenote.sqldb`); the shape
also fits a store whose only primitive is a guarded multi-key write.

Invariants:
1. Every change of state is one `commit` of one function from a transaction to a result. What the
   function reads guards what it writes: the whole is serializable and durable, or did not happen.
2. A change may be run more than once (a backend may retry on conflict); only the last run counts.
   So it reads and writes nothing but its transaction, and decides before it writes: a change that
   raises must not have written.
3. `commit` returns, and `done` is called, only when the change is durable.

Why functions and not commands: the decision (is the condition still true?) must run where the
write is, or two racers both pass it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from cenote.ports.records import (
    BucketRecord,
    Extent,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    PartRecord,
    StagedBody,
    UploadRecord,
)

__all__ = ["Change", "Index", "IndexTxn", "IndexView"]

T = TypeVar("T")


class IndexView(Protocol):
    """A consistent read-only view of one bucket's records."""

    def bucket(self) -> BucketRecord:
        """Return the bucket's own record."""
        ...

    def object(self, key: str) -> ObjectRecord | None:
        """Return the object at `key`, or None."""
        ...

    def object_value(self, key: str, size_max: int) -> tuple[ObjectRecord, bytes | None] | None:
        """Return the object and, if its body is one inline value of at most `size_max` bytes, it.

        One look-up for what a small GET needs.
        """
        ...

    def objects(
        self, start: str, end: str | None, limit: int, *, after: bool = False
    ) -> list[ObjectSummary]:
        """Return up to `limit` objects with start <= key < end, in UTF-8 byte order.

        `after` makes the start exclusive; `end` None means no upper bound.
        """
        ...

    def is_empty(self) -> bool:
        """Tell whether the bucket holds no object and no cell of space "tables".

        Uploads under way do not count.
        """
        ...

    def upload(self, upload_id: str) -> UploadRecord | None:
        """Return the upload, or None."""
        ...

    def uploads(self, start: tuple[str, str], end: str | None, limit: int) -> list[UploadRecord]:
        """Return up to `limit` uploads with (key, upload_id) > start and key < end, in order."""
        ...

    def part(self, upload_id: str, number: int) -> PartRecord | None:
        """Return one uploaded part, or None."""
        ...

    def parts(self, upload_id: str, after: int, limit: int | None) -> list[PartRecord]:
        """Return up to `limit` parts (None: all) with number > after, by number."""
        ...

    def marks(self, body: int, after: int, limit: int) -> list[PartMark]:
        """Return up to `limit` part marks of a multipart body with number > after, by number."""
        ...

    def extents(self, body: int) -> Sequence[Extent]:
        """Return the body's runs in order; an inline body is one extent of pack 0."""
        ...

    def cell(self, space: str, key: bytes) -> bytes | None:
        """Return the value of a cell, or None.

        Cells are what is kept beside objects: those of space "tables" say what the others are for.
        """
        ...

    def cells(
        self, space: str, start: bytes, end: bytes | None, limit: int, *, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells with start <= key < end, by key, or from the last one down.

        `end` None means no upper bound.
        """
        ...

    def cells_use(self, space: str) -> tuple[int, int]:
        """Return how many cells a space has, and the bytes of their keys and values."""
        ...


class IndexTxn(IndexView, Protocol):
    """A view that can also write. Valid only while the change runs."""

    def put_bucket(self, record: BucketRecord) -> None:
        """Replace the bucket's own record."""
        ...

    def close_bucket(self) -> None:
        """Let no later change in: they fail with NotFoundError(kind="no_such_bucket")."""
        ...

    def add_body(self, staged: StagedBody) -> int:
        """Store a staged body and return its id. An empty body is `EMPTY_BODY`.

        A body nothing refers to at the end of the change is released again.
        """
        ...

    def join_bodies(self, bodies: Sequence[int], marks: Sequence[PartMark]) -> int:
        """Make one body of the runs of several, in order, moving no bytes, and return its id."""
        ...

    def put_object(self, record: ObjectRecord) -> None:
        """Insert or replace the object; takes a reference on its body, drops the replaced one's."""
        ...

    def delete_object(self, key: str) -> None:
        """Remove the object if present, and drop its reference on its body."""
        ...

    def put_upload(self, record: UploadRecord) -> None:
        """Insert the upload."""
        ...

    def delete_upload(self, upload_id: str) -> None:
        """Remove the upload and all its parts, dropping their references."""
        ...

    def put_part(self, upload_id: str, part: PartRecord) -> None:
        """Insert or replace the part; references as for objects."""
        ...

    def put_cell(self, space: str, key: bytes, value: bytes) -> None:
        """Insert or replace a cell."""
        ...

    def delete_cell(self, space: str, key: bytes) -> None:
        """Remove a cell if present."""
        ...

    def clear_cells(self, space: str) -> None:
        """Remove all cells of a space."""
        ...


Change = Callable[[IndexTxn], T]


class Index(Protocol):
    """One bucket's records."""

    def read(self) -> AbstractContextManager[IndexView]:
        """Open a consistent view. Cheap: microseconds. Never blocks on writers."""
        ...

    def object_value(self, key: str, size_max: int) -> tuple[ObjectRecord, bytes | None] | None:
        """Return what `read().object_value` does, without a view around it: for small GETs."""
        ...

    def commit(self, change: Change[T]) -> T:
        """Run `change` and return its result once it is durable.

        Atomic: yes. Blocks the calling thread; concurrent commits share one sync.
        Raises: what `change` raises (nothing was changed); UnavailableError when the disk refused
        (kind "disk_full" or "io"; nothing was changed); ClosedError after close.
        """
        ...

    def submit(
        self, change: Change[T], done: Callable[[T | None, BaseException | None], None]
    ) -> None:
        """Like `commit`, without blocking: `done(result, None)` or `done(None, error)` is called
        exactly once, from a thread of the index's choosing; it must not block or raise.
        """
        ...
