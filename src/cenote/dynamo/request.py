"""A request's members, read with the care that JSON from outside needs.

Owns: taking members of the right JSON type out of a request.

Invariants:
1. A member of a wrong type is a SerializationException, never a crash.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints, table_name

__all__ = ["Request"]


def _wrong_type(name: str) -> DynamoError:
    return DynamoError("SerializationException", f"Unexpected value type in payload: {name}")


class Request:
    """The members of one request, or of a structure in it."""

    def __init__(self, members: Any) -> None:
        if not isinstance(members, dict):
            raise DynamoError("SerializationException", "Unexpected value type in payload")
        self.members: dict[str, Any] = members

    def has(self, name: str) -> bool:
        """Tell whether a member is there, and not null."""
        return self.members.get(name) is not None

    def text(self, name: str) -> str | None:
        """Return a string."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, str):
            raise _wrong_type(name)
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, bool):
            raise _wrong_type(name)
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number."""
        value = self.members.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise _wrong_type(name)
        return value

    def map(self, name: str) -> dict[str, Any] | None:
        """Return a map."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, dict):
            raise _wrong_type(name)
        return value

    def array(self, name: str) -> list[Any] | None:
        """Return a list."""
        value = self.members.get(name)
        if value is not None and not isinstance(value, list):
            raise _wrong_type(name)
        return value

    def names(self, name: str) -> dict[str, str] | None:
        """Return a map of strings."""
        found = self.map(name)
        if found is not None and not all(isinstance(each, str) for each in found.values()):
            raise _wrong_type(name)
        return found

    def texts(self, name: str) -> list[str] | None:
        """Return a list of strings."""
        found = self.array(name)
        if found is not None and not all(isinstance(each, str) for each in found):
            raise _wrong_type(name)
        return found

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return one of some strings. Raises DynamoError (ValidationException)."""
        value = self.text(name)
        constraints = Constraints()
        constraints.one_of(value, name[0].lower() + name[1:], allowed)
        constraints.finish()
        return default if value is None else value

    def table(self) -> str:
        """Return the name of the table that is meant, by name or ARN."""
        return table_name(self.text("TableName"))

    def needed(self, name: str) -> dict[str, Any]:
        """Return a map that must be there. Raises DynamoError (ValidationException)."""
        found = self.map(name)
        constraints = Constraints()
        constraints.required(found, name[0].lower() + name[1:])
        constraints.finish()
        return found or {}

    def refuse(self, *names: str) -> None:
        """Refuse members that this server does not support."""
        for name in names:
            if self.members.get(name):
                raise invalid(
                    f"One or more parameter values were invalid: {name} is not supported by this "
                    "server"
                )
