"""Attribute values: the types of an item's attributes, from JSON and back.

Owns: the ten types, what each may hold, sizes, the order of those that have one.
Does not own: keys (`keys`), expressions.

A value is a pair of its type's letter and its content:

    S str   N Decimal   B bytes   BOOL bool   NULL True
    SS, NS, BS  frozenset of those        L tuple of values     M dict from names to values

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html

Invariants:
1. Equal values are equal in Python, whatever the numbers' spelling or the sets' order was.
2. Nothing is nested deeper than 32 levels, so that no recursion here runs away.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Final

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.numbers import number_size, parse_number, render_number

__all__ = [
    "ITEM_SIZE_MAX",
    "SET_TYPES",
    "Item",
    "Value",
    "compare",
    "item_size",
    "parse_item",
    "parse_value",
    "render_item",
    "render_value",
    "value_size",
]

Value = tuple[str, Any]
Item = dict[str, Value]

ITEM_SIZE_MAX: Final = 400 * 1024
DEPTH_MAX: Final = 32
SET_TYPES: Final[Mapping[str, str]] = {"SS": "S", "NS": "N", "BS": "B"}
TYPES: Final = frozenset({"S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"})


def _wrong(reason: str) -> DynamoError:
    return invalid(f"One or more parameter values were invalid: {reason}")


def _serial(reason: str) -> DynamoError:
    return DynamoError("SerializationException", reason)


def parse_value(wire: Any, depth: int = 0) -> Value:
    """Return the value of an AttributeValue as JSON has it.

    Raises DynamoError: SerializationException for JSON of another shape, else ValidationException.
    """
    if not isinstance(wire, dict):
        raise _serial("Unexpected value type in payload")
    found = {kind: content for kind, content in wire.items() if content is not None}
    unknown = found.keys() - TYPES
    if unknown or not found:
        raise invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        )
    if len(found) > 1:
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of "
            "the supported datatypes"
        )
    ((kind, content),) = found.items()
    if depth > DEPTH_MAX:
        raise invalid("Nesting Levels have exceeded supported limits")
    return kind, _parse_content(kind, content, depth)


def _parse_content(kind: str, content: Any, depth: int) -> Any:
    if kind in ("S", "N", "B"):
        return _parse_scalar(kind, content)
    if kind == "BOOL":
        if not isinstance(content, bool):
            raise _serial("Unexpected token received from parser")
        return content
    if kind == "NULL":
        if not isinstance(content, bool):
            raise _serial("Unexpected token received from parser")
        if not content:
            raise _wrong("Null attribute value types must have the value of true")
        return True
    if kind in SET_TYPES:
        return _parse_set(kind, content)
    if kind == "L":
        if not isinstance(content, list):
            raise _serial("Unexpected value type in payload")
        return tuple([parse_value(each, depth + 1) for each in content])
    if not isinstance(content, dict):
        raise _serial("Unexpected value type in payload")
    return {name: parse_value(each, depth + 1) for name, each in content.items()}


def _parse_scalar(kind: str, content: Any) -> Any:
    if not isinstance(content, str):
        raise _serial(f"{_json_name(content)} cannot be converted to a String")
    if kind == "S":
        return content
    if kind == "N":
        return parse_number(content)
    try:
        return binascii.a2b_base64(content, strict_mode=True)
    except ValueError as error:
        raise _serial("The value could not be decoded from Base64") from error


def _json_name(content: Any) -> str:
    if isinstance(content, bool):
        return "TRUE_VALUE" if content else "FALSE_VALUE"
    return "NUMBER_VALUE" if isinstance(content, int | float) else "START_STRUCT"


def _parse_set(kind: str, content: Any) -> frozenset[Any]:
    if not isinstance(content, list):
        raise _serial("Unexpected value type in payload")
    if not content:
        name = {"SS": "An string set ", "NS": "An number set ", "BS": "Binary sets"}[kind]
        raise _wrong(f"{name} may not be empty" if kind != "BS" else f"{name} should not be empty")
    members = [_parse_scalar(SET_TYPES[kind], each) for each in content]
    found = frozenset(members)
    if len(found) != len(members):
        listed = ", ".join(str(each) for each in content)
        raise _wrong(f"Input collection [{listed[:200]}] contains duplicates.")
    return found


def parse_item(wire: Any) -> Item:
    """Return an item, or a key, as JSON has it. Raises as `parse_value`."""
    if not isinstance(wire, dict):
        raise _serial("Unexpected value type in payload")
    return {name: parse_value(each) for name, each in wire.items()}


def render_value(value: Value) -> dict[str, Any]:
    """Return a value as JSON has it; sets are sorted."""
    kind, content = value
    if kind == "N":
        return {"N": render_number(content)}
    if kind == "B":
        return {"B": b64encode(content).decode("ascii")}
    if kind == "SS":
        return {"SS": sorted(content)}
    if kind == "NS":
        return {"NS": [render_number(each) for each in sorted(content)]}
    if kind == "BS":
        return {"BS": [b64encode(each).decode("ascii") for each in sorted(content)]}
    if kind == "L":
        return {"L": [render_value(each) for each in content]}
    if kind == "M":
        return {"M": render_item(content)}
    return {kind: content}


def render_item(item: Item) -> dict[str, Any]:
    """Return an item as JSON has it."""
    return {name: render_value(value) for name, value in item.items()}


def value_size(value: Value) -> int:
    """Return how many bytes a value counts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    kind, content = value
    if kind == "S":
        return len(content.encode("utf-8", "surrogatepass"))
    if kind == "N":
        return number_size(content)
    if kind == "B":
        return len(content)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in SET_TYPES:
        return sum(value_size((SET_TYPES[kind], each)) for each in content)
    if kind == "L":
        return 3 + sum(1 + value_size(each) for each in content)
    return 3 + sum(1 + len(name.encode()) + value_size(each) for name, each in content.items())


def item_size(item: Item) -> int:
    """Return how many bytes an item counts: its names and its values."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def compare(a: Value, b: Value) -> int | None:
    """Return -1, 0 or 1 for two values of one ordered type; None when they have no order.

    Strings are ordered by their UTF-8 bytes, binaries as unsigned bytes.
    """
    if a[0] != b[0] or a[0] not in ("S", "N", "B"):
        return None
    left, right = a[1], b[1]
    if a[0] == "S":
        left, right = left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass")
    return int(left > right) - int(left < right)
