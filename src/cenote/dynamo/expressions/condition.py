"""Conditions from text.

    condition  := conjunction { OR conjunction }
    conjunction:= negation { AND negation }
    negation   := NOT negation | ( condition ) | test
    test       := operand COMPARATOR operand | operand BETWEEN operand AND operand
                | operand IN ( operand {, operand} ) | function ( operand {, operand} )
    operand    := path | :value | size ( path )

Keywords are of any case, functions are in lower case.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html

Owns: the grammar, and what can be told wrong without an item.
"""

from __future__ import annotations

from typing import Final

from cenote.dynamo.expressions.lexer import Tokens
from cenote.dynamo.expressions.nodes import (
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
    Size,
    show_path,
)
from cenote.dynamo.expressions.placeholders import Placeholders, parse_path
from cenote.dynamo.values import TYPES, Value, compare, render_value

__all__ = ["check_between", "parse_condition"]

_COMPARATORS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_FUNCTIONS: Final = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}
_OPERATORS_MAX: Final = 300
_OPTIONS_MAX: Final = 100
_NESTING_MAX: Final = 100
_ORDERED: Final = ("S", "N", "B")


def parse_condition(text: str, role: str, placeholders: Placeholders) -> Condition:
    """Return the condition that `text`, the parameter `role`, says.

    Raises DynamoError (ValidationException).
    """
    tokens = Tokens(text, role)
    condition = _Parser(tokens, placeholders).any_of()
    tokens.end()
    return condition


class _Parser:
    def __init__(self, tokens: Tokens, placeholders: Placeholders) -> None:
        self._tokens = tokens
        self._placeholders = placeholders
        self._operators = 0
        self._depth = 0

    def _count(self) -> None:
        self._operators += 1
        if self._operators > _OPERATORS_MAX:
            raise self._tokens.wrong(
                "The expression contains too many operators; number of operators: "
                f"{self._operators}"
            )

    def any_of(self) -> Condition:
        left = self._all_of()
        while self._tokens.accept_word("OR"):
            self._count()
            left = Or(left, self._all_of())
        return left

    def _all_of(self) -> Condition:
        left = self._negation()
        while self._tokens.accept_word("AND"):
            self._count()
            left = And(left, self._negation())
        return left

    def _negation(self) -> Condition:
        self._depth += 1
        if self._depth > _NESTING_MAX:
            raise self._tokens.wrong("The expression has too many nested conditions;")
        try:
            if self._tokens.accept_word("NOT"):
                self._count()
                return Not(self._negation())
            if self._tokens.accept("("):
                doubled = self._tokens.next.text == "("
                condition = self.any_of()
                if doubled and self._closes_twice(condition):
                    raise self._tokens.wrong("The expression has redundant parentheses;")
                self._tokens.expect(")")
                self._wrapped = condition
                return condition
            return self._test()
        finally:
            self._depth -= 1

    _wrapped: Condition | None = None

    def _closes_twice(self, condition: Condition) -> bool:
        return self._wrapped is condition and self._tokens.next.text == ")"

    def _test(self) -> Condition:
        tokens = self._tokens
        if tokens.next.kind == "name" and tokens.after_next.text == "(":
            name = tokens.next.text
            if name not in _FUNCTIONS:
                raise tokens.wrong(f"Invalid function name; function: {name}")
            if name != "size":
                tokens.take()
                return self._function(name)
        operand = self._operand()
        if tokens.accept_word("BETWEEN"):
            return self._between(operand)
        if tokens.accept_word("IN"):
            return self._in(operand)
        if tokens.next.kind != "symbol" or tokens.next.text not in _COMPARATORS:
            if isinstance(operand, Size):
                raise tokens.wrong(
                    "The function is not allowed to be used this way in an expression; function: "
                    "size"
                )
            raise tokens.syntax()
        operator = tokens.take().text
        self._count()
        right = self._operand()
        if operand == right and not isinstance(operand, Literal):
            raise self._same(operator, operand)
        if operator not in ("=", "<>"):
            for each in (operand, right):
                self._check_ordered(operator, each)
        return Compare(operator, operand, right)

    def _same(self, operator: str, operand: PathOf | Size) -> Exception:
        return self._tokens.wrong(
            "The first operand must be distinct from the remaining operands for this operator or "
            f"function; operator: {operator}, first operand: {show_path(operand.path)}"
        )

    def _between(self, operand: Operand) -> Condition:
        self._count()
        low = self._operand()
        if not self._tokens.accept_word("AND"):
            raise self._tokens.syntax()
        high = self._operand()
        for each in (operand, low, high):
            self._check_ordered("BETWEEN", each)
        if isinstance(low, Literal) and isinstance(high, Literal):
            check_between(low.value, high.value, self._tokens)
        return Between(operand, low, high)

    def _in(self, operand: Operand) -> Condition:
        self._count()
        self._tokens.expect("(")
        options = [self._operand()]
        while self._tokens.accept(","):
            options.append(self._operand())
        self._tokens.expect(")")
        if len(options) > _OPTIONS_MAX:
            raise self._tokens.wrong(
                "The IN operator is provided with too many operands; number of operands: "
                f"{len(options)}"
            )
        return In(operand, tuple(options))

    def _operand(self) -> Operand:
        tokens = self._tokens
        if tokens.next.kind == "value":
            return self._placeholders.value(tokens.take(), tokens)
        if tokens.next.kind == "name" and tokens.after_next.text == "(":
            name = tokens.take().text
            if name not in _FUNCTIONS:
                raise tokens.wrong(f"Invalid function name; function: {name}")
            if name != "size":
                raise tokens.wrong(
                    "The function is not allowed to be used this way in an expression; function: "
                    + name
                )
            (operand,) = self._arguments("size")
            if isinstance(operand, Literal):
                raise self._mistyped("size", operand)
            return Size(self._path_of("size", operand))
        return PathOf(parse_path(tokens, self._placeholders))

    def _arguments(self, name: str) -> list[Operand]:
        self._count()
        self._tokens.expect("(")
        found = [self._operand()]
        while self._tokens.accept(","):
            found.append(self._operand())
        self._tokens.expect(")")
        if len(found) != _FUNCTIONS[name]:
            raise self._tokens.wrong(
                "Incorrect number of operands for operator or function; operator or function: "
                f"{name}, number of operands: {len(found)}"
            )
        return found

    def _function(self, name: str) -> Condition:
        arguments = self._arguments(name)
        if name in ("attribute_exists", "attribute_not_exists"):
            return Exists(self._path_of(name, arguments[0]), name == "attribute_exists")
        first, second = arguments
        if first == second:
            if not isinstance(first, Literal):
                raise self._same(name, first)
        elif name == "contains":
            return Contains(first, second)
        if name == "begins_with":
            for each in arguments:
                if isinstance(each, Literal) and each.value[0] not in ("S", "B"):
                    raise self._mistyped(name, each)
            return BeginsWith(first, second)
        if name == "contains":
            return Contains(first, second)
        if not isinstance(second, Literal) or second.value[0] != "S":
            raise self._mistyped(name, second)
        if second.value[1] not in TYPES:
            raise self._tokens.wrong(
                f"Invalid attribute type name found; type: {second.value[1]}, valid types: "
                "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
            )
        return HasType(self._path_of(name, first), second)

    def _path_of(self, name: str, operand: Operand) -> Path:
        if not isinstance(operand, PathOf):
            raise self._tokens.wrong(
                f"Operator or function requires a document path; operator or function: {name}"
            )
        return operand.path

    def _check_ordered(self, operator: str, operand: Operand) -> None:
        if isinstance(operand, Literal) and operand.value[0] not in _ORDERED:
            raise self._mistyped(operator, operand)

    def _mistyped(self, operator: str, operand: Operand) -> Exception:
        kind = operand.value[0] if isinstance(operand, Literal) else "{NS,SS,L,BS,N,M,B,S}"
        return self._tokens.wrong(
            "Incorrect operand type for operator or function; operator or function: "
            f"{operator}, operand type: {kind}"
        )


def check_between(low: Value, high: Value, tokens: Tokens) -> None:
    """See that two given bounds make a range. Raises DynamoError (ValidationException)."""
    order = compare(low, high)
    if order is None:
        raise tokens.wrong(
            "The BETWEEN operator requires same data type for lower and upper bounds; lower bound "
            f"operand: AttributeValue: {_show(low)}, upper bound operand: AttributeValue: "
            f"{_show(high)}"
        )
    if order > 0:
        raise tokens.wrong(
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; "
            f"lower bound operand: AttributeValue: {_show(low)}, upper bound operand: "
            f"AttributeValue: {_show(high)}"
        )


def _show(value: Value) -> str:
    ((kind, content),) = render_value(value).items()
    return f"{{{kind}:{content}}}"
