"""From an XML tree to the struct it stands for.

Owns: the plan of each struct that is an element, and how strict its reading is.
Does not own: the tree and its limits (`xml`).

Invariants:
1. An element the struct does not know is MalformedXML, as is one that comes twice and means one
   thing, or a list shorter or longer than the operation allows. Elements S3 knows and this program
   does not do (a struct's `refused`) are 501 NotImplemented.
2. Text is taken as it is: spaces belong to a key.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cenote.s3.codes import S3Error
from cenote.s3.shapes import Element, Items, Member, Nested, places
from cenote.s3.xml import Node

__all__ = ["read_struct"]

_INTEGER = re.compile(r"\s*-?[0-9]{1,20}\s*")
_plans: dict[type[msgspec.Struct], dict[str, Member]] = {}


def read_struct(cls: type[msgspec.Struct], node: Node) -> msgspec.Struct:
    """Return the `cls` that `node` stands for. Raises S3Error MalformedXML or NotImplemented."""
    plan = _plans.get(cls)
    if plan is None:
        plan = _plans[cls] = {_outer(member): member for member in places(cls)}
    values: dict[str, Any] = {}
    for child in node.children:
        member = plan.get(child.name)
        if member is None:
            raise _unknown(cls, child.name)
        _read_member(member, child, values)
    for member in plan.values():
        if member.required and member.attribute not in values:
            raise S3Error("MalformedXML")
        if isinstance(member.place, Items):
            _check_count(member.place, values.get(member.attribute, ()))
    return cls(**values)


def _outer(member: Member) -> str:
    place = member.place
    if isinstance(place, Items):
        return place.wrapper or place.wire
    if isinstance(place, Element | Nested):
        return place.wire
    raise TypeError(f"{member.attribute} has no place in XML")


def _read_member(member: Member, node: Node, values: dict[str, Any]) -> None:
    place = member.place
    if isinstance(place, Items) and place.wrapper is None:
        items = values.setdefault(member.attribute, [])
        # Stop at the first item too many: the rest of the document is not worth the work.
        if place.most is not None and len(items) >= place.most:
            raise S3Error("MalformedXML")
        items.append(read_struct(place.struct, node))
        return
    if member.attribute in values:
        raise S3Error("MalformedXML")
    if isinstance(place, Items):
        if any(child.name != place.wire for child in node.children):
            raise S3Error("MalformedXML")
        values[member.attribute] = [read_struct(place.struct, child) for child in node.children]
    elif isinstance(place, Nested):
        values[member.attribute] = read_struct(place.struct, node)
    elif isinstance(place, Element):
        values[member.attribute] = _read_text(place, node)


def _read_text(place: Element, node: Node) -> Any:
    if node.children:
        raise S3Error("MalformedXML")
    text = node.text
    if place.kind.name == "integer":
        # What is no number at all does not validate; a number out of range is an argument.
        if _INTEGER.fullmatch(text) is None:
            raise S3Error("MalformedXML")
        return place.kind.read(place.wire, text.strip())
    try:
        return place.kind.read(place.wire, text)
    except S3Error as error:
        if error.code == "InvalidArgument":
            raise S3Error("MalformedXML") from None
        raise


def _check_count(place: Items, items: Any) -> None:
    if len(items) < place.least or (place.most is not None and len(items) > place.most):
        raise S3Error("MalformedXML")


def _unknown(cls: type[msgspec.Struct], name: str) -> S3Error:
    if name in getattr(cls, "refused", ()):
        return S3Error("NotImplemented", f"The element {name} is not implemented")
    return S3Error("MalformedXML")
