"""An item after an update.

Owns: the meaning of SET, REMOVE, ADD and DELETE.

Every operand is read from the item as it was; then the changes are made on a copy. A SET at a place
beyond a list's end appends; removed places of a list close up, after all changes.

Invariants:
1. The item that is given is not changed.
"""

from __future__ import annotations

from typing import Any, Final

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.expressions.evaluate import value_at
from cenote.dynamo.expressions.nodes import (
    Arithmetic,
    IfNotExists,
    ListAppend,
    Literal,
    Path,
    PathOf,
    SetOperand,
    Update,
)
from cenote.dynamo.numbers import add, subtract
from cenote.dynamo.values import Item, Value

__all__ = ["apply_update"]

_GONE: Final = ("", None)


def apply_update(update: Update, item: Item) -> Item:
    """Return the item after the update. Raises DynamoError (ValidationException)."""
    sets = [(path, _evaluate(operand, item)) for path, operand in update.sets]
    sets += [(path, _added(value_at(item, path), by.value)) for path, by in update.adds]
    removes = list(update.removes)
    for path, by in update.deletes:
        left = _deleted(value_at(item, path), by.value)
        if left == _GONE:
            removes.append(path)
        elif left is not None:
            sets.append((path, left))
    changed: Any = _thawed(("M", item))
    # Places beyond a list's end append in the order of their numbers, not as they are written.
    for path, value in sorted(sets, key=lambda each: _places(each[0])):
        _set(changed, path, value)
    for path in removes:
        _remove(changed, path)
    result = _frozen(changed)
    frozen: Item = result[1]
    return frozen


def _places(path: Path) -> tuple[int, ...]:
    return tuple(step for step in path if isinstance(step, int))


def _evaluate(operand: SetOperand, item: Item) -> Value:
    match operand:
        case Literal(value):
            return value
        case PathOf(path):
            found = value_at(item, path)
            if found is None:
                raise invalid(
                    "The provided expression refers to an attribute that does not exist in the item"
                )
            return found
        case IfNotExists(path, otherwise):
            found = value_at(item, path)
            return _evaluate(otherwise, item) if found is None else found
        case ListAppend(left, right):
            one, two = _evaluate(left, item), _evaluate(right, item)
            if one[0] != "L" or two[0] != "L":
                raise _mistyped()
            return "L", one[1] + two[1]
        case Arithmetic(operator, left, right):
            one, two = _evaluate(left, item), _evaluate(right, item)
            if one[0] != "N" or two[0] != "N":
                raise _mistyped()
            return "N", (add if operator == "+" else subtract)(one[1], two[1])


def _mistyped() -> DynamoError:
    return invalid("An operand in the update expression has an incorrect data type")


def _added(current: Value | None, by: Value) -> Value:
    if current is None:
        return by
    if current[0] != by[0]:
        raise _mistyped()
    if by[0] == "N":
        return "N", add(current[1], by[1])
    if by[0] == "L":  # by the legacy parameter only
        return "L", current[1] + by[1]
    return by[0], current[1] | by[1]


def _deleted(current: Value | None, by: Value) -> Value | None:
    """Return the set that is left, `_GONE` when nothing is, None when there was none."""
    if current is None:
        return None
    if current[0] != by[0]:
        raise _mistyped()
    left = current[1] - by[1]
    return (by[0], left) if left else _GONE


def _thawed(value: Value) -> Any:
    """Return a copy whose lists and maps can be changed: `[kind, content]`."""
    kind, content = value
    if kind == "M":
        return [kind, {name: _thawed(each) for name, each in content.items()}]
    if kind == "L":
        return [kind, [_thawed(each) for each in content]]
    return [kind, content]


def _frozen(thawed: Any) -> Value:
    kind, content = thawed
    if kind == "M":
        return kind, {name: _frozen(each) for name, each in content.items()}
    if kind == "L":
        return kind, tuple(_frozen(each) for each in content if each is not None)
    return kind, content


def _parent(changed: Any, path: Path) -> Any:
    """Return the map or list that the last step of a path leads into, None when it is absent."""
    node = changed
    for step in path[:-1]:
        kind, content = node
        if isinstance(step, int):
            if kind != "L" or step >= len(content) or content[step] is None:
                return None
        elif kind != "M" or step not in content:
            return None
        node = content[step]
    return node if node[0] == ("L" if isinstance(path[-1], int) else "M") else None


def _set(changed: Any, path: Path, value: Value) -> None:
    parent = _parent(changed, path)
    if parent is None:
        raise invalid("The document path provided in the update expression is invalid for update")
    last, content = path[-1], parent[1]
    if isinstance(last, int) and last >= len(content):
        content.append(_thawed(value))
    else:
        content[last] = _thawed(value)


def _remove(changed: Any, path: Path) -> None:
    parent = _parent(changed, path)
    last = path[-1]
    if parent is None:
        if len(path) > 1:
            raise invalid(
                "The document path provided in the update expression is invalid for update"
            )
        return
    if isinstance(last, int):
        if last < len(parent[1]):
            parent[1][last] = None  # closed up at the end: other places count from before
    else:
        parent[1].pop(last, None)
