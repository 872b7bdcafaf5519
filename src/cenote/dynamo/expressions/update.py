"""Updates from text.

    update  := { SET set {, set} | REMOVE path {, path} | ADD path :v {, ...} | DELETE path :v ... }
    set     := path = operand [ + operand | - operand ]
    operand := path | :value | if_not_exists ( path , operand ) | list_append ( operand , operand )
             | ( operand [ + operand | - operand ] )

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html

Owns: the grammar, and what can be told wrong without an item.

Invariants:
1. No two changes of an update concern the same place, or one place in another.
"""

from __future__ import annotations

from typing import Final

from cenote.dynamo.expressions.lexer import Tokens
from cenote.dynamo.expressions.nodes import (
    Arithmetic,
    IfNotExists,
    ListAppend,
    Literal,
    Path,
    PathOf,
    SetOperand,
    Update,
    show_path,
)
from cenote.dynamo.expressions.placeholders import Placeholders, parse_path
from cenote.dynamo.values import SET_TYPES

__all__ = ["check_apart", "parse_update"]

_SECTIONS: Final = ("SET", "REMOVE", "ADD", "DELETE")
_NESTING_MAX: Final = 32
ROLE: Final = "UpdateExpression"


def parse_update(text: str, placeholders: Placeholders) -> Update:
    """Return the update that `text` says. Raises DynamoError (ValidationException)."""
    tokens = Tokens(text, ROLE)
    parser = _Parser(tokens, placeholders)
    seen: set[str] = set()
    while tokens.next.kind != "end":
        section = tokens.next.text.upper()
        if tokens.next.kind != "name" or section not in _SECTIONS:
            raise tokens.syntax()
        if section in seen:
            raise tokens.wrong(
                f'The "{section}" section can only be used once in an update expression;'
            )
        seen.add(section)
        tokens.take()
        parser.section(section)
    check_apart(
        [path for path, _ in parser.sets + parser.adds + parser.deletes] + parser.removes, tokens
    )
    return Update(
        tuple(parser.sets), tuple(parser.removes), tuple(parser.adds), tuple(parser.deletes)
    )


def check_apart(paths: list[Path], tokens: Tokens) -> None:
    """See that no path is, or leads into, another. Raises DynamoError (ValidationException)."""
    for number, one in enumerate(paths):
        for other in paths[:number]:
            shared = min(len(one), len(other))
            for depth in range(shared):
                if one[depth] != other[depth]:
                    if isinstance(one[depth], int) != isinstance(other[depth], int):
                        raise tokens.wrong(
                            "Two document paths conflict with each other; must remove or rewrite "
                            f"one of these paths; path one: {show_path(other)}, path two: "
                            f"{show_path(one)}"
                        )
                    break
            else:
                raise tokens.wrong(
                    "Two document paths overlap with each other; must remove or rewrite one of "
                    f"these paths; path one: {show_path(other)}, path two: {show_path(one)}"
                )


class _Parser:
    def __init__(self, tokens: Tokens, placeholders: Placeholders) -> None:
        self._tokens = tokens
        self._placeholders = placeholders
        self.sets: list[tuple[Path, SetOperand]] = []
        self.removes: list[Path] = []
        self.adds: list[tuple[Path, Literal]] = []
        self.deletes: list[tuple[Path, Literal]] = []

    def section(self, section: str) -> None:
        while True:
            path = parse_path(self._tokens, self._placeholders)
            if section == "SET":
                self._tokens.expect("=")
                self.sets.append((path, self._sum(0)))
            elif section == "REMOVE":
                self.removes.append(path)
            else:
                self._change(section, path)
            if not self._tokens.accept(","):
                return

    def _change(self, section: str, path: Path) -> None:
        if self._tokens.next.kind != "value":
            raise self._tokens.syntax()
        literal = self._placeholders.value(self._tokens.take(), self._tokens)
        kind = literal.value[0]
        if kind not in SET_TYPES and not (section == "ADD" and kind == "N"):
            shown = {
                "BOOL": "BOOLEAN",
                "L": "LIST",
                "M": "MAP",
                "S": "STRING",
                "N": "NUMBER",
                "B": "BINARY",
            }.get(kind, kind)
            raise self._tokens.wrong(
                "Incorrect operand type for operator or function; operator: "
                f"{section}, operand type: {shown}, typeSet: ALLOWED_FOR_{section}_OPERAND"
            )
        (self.adds if section == "ADD" else self.deletes).append((path, literal))

    def _sum(self, depth: int) -> SetOperand:
        left = self._operand(depth)
        for operator in ("+", "-"):
            if self._tokens.accept(operator):
                right = self._operand(depth)
                for each in (left, right):
                    self._check(operator, each, "N")
                return Arithmetic(operator, left, right)
        return left

    def _operand(self, depth: int) -> SetOperand:
        tokens = self._tokens
        if depth > _NESTING_MAX:
            raise tokens.wrong("The expression has too many nested operands;")
        if tokens.next.kind == "value":
            return self._placeholders.value(tokens.take(), tokens)
        if tokens.accept("("):
            inner = self._sum(depth + 1)
            tokens.expect(")")
            return inner
        if tokens.next.kind != "name" or tokens.after_next.text != "(":
            return PathOf(parse_path(tokens, self._placeholders))
        name = tokens.take().text
        if name not in ("if_not_exists", "list_append"):
            raise tokens.wrong(f"Invalid function name; function: {name}")
        tokens.take()
        left = self._operand(depth + 1)
        given = [left]
        while tokens.accept(","):
            given.append(self._operand(depth + 1))
        tokens.expect(")")
        if len(given) != 2:
            raise tokens.wrong(
                "Incorrect number of operands for operator or function; operator or function: "
                f"{name}, number of operands: {len(given)}"
            )
        if name == "list_append":
            for each in given:
                self._check(name, each, "L")
            return ListAppend(left, given[1])
        if not isinstance(left, PathOf):
            raise tokens.wrong(
                f"Operator or function requires a document path; operator or function: {name}"
            )
        return IfNotExists(left.path, given[1])

    def _check(self, operator: str, operand: SetOperand, wanted: str) -> None:
        if isinstance(operand, Literal) and operand.value[0] != wanted:
            raise self._tokens.wrong(
                "Incorrect operand type for operator or function; operator or function: "
                f"{operator}, operand type: {operand.value[0]}"
            )
