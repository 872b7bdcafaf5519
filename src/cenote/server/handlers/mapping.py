"""Between the protocol's structs and the buckets' values, where several operations agree."""

from __future__ import annotations

from typing import Any

from cenote.buckets import NO_CONDITIONS, NO_READ_CONDITIONS, Conditions, ReadConditions
from cenote.ports import Checksum, Content
from cenote.s3 import settled_date
from cenote.server.call import Call

__all__ = [
    "checksum_members",
    "conditions_of",
    "content_of",
    "read_conditions_of",
    "source_conditions_of",
    "storage_class_shown",
]

_EMPTY = Content()
_MEMBERS = {
    "CRC32": "checksum_crc32",
    "CRC32C": "checksum_crc32c",
    "CRC64NVME": "checksum_crc64nvme",
    "SHA1": "checksum_sha1",
    "SHA256": "checksum_sha256",
}


def content_of(given: Any) -> Content:
    """Return the headers to store of a `StoredInput`."""
    if (
        given.content_type is None
        and given.cache_control is None
        and given.content_disposition is None
        and given.content_encoding is None
        and given.content_language is None
        and given.expires is None
        and given.website_redirect_location is None
    ):
        return _EMPTY
    return Content(
        content_type=given.content_type,
        cache_control=given.cache_control,
        content_disposition=given.content_disposition,
        content_encoding=given.content_encoding,
        content_language=given.content_language,
        expires=given.expires,
        website_redirect_location=given.website_redirect_location,
    )


def conditions_of(given: Any) -> Conditions:
    """Return the write conditions of an input with `if_match` and `if_none_match`."""
    if given.if_match is None and given.if_none_match is None:
        return NO_CONDITIONS
    return Conditions(given.if_match, given.if_none_match)


def read_conditions_of(given: Any, call: Call) -> ReadConditions:
    """Return the read conditions of GetObject or HeadObject."""
    if (
        given.if_match is None
        and given.if_none_match is None
        and given.if_modified_since is None
        and given.if_unmodified_since is None
    ):
        return NO_READ_CONDITIONS
    return ReadConditions(
        given.if_match,
        given.if_none_match,
        settled_date(given.if_modified_since, call.now_ms),
        given.if_unmodified_since,
    )


def source_conditions_of(given: Any) -> ReadConditions:
    """Return the conditions on the source of a copy."""
    return ReadConditions(
        given.copy_source_if_match,
        given.copy_source_if_none_match,
        given.copy_source_if_modified_since,
        given.copy_source_if_unmodified_since,
    )


def checksum_members(checksum: Checksum | None, *, typed: bool = True) -> dict[str, Any]:
    """Return the members that tell a checksum, by name."""
    if checksum is None:
        return {}
    members: dict[str, Any] = {_MEMBERS[checksum.algorithm]: checksum.value}
    if typed:
        members["checksum_type"] = checksum.type
    return members


def storage_class_shown(name: str) -> str | None:
    """Return the class for a header: AWS leaves it out for STANDARD."""
    return None if name == "STANDARD" else name
