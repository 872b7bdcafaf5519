"""Operations on tables: make, describe, list, change, remove; time to live; tags.

Owns: these operations. Does not own: definitions and their checks (`schema`).

A table is ACTIVE when the answer to CreateTable arrives, and gone when that to DeleteTable does.
The answers still say CREATING and DELETING, since clients wait for what comes after those.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints
from cenote.dynamo.keys import key_of
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows, Span
from cenote.dynamo.schema import Table, describe, new_table, updated
from cenote.dynamo.writing import store

__all__ = [
    "create_table",
    "delete_expired",
    "delete_table",
    "describe_table",
    "describe_time_to_live",
    "list_tables",
    "list_tags",
    "tag_resource",
    "untag_resource",
    "update_table",
    "update_time_to_live",
]

_LIST_MAX: Final = 100
_TAGS_MAX: Final = 50
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
_TOO_OLD_S: Final = 5 * 365 * 24 * 3600


def _table(rows: Rows, name: str) -> Table:
    table = rows.table(name)
    if table is None:
        raise DynamoError(
            "ResourceNotFoundException", f"Requested resource not found: Table: {name} not found"
        )
    return table


def create_table(rows: Rows, request: Request, now_ms: int, table_id: str) -> dict[str, Any]:
    """Do a CreateTable, and return its answer. Raises DynamoError."""
    name = request.table()
    for member in (
        "AttributeDefinitions",
        "KeySchema",
        "Tags",
        "LocalSecondaryIndexes",
        "GlobalSecondaryIndexes",
    ):
        for each in request.array(member) or ():
            Request(each)
    table = new_table(request.members, name, table_id, now_ms)
    if rows.table(name) is not None:
        raise DynamoError("ResourceInUseException", f"Table already exists: {name}")
    rows.save_table(table)
    return {"TableDescription": describe(table, rows.use(table), "CREATING")}


def describe_table(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a DescribeTable, and return its answer. Raises DynamoError."""
    table = _table(rows, request.table())
    return {"Table": describe(table, rows.use(table))}


def delete_table(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a DeleteTable, and return its answer. Raises DynamoError."""
    table = _table(rows, request.table())
    if table.deletion_protected:
        raise invalid(
            "Resource cannot be deleted as it is currently protected against deletion. Disable "
            "deletion protection first."
        )
    description = describe(table, rows.use(table), "DELETING")
    rows.drop_table(table)
    return {"TableDescription": description}


def list_tables(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a ListTables, and return its answer. Raises DynamoError."""
    limit = request.integer("Limit")
    start = request.text("ExclusiveStartTableName")
    constraints = Constraints()
    constraints.within(limit, "limit", 1, _LIST_MAX)
    if start is not None:
        constraints.name(start, "exclusiveStartTableName")
    constraints.finish()
    wanted = limit or _LIST_MAX
    names = rows.names(start or "", wanted + 1)
    found: dict[str, Any] = {"TableNames": names[:wanted]}
    if len(names) > wanted:
        found["LastEvaluatedTableName"] = names[wanted - 1]
    return found


def update_table(rows: Rows, request: Request, now_ms: int) -> dict[str, Any]:
    """Do an UpdateTable, and return its answer. Raises DynamoError."""
    table = _table(rows, request.table())
    changed = updated(table, request.members, now_ms)
    rows.save_table(changed)
    return {"TableDescription": describe(changed, rows.use(changed), "UPDATING")}


def describe_time_to_live(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a DescribeTimeToLive, and return its answer. Raises DynamoError."""
    table = _table(rows, request.table())
    shown: dict[str, Any] = {"TimeToLiveStatus": "DISABLED"}
    if table.ttl_attribute is not None:
        shown = {"TimeToLiveStatus": "ENABLED", "AttributeName": table.ttl_attribute}
    return {"TimeToLiveDescription": shown}


def update_time_to_live(rows: Rows, request: Request) -> dict[str, Any]:
    """Do an UpdateTimeToLive, and return its answer. Raises DynamoError.

    The expiry of the items that are there is found anew. Cost: all of the table's items.
    """
    name = request.table()
    wire = Request(request.needed("TimeToLiveSpecification"))
    enabled, attribute = wire.flag("Enabled"), wire.text("AttributeName")
    constraints = Constraints()
    constraints.required(enabled, "timeToLiveSpecification.enabled")
    if constraints.required(attribute, "timeToLiveSpecification.attributeName"):
        constraints.length(attribute, "timeToLiveSpecification.attributeName", 1, 255)
    constraints.finish()
    table = _table(rows, name)
    if enabled and table.ttl_attribute is not None:
        if table.ttl_attribute != attribute:
            raise invalid(
                "TimeToLive is active on a different AttributeName: current AttributeName is "
                + table.ttl_attribute
            )
        raise invalid("TimeToLive is already enabled")
    if not enabled and table.ttl_attribute is None:
        raise invalid("TimeToLive is already disabled")
    if not enabled and table.ttl_attribute != attribute:
        raise invalid(
            "TimeToLive is active on a different AttributeName: current AttributeName is "
            f"{table.ttl_attribute}"
        )
    changed = replace(table, ttl_attribute=attribute if enabled else None)
    rows.save_table(changed)
    rows.forget_expiry(table)
    if enabled:
        for found in rows.walk(changed, Span()):
            store(rows, changed, found.key, found.item)
    return {"TimeToLiveSpecification": {"Enabled": enabled, "AttributeName": attribute}}


def delete_expired(rows: Rows, name: str, now_ms: int, limit: int) -> int:
    """Remove up to `limit` items of a table whose time is over; return how many.

    An item whose time was over five years ago or more is left alone, as the service does: its
    number was hardly meant as a time.
    """
    table = rows.table(name)
    if table is None or table.ttl_attribute is None:
        return 0
    now_s = now_ms // 1000
    gone = 0
    for key in rows.expired(table, now_s, limit):
        item = rows.get(table, key)
        if item is None or key_of(item, table.schema) != key:
            continue
        _, content = item.get(table.ttl_attribute, ("", None))
        if content is not None and now_s - _TOO_OLD_S < content <= now_s:
            rows.delete(table, key)
            gone += 1
    return gone


def _resource(rows: Rows, request: Request) -> Table:
    arn = request.text("ResourceArn")
    constraints = Constraints()
    constraints.required(arn, "resourceArn")
    constraints.finish()
    if arn is None or ":table/" not in arn:
        raise invalid(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    name = arn.partition(":table/")[2]
    table = rows.table(name)
    if table is None:
        raise DynamoError(
            "ResourceNotFoundException",
            f"Requested resource not found: ResourcArn: {arn} not found",
        )
    return table


def list_tags(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a ListTagsOfResource, and return its answer. Raises DynamoError."""
    table = _resource(rows, request)
    return {"Tags": [{"Key": key, "Value": value} for key, value in table.tags]}


def tag_resource(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a TagResource. Raises DynamoError."""
    table = _resource(rows, request)
    tags = dict(table.tags)
    for wire in request.array("Tags") or ():
        tag = Request(wire)
        key, value = tag.text("Key"), tag.text("Value")
        constraints = Constraints()
        constraints.required(key, "tags.member.key")
        constraints.required(value, "tags.member.value")
        constraints.length(key, "tags.member.key", 1, 128)
        constraints.length(value, "tags.member.value", 0, 256)
        constraints.finish()
        tags[key or ""] = value or ""
    if len(tags) > _TAGS_MAX:
        raise invalid("One or more parameter values were invalid: Too many tags: 50 at most")
    rows.save_table(replace(table, tags=tuple(tags.items())))
    return {}


def untag_resource(rows: Rows, request: Request) -> dict[str, Any]:
    """Do an UntagResource. Raises DynamoError."""
    table = _resource(rows, request)
    gone = set(request.texts("TagKeys") or ())
    kept = tuple((key, value) for key, value in table.tags if key not in gone)
    rows.save_table(replace(table, tags=kept))
    return {}
