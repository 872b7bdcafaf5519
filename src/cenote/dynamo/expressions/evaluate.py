"""Whether a condition holds for an item.

Owns: the meaning of every condition. Does not own: the grammar.

Invariants:
1. Nothing here raises: an operand that is absent or of a wrong type makes its test false, or true
   where the test is for a difference.
"""

from __future__ import annotations

from decimal import Decimal

from cenote.dynamo.expressions.nodes import (
    Always,
    And,
    BeginsWith,
    Between,
    Compare,
    Condition,
    Contains,
    Exists,
    HasType,
    In,
    Literal,
    Not,
    Operand,
    Or,
    Path,
    PathOf,
)
from cenote.dynamo.values import SET_TYPES, Item, Value, compare

__all__ = ["holds", "value_at"]


def value_at(item: Item, path: Path) -> Value | None:
    """Return the value at a path, or None when there is none."""
    value: Value = ("M", item)
    for step in path:
        kind, content = value
        if isinstance(step, int):
            if kind != "L" or step >= len(content):
                return None
        elif kind != "M" or step not in content:
            return None
        value = content[step]
    return value


def holds(condition: Condition, item: Item) -> bool:
    """Tell whether the condition holds for the item; an absent item is an empty one."""
    match condition:
        case Always():
            return True
        case And(left, right):
            return holds(left, item) and holds(right, item)
        case Or(left, right):
            return holds(left, item) or holds(right, item)
        case Not(inner):
            return not holds(inner, item)
        case Exists(path, wanted):
            return (value_at(item, path) is not None) is wanted
        case Compare(operator, left, right):
            return _compares(operator, _operand(left, item), _operand(right, item))
        case Between(operand, low, high):
            value = _operand(operand, item)
            return _compares(">=", value, _operand(low, item)) and _compares(
                "<=", value, _operand(high, item)
            )
        case In(operand, options):
            value = _operand(operand, item)
            return value is not None and any(value == _operand(option, item) for option in options)
        case HasType(path, kind):
            value, named = value_at(item, path), _operand(kind, item)
            return value is not None and named is not None and value[0] == named[1]
        case BeginsWith(whole, start):
            return begins_with(_operand(whole, item), _operand(start, item))
        case Contains(whole, part):
            return contains(_operand(whole, item), _operand(part, item))


def _operand(operand: Operand, item: Item) -> Value | None:
    if isinstance(operand, Literal):
        return operand.value
    value = value_at(item, operand.path)
    if isinstance(operand, PathOf) or value is None:
        return value
    kind, content = value
    if kind == "S":
        return "N", Decimal(len(content.encode("utf-16-le", "surrogatepass")) // 2)
    if kind in ("B", "L", "M") or kind in SET_TYPES:
        return "N", Decimal(len(content))
    return None


def _compares(operator: str, left: Value | None, right: Value | None) -> bool:
    if operator == "=":
        return left is not None and left == right
    if operator == "<>":
        return left is None or right is None or left != right
    order = None if left is None or right is None else compare(left, right)
    if order is None:
        return False
    if operator == "<":
        return order < 0
    if operator == "<=":
        return order <= 0
    if operator == ">":
        return order > 0
    return order >= 0


def begins_with(whole: Value | None, start: Value | None) -> bool:
    """Tell whether a string or binary starts with another of its type."""
    if whole is None or start is None or whole[0] != start[0] or whole[0] not in ("S", "B"):
        return False
    return bool(whole[1].startswith(start[1]))


def contains(whole: Value | None, part: Value | None) -> bool:
    """Tell whether a string or binary has a part, or a set or a list a member."""
    if whole is None or part is None:
        return False
    kind, content = whole
    if kind in ("S", "B"):
        return kind == part[0] and part[1] in content
    if kind in SET_TYPES:
        return part[0] == SET_TYPES[kind] and part[1] in content
    return kind == "L" and part in content
