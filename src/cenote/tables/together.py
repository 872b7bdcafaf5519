"""An object and items in one commit.

Owns: a PutObject that happens together with the actions of a transaction on tables, or not at all.
Does not own: either (`cenote.buckets`, `cenote.dynamo`), or how a request says it.

The tables must live in the object's bucket: see `binding`. That gives a compare-and-swap on an item
with an object as its payload, and a lock that is checked where the object is written, without a
moment in between.

Invariants:
1. All conditions, of the object and of the items, are decided before anything is written.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from cenote.buckets import PutChange, WriteResult
from cenote.dynamo import TARGET, Context, DynamoError, Request, operation_of
from cenote.errors import InvalidError, PreconditionError
from cenote.ports import IndexTxn
from cenote.tables.cellrows import CellRows
from cenote.tables.change import read_json

__all__ = ["PutWithItems"]


class PutWithItems(Struct, frozen=True, array_like=True, tag="put-with-items"):
    """The change of a PutObject, and TransactItems as JSON."""

    put: PutChange
    items: bytes

    def __call__(self, txn: IndexTxn) -> WriteResult:
        """Do both. See `ports.Change`.

        Raises what the put does; PreconditionError(condition="x-cenote-transact-items") when the
        transaction is cancelled; InvalidError when it cannot be done.
        """
        rows = CellRows(txn)
        context = Context(self.put.now_ms, lambda: "")
        try:
            request = Request({"TransactItems": self._actions()})
            operation_of(TARGET + "TransactWriteItems").do(rows, request, context)
        except DynamoError as error:
            if error.code == "TransactionCanceledException":
                raise PreconditionError(
                    error.message, condition="x-cenote-transact-items"
                ) from error
            raise InvalidError(
                f"x-cenote-transact-items: {error.message}", kind="invalid_argument"
            ) from error
        result = self.put(txn)
        rows.flush()
        return result

    def _actions(self) -> Any:
        try:
            return read_json(self.items)
        except DynamoError as error:
            raise InvalidError(
                "x-cenote-transact-items is not JSON", kind="invalid_argument"
            ) from error
