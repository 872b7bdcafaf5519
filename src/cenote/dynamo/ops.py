"""The operations: which there are, which only read, and what does each.

Owns: the table, the refusal of what is not in it.
Does not own: HTTP, signatures, transactions.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html

Invariants:
1. An operation of the service that is not here is refused by its name; nothing falls through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cenote.dynamo.batches import batch_get_item, batch_write_item
from cenote.dynamo.codes import DynamoError
from cenote.dynamo.reading import get_item, query, scan
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows
from cenote.dynamo.shapes import conform
from cenote.dynamo.tables import (
    create_table,
    delete_table,
    describe_table,
    describe_time_to_live,
    list_tables,
    list_tags,
    tag_resource,
    untag_resource,
    update_table,
    update_time_to_live,
)
from cenote.dynamo.transactions import transact_get_items, transact_write_items
from cenote.dynamo.writing import delete_item, put_item, update_item

__all__ = ["OPERATIONS", "TARGET", "Context", "Operation", "operation_of"]

TARGET: Final = "DynamoDB_20120810."


@dataclass(frozen=True, slots=True)
class Context:
    """What an operation may know besides its request: the time, and an id nobody has."""

    now_ms: int
    new_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: its name, whether it changes nothing, and what does it."""

    name: str
    reads_only: bool
    run: Callable[[Rows, Request, Context], dict[str, Any]]

    def do(self, rows: Rows, request: Request, context: Context) -> dict[str, Any]:
        """Run it on a request from outside, whose shape is checked first. Raises DynamoError."""
        conform(self.name, request.members)
        return self.run(rows, request, context)


def _plain(
    name: str, do: Callable[[Rows, Request], dict[str, Any]], *, reads_only: bool
) -> Operation:
    return Operation(name, reads_only, lambda rows, request, _context: do(rows, request))


def _create(rows: Rows, request: Request, context: Context) -> dict[str, Any]:
    return create_table(rows, request, context.now_ms, context.new_id())


OPERATIONS: Final[dict[str, Operation]] = {
    operation.name: operation
    for operation in (
        _plain("BatchGetItem", batch_get_item, reads_only=True),
        _plain("BatchWriteItem", batch_write_item, reads_only=False),
        Operation("CreateTable", False, _create),
        _plain("DeleteItem", delete_item, reads_only=False),
        _plain("DeleteTable", delete_table, reads_only=False),
        _plain("DescribeTable", describe_table, reads_only=True),
        _plain("DescribeTimeToLive", describe_time_to_live, reads_only=True),
        _plain("GetItem", get_item, reads_only=True),
        _plain("ListTables", list_tables, reads_only=True),
        _plain("ListTagsOfResource", list_tags, reads_only=True),
        _plain("PutItem", put_item, reads_only=False),
        _plain("Query", query, reads_only=True),
        _plain("Scan", scan, reads_only=True),
        _plain("TagResource", tag_resource, reads_only=False),
        _plain("TransactGetItems", transact_get_items, reads_only=True),
        Operation(
            "TransactWriteItems",
            False,
            lambda rows, request, context: transact_write_items(rows, request, context.now_ms),
        ),
        _plain("UntagResource", untag_resource, reads_only=False),
        _plain("UpdateItem", update_item, reads_only=False),
        Operation(
            "UpdateTable",
            False,
            lambda rows, request, context: update_table(rows, request, context.now_ms),
        ),
        _plain("UpdateTimeToLive", update_time_to_live, reads_only=False),
    )
}


def operation_of(target: str) -> Operation:
    """Return the operation that an X-Amz-Target names.

    Raises DynamoError (UnknownOperationException).
    """
    name = target.removeprefix(TARGET)
    operation = OPERATIONS.get(name) if name != target else None
    if operation is None:
        raise DynamoError(
            "UnknownOperationException",
            f"The operation {name[:100]} is not supported by this server" if name != target else "",
        )
    return operation
