"""The parameters that expressions replaced, as the expressions they mean.

Owns: Expected, QueryFilter, ScanFilter and ConditionalOperator as conditions, KeyConditions as key
conditions, AttributeUpdates as updates, AttributesToGet as projections; that both styles are not
mixed.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Final

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints
from cenote.dynamo.expressions.keycondition import SortCondition
from cenote.dynamo.expressions.nodes import (
    Always,
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    In,
    Literal,
    Not,
    Or,
    PathOf,
    Update,
)
from cenote.dynamo.request import Request
from cenote.dynamo.values import SET_TYPES, Value, compare, parse_value

__all__ = ["attribute_updates", "check_styles", "expected", "filters", "key_tests"]

_COMPARISONS: Final = {"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_ARGUMENTS: Final[dict[str, tuple[int, int | None]]] = {
    **dict.fromkeys(_COMPARISONS, (1, 1)),
    "NULL": (0, 0),
    "NOT_NULL": (0, 0),
    "CONTAINS": (1, 1),
    "NOT_CONTAINS": (1, 1),
    "BEGINS_WITH": (1, 1),
    "IN": (1, None),
    "BETWEEN": (2, 2),
}
_SCALAR: Final = frozenset({"LT", "LE", "GT", "GE", "BETWEEN", "BEGINS_WITH"})
_KEY_OPERATORS: Final = {
    "EQ": "=",
    "LT": "<",
    "LE": "<=",
    "GT": ">",
    "GE": ">=",
    "BETWEEN": "between",
    "BEGINS_WITH": "begins_with",
}


def check_styles(request: Request, old: Sequence[str], new: Sequence[str]) -> None:
    """Refuse parameters of both styles in one request. Raises DynamoError."""
    by_old = [name for name in old if request.has(name)]
    by_new = [name for name in new if request.has(name)]
    if by_old and by_new:
        raise invalid(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(by_old)}}} Expression parameters: "
            f"{{{', '.join(by_new)}}}"
        )


def _joined(request: Request, conditions: list[Condition]) -> Condition:
    operator = request.choice("ConditionalOperator", ("AND", "OR"), "AND")
    if not conditions:
        if request.has("ConditionalOperator"):
            raise invalid(
                "One or more parameter values were invalid: ConditionalOperator cannot be used "
                "without Filter or Expected"
            )
        return Always()
    return reduce(And if operator == "AND" else Or, conditions)


def expected(request: Request) -> Condition:
    """Return what Expected demands. Raises DynamoError (ValidationException)."""
    return _joined(
        request,
        [_expected(name, Request(wire)) for name, wire in (request.map("Expected") or {}).items()],
    )


def _expected(name: str, wire: Request) -> Condition:
    exists = wire.flag("Exists")
    if wire.has("ComparisonOperator"):
        if exists is not None:
            raise _wrong(
                "Exists and ComparisonOperator cannot be used together for Attribute: " + name
            )
        return _comparison(name, wire)
    if exists is False:
        if wire.has("Value"):
            raise _wrong(f"Value cannot be used when Exists is false for Attribute: {name}")
        return Exists((name,), wanted=False)
    if not wire.has("Value"):
        raise _wrong(
            f"Value must be provided when Exists is {'null' if exists is None else 'true'} for "
            f"Attribute: {name}"
        )
    return Compare("=", PathOf((name,)), Literal(parse_value(wire.members["Value"])))


def filters(request: Request, member: str) -> Condition:
    """Return what QueryFilter or ScanFilter demands. Raises DynamoError (ValidationException)."""
    return _joined(
        request,
        [_comparison(name, Request(wire)) for name, wire in (request.map(member) or {}).items()],
    )


def _wrong(reason: str) -> DynamoError:
    return invalid(f"One or more parameter values were invalid: {reason}")


def _arguments(name: str, wire: Request) -> tuple[str, list[Value]]:
    operator = wire.text("ComparisonOperator")
    constraints = Constraints()
    constraints.required(operator, "comparisonOperator")
    constraints.one_of(operator, "comparisonOperator", _ARGUMENTS)
    constraints.finish()
    if operator is None:
        raise _wrong("ComparisonOperator is missing")
    listed = wire.array("AttributeValueList") or []
    if wire.has("Value"):
        if listed:
            raise _wrong(
                f"Value and AttributeValueList cannot be used together for Attribute: {name}"
            )
        listed = [wire.members["Value"]]
    values = [parse_value(each) for each in listed]
    low, high = _ARGUMENTS[operator]
    if len(values) < low or (high is not None and len(values) > high):
        raise _wrong(f"Invalid number of argument(s) for the {operator} ComparisonOperator")
    if operator in _SCALAR:
        for kind, _ in values:
            if kind not in ("S", "N", "B") or (operator == "BEGINS_WITH" and kind == "N"):
                raise _wrong(
                    f"ComparisonOperator {operator} is not valid for {kind} AttributeValue type"
                )
    if operator == "BETWEEN" and (compare(*values) or 0) > 0:
        raise _wrong(
            "The BETWEEN condition was provided a range where the lower bound is greater "
            "than the upper bound"
        )
    return operator, values


def _comparison(name: str, wire: Request) -> Condition:
    operator, values = _arguments(name, wire)
    path = PathOf((name,))
    literals = tuple(Literal(value) for value in values)
    if operator in _COMPARISONS:
        return Compare(_COMPARISONS[operator], path, literals[0])
    match operator:
        case "NULL" | "NOT_NULL":
            return Exists((name,), wanted=operator == "NOT_NULL")
        case "CONTAINS":
            return Contains(path, literals[0])
        case "NOT_CONTAINS":
            return Not(Contains(path, literals[0]))
        case "BEGINS_WITH":
            return BeginsWith(path, literals[0])
        case "BETWEEN":
            return Between(path, literals[0], literals[1])
    return In(path, literals)


def key_tests(request: Request) -> list[tuple[str, SortCondition]]:
    """Return what KeyConditions demands, by attribute. Raises DynamoError."""
    tests = []
    for name, wire in (request.map("KeyConditions") or {}).items():
        operator, values = _arguments(name, Request(wire))
        if operator not in _KEY_OPERATORS:
            raise invalid("Attempted conditional constraint is not an indexable operation")
        tests.append((name, SortCondition(_KEY_OPERATORS[operator], tuple(values))))
    return tests


def attribute_updates(request: Request) -> Update:
    """Return what AttributeUpdates does. Raises DynamoError (ValidationException)."""
    sets, removes, adds, deletes = [], [], [], []
    for name, members in (request.map("AttributeUpdates") or {}).items():
        wire = Request(members)
        action = wire.choice("Action", ("ADD", "PUT", "DELETE"), "PUT")
        given: Any = wire.members.get("Value")
        if given is None:
            if action != "DELETE":
                raise _wrong("Only DELETE action is allowed when no attribute value is specified")
            removes.append((name,))
            continue
        literal = Literal(parse_value(given))
        kind = literal.value[0]
        if action == "PUT":
            sets.append(((name,), literal))
        elif action == "DELETE":
            if kind not in SET_TYPES:
                raise _wrong(f"DELETE action with value is not supported for the type {kind}")
            deletes.append(((name,), literal))
        else:
            if kind not in SET_TYPES and kind not in ("N", "L"):
                raise _wrong(f"ADD action is not supported for the type {kind}")
            adds.append(((name,), literal))
    return Update(tuple(sets), tuple(removes), tuple(adds), tuple(deletes))
