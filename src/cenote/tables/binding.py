"""Tables that live in a bucket's file instead of their own, so that one commit can hold both.

Owns: the tag that asks for it, which table is bound to which bucket, the tables a request names.
Does not own: the tables' cells (`cellrows`).

A table made with the tag `cenote:bucket` is kept in that bucket's file. The file of all other
tables has a cell for it in space `bound`: the key is the table's name, the value the bucket's.

Invariants:
1. A name is bound before its table is made, and let go after it was removed: so a table in a bucket
   is always found, and a name that leads to no table does no harm.
2. A name is never a table here and bound there: both are decided in the same file.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from cenote.dynamo import DynamoError
from cenote.ports import IndexTxn, IndexView

__all__ = [
    "BUCKET_TAG",
    "BindChange",
    "bound_names",
    "bound_to",
    "named_tables",
    "wanted_bucket",
]

BUCKET_TAG: Final = "cenote:bucket"
_BOUND: Final = "bound"
_BOUND_MAX: Final = 10_000


class BindChange(Struct, frozen=True, array_like=True, tag="bind"):
    """Bind a table's name to a bucket, or let it go (`bucket` None).

    The result tells whether the name is so: False when it is a table's, or another bucket's.
    """

    table: str
    bucket: str | None

    def __call__(self, txn: IndexTxn) -> bool:
        """Bind it. See `ports.Change`."""
        key = self.table.encode()
        if self.bucket is None:
            txn.delete_cell(_BOUND, key)
            return True
        current = txn.cell(_BOUND, key)
        if current is not None:
            return current == self.bucket.encode()
        if txn.cell("tables", key) is not None:
            return False
        txn.put_cell(_BOUND, key, self.bucket.encode())
        return True


def bound_to(view: IndexView, table: str) -> str | None:
    """Return the bucket that a table's name is bound to, None when it is not."""
    raw = view.cell(_BOUND, table.encode())
    return None if raw is None else raw.decode()


def bound_names(view: IndexView) -> dict[str, str]:
    """Return the names that are bound, each with its bucket."""
    cells = view.cells(_BOUND, b"", None, _BOUND_MAX)
    return {key.decode(): value.decode() for key, value in cells}


def wanted_bucket(request: bytes) -> str | None:
    """Return the bucket that a CreateTable asks for by its tag. Raises nothing: no JSON, no tag."""
    for tag in _list(request, "Tags"):
        if isinstance(tag, dict) and tag.get("Key") == BUCKET_TAG:
            value = tag.get("Value")
            return value if isinstance(value, str) else None
    return None


def named_tables(request: bytes) -> set[str]:
    """Return the names of all tables that a request names, wherever it does."""
    members = _members(request)
    found = [members.get("TableName"), members.get("ResourceArn")]
    if isinstance(members.get("RequestItems"), dict):
        found += members["RequestItems"]
    for action in _list(request, "TransactItems"):
        if isinstance(action, dict):
            found += [each.get("TableName") for each in action.values() if isinstance(each, dict)]
    return {name.rpartition("/")[2] for name in found if isinstance(name, str)}


def _members(request: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(request or b"{}")
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(request: bytes, name: str) -> list[Any]:
    found = _members(request).get(name)
    return found if isinstance(found, list) else []


def refuse_binding(reason: str) -> DynamoError:
    """Make the error of a table that cannot be bound."""
    return DynamoError(
        "ValidationException", f"One or more parameter values were invalid: {BUCKET_TAG}: {reason}"
    )
