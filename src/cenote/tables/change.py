"""One operation on tables, as a change of a bucket file.

Owns: running an operation in a transaction, or over a view; its answer as a value.
Does not own: what the operations do (`cenote.dynamo`), commits (`ports.Index`).

Invariants:
1. An answer that is an error has changed nothing.
2. A change is a value that one process can hand to another: the request as it came, the time, an
   id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cenote.dynamo import TARGET, Context, DynamoError, Request, delete_expired, operation_of
from cenote.ports import IndexTxn, IndexView
from cenote.tables.binding import bound_to
from cenote.tables.cellrows import CellRows

__all__ = ["ExpireChange", "TableAnswer", "TableChange", "answer_of", "read_json", "read_request"]


class TableAnswer(Struct, frozen=True):
    """An answer: its HTTP status, its JSON, and the error's code if it is one."""

    status: int
    body: bytes
    code: str | None = None


class TableChange(Struct, frozen=True, array_like=True, tag="table"):
    """An operation by name, on a request's JSON."""

    operation: str
    request: bytes
    now_ms: int
    new_id: str

    def __call__(self, txn: IndexTxn) -> TableAnswer:
        """Do the operation. See `ports.Change`."""
        return self.over(txn)

    def over(
        self, view: IndexView, *, dry: bool = False, others: Sequence[str] = ()
    ) -> TableAnswer:
        """Do the operation over a view; with a transaction, one that changes.

        `dry` finds out what would be answered, and changes nothing. `others` are names of tables
        that a listing is to show besides.
        """
        rows = CellRows(view, others)
        try:
            operation = operation_of(TARGET + self.operation)
            context = Context(self.now_ms, lambda: self.new_id)
            request = read_request(self.request)
            if self.operation == "CreateTable" and bound_to(view, request.table()) is not None:
                name = request.table()
                raise DynamoError("ResourceInUseException", f"Table already exists: {name}")
            found = operation.do(rows, request, context)
        except DynamoError as error:
            return answer_of(error)
        if not operation.reads_only and not dry:
            rows.flush()
        return TableAnswer(200, _encode(found))


class ExpireChange(Struct, frozen=True, array_like=True, tag="expire"):
    """Remove up to `limit` items of a table whose time is over; the result is how many went."""

    table: str
    now_ms: int
    limit: int

    def __call__(self, txn: IndexTxn) -> int:
        """Remove them. See `ports.Change`."""
        rows = CellRows(txn)
        gone = delete_expired(rows, self.table, self.now_ms, self.limit)
        rows.flush()
        return gone


def read_request(raw: bytes) -> Request:
    """Return the members of a request's JSON. Raises DynamoError (SerializationException)."""
    return Request(read_json(raw or b"{}"))


def read_json(raw: bytes) -> Any:
    """Return the value of JSON from outside. Raises DynamoError (SerializationException).

    What is no Unicode, lone surrogates among it, is no JSON here; so all text can be encoded.
    """
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise DynamoError("SerializationException", "The request is not JSON") from error
    except RecursionError as error:
        raise DynamoError("SerializationException", "The request is nested too deeply") from error


def answer_of(error: DynamoError) -> TableAnswer:
    """Return an error as an answer."""
    return TableAnswer(error.status, _encode(error.body()), error.code)


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )
