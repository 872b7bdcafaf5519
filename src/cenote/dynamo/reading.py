"""GetItem, Query and Scan.

Owns: reading such a request, pages, filters, what of an item is returned.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html (_GetItem, _Scan)

Invariants:
1. A page ends after `Limit` items were looked at, or with the item that brings it to 1 MiB, before
   any filter; then LastEvaluatedKey names the last item looked at.
2. Reads see what was committed when they began; that is as consistent as can be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

from cenote.dynamo.capacity import consumed, read_units, wanted_capacity
from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints
from cenote.dynamo.expressions.condition import parse_condition
from cenote.dynamo.expressions.evaluate import holds
from cenote.dynamo.expressions.keycondition import (
    KeyCondition,
    SortCondition,
    as_key_condition,
    parse_key_condition,
)
from cenote.dynamo.expressions.nodes import Condition, Path
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.expressions.projection import parse_projection, project
from cenote.dynamo.keys import Key, index_key_of, key_bytes, key_item, parse_key
from cenote.dynamo.legacy import check_styles, filters, key_tests
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows, Span
from cenote.dynamo.schema import Index, Table, index_named
from cenote.dynamo.values import Item, item_size, parse_item, render_item
from cenote.dynamo.writing import existing_table

__all__ = ["get_item", "parse_projection_of", "query", "scan"]

_PAGE_SIZE: Final = 1024 * 1024
_SELECTS: Final = (
    "SPECIFIC_ATTRIBUTES",
    "COUNT",
    "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES",
)
_SEGMENTS_MAX: Final = 1_000_000


def parse_projection_of(request: Request, placeholders: Placeholders) -> tuple[Path, ...] | None:
    """Return which paths a request wants, None for all. Raises DynamoError."""
    text = request.text("ProjectionExpression")
    if text is not None:
        return parse_projection(text, placeholders)
    names = request.texts("AttributesToGet")
    if names is None:
        return None
    constraints = Constraints()
    constraints.count(names, "attributesToGet", 1, 2**31)
    constraints.finish()
    if len(set(names)) != len(names):
        raise invalid(
            "One or more parameter values were invalid: Duplicate value in attribute name: "
            + next(name for name in names if names.count(name) > 1)
        )
    return tuple((name,) for name in names)


def get_item(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a GetItem, and return its answer. Raises DynamoError."""
    name = request.table()
    wire = parse_item(request.needed("Key"))
    consistent = bool(request.flag("ConsistentRead"))
    wanted = wanted_capacity(request)
    check_styles(request, ("AttributesToGet",), ("ProjectionExpression",))
    placeholders = Placeholders(
        request.names("ExpressionAttributeNames"),
        None,
        *(() if request.has("ProjectionExpression") else ("ProjectionExpression",)),
    )
    paths = parse_projection_of(request, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    item = rows.get(table, parse_key(wire, table.schema))
    found: dict[str, Any] = {}
    if item is not None:
        found["Item"] = render_item(item if paths is None else project(item, paths))
    units = read_units(0 if item is None else item_size(item), consistent=consistent)
    return found | consumed(wanted, table.name, units)


@dataclass(frozen=True, slots=True)
class _Page:
    """A Query or Scan as it was read."""

    table: Table
    index: Index | None
    span: Span
    condition: Condition
    paths: tuple[Path, ...] | None
    limit: int | None
    count_only: bool
    consistent: bool
    segment: tuple[int, int] | None = None


def query(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a Query, and return its answer. Raises DynamoError."""
    wanted = wanted_capacity(request)
    _check_members(request)
    check_styles(
        request,
        ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"),
        ("ProjectionExpression", "FilterExpression", "KeyConditionExpression"),
    )
    if not request.has("KeyConditionExpression") and not request.has("KeyConditions"):
        raise invalid(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the "
            "request."
        )
    name = request.table()
    table = existing_table(rows, name)
    index = _index(request, table)
    schema = table.schema if index is None else index.schema
    placeholders = _placeholders(request)
    text = request.text("KeyConditionExpression")
    if text is not None:
        keys = parse_key_condition(text, placeholders, schema.partition, schema.sort)
    else:
        keys = as_key_condition(key_tests(request), schema.partition, schema.sort)
    page = _page(request, table, index, placeholders, "QueryFilter")
    for path in _paths_of(page.condition):
        if path[0] in schema.names:
            raise invalid(
                "Filter Expression can only contain non-primary key attributes: Primary key "
                f"attribute: {path[0]}"
            )
    forward = request.flag("ScanIndexForward")
    span = replace(_span(keys, page.span), reverse=forward is False)
    start = page.span.after
    if start is not None and start[0][0] != span.partition:
        raise invalid(
            "The provided starting key is outside query boundaries based on provided conditions"
        )
    return _read(rows, replace(page, span=span), wanted)


def scan(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a Scan, and return its answer. Raises DynamoError."""
    wanted = wanted_capacity(request)
    _check_members(request)
    check_styles(
        request,
        ("AttributesToGet", "ScanFilter", "ConditionalOperator"),
        ("ProjectionExpression", "FilterExpression"),
    )
    name = request.table()
    table = existing_table(rows, name)
    page = _page(request, table, _index(request, table), _placeholders(request), "ScanFilter")
    return _read(rows, replace(page, segment=_segment(request)), wanted)


def _segment(request: Request) -> tuple[int, int] | None:
    segment, total = request.integer("Segment"), request.integer("TotalSegments")
    constraints = Constraints()
    constraints.within(segment, "segment", 0, _SEGMENTS_MAX - 1)
    constraints.within(total, "totalSegments", 1, _SEGMENTS_MAX)
    constraints.finish()
    if segment is None and total is None:
        return None
    if segment is None:
        raise invalid(
            "The Segment parameter is required but was not present in the request when parameter "
            "TotalSegments is present"
        )
    if total is None:
        raise invalid(
            "The TotalSegments parameter is required but was not present in the request when "
            "Segment parameter is present"
        )
    if segment >= total:
        raise invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: "
            f"Segment: {segment} is not less than TotalSegments: {total}"
        )
    return segment, total


def _check_members(request: Request) -> None:
    constraints = Constraints()
    constraints.one_of(request.text("Select"), "select", _SELECTS)
    constraints.within(request.integer("Limit"), "limit", 1)
    constraints.finish()


def _index(request: Request, table: Table) -> Index | None:
    name = request.text("IndexName")
    if name is None:
        return None
    constraints = Constraints()
    constraints.name(name, "indexName")
    constraints.finish()
    index = index_named(table, name)
    if index.is_global and request.flag("ConsistentRead"):
        raise invalid("Consistent reads are not supported on global secondary indexes")
    return index


def _placeholders(request: Request) -> Placeholders:
    expressions = ("FilterExpression", "KeyConditionExpression", "ProjectionExpression")
    absent = not any(request.has(name) for name in expressions)
    return Placeholders(
        request.names("ExpressionAttributeNames"),
        request.map("ExpressionAttributeValues"),
        *(("FilterExpression", "KeyConditionExpression") if absent else ()),
    )


def _page(
    request: Request,
    table: Table,
    index: Index | None,
    placeholders: Placeholders,
    legacy: str,
) -> _Page:
    text = request.text("FilterExpression")
    if text is None:
        condition = filters(request, legacy)
    else:
        condition = parse_condition(text, "FilterExpression", placeholders)
    paths = parse_projection_of(request, placeholders)
    placeholders.finish()
    return _Page(
        table=table,
        index=index,
        span=Span(index=None if index is None else index.name, after=_start(request, table, index)),
        condition=condition,
        paths=_selected(request, table, index, paths),
        limit=request.integer("Limit"),
        count_only=request.text("Select") == "COUNT",
        consistent=bool(request.flag("ConsistentRead")),
    )


def _selected(
    request: Request, table: Table, index: Index | None, paths: tuple[Path, ...] | None
) -> tuple[Path, ...] | None:
    """Return the paths to show, after Select and the index's projection."""
    select = request.text("Select")
    if paths is not None and select not in (None, "SPECIFIC_ATTRIBUTES"):
        style = "AttributesToGet" if request.has("AttributesToGet") else "ProjectionExpression"
        raise invalid(f"Cannot specify the {style} when choosing to get {select}")
    if paths is None and select == "SPECIFIC_ATTRIBUTES":
        raise invalid(
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get "
            "SPECIFIC_ATTRIBUTES"
        )
    if index is None:
        if select == "ALL_PROJECTED_ATTRIBUTES":
            raise invalid(
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
            )
        return paths
    if index.projection == "ALL":
        return paths
    names = set(index.schema.names) | set(table.schema.names) | set(index.include)
    if select == "ALL_ATTRIBUTES":
        if index.is_global:
            raise invalid(
                "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not "
                f"supported for global secondary index {index.name} because its projection type is "
                "not ALL"
            )
        return paths
    if paths is None:
        return tuple((name,) for name in sorted(names))
    for path in paths:
        if index.is_global and path[0] not in names:
            raise invalid(
                "One or more parameter values were invalid: Global secondary index "
                f"{index.name} does not project [{path[0]}]"
            )
    return paths


def _start(request: Request, table: Table, index: Index | None) -> tuple[Key, Key] | None:
    wire = request.map("ExclusiveStartKey")
    if wire is None:
        return None
    item = parse_item(wire)
    names = set(table.schema.names) | set(() if index is None else index.schema.names)
    wrong = invalid("The provided starting key is invalid")
    if set(item) != names:
        raise wrong
    try:
        key = parse_key({name: item[name] for name in table.schema.names}, table.schema)
        place = key if index is None else index_key_of(item, index.schema)
    except DynamoError as error:
        raise wrong from error
    if place is None:
        raise wrong
    return place, key


def _span(keys: KeyCondition, span: Span) -> Span:
    low: bytes | None = None
    high: bytes | None = None
    low_open = high_open = False
    sort: SortCondition | None = keys.sort
    if sort is not None:
        first = key_bytes(sort.values[0])
        if sort.operator in ("=", ">", ">=", "between", "begins_with"):
            low, low_open = first, sort.operator == ">"
        if sort.operator in ("=", "<", "<="):
            high, high_open = first, sort.operator == "<"
        elif sort.operator == "between":
            high = key_bytes(sort.values[1])
        elif sort.operator == "begins_with":
            cut = first.rstrip(b"\xff")
            high = cut[:-1] + bytes((cut[-1] + 1,)) if cut else None
            high_open = True
    return replace(
        span,
        partition=key_bytes(keys.partition),
        low=low,
        low_open=low_open,
        high=high,
        high_open=high_open,
    )


def _paths_of(condition: Condition) -> list[Path]:
    """Return every path a condition reads."""
    found: list[Path] = []
    stack: list[Any] = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(node)
        elif hasattr(node, "__slots__"):
            for name in node.__slots__:
                value = getattr(node, name)
                if name == "path":
                    found.append(value)
                elif name != "value":
                    stack.append(value)
    return found


def _read(rows: Rows, page: _Page, wanted: str) -> dict[str, Any]:
    items: list[Item] = []
    looked = size = matched = 0
    last = None
    for found in rows.walk(page.table, page.span):
        if page.segment is not None:
            number, total = page.segment
            if crc32(found.place[0]) % total != number:
                continue
        looked += 1
        size += item_size(found.item)
        if holds(page.condition, found.item):
            matched += 1
            if not page.count_only:
                shown = found.item if page.paths is None else project(found.item, page.paths)
                items.append(shown)
        if looked == page.limit or size >= _PAGE_SIZE:
            last = found
            break
    answer: dict[str, Any] = {"Count": matched, "ScannedCount": looked}
    if not page.count_only:
        answer["Items"] = [render_item(item) for item in items]
    if last is not None:
        schemas = [page.table.schema] + ([] if page.index is None else [page.index.schema])
        answer["LastEvaluatedKey"] = render_item(key_item(last.item, *schemas))
    units = read_units(size, consistent=page.consistent)
    name = None if page.index is None else page.index.name
    return answer | consumed(wanted, page.table.name, units, name)
