"""The types that travel: how each is read from text and written to it.

Owns: the kinds the table of operations uses, their limits and the errors for text that is none.
Does not own: escaping (`xml`), places (`shapes`).

Invariants:
1. A reader either returns a value of its type or raises S3Error; no text makes it raise anything
   else.
2. Times are integers, milliseconds since the Unix epoch. They are written in whole seconds, as S3
   does, so that a listing and a HEAD of one object agree.
3. ETags are held without quotes; the kind adds and removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from cenote.s3.codes import S3Error
from cenote.s3.copysource import CopySource, read_copy_source, write_copy_source
from cenote.s3.headers import CONTROL
from cenote.s3.query import decode_query
from cenote.s3.shapes import STRING, Kind
from cenote.s3.times import http_date, iso_date, read_http_date, read_iso_date

__all__ = [
    "BOOLEAN",
    "CHECKSUM_ALGORITHM",
    "CHECKSUM_ALGORITHMS",
    "CONTENT_ENCODING",
    "COPY_SOURCE",
    "ENCODED",
    "ETAG",
    "HEADER_VALUE",
    "HTTP_DATE",
    "HTTP_DATE_IF_VALID",
    "INTEGER",
    "ISO_DATE",
    "MAX_ITEMS",
    "OPTIONAL_STRING",
    "PART_NUMBER",
    "REDIRECT",
    "STORAGE_CLASS",
    "STRING",
    "TAGGING",
    "VERSION_ID",
    "enum",
    "integer",
    "listed",
]

INT_MAX = 2**31 - 1
PAGE_MAX = 1000
REDIRECT_MAX = 2048

# What is computed and verified here, in the order S3 names them.
CHECKSUM_ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
_CHECKSUMS_ELSEWHERE = ("SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")

_READABLE_CLASSES = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
    }
)
_OTHER_CLASSES = frozenset(
    {
        "AWS_BACKUP_LOW_COST_WARM",
        "AWS_BACKUP_WARM",
        "DEEP_ARCHIVE",
        "EXPRESS_ONEZONE",
        "FSX_ONTAP",
        "FSX_OPENZFS",
        "GLACIER",
        "OUTPOSTS",
        "SNOW",
    }
)

_DECIMAL = re.compile(r"-?[0-9]{1,20}")
_VERSION = re.compile(r"[A-Za-z0-9._-]{32}")


def refuse_argument(name: str, value: str, message: str) -> S3Error:
    """Return S3's InvalidArgument for parameter or header `name`."""
    return S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def _write_bool(value: bool) -> str:
    return "true" if value else "false"


def _read_bool(name: str, text: str) -> bool:
    lowered = text.lower()
    if lowered in ("true", "1"):
        return True
    if lowered in ("false", "0", ""):
        return False
    raise refuse_argument(name, text, f"{name} must be true or false")


def integer(
    least: int = 0,
    most: int = INT_MAX,
    *,
    clamp: int | None = None,
    empty: int | None = None,
    message: str | None = None,
) -> Kind:
    """Make a kind of integers least..most; more than `clamp` is read as `clamp`.

    Empty text is read as `empty` when that is given.
    """

    def read(name: str, text: str) -> int:
        if not text and empty is not None:
            return empty
        if _DECIMAL.fullmatch(text) is None:
            raise refuse_argument(
                name, text, message or f"Provided {name} not an integer or within integer range"
            )
        value = int(text)
        if not least <= value <= most:
            raise refuse_argument(
                name,
                text,
                message or f"Argument {name} must be an integer between {least} and {most}",
            )
        return value if clamp is None or value < clamp else clamp

    return Kind("integer", read, str)


def enum(
    *values: str,
    code: str = "InvalidArgument",
    message: str | None = None,
    ignore_empty: bool = False,
    ignore_case: bool = False,
) -> Kind:
    """Make a kind of exactly these words, upper-case ones where `ignore_case`."""
    known = frozenset(values)

    def read(name: str, text: str) -> str | None:
        if text in known:
            return text
        if ignore_case and text.upper() in known:
            return text.upper()
        if not text and ignore_empty:
            return None
        said = message or f"{name} must be one of {', '.join(values)}"
        if code == "InvalidArgument":
            raise refuse_argument(name, text, said)
        raise S3Error(code, said)

    return Kind("enum", read, str)


def listed(*values: str, message: str) -> Kind:
    """Make a kind of comma-separated words, each one of `values`; held as a tuple."""
    known = frozenset(values)

    def read(name: str, text: str) -> tuple[str, ...]:
        words = tuple(word for part in text.split(",") if (word := part.strip()))
        for word in words:
            if word not in known:
                raise refuse_argument(name, word, message)
        return words

    def write(words: Iterable[str]) -> str:
        return ",".join(words)

    return Kind("list", read, write)


def _read_checksum_algorithm(name: str, text: str) -> str:
    word = text.upper()
    if word in CHECKSUM_ALGORITHMS:
        return word
    if word in _CHECKSUMS_ELSEWHERE:
        raise S3Error(
            "NotImplemented", f"The checksum algorithm {word} is not implemented", Header=name
        )
    raise S3Error(
        "InvalidRequest",
        "Checksum algorithm provided is unsupported. Please try again with any of the valid "
        f"types: [{', '.join(CHECKSUM_ALGORITHMS)}]",
    )


def _read_storage_class(name: str, text: str) -> str:
    if text in _READABLE_CLASSES:
        return text
    if text in _OTHER_CLASSES:
        raise S3Error("NotImplemented", f"The storage class {text} is not implemented", Header=name)
    raise S3Error("InvalidStorageClass", StorageClassRequested=text)


def _read_version(name: str, text: str) -> str:
    """Without versioning the current object's version is "null", and there is no other."""
    if text == "null":
        return text
    if not text:
        raise refuse_argument(name, text, "Version id cannot be the empty string")
    if _VERSION.fullmatch(text):
        raise S3Error("NoSuchVersion", VersionId=text)
    raise refuse_argument(name, text, "Invalid version id specified")


def _read_source(name: str, text: str) -> CopySource:
    source = read_copy_source(name, text)
    if source.version_id is not None:
        _read_version("versionId", source.version_id)
    return source


def _read_etag(_name: str, text: str) -> str:
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        return text[1:-1]
    return text


def _write_etag(etag: str) -> str:
    return f'"{etag}"'


def _read_content_encoding(_name: str, text: str) -> str | None:
    """aws-chunked names the framing of the request, not of the object: it is not stored."""
    if "aws-chunked" not in text.lower():
        return text
    kept = [part.strip() for part in text.split(",")]
    return ",".join(part for part in kept if part and part.lower() != "aws-chunked") or None


def _read_tagging(name: str, text: str) -> tuple[tuple[str, str], ...]:
    try:
        pairs = tuple(decode_query(text.encode("latin-1")))
    except (S3Error, UnicodeEncodeError):
        pairs = None
    if pairs is None or len({key for key, _ in pairs}) != len(pairs):
        raise refuse_argument(
            name,
            text,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
            "parameters without tag name duplicates.",
        )
    return pairs


def _read_header_value(name: str, text: str) -> str:
    """A parameter that becomes a header of the answer: it must not begin another line."""
    if CONTROL.search(text):
        raise refuse_argument(name, text, f"{name} must not contain control characters")
    return text


def _read_redirect(_name: str, text: str) -> str:
    if len(text) > REDIRECT_MAX or not text.startswith(("/", "http://", "https://")):
        raise S3Error("InvalidRedirectLocation")
    return text


def _none_if_empty(_name: str, text: str) -> str | None:
    return text or None


def _dated(read: Callable[[str], int | None], example: str) -> Callable[[str, str], int]:
    def checked(name: str, text: str) -> int:
        value = read(text)
        if value is None:
            raise refuse_argument(name, text, f"{name} must be a date such as {example}")
        return value

    return checked


def _any(value: Any) -> str:
    return str(value)


BOOLEAN = Kind("boolean", _read_bool, _write_bool)
INTEGER = integer(0, 2**63 - 1)
MAX_ITEMS = integer(clamp=PAGE_MAX, empty=PAGE_MAX)
PART_NUMBER = integer(
    1, 10_000, message="Part number must be an integer between 1 and 10000, inclusive"
)
ENCODED = Kind("string", STRING.read, str, url_encoded=True)
OPTIONAL_STRING = Kind("string", _none_if_empty, str, url_encoded=True)
ETAG = Kind("etag", _read_etag, _write_etag)
HTTP_DATE = Kind("date", _dated(read_http_date, "Wed, 21 Oct 2015 07:28:00 GMT"), http_date)
# RFC 9110, 13.1.3 and 13.1.4: a recipient ignores the condition when its date is not one.
HTTP_DATE_IF_VALID = Kind("date", lambda _name, text: read_http_date(text), http_date)
ISO_DATE = Kind("timestamp", _dated(read_iso_date, "2015-10-21T07:28:00Z"), iso_date)
CHECKSUM_ALGORITHM = Kind("checksum algorithm", _read_checksum_algorithm, str)
STORAGE_CLASS = Kind("storage class", _read_storage_class, str)
VERSION_ID = Kind("version id", _read_version, str)
CONTENT_ENCODING = Kind("string", _read_content_encoding, str)
HEADER_VALUE = Kind("string", _read_header_value, str)
REDIRECT = Kind("string", _read_redirect, str)
TAGGING = Kind("tags", _read_tagging, _any)
COPY_SOURCE = Kind("copy source", _read_source, write_copy_source)
