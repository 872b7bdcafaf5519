"""PutItem, UpdateItem, DeleteItem, and the check alone: one item, one condition, one change.

Owns: reading such a request, deciding it against the item that is there, its answer.
Does not own: transactions and batches, which are made of the same steps.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html (_UpdateItem,
_DeleteItem)

Invariants:
1. A condition and the change it guards see the same item: both happen in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cenote.dynamo.capacity import consumed, wanted_capacity, write_units
from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.expressions.apply import apply_update
from cenote.dynamo.expressions.condition import parse_condition
from cenote.dynamo.expressions.evaluate import holds
from cenote.dynamo.expressions.nodes import Condition, Path, Update
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.expressions.projection import project
from cenote.dynamo.expressions.update import parse_update
from cenote.dynamo.keys import Key, index_key_of, key_of, parse_key
from cenote.dynamo.legacy import attribute_updates, check_styles, expected
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows, Span
from cenote.dynamo.schema import Table
from cenote.dynamo.values import ITEM_SIZE_MAX, Item, item_size, parse_item, render_item

__all__ = [
    "Change",
    "delete_item",
    "existing_table",
    "expiry_of",
    "make_change",
    "parse_check",
    "parse_delete",
    "parse_put",
    "parse_update_item",
    "places_of",
    "put_item",
    "store",
    "update_item",
]

_RETURNS: Final = {
    "put": ("NONE", "ALL_OLD"),
    "delete": ("NONE", "ALL_OLD"),
    "update": ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"),
    "check": ("NONE",),
}
_ALL_RETURNS: Final = ("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of one item: to `put` it, `update`, `delete` or just `check` it."""

    action: str
    table: Table
    key: Key
    condition: Condition
    key_attributes: Item
    item: Item | None = None
    update: Update | None = None
    returns: str = "NONE"
    returns_on_failure: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """The item before a change and after it, None where there is none; its size in bytes."""

    before: Item | None
    after: Item | None
    size: int


def existing_table(rows: Rows, name: str) -> Table:
    """Return a table. Raises DynamoError (ResourceNotFoundException)."""
    table = rows.table(name)
    if table is None:
        raise DynamoError("ResourceNotFoundException", "Requested resource not found")
    return table


def _returns(request: Request, action: str) -> tuple[str, bool]:
    wanted = request.choice("ReturnValues", _ALL_RETURNS, "NONE")
    if wanted not in _RETURNS[action]:
        raise invalid("Return values set to invalid value")
    request.choice("ReturnItemCollectionMetrics", ("SIZE", "NONE"), "NONE")
    on_failure = request.choice("ReturnValuesOnConditionCheckFailure", ("ALL_OLD", "NONE"), "NONE")
    return wanted, on_failure == "ALL_OLD"


def _placeholders(request: Request, *expressions: str) -> Placeholders:
    absent = [name for name in expressions if not request.has(name)]
    return Placeholders(
        request.names("ExpressionAttributeNames"),
        request.map("ExpressionAttributeValues"),
        *(absent if len(absent) == len(expressions) else ()),
    )


def _condition(request: Request, placeholders: Placeholders) -> Condition:
    text = request.text("ConditionExpression")
    if text is None:
        return expected(request)
    return parse_condition(text, "ConditionExpression", placeholders)


def parse_put(rows: Rows, request: Request) -> Change:
    """Read a PutItem. Raises DynamoError."""
    name = request.table()
    item = parse_item(request.needed("Item"))
    returns, on_failure = _returns(request, "put")
    check_styles(request, ("Expected", "ConditionalOperator"), ("ConditionExpression",))
    placeholders = _placeholders(request, "ConditionExpression")
    condition = _condition(request, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    key = key_of(item, table.schema)
    _check_size(item)
    named = {name: item[name] for name in table.schema.names}
    return Change("put", table, key, condition, named, item, None, returns, on_failure)


def parse_delete(rows: Rows, request: Request) -> Change:
    """Read a DeleteItem. Raises DynamoError."""
    return _parse_keyed(rows, request, "delete")


def parse_check(rows: Rows, request: Request) -> Change:
    """Read a ConditionCheck. Raises DynamoError."""
    if not request.has("ConditionExpression"):
        raise invalid(
            "1 validation error detected: Value null at 'conditionExpression' failed to satisfy "
            "constraint: Member must not be null"
        )
    return _parse_keyed(rows, request, "check")


def _parse_keyed(rows: Rows, request: Request, action: str) -> Change:
    name = request.table()
    wire = parse_item(request.needed("Key"))
    returns, on_failure = _returns(request, action)
    check_styles(request, ("Expected", "ConditionalOperator"), ("ConditionExpression",))
    placeholders = _placeholders(request, "ConditionExpression")
    condition = _condition(request, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    key = parse_key(wire, table.schema)
    return Change(action, table, key, condition, wire, None, None, returns, on_failure)


def parse_update_item(rows: Rows, request: Request) -> Change:
    """Read an UpdateItem. Raises DynamoError."""
    name = request.table()
    wire = parse_item(request.needed("Key"))
    returns, on_failure = _returns(request, "update")
    check_styles(
        request,
        ("AttributeUpdates", "Expected", "ConditionalOperator"),
        ("UpdateExpression", "ConditionExpression"),
    )
    placeholders = _placeholders(request, "UpdateExpression", "ConditionExpression")
    text = request.text("UpdateExpression")
    update = attribute_updates(request) if text is None else parse_update(text, placeholders)
    condition = _condition(request, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    key = parse_key(wire, table.schema)
    for path in _changed_paths(update):
        if path[0] in table.schema.names:
            raise invalid(
                "One or more parameter values were invalid: Cannot update attribute "
                f"{path[0]}. This attribute is part of the key"
            )
    return Change("update", table, key, condition, wire, None, update, returns, on_failure)


def _changed_paths(update: Update) -> list[Path]:
    paths = [path for path, _ in update.sets + update.adds + update.deletes]
    return paths + list(update.removes)


def make_change(rows: Rows, change: Change) -> Made:
    """Decide a change against the item that is there, and make it.

    Raises DynamoError (ConditionalCheckFailedException, ValidationException); nothing is changed
    then.
    """
    before = rows.get(change.table, change.key)
    if not holds(change.condition, before or {}):
        members: dict[str, Any] = {}
        if change.returns_on_failure and before is not None:
            members["Item"] = render_item(before)
        raise DynamoError(
            "ConditionalCheckFailedException", "The conditional request failed", **members
        )
    if change.action == "check":
        return Made(before, before, 0 if before is None else item_size(before))
    if change.action == "delete":
        if before is not None:
            rows.delete(change.table, change.key)
        return Made(before, None, 0 if before is None else item_size(before))
    if change.update is not None:
        after = apply_update(change.update, {**(before or {}), **change.key_attributes})
        _check_size(after, "Item size to update has exceeded the maximum allowed size")
    else:
        after = change.item or {}
    store(rows, change.table, change.key, after)
    return Made(before, after, max(item_size(after), 0 if before is None else item_size(before)))


def store(rows: Rows, table: Table, key: Key, item: Item) -> None:
    """Write an item with its places in the indexes and its expiry. Raises DynamoError."""
    rows.put(table, key, item, places_of(table, item), expiry_of(table, item))


def places_of(table: Table, item: Item) -> dict[str, Key]:
    """Return an item's key in each index that has it. Raises DynamoError."""
    places = {}
    for index in table.indexes:
        place = index_key_of(item, index.schema)
        if place is not None:
            places[index.name] = place
    return places


def expiry_of(table: Table, item: Item) -> int | None:
    """Return when an item expires, in seconds since the epoch; None is never."""
    if table.ttl_attribute is None:
        return None
    kind, content = item.get(table.ttl_attribute, ("", None))
    return int(content) if kind == "N" and 0 <= content < 2**53 else None


def _check_size(
    item: Item, message: str = "Item size has exceeded the maximum allowed size"
) -> None:
    if item_size(item) > ITEM_SIZE_MAX:
        raise invalid(message)


def _answer(rows: Rows, request: Request, change: Change, made: Made) -> dict[str, Any]:
    found: dict[str, Any] = {}
    shown: Item | None = None
    if change.returns in ("ALL_OLD", "UPDATED_OLD"):
        shown = made.before
    elif change.returns in ("ALL_NEW", "UPDATED_NEW"):
        shown = made.after
    if shown is not None and change.returns.startswith("UPDATED") and change.update is not None:
        shown = project(shown, tuple(_changed_paths(change.update)))
    if shown:
        found["Attributes"] = render_item(shown)
    table = change.table
    found |= consumed(wanted_capacity(request), table.name, write_units(made.size))
    local = any(not index.is_global for index in table.indexes)
    if request.text("ReturnItemCollectionMetrics") == "SIZE" and local:
        name = table.schema.partition[0]
        found["ItemCollectionMetrics"] = {
            "ItemCollectionKey": render_item({name: change.key_attributes[name]}),
            "SizeEstimateRangeGB": _size_estimate(rows, table, change.key),
        }
    return found


def _size_estimate(rows: Rows, table: Table, key: Key) -> list[float]:
    """Return between how many gigabytes the items of a partition are. Cost: all of them."""
    size = sum(item_size(found.item) for found in rows.walk(table, Span(partition=key[0])))
    return [float(size // 2**30), float(size // 2**30 + 1)]


def put_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a PutItem, and return its answer. Raises DynamoError."""
    wanted_capacity(request)
    change = parse_put(rows, request)
    return _answer(rows, request, change, make_change(rows, change))


def update_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do an UpdateItem, and return its answer. Raises DynamoError."""
    wanted_capacity(request)
    change = parse_update_item(rows, request)
    return _answer(rows, request, change, make_change(rows, change))


def delete_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a DeleteItem, and return its answer. Raises DynamoError."""
    wanted_capacity(request)
    change = parse_delete(rows, request)
    return _answer(rows, request, change, make_change(rows, change))
