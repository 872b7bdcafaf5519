"""Keys of items: what identifies one, and in which order they come.

Owns: taking the key out of an item, what a key may be, keys as bytes that sort as they should.
Does not own: table definitions (`schema`), where items are kept.

A key attribute as bytes, whose unsigned order is the service's:

    S    its UTF-8
    B    itself
    N    0x80 for zero; else a sign byte (0x81 positive, 0x7F negative), the exponent as
         u16 BE + 0x8000, the digits as ASCII; a negative one with all but the sign inverted,
         and 0xFF at the end

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.CoreComponents.html

Invariants:
1. Two keys have the same bytes just when they are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.values import Item, Value

__all__ = ["Key", "KeySchema", "index_key_of", "key_bytes", "key_item", "key_of", "parse_key"]

_SIZES_MAX: Final = (2048, 1024)
_TOO_LONG: Final = (
    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size "
    "limit of2048 bytes",
    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded "
    "the size limit of 1024 bytes",
)


@dataclass(frozen=True, slots=True)
class KeySchema:
    """The key attributes by name and type: the partition key's, then the sort key's if any."""

    attributes: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the key attributes."""
        return tuple(name for name, _ in self.attributes)

    @property
    def partition(self) -> tuple[str, str]:
        """The partition key's name and type."""
        return self.attributes[0]

    @property
    def sort(self) -> tuple[str, str] | None:
        """The sort key's name and type."""
        return self.attributes[1] if len(self.attributes) > 1 else None


Key = tuple[bytes, bytes]
"""A partition key and a sort key (b"" when there is none) as bytes."""


def key_bytes(value: Value) -> bytes:
    """Return a key attribute as bytes that sort as it does."""
    kind, content = value
    if kind == "S":
        encoded: bytes = content.encode("utf-8", "surrogatepass")
        return encoded
    if kind == "B":
        return bytes(content)
    return _number_bytes(content)


def _number_bytes(number: Decimal) -> bytes:
    if not number:
        return b"\x80"
    sign, digits, exponent = number.as_tuple()
    magnitude = int(exponent) + len(digits) + 0x8000
    body = magnitude.to_bytes(2, "big") + bytes(0x30 + digit for digit in digits)
    if not sign:
        return b"\x81" + body
    return b"\x7f" + bytes(0xFF - byte for byte in body) + b"\xff"


def key_of(item: Item, schema: KeySchema) -> Key:
    """Return the key of an item that is to be written.

    Raises DynamoError (ValidationException) when an attribute is missing, of another type, empty
    or too long.
    """
    parts = []
    for place, (name, kind) in enumerate(schema.attributes):
        value = item.get(name)
        if value is None:
            raise invalid(
                f"One or more parameter values were invalid: Missing the key {name} in the item"
            )
        if value[0] != kind:
            raise invalid(
                f"One or more parameter values were invalid: Type mismatch for key {name} "
                f"expected: {kind} actual: {value[0]}"
            )
        parts.append(_checked(value, name, place))
    return _pair(parts)


def _pair(parts: Sequence[bytes]) -> Key:
    return parts[0], parts[1] if len(parts) > 1 else b""


def _checked(value: Value, name: str, place: int) -> bytes:
    kind = value[0]
    raw = key_bytes(value)
    if kind != "N":
        if not raw:
            raise invalid(
                "One or more parameter values are not valid. The AttributeValue for a key "
                f"attribute cannot contain an empty {_word(kind)} value. Key: {name}"
            )
        limit = _SIZES_MAX[place]
        if len(raw) > limit:
            raise invalid(_TOO_LONG[place])
    return raw


def _word(kind: str) -> str:
    return {"S": "string", "B": "binary"}[kind]


def parse_key(item: Item, schema: KeySchema) -> Key:
    """Return the key that a request names, which must be the key and nothing else.

    Raises DynamoError (ValidationException).
    """
    if set(item) != set(schema.names):
        raise _no_match()
    parts = []
    for place, (name, kind) in enumerate(schema.attributes):
        if item[name][0] != kind:
            raise _no_match()
        parts.append(_checked(item[name], name, place))
    return _pair(parts)


def _no_match() -> DynamoError:
    return invalid("The provided key element does not match the schema")


def index_key_of(item: Item, schema: KeySchema) -> Key | None:
    """Return the key of an item in an index, None when the item is not in it.

    An item that lacks a key attribute of an index is not in the index; one whose attribute has
    another type, or is empty, may not be written. Raises DynamoError (ValidationException).
    """
    parts = []
    for place, (name, kind) in enumerate(schema.attributes):
        value = item.get(name)
        if value is None:
            return None
        if value[0] != kind:
            raise invalid(
                f"One or more parameter values were invalid: Type mismatch for Index Key {name} "
                f"Expected: {kind} Actual: {value[0]}"
            )
        parts.append(_checked(value, name, place))
    return _pair(parts)


def key_item(item: Item, *schemas: KeySchema) -> Item:
    """Return just the key attributes of an item, for the schemas given."""
    names = {name for schema in schemas for name in schema.names}
    return {name: value for name, value in item.items() if name in names}
