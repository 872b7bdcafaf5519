"""Key conditions: which items of one partition a query wants.

    key condition := test [ AND test ]      one on the partition key (=), one on the sort key

Owns: reading a condition as one on keys, from text or from the legacy parameter.
Does not own: which items those are (`cenote.tables`).

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.KeyConditionExpressions.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.expressions.condition import parse_condition
from cenote.dynamo.expressions.nodes import (
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Literal,
    PathOf,
)
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.values import Value

__all__ = ["KeyCondition", "SortCondition", "as_key_condition", "parse_key_condition"]

ROLE: Final = "KeyConditionExpression"
_MIRROR: Final = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class SortCondition:
    """A test of the sort key: = < <= > >= with one value, "between" with two, "begins_with"."""

    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """The partition key's value, and the test of the sort key, None for all."""

    partition: Value
    sort: SortCondition | None = None


def parse_key_condition(
    text: str, placeholders: Placeholders, partition: tuple[str, str], sort: tuple[str, str] | None
) -> KeyCondition:
    """Return the key condition that `text` says, for keys given by name and type.

    Raises DynamoError (ValidationException).
    """
    condition = parse_condition(text, ROLE, placeholders)
    tests: list[tuple[str, SortCondition]] = []
    for each in _conjuncts(condition):
        tests.append(_as_test(each))
    return as_key_condition(tests, partition, sort)


def _conjuncts(condition: Condition) -> list[Condition]:
    if isinstance(condition, And):
        return _conjuncts(condition.left) + _conjuncts(condition.right)
    return [condition]


def _as_test(condition: Condition) -> tuple[str, SortCondition]:
    match condition:
        case Compare(operator, PathOf(path), Literal(value)) if operator in _MIRROR:
            return _name(path), SortCondition(operator, (value,))
        case Compare(operator, Literal(value), PathOf(path)) if operator in _MIRROR:
            return _name(path), SortCondition(_MIRROR[operator], (value,))
        case Between(PathOf(path), Literal(low), Literal(high)):
            return _name(path), SortCondition("between", (low, high))
        case BeginsWith(PathOf(path), Literal(start)):
            return _name(path), SortCondition("begins_with", (start,))
        case Compare("<>"):
            raise _wrong("Invalid operator used in KeyConditionExpression: <>")
    name = type(condition).__name__
    raise _wrong(f"Invalid operator used in KeyConditionExpression: {_OPERATORS.get(name, name)}")


_OPERATORS: Final = {
    "Or": "OR",
    "Not": "NOT",
    "In": "IN",
    "Contains": "contains",
    "Exists": "attribute_exists",
    "HasType": "attribute_type",
}


def _wrong(reason: str) -> DynamoError:
    return invalid(reason)


def _name(path: tuple[str | int, ...]) -> str:
    first = path[0]
    if len(path) > 1 or not isinstance(first, str):
        raise _wrong("KeyConditionExpressions cannot have conditions on nested attributes")
    return first


def as_key_condition(
    tests: list[tuple[str, SortCondition]],
    partition: tuple[str, str],
    sort: tuple[str, str] | None,
) -> KeyCondition:
    """Return the key condition that tests of attributes make. Raises DynamoError."""
    names = [name for name, _ in tests]
    if len(names) != len(set(names)):
        raise _wrong("KeyConditionExpressions must only contain one condition per key")
    if len(tests) > 2:
        raise _wrong("Conditions can be of length 1 or 2 only")
    given = dict(tests)
    by_partition = given.pop(partition[0], None)
    if by_partition is None:
        raise _wrong(f"Query condition missed key schema element: {partition[0]}")
    if by_partition.operator != "=":
        raise _wrong("Query key condition not supported")
    by_sort = None if sort is None else given.pop(sort[0], None)
    if given:
        if sort is None:
            raise _wrong("Query key condition not supported")
        raise _wrong(f"Query condition missed key schema element: {sort[0]}")
    for test, key in ((by_partition, partition), (by_sort, sort)):
        if test is not None and key is not None:
            _check_types(test, key[1])
    return KeyCondition(by_partition.values[0], by_sort)


def _check_types(test: SortCondition, kind: str) -> None:
    if any(value[0] != kind for value in test.values):
        raise _wrong(
            "One or more parameter values were invalid: Condition parameter type does not match "
            "schema type"
        )
    if kind in ("S", "B") and test.operator != "begins_with":
        for value in test.values:
            if not value[1]:
                raise _wrong(
                    "One or more parameter values are not valid. The AttributeValue for a key "
                    "attribute cannot contain an empty "
                    f"{'string' if kind == 'S' else 'binary'} value."
                )
