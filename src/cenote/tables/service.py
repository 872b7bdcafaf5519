"""`LockTables`: the tables of a directory, in process, without HTTP.

Owns: the file they live in, which is made with the first table; who runs an operation; expiry.
Does not own: the operations (`cenote.dynamo`).

Every operation that changes is one commit, shared with whoever commits at the same time, and
durable when it is answered. One that only reads sees one commit.

Example:

    with Store("data") as store:
        tables = LockTables(store)
        tables.call("CreateTable", {...})

Invariants:
1. Nothing is made on disk before a table is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, Final, cast

from cenote.base import Clock, Rand
from cenote.dynamo import TARGET, DynamoError, operation_of
from cenote.errors import AlreadyExistsError, NotFoundError
from cenote.ports import Bucket, BucketRecord, Buckets, IndexView
from cenote.tables.binding import (
    BindChange,
    bound_names,
    bound_to,
    named_tables,
    refuse_binding,
    wanted_bucket,
)
from cenote.tables.cellrows import CellRows
from cenote.tables.change import ExpireChange, TableAnswer, TableChange, answer_of

__all__ = ["LockTables"]

_FILE: Final = ".tables"
_EXPIRE_MAX: Final = 100
_NOT_FOUND: Final = "ResourceNotFoundException"

Done = Callable[["TableAnswer | None", "BaseException | None"], None]


class LockTables:
    """The tables of a directory of buckets. Thread-safe."""

    def __init__(self, buckets: Buckets, *, clock: Clock, rand: Rand) -> None:
        self._buckets = buckets
        self._clock = clock
        self._rand = rand
        self._making = threading.Lock()

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Do an operation, and return its answer. Blocks. Raises DynamoError."""
        answer = self.run(operation, json.dumps(request).encode())
        found: dict[str, Any] = json.loads(answer.body)
        if answer.code is not None:
            message = found.pop("message", None) or found.pop("Message", "")
            found.pop("__type", None)
            raise DynamoError(answer.code, message, **found)
        return found

    def run(self, operation: str, request: bytes) -> TableAnswer:
        """Do an operation on a request's JSON. Blocks. Errors of the disk are raised."""
        change = self._change(operation, request)
        if isinstance(change, TableAnswer):
            return change
        if operation == "CreateTable":
            return self._create(change)
        if operation_of(TARGET + operation).reads_only:
            return self._read(change)
        file = self.file(make=False)
        answer = self._nothing(change) if file is None else file.index.commit(change)
        elsewhere = self._elsewhere(change, answer)
        if isinstance(elsewhere, TableAnswer):
            return elsewhere
        answer = elsewhere.index.commit(change)
        if operation == "DeleteTable":
            self._let_go(change)
        return answer

    def submit(self, operation: str, request: bytes, done: Done) -> None:
        """Do an operation without blocking on a commit: `done` is called as `ports.Index` says.

        What it raises itself, `done` is not called with. Requires: `blocks(operation)` is False.
        """
        change = self._change(operation, request)
        if isinstance(change, TableAnswer):
            done(change, None)
            return
        if operation_of(TARGET + operation).reads_only:
            done(self._read(change), None)
            return
        file = self.file(make=False)
        if file is None:
            done(self._nothing(change), None)
            return

        def first(answer: TableAnswer | None, error: BaseException | None) -> None:
            if answer is None or answer.code != _NOT_FOUND:
                done(answer, error)
                return
            elsewhere = self._elsewhere(change, answer)
            if isinstance(elsewhere, TableAnswer):
                done(elsewhere, None)
            else:
                elsewhere.index.submit(change, done)

        file.index.submit(change, first)

    @staticmethod
    def blocks(operation: str) -> bool:
        """Tell whether an operation takes more than one commit, and so must be given to `run`."""
        return operation in ("CreateTable", "DeleteTable")

    # Tables in buckets.

    def _create(self, change: TableChange) -> TableAnswer:
        wanted = wanted_bucket(change.request)
        file = self.file(make=True)
        if file is None or wanted is None:
            return self._nothing(change) if file is None else file.index.commit(change)
        name = next(iter(named_tables(change.request)), "")
        try:
            if wanted == _FILE:
                raise NotFoundError(f"bucket {wanted} does not exist")
            bucket = self._buckets.open(wanted)
        except NotFoundError as error:
            return answer_of(refuse_binding(error.message))
        with bucket.index.read() as view:
            trial = change.over(view, dry=True)
        if trial.code is not None:
            return trial
        if not file.index.commit(BindChange(name, wanted)):
            return answer_of(DynamoError("ResourceInUseException", f"Table already exists: {name}"))
        return bucket.index.commit(change)

    def _let_go(self, change: TableChange) -> None:
        file = self.file(make=False)
        for name in named_tables(change.request):
            if file is not None:
                file.index.commit(BindChange(name, None))

    def _elsewhere(self, change: TableChange, answer: TableAnswer) -> TableAnswer | Bucket:
        """Return the bucket whose file has the tables of a request, or the answer as it is.

        Asked when a table was not found in the file of all: that costs the others nothing.
        """
        file = self.file(make=False)
        if answer.code != _NOT_FOUND or file is None:
            return answer
        with file.index.read() as view:
            homes = {bound_to(view, name) for name in named_tables(change.request)}
        if homes <= {None}:
            return answer
        if len(homes) > 1:
            return answer_of(
                refuse_binding("the tables of one request must all live in one bucket, or in none")
            )
        try:
            return self._buckets.open(homes.pop() or "")
        except NotFoundError:
            return answer

    def _change(self, operation: str, request: bytes) -> TableChange | TableAnswer:
        try:
            operation_of(TARGET + operation)
        except DynamoError as error:
            return answer_of(error)
        return TableChange(operation, request, self._clock.now_ms(), self._new_id())

    def _new_id(self) -> str:
        raw = bytearray(self._rand.bytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        text = raw.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _read(self, change: TableChange) -> TableAnswer:
        file = self.file(make=False)
        if file is None:
            return self._nothing(change)
        with file.index.read() as view:
            if change.operation == "ListTables" and bound_names(view):
                return self._list(change, view)
            answer = change.over(view)
        elsewhere = self._elsewhere(change, answer)
        if isinstance(elsewhere, TableAnswer):
            return elsewhere
        with elsewhere.index.read() as view:
            return change.over(view)

    def _list(self, change: TableChange, view: IndexView) -> TableAnswer:
        """List the tables here and those in buckets."""
        there = []
        for name, home in bound_names(view).items():
            try:
                with self._buckets.open(home).index.read() as other:
                    if CellRows(other).table(name) is not None:
                        there.append(name)
            except NotFoundError:
                continue  # the bucket went, and the table with it
        return change.over(view, others=there)

    def _nothing(self, change: TableChange) -> TableAnswer:
        """Answer while there is no file, which is as if there were no tables."""
        return change.over(cast(IndexView, _NoCells()))

    def file(self, *, make: bool) -> Bucket | None:
        """Return the file of the tables, None when there is none. `make`: makes it, and blocks."""
        try:
            return self._buckets.open(_FILE)
        except NotFoundError:
            if not make:
                return None
        with self._making:
            record = BucketRecord(_FILE, self._clock.now_ms(), None, "", None)
            try:
                return self._buckets.create(record)
            except AlreadyExistsError:
                return self._buckets.open(_FILE)

    def expire(self) -> int:
        """Remove items whose time is over, some of each table; return how many went. Blocks."""
        file = self.file(make=False)
        if file is None:
            return 0
        with file.index.read() as view:
            homes = set(bound_names(view).values())
        gone = self._expire_in(file)
        for home in sorted(homes):
            try:
                gone += self._expire_in(self._buckets.open(home))
            except NotFoundError:
                continue
        return gone

    def _expire_in(self, file: Bucket) -> int:
        with file.index.read() as view:
            rows = CellRows(view)
            due = []
            after = ""
            while names := rows.names(after, 100):
                after = names[-1]
                for name in names:
                    table = rows.table(name)
                    if table is not None and table.ttl_attribute is not None:
                        due.append(name)
        now_ms = self._clock.now_ms()
        return sum(file.index.commit(ExpireChange(name, now_ms, _EXPIRE_MAX)) for name in due)


class _NoCells:
    """A view of a file that is not there."""

    def cell(self, space: str, key: bytes) -> None:
        return None

    def cells(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def cells_use(self, space: str) -> tuple[int, int]:
        return 0, 0
