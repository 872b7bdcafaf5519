"""The names and values that stand behind `#NAME` and `:NAME` in a request's expressions.

Owns: looking them up, and finding out which were never used.

Invariants:
1. One object serves all expressions of a request: what none of them uses is an error.
"""

from __future__ import annotations

import re
from typing import Any, Final

from cenote.dynamo.codes import invalid
from cenote.dynamo.expressions.lexer import Token, Tokens
from cenote.dynamo.expressions.nodes import Literal, Path
from cenote.dynamo.reserved import RESERVED
from cenote.dynamo.values import Value, parse_value

__all__ = ["Placeholders", "parse_path"]

_NAME: Final = re.compile(r"#[A-Za-z0-9_]+", re.ASCII)
_VALUE: Final = re.compile(r":[A-Za-z0-9_]+", re.ASCII)
_DEPTH_MAX: Final = 32


class Placeholders:
    """What a request gives in ExpressionAttributeNames and ExpressionAttributeValues."""

    def __init__(
        self, names: dict[str, str] | None, values: dict[str, Any] | None, *expressions: str
    ) -> None:
        """Take the maps in. `expressions` are the parameters that could use them, all absent.

        Raises DynamoError (ValidationException).
        """
        self._names: dict[str, str] = names or {}
        self._values: dict[str, Value] = {}
        self._unused: set[str] = set(self._names)
        if expressions:
            absent = " and ".join(expressions)
            absent += " are null" if len(expressions) > 1 else " is null"
            if names:
                raise invalid(
                    "ExpressionAttributeNames can only be specified when using expressions"
                )
            if values:
                raise invalid(
                    "ExpressionAttributeValues can only be specified when using expressions: "
                    + absent
                )
        for name, content in (("Names", names), ("Values", values)):
            if content is not None and not content:
                raise invalid(f"ExpressionAttribute{name} must not be empty")
        for key in self._names:
            if not _NAME.fullmatch(key):
                raise invalid(
                    f'ExpressionAttributeNames contains invalid key: Syntax error; key: "{key}"'
                )
        for key, wire in (values or {}).items():
            if not _VALUE.fullmatch(key):
                raise invalid(
                    f'ExpressionAttributeValues contains invalid key: Syntax error; key: "{key}"'
                )
            self._values[key] = parse_value(wire)
            self._unused.add(key)

    def name(self, token: Token, tokens: Tokens) -> str:
        """Return the attribute name that a name or an alias means. Raises DynamoError."""
        if token.kind == "name":
            if token.text.upper() in RESERVED:
                raise tokens.wrong(
                    "Attribute name is a reserved keyword; reserved keyword: " + token.text
                )
            return token.text
        if token.text not in self._names:
            raise tokens.wrong(
                "An expression attribute name used in the document path is not defined; attribute "
                f"name: {token.text}"
            )
        self._unused.discard(token.text)
        return self._names[token.text]

    def value(self, token: Token, tokens: Tokens) -> Literal:
        """Return the value that a placeholder means. Raises DynamoError."""
        if token.text not in self._values:
            raise tokens.wrong(
                "An expression attribute value used in expression is not defined; attribute "
                f"value: {token.text}"
            )
        self._unused.discard(token.text)
        return Literal(self._values[token.text], token.text)

    def finish(self) -> None:
        """See that everything was used. Raises DynamoError (ValidationException)."""
        for sign, name in (("#", "Names"), (":", "Values")):
            left = sorted(key for key in self._unused if key.startswith(sign))
            if left:
                raise invalid(
                    f"Value provided in ExpressionAttribute{name} unused in expressions: keys: "
                    "{" + ", ".join(left) + "}"
                )


def parse_path(tokens: Tokens, placeholders: Placeholders) -> Path:
    """Read a document path: a name, then `.NAME` and `[PLACE]`. Raises DynamoError."""
    if tokens.next.kind not in ("name", "alias"):
        raise tokens.syntax()
    steps: list[str | int] = [placeholders.name(tokens.take(), tokens)]
    while True:
        if tokens.accept("."):
            if tokens.next.kind not in ("name", "alias"):
                raise tokens.syntax()
            steps.append(placeholders.name(tokens.take(), tokens))
        elif tokens.accept("["):
            if tokens.next.kind != "number":
                raise tokens.syntax()
            place = tokens.take().text
            if len(place) > 9:
                raise tokens.wrong(f"List index is not within the allowable range; index: {place}")
            steps.append(int(place))
            tokens.expect("]")
        else:
            break
        if len(steps) > _DEPTH_MAX:
            raise tokens.wrong(
                f"The document path has too many nesting elements; nesting levels: {len(steps)}"
            )
    return tuple(steps)
