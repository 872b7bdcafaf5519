"""The constraints of the protocol's model, and the message that tells of all that were broken.

Owns: collecting violations, their wording.
Does not own: which member has which constraint.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html (ValidationError)
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from cenote.dynamo.codes import invalid

__all__ = ["Constraints", "table_name"]

_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]+", re.ASCII)
_ARN: Final = re.compile(r"arn:[^:]*:dynamodb:[^:]*:[^:]*:table/(.+)")


class Constraints:
    """Collects what is wrong with the members of one request."""

    def __init__(self) -> None:
        self._broken: list[str] = []

    def broken(self, value: Any, member: str, rule: str) -> None:
        """Note a violation; `member` is its path in camel case."""
        shown = "null" if value is None else f"'{value}'"
        self._broken.append(
            f"Value {shown} at '{member}' failed to satisfy constraint: Member {rule}"
        )

    def required(self, value: Any, member: str) -> bool:
        """Demand that a member is there; tell whether it is."""
        if value is None:
            self.broken(None, member, "must not be null")
        return value is not None

    def one_of(self, value: str | None, member: str, allowed: Collection[str]) -> None:
        """Demand one of some values, if there is a value."""
        if value is not None and value not in allowed:
            rule = f"must satisfy enum value set: [{', '.join(sorted(allowed))}]"
            self.broken(value, member, rule)

    def length(self, value: str | None, member: str, low: int, high: int) -> None:
        """Demand so many characters, if there is a value."""
        if value is not None and len(value) < low:
            self.broken(value, member, f"must have length greater than or equal to {low}")
        if value is not None and len(value) > high:
            self.broken(value, member, f"must have length less than or equal to {high}")

    def within(self, value: int | None, member: str, low: int, high: int | None = None) -> None:
        """Demand a number within limits, if there is one."""
        if value is not None and value < low:
            self.broken(value, member, f"must have value greater than or equal to {low}")
        if value is not None and high is not None and value > high:
            self.broken(value, member, f"must have value less than or equal to {high}")

    def count(self, value: Collection[Any] | None, member: str, low: int, high: int) -> None:
        """Demand so many members of a list or a map, if there is one."""
        if value is not None and not low <= len(value) <= high:
            rule = (
                f"must have length less than or equal to {high}"
                if len(value) > high
                else f"must have length greater than or equal to {low}"
            )
            self.broken(f"[{len(value)} members]", member, rule)

    def name(self, value: str | None, member: str) -> None:
        """Demand the name of a table or an index."""
        if not self.required(value, member) or value is None:
            return
        if not _NAME.fullmatch(value):
            self.broken(value, member, "must satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
        self.length(value, member, 3, 255)

    def finish(self) -> None:
        """Raise DynamoError (ValidationException) when anything was broken."""
        count = len(self._broken)
        if count:
            errors = "error" if count == 1 else "errors"
            raise invalid(f"{count} validation {errors} detected: " + "; ".join(self._broken))


def table_name(given: str | None) -> str:
    """Return the name of the table that a request names, by name or by ARN.

    Raises DynamoError (ValidationException).
    """
    if given is not None:
        found = _ARN.fullmatch(given)
        given = found[1] if found else given
    constraints = Constraints()
    constraints.name(given, "tableName")
    constraints.finish()
    return given or ""
