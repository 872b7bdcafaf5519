"""Where a member of an operation travels: the words the table of operations is written in.

Owns: the places (path, query, header, header map, XML element, payload, text) and `Kind`, the pair
of functions that reads and writes one value.
Does not own: the kinds themselves (`values`), or the plans made from the places (`parse`,
`render`).

A struct names its members' places in its annotations:

    if_match: Annotated[str | None, Header("If-Match")] = None

A member without a default is required. `places(cls)` returns the members in order of declaration,
which is also the order in which they are rendered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

__all__ = [
    "STRING",
    "Element",
    "Header",
    "HeaderMap",
    "Items",
    "Kind",
    "Member",
    "Nested",
    "PathPart",
    "Payload",
    "Place",
    "Query",
    "Text",
    "places",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """One type on the wire.

    `read(wire name, text)` returns the value or raises S3Error; `write(value)` returns text that
    is not yet escaped. `url_encoded` kinds are percent-encoded in XML when the client asked for
    encoding-type=url.
    """

    name: str
    read: Callable[[str, str], Any]
    write: Callable[[Any], str]
    url_encoded: bool = False


def _same(_name: str, text: str) -> str:
    return text


STRING = Kind("string", _same, str)


@dataclass(frozen=True, slots=True)
class PathPart:
    """The bucket or the key."""

    wire: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter."""

    wire: str
    kind: Kind = STRING


@dataclass(frozen=True, slots=True)
class Header:
    """A request or response header."""

    wire: str
    kind: Kind = STRING


@dataclass(frozen=True, slots=True)
class HeaderMap:
    """All headers that begin with `prefix`, as a dictionary of the rest of the name."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Element:
    """An XML element with text in it."""

    wire: str
    kind: Kind = STRING


@dataclass(frozen=True, slots=True)
class Nested:
    """An XML element that holds a struct."""

    wire: str
    struct: type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Items:
    """A run of XML elements, each a struct.

    `wrapper` is the element around the run, or None for a flat list. `least` and `most` bound the
    number of items a request may carry.
    """

    wire: str
    struct: type[msgspec.Struct]
    wrapper: str | None = None
    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The XML document itself: a struct under the root element `wire`."""

    wire: str
    struct: type[msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of the root element."""

    wire: str


Place = PathPart | Query | Header | HeaderMap | Element | Nested | Items | Payload | Text


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a struct and its place. `required`: the struct has no default for it."""

    attribute: str
    place: Place
    required: bool


_PLACES = (PathPart, Query, Header, HeaderMap, Element, Nested, Items, Payload, Text)
_memo: dict[type[msgspec.Struct], tuple[Member, ...]] = {}


def places(cls: type[msgspec.Struct]) -> tuple[Member, ...]:
    """Return the members of `cls` that travel, in order of declaration.

    Fields without a place (what the server adds for itself) are left out. Cost: computed once.
    """
    known = _memo.get(cls)
    if known is None:
        known = _memo[cls] = tuple(_members(cls))
    return known


def _members(cls: type[msgspec.Struct]) -> list[Member]:
    hints = get_type_hints(cls, include_extras=True)
    found = []
    for field in msgspec.structs.fields(cls):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            for mark in get_args(hint)[1:]:
                if isinstance(mark, _PLACES):
                    found.append(Member(field.name, mark, field.required))
    return found
