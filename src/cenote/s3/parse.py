"""From a routed request to the operation's input.

Owns: the plan of each operation (which header, parameter or element fills which member), built once
from the table, and the reading of a request by it.
Does not own: the kinds' rules (`values`), headers no operation reads (`headers`), the body's
digests (`checksums`).

Invariants:
1. Cost follows what the request carries, not what the operation could take.
2. Whatever the bytes, the outcome is an input or an S3Error.
3. A member comes from one place only. Parameters of a presigned URL that stand for headers must not
   contradict them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from cenote.s3.claims import CHECKSUM_TRAILERS
from cenote.s3.codes import S3Error
from cenote.s3.headers import (
    CONTROL,
    META_PREFIX,
    TOKEN,
    check_amz_header,
    check_condition_header,
    is_condition,
    is_ignored,
    metadata_value,
)
from cenote.s3.ops import OPS, Op, Route
from cenote.s3.parse_xml import read_struct
from cenote.s3.query import SIGNATURE_PARAMETERS, brings_header
from cenote.s3.shapes import STRING, Header, HeaderMap, PathPart, Payload, Query, places
from cenote.s3.xml import read_document

__all__ = ["parse_input"]

_HEADER_ONLY = frozenset({*CHECKSUM_TRAILERS, "x-amz-sdk-checksum-algorithm"})

Read = Callable[[str, str], Any]
Slot = tuple[str, str, Read | None]  # member, wire name, reader (None: the text itself)


class _Plan:
    """What one operation reads, by wire name."""

    __slots__ = (
        "_telling",
        "changing",
        "headers",
        "input",
        "metadata",
        "name",
        "path",
        "payload",
        "query",
        "required",
    )

    def __init__(self, op: Op) -> None:
        self._telling: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.name = op.name
        self.changing = op.method in _CHANGING
        self.input = op.input
        self.headers: dict[str, Slot] = {}
        self.query: dict[str, Slot] = {}
        self.metadata: str | None = None
        self.payload: tuple[str, Payload, bool] | None = None
        self.path: set[str] = set()
        self.required: list[tuple[str, Header | Query]] = []
        for member in places(op.input):
            place = member.place
            if isinstance(place, PathPart):
                self.path.add(member.attribute)
            elif isinstance(place, HeaderMap):
                self.metadata = member.attribute
            elif isinstance(place, Payload):
                self.payload = (member.attribute, place, member.required)
            elif isinstance(place, Header | Query):
                read = None if place.kind is STRING else place.kind.read
                slot = (member.attribute, place.wire, read)
                if isinstance(place, Header):
                    self.headers[place.wire.lower()] = slot
                else:
                    self.query[place.wire] = slot
                if member.required:
                    self.required.append((member.attribute, place))

    def telling(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the headers' `names` that are read, checked or refused, in order."""
        found = self._telling.get(names)
        if found is None:
            found = tuple(name for name in names if self._tells(name))
            if sum(map(len, names)) <= _NAMES_SIZE_MAX:
                if len(self._telling) >= _NAMES_MAX:
                    self._telling.clear()
                self._telling[names] = found
        return found

    def _tells(self, name: str) -> bool:
        if name in self.headers:
            return True
        if name.startswith("x-amz-"):
            return not is_ignored(name)
        return self.changing and is_condition(name)


_CHANGING = frozenset({"PUT", "POST", "DELETE"})
_NAMES_MAX = 64  # lists of names remembered for each operation,
_NAMES_SIZE_MAX = 512  # of no more than so many characters
_PLANS: dict[str, _Plan] = {op.name: _Plan(op) for op in OPS.values() if op.implemented}


def parse_input(
    route: Route, headers: Mapping[str, str], body: bytes | None = None
) -> msgspec.Struct:
    """Return the input of `route.op`, an instance of its `input` struct.

    Requires: `headers` as in RequestHead; `body` the whole document where `route.op.body` is "xml".
    Raises S3Error: InvalidArgument and the kinds' own codes for values; MalformedXML;
    NotImplemented for headers and elements that ask for what is not done here; NoSuchVersion.
    Cost: 1 to 10 µs without a document.
    """
    plan = _PLANS[route.op.name]
    values: dict[str, Any] = {}
    if route.bucket is not None and plan.path:
        values["bucket"] = route.bucket
        if route.key is not None and "key" in plan.path:
            values["key"] = route.key
    metadata: dict[str, str] = {}
    telling = plan.telling(tuple(headers))
    if telling:
        told = {name: headers[name] for name in telling}
        _read_headers(plan, told, values, metadata, plan.changing)
    if not SIGNATURE_PARAMETERS.issuperset(route.params):
        hoisted = _read_query(plan, route.params, headers, values)
        if hoisted:
            _read_headers(plan, hoisted, values, metadata, changing=False)
    if metadata and plan.metadata is not None:
        values[plan.metadata] = metadata
    if plan.payload is not None:
        _read_payload(plan.payload, body, values)
    for attribute, place in plan.required:
        if attribute not in values:
            raise _missing(place)
    return plan.input(**values)


def _read_headers(
    plan: _Plan,
    headers: Mapping[str, str],
    values: dict[str, Any],
    metadata: dict[str, str],
    changing: bool,
) -> None:
    slots = plan.headers
    for name, text in headers.items():
        slot = slots.get(name)
        if slot is not None:
            attribute, wire, read = slot
            values[attribute] = text if read is None else read(wire, text)
        elif name[:6] == "x-amz-":
            if name.startswith(META_PREFIX):
                metadata[name[len(META_PREFIX) :]] = metadata_value(text)
            else:
                check_amz_header(name, text)
        elif changing:
            check_condition_header(name)


def _read_query(
    plan: _Plan, params: Mapping[str, str], headers: Mapping[str, str], values: dict[str, Any]
) -> dict[str, str]:
    """Read the operation's parameters; return those that stand for headers, as headers.

    A checksum is no such one: S3 reads checksums from headers only. An SDK that signs a URL before
    there is a body puts the empty body's checksum there.
    """
    hoisted: dict[str, str] = {}
    slots = plan.query
    for name, text in params.items():
        slot = slots.get(name)
        if slot is not None:
            attribute, wire, read = slot
            values[attribute] = text if read is None else read(wire, text)
        elif name not in SIGNATURE_PARAMETERS and brings_header(name, params):
            lowered = name.lower()
            if lowered in _HEADER_ONLY:
                continue
            as_header = text.encode("utf-8").decode("latin-1")
            if (
                TOKEN.fullmatch(name) is None
                or CONTROL.search(text)
                or headers.get(lowered, as_header) != as_header
            ):
                raise S3Error(
                    "InvalidArgument",
                    f"The value of {name} is not valid, or not the same as the header's",
                    ArgumentName=name,
                    ArgumentValue=text,
                )
            hoisted[lowered] = as_header
    return hoisted


def _read_payload(
    payload: tuple[str, Payload, bool], body: bytes | None, values: dict[str, Any]
) -> None:
    attribute, place, required = payload
    if not body:
        if required:
            raise S3Error("MalformedXML")
        return
    root = read_document(body)
    if root.name != place.wire:
        raise S3Error("MalformedXML")
    values[attribute] = read_struct(place.struct, root)


def _missing(place: Header | Query) -> S3Error:
    if isinstance(place, Query):
        return S3Error(
            "InvalidArgument",
            f"This operation requires the query parameter {place.wire}",
            ArgumentName=place.wire,
            ArgumentValue="",
        )
    return S3Error("InvalidRequest", f"Missing required header for this request: {place.wire}")
