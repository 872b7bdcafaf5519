"""BatchGetItem and BatchWriteItem.

Owns: reading such a request, its limits, what is left unprocessed.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
(_BatchGetItem)

Invariants:
1. A batch of writes is one transaction here, which is more than the service promises.
"""

from __future__ import annotations

from typing import Any, Final

from cenote.dynamo.capacity import consumed, read_units, wanted_capacity, write_units
from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints, table_name
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.expressions.projection import project
from cenote.dynamo.keys import Key, key_of, parse_key
from cenote.dynamo.legacy import check_styles
from cenote.dynamo.reading import parse_projection_of
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows
from cenote.dynamo.schema import Table
from cenote.dynamo.values import ITEM_SIZE_MAX, Item, item_size, parse_item, render_item
from cenote.dynamo.writing import existing_table, store

__all__ = ["batch_get_item", "batch_write_item"]

_GETS_MAX: Final = 100
_WRITES_MAX: Final = 25
_ANSWER_MAX: Final = 16 * 1024 * 1024
_DUPLICATES: Final = "Provided list of item keys contains duplicates"


def _tables(request: Request) -> list[tuple[str, str, Any]]:
    """Return the tables of RequestItems: as written, by name, with what is asked of each."""
    wanted = request.needed("RequestItems")
    constraints = Constraints()
    constraints.count(wanted, "requestItems", 1, 100)
    constraints.finish()
    return [(written, table_name(written), wire) for written, wire in wanted.items()]


def _units(wanted: str, units: dict[str, float]) -> dict[str, Any]:
    if wanted == "NONE":
        return {}
    each = [consumed(wanted, name, total)["ConsumedCapacity"] for name, total in units.items()]
    return {"ConsumedCapacity": each}


def batch_get_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a BatchGetItem, and return its answer. Raises DynamoError."""
    wanted = wanted_capacity(request)
    plans = [_plan(rows, *each) for each in _tables(request)]
    if sum(len(keys) for _, _, keys, _, _ in plans) > _GETS_MAX:
        raise invalid("Too many items requested for the BatchGetItem call")
    responses: dict[str, list[Any]] = {}
    left: dict[str, Any] = {}
    units: dict[str, float] = {}
    size = 0
    for written, table, keys, wire, paths in plans:
        shown = responses.setdefault(written, [])
        for place, (key, _) in enumerate(keys):
            if size > _ANSWER_MAX:
                left[written] = {**wire.members, "Keys": wire.members["Keys"][place:]}
                break
            item = rows.get(table, key)
            item_bytes = 0 if item is None else item_size(item)
            size += item_bytes
            consistent = bool(wire.flag("ConsistentRead"))
            cost = read_units(item_bytes, consistent=consistent)
            units[table.name] = units.get(table.name, 0.0) + cost
            if item is not None:
                shown.append(render_item(item if paths is None else project(item, paths)))
    return {"Responses": responses, "UnprocessedKeys": left} | _units(wanted, units)


def _plan(
    rows: Rows, written: str, name: str, members: Any
) -> tuple[str, Table, list[tuple[Key, Item]], Request, Any]:
    wire = Request(members)
    listed = wire.array("Keys")
    constraints = Constraints()
    if constraints.required(listed, f"requestItems.{written}.member.keys"):
        constraints.count(listed, f"requestItems.{written}.member.keys", 1, _GETS_MAX)
    constraints.finish()
    check_styles(wire, ("AttributesToGet",), ("ProjectionExpression",))
    placeholders = Placeholders(
        wire.names("ExpressionAttributeNames"),
        None,
        *(() if wire.has("ProjectionExpression") else ("ProjectionExpression",)),
    )
    paths = parse_projection_of(wire, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    items = [parse_item(each) for each in listed or ()]
    keys = [(parse_key(item, table.schema), item) for item in items]
    if len({key for key, _ in keys}) != len(keys):
        raise invalid(_DUPLICATES)
    return written, table, keys, wire, paths


def batch_write_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a BatchWriteItem, and return its answer. Raises DynamoError."""
    wanted = wanted_capacity(request)
    request.choice("ReturnItemCollectionMetrics", ("SIZE", "NONE"), "NONE")
    writes: list[tuple[Table, Key, Item | None]] = []
    for written, name, wire in _tables(request):
        if not isinstance(wire, list):
            raise DynamoError("SerializationException", "Unexpected value type in payload")
        constraints = Constraints()
        constraints.count(wire, f"requestItems.{written}.member", 1, _WRITES_MAX)
        constraints.finish()
        table = existing_table(rows, name)
        writes += [_write(table, Request(each)) for each in wire]
    if len(writes) > _WRITES_MAX:
        raise invalid("Too many items requested for the BatchWriteItem call")
    if len({(table.name, key) for table, key, _ in writes}) != len(writes):
        raise invalid(_DUPLICATES)
    units: dict[str, float] = {}
    for table, key, item in writes:
        before = rows.get(table, key)
        size = max(item_size(each) for each in (before or {}, item or {}))
        units[table.name] = units.get(table.name, 0.0) + write_units(size)
        if item is not None:
            store(rows, table, key, item)
        elif before is not None:
            rows.delete(table, key)
    return {"UnprocessedItems": {}} | _units(wanted, units)


def _write(table: Table, request: Request) -> tuple[Table, Key, Item | None]:
    put, delete = request.map("PutRequest"), request.map("DeleteRequest")
    if (put is None) == (delete is None):
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of "
            "the supported datatypes"
            if put is not None
            else "Invalid Request: a write request has neither PutRequest nor DeleteRequest"
        )
    if put is not None:
        item = parse_item(Request(put).needed("Item"))
        if item_size(item) > ITEM_SIZE_MAX:
            raise invalid("Item size has exceeded the maximum allowed size")
        return table, key_of(item, table.schema), item
    wire = parse_item(Request(delete).needed("Key"))
    return table, parse_key(wire, table.schema), None
