"""What an object may carry: sizes, metadata, tags, stored headers, storage classes.

Sources: AWS, PutObject; "Working with object metadata"; "Categorizing your objects using tags";
"Understanding and managing Amazon S3 storage classes".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

from cenote.errors import DeniedError, InvalidError
from cenote.ports import Content, ObjectRecord

__all__ = [
    "ARCHIVE_CLASSES",
    "CONTENT_TYPE_DEFAULT",
    "GIB",
    "MIB",
    "PART_NUMBER_MAX",
    "PART_SIZE_MIN",
    "PUT_SIZE_MAX",
    "STORAGE_CLASSES",
    "check_metadata",
    "check_readable",
    "check_size",
    "check_storage_class",
    "check_tags",
    "stored_content",
]

MIB: Final = 1 << 20
GIB: Final = 1 << 30
PUT_SIZE_MAX: Final = 5 * GIB  # one PUT, or one part
PART_SIZE_MIN: Final = 5 * MIB  # every part but the last
PART_NUMBER_MAX: Final = 10_000
METADATA_SIZE_MAX: Final = 2048  # bytes of names and values
TAGS_MAX: Final = 10
TAG_KEY_MAX: Final = 128  # characters
TAG_VALUE_MAX: Final = 256
REDIRECT_SIZE_MAX: Final = 2048
CONTENT_TYPE_DEFAULT: Final = "binary/octet-stream"

STORAGE_CLASSES: Final = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "GLACIER",
        "DEEP_ARCHIVE",
    }
)
# Stored, listed, headed and deleted like any other; their bytes must be restored to be read.
ARCHIVE_CLASSES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})

_DEFAULT_CONTENT: Final = Content(content_type=CONTENT_TYPE_DEFAULT)
_EMPTY_CONTENT: Final = Content()
_TAG_PUNCTUATION: Final = frozenset("+-=._:/@")


def check_size(size: int) -> None:
    """Refuse more bytes than one PUT or one part may have.

    Raises InvalidError(kind="entity_too_large", size=, size_max=).
    """
    if size > PUT_SIZE_MAX:
        raise InvalidError(
            f"one upload must not be larger than {PUT_SIZE_MAX} bytes",
            kind="entity_too_large",
            size=size,
            size_max=PUT_SIZE_MAX,
        )


def check_storage_class(name: str) -> None:
    """Refuse a class that is not one of `STORAGE_CLASSES`.

    Raises InvalidError(kind="invalid_storage_class").
    """
    if name not in STORAGE_CLASSES:
        raise InvalidError(
            f"{name!r} is not a storage class that is served here",
            kind="invalid_storage_class",
            hint=f"one of {', '.join(sorted(STORAGE_CLASSES))}",
            storage_class=name,
        )


def check_readable(record: ObjectRecord) -> None:
    """Refuse to read, or to copy from, an object that rests in an archive class.

    Raises DeniedError(kind="invalid_object_state", storage_class=), as AWS does until the object
    is restored.
    """
    if record.storage_class in ARCHIVE_CLASSES:
        raise DeniedError(
            "the operation is not valid for the object's storage class",
            kind="invalid_object_state",
            key=record.key,
            storage_class=record.storage_class,
        )


def check_metadata(metadata: dict[str, str]) -> None:
    """Refuse user metadata that is too large, or that a header line could not carry.

    Raises InvalidError: kind "metadata_too_large" (context: size, size_max), "invalid_argument".
    """
    if not metadata:
        return
    size = 0
    for name, value in metadata.items():
        if not name or not name.isascii() or not name.isprintable() or " " in name or ":" in name:
            raise InvalidError(
                f"{name!r} cannot name metadata", kind="invalid_argument", argument="metadata"
            )
        if name != name.lower():
            raise InvalidError(
                f"the metadata name {name!r} must be lower case",
                kind="invalid_argument",
                argument="metadata",
            )
        _check_line(value, f"metadata {name}")
        size += len(name) + (len(value) if value.isascii() else len(value.encode()))
    if size > METADATA_SIZE_MAX:
        raise InvalidError(
            f"metadata must not be larger than {METADATA_SIZE_MAX} bytes",
            kind="metadata_too_large",
            size=size,
            size_max=METADATA_SIZE_MAX,
        )


def stored_content(content: Content) -> Content:
    """Return the headers to store: checked, and with the default content type.

    Raises InvalidError: kind "invalid_argument" for a value no header line can carry,
    "invalid_redirect_location".
    """
    if content is _DEFAULT_CONTENT or content == _EMPTY_CONTENT:
        return _DEFAULT_CONTENT
    if content.content_type and content == Content(content.content_type):
        _check_line(content.content_type, "content_type")
        return content
    for name in content.__struct_fields__:
        value = getattr(content, name)
        if value is not None:
            _check_line(value, name)
    redirect = content.website_redirect_location
    if redirect is not None and (
        not redirect.startswith(("/", "http://", "https://"))
        or len(redirect.encode()) > REDIRECT_SIZE_MAX
    ):
        raise InvalidError(
            "a website redirect must begin with '/', 'http://' or 'https://', and not be longer "
            f"than {REDIRECT_SIZE_MAX} bytes",
            kind="invalid_redirect_location",
        )
    if not content.content_type:
        content = msgspec.structs.replace(content, content_type=CONTENT_TYPE_DEFAULT)
    return content


def check_tags(tags: Sequence[tuple[str, str]]) -> None:
    """Refuse tags that break AWS's rules: number, lengths, characters, twice the same key.

    Raises InvalidError(kind="invalid_tag").
    """
    if not tags:
        return
    if len(tags) > TAGS_MAX:
        raise _invalid_tag(f"an object must not have more than {TAGS_MAX} tags")
    seen = set()
    for key, value in tags:
        if not 1 <= len(key) <= TAG_KEY_MAX:
            raise _invalid_tag(f"a tag's key has 1 to {TAG_KEY_MAX} characters", key)
        if len(value) > TAG_VALUE_MAX:
            raise _invalid_tag(f"a tag's value has at most {TAG_VALUE_MAX} characters", key)
        if key.lower().startswith("aws:"):
            raise _invalid_tag("tags that begin with 'aws:' are the system's", key)
        if not all(map(_fits_tag, key)) or not all(map(_fits_tag, value)):
            raise _invalid_tag("a tag takes letters, digits, spaces and _ . : / = + - @", key)
        if key in seen:
            raise _invalid_tag("a tag's key may come only once", key)
        seen.add(key)


def _fits_tag(character: str) -> bool:
    return (
        character.isalnum()
        or character in _TAG_PUNCTUATION
        or unicodedata.category(character)[0] in "LNZ"
    )


def _invalid_tag(message: str, key: str | None = None) -> InvalidError:
    return InvalidError(message, kind="invalid_tag", tag_key=key)


def _check_line(value: str, name: str) -> None:
    # CR and LF would end the header line that sends it back; the rest no client can read.
    if value.isprintable():
        return
    for character in value:
        if (character < " " and character != "\t") or character == "\x7f":
            raise InvalidError(
                f"{name} must not hold control characters", kind="invalid_argument", argument=name
            )
        if "\ud800" <= character <= "\udfff":
            raise InvalidError(
                f"{name} must be valid Unicode", kind="invalid_argument", argument=name
            )
