"""Expressions cut into tokens.

Owns: the tokens, the error of a syntax that is none. Does not own: the grammars.

    name    a letter, then letters, digits and underscores; `#NAME` stands for one
    value   `:NAME`
    number  digits, in the index of a list
    symbol  = <> < <= > >= ( ) [ ] , . + -
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cenote.dynamo.codes import DynamoError, invalid

__all__ = ["END", "Token", "Tokens"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<alias>\#[A-Za-z0-9_]+)|(?P<value>:[A-Za-z0-9_]+)"
    r"|(?P<number>[0-9]+)|(?P<symbol><>|<=|>=|[=<>()\[\],.+-]))",
    re.ASCII,
)
SIZE_MAX: Final = 4096
END: Final = "<EOF>"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind ("name", "alias", "value", "number", "symbol", "end") and its text."""

    kind: str
    text: str

    def is_word(self, word: str) -> bool:
        """Tell whether this is a keyword, in any case."""
        return self.kind == "name" and self.text.upper() == word


class Tokens:
    """The tokens of one expression, read from the first to the last.

    `role` is the parameter's name, as error messages have it.
    """

    def __init__(self, text: str, role: str) -> None:
        """Cut `text`. Raises DynamoError (ValidationException)."""
        self.role = role
        if not text.strip():
            raise self.wrong("The expression can not be empty;")
        size = len(text.encode())
        if size > SIZE_MAX:
            raise self.wrong(
                f"Expression size has exceeded the maximum allowed size; expression size: {size}"
            )
        self._tokens: list[Token] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                rest = text[at:].lstrip()
                before = self._tokens[-1].text + " " if self._tokens else ""
                raise self.wrong(
                    f'Syntax error; token: "{rest[0]}", near: "{before}{rest[:10].rstrip()}"'
                )
            self._tokens.append(Token(found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._tokens.append(Token("end", END))
        self._at = 0

    def wrong(self, reason: str) -> DynamoError:
        """Make the error of this expression."""
        return invalid(f"Invalid {self.role}: {reason}")

    @property
    def next(self) -> Token:
        """The token that comes."""
        return self._tokens[self._at]

    @property
    def after_next(self) -> Token:
        """The token after that one."""
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Return the token that comes, and go past it."""
        token = self._tokens[self._at]
        if token.kind != "end":
            self._at += 1
        return token

    def accept(self, symbol: str) -> bool:
        """Go past `symbol` when it comes; tell whether it did."""
        if self.next.kind == "symbol" and self.next.text == symbol:
            self._at += 1
            return True
        return False

    def accept_word(self, word: str) -> bool:
        """Go past a keyword when it comes; tell whether it did."""
        if self.next.is_word(word):
            self._at += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        """Go past `symbol`. Raises DynamoError when something else comes."""
        if not self.accept(symbol):
            raise self.syntax()

    def end(self) -> None:
        """See that nothing is left. Raises DynamoError."""
        if self.next.kind != "end":
            raise self.syntax()

    def syntax(self) -> DynamoError:
        """Make the error of the token that comes."""
        around = self._tokens[max(self._at - 1, 0) : self._at + 2]
        near = " ".join(token.text for token in around if token.kind != "end")
        return self.wrong(f'Syntax error; token: "{self.next.text}", near: "{near}"')
