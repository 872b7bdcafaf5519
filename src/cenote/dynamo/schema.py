"""Tables: what defines one, what a request may say of it, how it is described.

Owns: the definition as a value, checks of CreateTable and UpdateTable, the description.
Does not own: the items, where definitions are kept.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html

Invariants:
1. A definition names exactly the attributes that keys of the table or its indexes are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints
from cenote.dynamo.keys import KeySchema

__all__ = ["Index", "Table", "TableUse", "describe", "index_named", "new_table", "updated"]

_INDEXES_MAX: Final = 20
_LOCAL_MAX: Final = 5
_TYPES: Final = ("S", "N", "B")
_BILLING: Final = ("PROVISIONED", "PAY_PER_REQUEST")
_PROJECTIONS: Final = ("ALL", "KEYS_ONLY", "INCLUDE")
_CLASSES: Final = ("STANDARD", "STANDARD_INFREQUENT_ACCESS")


class Index(Struct, frozen=True):
    """An index: its keys as (name, type), what it holds of an item, whether it is global."""

    name: str
    keys: tuple[tuple[str, str], ...]
    projection: str
    include: tuple[str, ...] = ()
    is_global: bool = True
    throughput: tuple[int, int] = (0, 0)

    @property
    def schema(self) -> KeySchema:
        """The index's key attributes."""
        return KeySchema(self.keys)


class Table(Struct, frozen=True):
    """A table. Times are milliseconds since the epoch."""

    name: str
    id: str
    created_ms: int
    keys: tuple[tuple[str, str], ...]
    indexes: tuple[Index, ...] = ()
    billing: str = "PROVISIONED"
    throughput: tuple[int, int] = (0, 0)
    table_class: str = "STANDARD"
    deletion_protected: bool = False
    ttl_attribute: str | None = None
    billing_changed_ms: int = 0
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def schema(self) -> KeySchema:
        """The table's key attributes."""
        return KeySchema(self.keys)

    @property
    def arn(self) -> str:
        """The table's ARN, of a region and an account that stand for this server."""
        return f"arn:aws:dynamodb:us-east-1:000000000000:table/{self.name}"


class TableUse(Struct, frozen=True):
    """How full a table is: items and bytes, in it and by index."""

    items: int = 0
    size: int = 0
    by_index: dict[str, tuple[int, int]] = {}


def index_named(table: Table, name: str) -> Index:
    """Return an index of a table. Raises DynamoError (ValidationException)."""
    for index in table.indexes:
        if index.name == name:
            return index
    raise invalid(f"The table does not have the specified index: {name}")


def _wrong(reason: str) -> DynamoError:
    return invalid(f"One or more parameter values were invalid: {reason}")


def new_table(request: Mapping[str, Any], name: str, table_id: str, now_ms: int) -> Table:
    """Return the table that a CreateTable asks for. Raises DynamoError (ValidationException)."""
    _check_members(request)
    types = _types(request["AttributeDefinitions"])
    keys = _keys(request["KeySchema"], types)
    billing = request.get("BillingMode") or "PROVISIONED"
    throughput = _throughput(request.get("ProvisionedThroughput"), billing)
    indexes = [
        _index(each, types, keys, billing, is_global=False)
        for each in request.get("LocalSecondaryIndexes") or ()
    ] + [
        _index(each, types, keys, billing, is_global=True)
        for each in request.get("GlobalSecondaryIndexes") or ()
    ]
    _check_indexes(indexes)
    used = {name for name, _ in keys} | {n for index in indexes for n, _ in index.keys}
    if set(types) != used:
        raise _wrong(
            "Number of attributes in KeySchema does not exactly match number of attributes defined "
            "in AttributeDefinitions"
            if not indexes
            else "Some AttributeDefinitions are not used. AttributeDefinitions: "
            f"[{', '.join(types)}], keys used: [{', '.join(sorted(used))}]"
        )
    return Table(
        name=name,
        id=table_id,
        created_ms=now_ms,
        keys=keys,
        indexes=tuple(indexes),
        billing=billing,
        throughput=throughput,
        table_class=request.get("TableClass") or "STANDARD",
        deletion_protected=bool(request.get("DeletionProtectionEnabled")),
        tags=tuple((tag["Key"], tag["Value"]) for tag in request.get("Tags") or ()),
    )


def _check_members(request: Mapping[str, Any]) -> None:
    constraints = Constraints()
    constraints.required(request.get("AttributeDefinitions"), "attributeDefinitions")
    if constraints.required(request.get("KeySchema"), "keySchema"):
        constraints.count(request["KeySchema"], "keySchema", 1, 2)
    for place, each in enumerate(request.get("AttributeDefinitions") or ()):
        member = f"attributeDefinitions.{place + 1}.member.attribute"
        constraints.required(each.get("AttributeName"), member + "Name")
        constraints.required(each.get("AttributeType"), member + "Type")
        constraints.length(each.get("AttributeName"), member + "Name", 1, 255)
        constraints.one_of(each.get("AttributeType"), member + "Type", _TYPES)
    _check_roles(constraints, request.get("KeySchema") or (), "keySchema")
    for place, each in enumerate(request.get("Tags") or ()):
        member = f"tags.{place + 1}.member."
        constraints.required(each.get("Key"), member + "key")
        constraints.required(each.get("Value"), member + "value")
    constraints.one_of(request.get("BillingMode"), "billingMode", _BILLING)
    constraints.one_of(request.get("TableClass"), "tableClass", _CLASSES)
    constraints.finish()


def _check_roles(
    constraints: Constraints, schema: Sequence[Mapping[str, Any]], member: str
) -> None:
    for place, each in enumerate(schema):
        path = f"{member}.{place + 1}.member."
        constraints.required(each.get("AttributeName"), path + "attributeName")
        constraints.required(each.get("KeyType"), path + "keyType")
        constraints.one_of(each.get("KeyType"), path + "keyType", ("HASH", "RANGE"))


def _types(definitions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    types: dict[str, str] = {}
    for each in definitions:
        if each["AttributeName"] in types:
            raise _wrong(f"Duplicate AttributeName in AttributeDefinitions: {each}")
        types[each["AttributeName"]] = each["AttributeType"]
    return types


def _keys(
    wire: Sequence[Mapping[str, Any]], types: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    roles = [each.get("KeyType") for each in wire]
    if roles[0] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(roles) == 2 and roles[1] != "RANGE":
        raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    names = [each["AttributeName"] for each in wire]
    if len(set(names)) != len(names):
        raise invalid(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    for name in names:
        if name not in types:
            raise _wrong(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: "
                f"[{', '.join(names)}], AttributeDefinitions: [{', '.join(types)}]"
            )
    return tuple((name, types[name]) for name in names)


def _throughput(wire: Mapping[str, int] | None, billing: str) -> tuple[int, int]:
    if billing == "PAY_PER_REQUEST":
        if wire:
            raise _wrong(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when "
                "BillingMode is PAY_PER_REQUEST"
            )
        return 0, 0
    if wire is None:
        raise _wrong(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is "
            "PROVISIONED"
        )
    constraints = Constraints()
    for member in ("ReadCapacityUnits", "WriteCapacityUnits"):
        path = "provisionedThroughput." + member[0].lower() + member[1:]
        if constraints.required(wire.get(member), path):
            constraints.within(wire[member], path, 1)
    constraints.finish()
    return wire["ReadCapacityUnits"], wire["WriteCapacityUnits"]


def _index(
    wire: Mapping[str, Any],
    types: Mapping[str, str],
    table_keys: tuple[tuple[str, str], ...],
    billing: str,
    *,
    is_global: bool,
) -> Index:
    constraints = Constraints()
    constraints.name(wire.get("IndexName"), "indexName")
    if constraints.required(wire.get("KeySchema"), "keySchema"):
        constraints.count(wire["KeySchema"], "keySchema", 1, 2)
        _check_roles(constraints, wire["KeySchema"], "keySchema")
    projection = wire.get("Projection") or {}
    constraints.one_of(projection.get("ProjectionType"), "projection.projectionType", _PROJECTIONS)
    constraints.finish()
    kind = projection.get("ProjectionType")
    include = tuple(projection.get("NonKeyAttributes") or ())
    if kind is None:
        raise _wrong("Unknown ProjectionType: null")
    if include and kind != "INCLUDE":
        raise _wrong(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and not include:
        raise _wrong("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    keys = _keys(wire["KeySchema"], types)
    if not is_global:
        if len(keys) < 2:
            raise _wrong(
                f"Index KeySchema does not have a range key for index: {wire['IndexName']}"
            )
        if keys[0] != table_keys[0]:
            raise _wrong(
                "Index KeySchema does not have the same leading hash key as table KeySchema for "
                f"index: {wire['IndexName']}. index hash key: {keys[0][0]}, table hash key: "
                f"{table_keys[0][0]}"
            )
        if len(table_keys) < 2:
            raise _wrong(
                "Table KeySchema does not have a range key, which is required when specifying a "
                "LocalSecondaryIndex"
            )
    throughput = (0, 0)
    if is_global:
        throughput = _throughput(wire.get("ProvisionedThroughput"), billing)
    return Index(wire["IndexName"], keys, kind, include, is_global, throughput)


def _check_indexes(indexes: Sequence[Index]) -> None:
    names = [index.name for index in indexes]
    for name in names:
        if names.count(name) > 1:
            raise _wrong(f"Duplicate index name: {name}")
    local = sum(not index.is_global for index in indexes)
    if local > _LOCAL_MAX:
        raise _wrong("Number of LocalSecondaryIndexes exceeds per-table limit of 5")
    if len(indexes) - local > _INDEXES_MAX:
        raise _wrong("GlobalSecondaryIndex count exceeds the per-table limit of 20")


def updated(table: Table, request: Mapping[str, Any], now_ms: int) -> Table:
    """Return a table after an UpdateTable: billing, throughput, class, protection.

    Raises DynamoError (ValidationException).
    """
    constraints = Constraints()
    constraints.one_of(request.get("BillingMode"), "billingMode", _BILLING)
    constraints.one_of(request.get("TableClass"), "tableClass", _CLASSES)
    constraints.finish()
    billing = request.get("BillingMode") or table.billing
    throughput = table.throughput
    given = request.get("ProvisionedThroughput")
    protected = request.get("DeletionProtectionEnabled")
    changes = ("BillingMode", "ProvisionedThroughput", "TableClass", "DeletionProtectionEnabled")
    if all(request.get(member) is None for member in changes):
        raise invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
            "GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required"
        )
    if given or billing != table.billing:
        throughput = _throughput(given, billing)
    changed_ms = now_ms if billing != table.billing else table.billing_changed_ms
    return Table(
        name=table.name,
        id=table.id,
        created_ms=table.created_ms,
        keys=table.keys,
        indexes=table.indexes,
        billing=billing,
        throughput=throughput,
        table_class=request.get("TableClass") or table.table_class,
        deletion_protected=table.deletion_protected if protected is None else protected,
        ttl_attribute=table.ttl_attribute,
        billing_changed_ms=changed_ms,
        tags=table.tags,
    )


def describe(table: Table, use: TableUse, status: str = "ACTIVE") -> dict[str, Any]:
    """Return the TableDescription.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
    """
    types = dict(table.keys) | {n: k for index in table.indexes for n, k in index.keys}
    found: dict[str, Any] = {
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in types.items()
        ],
        "TableName": table.name,
        "KeySchema": _show_keys(table.keys),
        "TableStatus": status,
        "CreationDateTime": table.created_ms / 1000,
        "ProvisionedThroughput": _show_throughput(table.throughput),
        "TableSizeBytes": use.size,
        "ItemCount": use.items,
        "TableArn": table.arn,
        "TableId": table.id,
        "DeletionProtectionEnabled": table.deletion_protected,
    }
    if table.billing == "PAY_PER_REQUEST":
        changed = (table.billing_changed_ms or table.created_ms) / 1000
        found["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": changed,
        }
    if table.table_class != "STANDARD":
        found["TableClassSummary"] = {"TableClass": table.table_class}
    for is_global, member in ((False, "LocalSecondaryIndexes"), (True, "GlobalSecondaryIndexes")):
        shown = [
            _show_index(table, index, use)
            for index in table.indexes
            if index.is_global is is_global
        ]
        if shown:
            found[member] = shown
    return found


def _show_keys(keys: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": role}
        for (name, _), role in zip(keys, ("HASH", "RANGE"), strict=False)
    ]


def _show_throughput(throughput: tuple[int, int]) -> dict[str, int]:
    return {
        "NumberOfDecreasesToday": 0,
        "ReadCapacityUnits": throughput[0],
        "WriteCapacityUnits": throughput[1],
    }


def _show_index(table: Table, index: Index, use: TableUse) -> dict[str, Any]:
    items, size = use.by_index.get(index.name, (0, 0))
    projection: dict[str, Any] = {"ProjectionType": index.projection}
    if index.include:
        projection["NonKeyAttributes"] = list(index.include)
    found: dict[str, Any] = {
        "IndexName": index.name,
        "KeySchema": _show_keys(index.keys),
        "Projection": projection,
        "IndexSizeBytes": size,
        "ItemCount": items,
        "IndexArn": f"{table.arn}/index/{index.name}",
    }
    if index.is_global:
        found["IndexStatus"] = "ACTIVE"
        found["ProvisionedThroughput"] = _show_throughput(index.throughput)
    return found
