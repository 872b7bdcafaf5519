"""Projections: which parts of an item are wanted.

Owns: the grammar (paths with commas between), cutting an item down.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ProjectionExpressions.html

Invariants:
1. What is kept stays in its order; wanted elements of a list close up.
"""

from __future__ import annotations

from typing import Any, Final

from cenote.dynamo.expressions.lexer import Tokens
from cenote.dynamo.expressions.nodes import Path
from cenote.dynamo.expressions.placeholders import Placeholders, parse_path
from cenote.dynamo.expressions.update import check_apart
from cenote.dynamo.values import Item, Value

__all__ = ["parse_projection", "project"]

ROLE: Final = "ProjectionExpression"


def parse_projection(text: str, placeholders: Placeholders) -> tuple[Path, ...]:
    """Return the paths that `text` lists. Raises DynamoError (ValidationException)."""
    tokens = Tokens(text, ROLE)
    paths = [parse_path(tokens, placeholders)]
    while tokens.accept(","):
        paths.append(parse_path(tokens, placeholders))
    tokens.end()
    check_apart(paths, tokens)
    return tuple(paths)


def project(item: Item, paths: tuple[Path, ...]) -> Item:
    """Return the item with nothing but what the paths lead to."""
    wanted: dict[str | int, Any] = {}
    for path in paths:
        below = wanted
        for step in path[:-1]:
            below = below.setdefault(step, {})
        below[path[-1]] = None
    return _project_map(item, wanted)


def _project_map(item: Item, wanted: dict[str | int, Any]) -> Item:
    kept: Item = {}
    for name, value in item.items():
        if name in wanted:
            part = _project_value(value, wanted[name])
            if part is not None:
                kept[name] = part
    return kept


def _project_value(value: Value, wanted: dict[str | int, Any] | None) -> Value | None:
    if wanted is None:
        return value
    kind, content = value
    if kind == "M":
        kept = _project_map(content, wanted)
        return ("M", kept) if kept else None
    if kind == "L":
        parts = [
            _project_value(each, wanted[place])
            for place, each in enumerate(content)
            if place in wanted
        ]
        found = tuple(part for part in parts if part is not None)
        return ("L", found) if found else None
    return None
