"""Records become rows and rows become records.

Owns: the column order of every statement about objects, uploads and parts.
Does not own: the statements (`view`, `txn`).

Invariants:
1. What is empty is NULL: no content headers but the type, no metadata, no tags.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from cenote.ports import Checksum, Content, ObjectRecord, ObjectSummary, PartRecord, UploadRecord

__all__ = [
    "OBJECT_COLUMNS",
    "PART_COLUMNS",
    "SUMMARY_COLUMNS",
    "UPLOAD_COLUMNS",
    "object_of",
    "object_row",
    "part_of",
    "part_row",
    "signed",
    "summary_of",
    "unsigned",
    "upload_of",
    "upload_row",
    "valued_object_of",
]

Row = tuple[Any, ...]

_DETAIL = "content_type, content, metadata, tags"
_CHECKSUM = "checksum_algorithm, checksum_type, checksum_value"
OBJECT_COLUMNS: Final = (
    f"size, etag, modified_ms, body, storage_class, {_CHECKSUM}, {_DETAIL}, part_count, upload_id"
)
SUMMARY_COLUMNS: Final = (
    "key, size, etag, modified_ms, storage_class, checksum_algorithm, checksum_type"
)
UPLOAD_COLUMNS: Final = (
    f"key, upload_id, initiated_ms, storage_class, checksum_algorithm, checksum_type, {_DETAIL}"
)
PART_COLUMNS: Final = f"number, size, etag, modified_ms, body, {_CHECKSUM}"

_metadata = msgspec.json.Decoder(dict[str, str]).decode
_tags = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode
_content = msgspec.json.Decoder(dict[str, str]).decode
_encode = msgspec.json.Encoder().encode
_NO_CONTENT: Final = Content()


@lru_cache(maxsize=512)
def _content_of(content_type: str | None, rest: str | None) -> Content:
    if rest is None:
        return Content(content_type)
    return Content(content_type=content_type, **_content(rest))


@lru_cache(maxsize=512)
def _content_row(content: Content) -> str | None:
    rest = msgspec.to_builtins(content)
    rest.pop("content_type", None)
    return _encode(rest).decode() if rest else None


def object_of(key: str, row: Row) -> ObjectRecord:
    """Return the record of a row of `OBJECT_COLUMNS`; more columns behind do not disturb."""
    algorithm, content_type, content, metadata, tags = row[5], row[8], row[9], row[10], row[11]
    return ObjectRecord(
        key,
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        _content_of(content_type, content),
        {} if metadata is None else _metadata(metadata),
        () if tags is None else _tags(tags),
        None if algorithm is None else Checksum(algorithm, row[6], row[7]),
        row[12],
        row[13],
    )


def object_row(record: ObjectRecord) -> Row:
    """Return the key and then the values of `OBJECT_COLUMNS`."""
    checksum = record.checksum
    if checksum is None:
        algorithm = kind = value = None
    else:
        algorithm, kind, value = checksum.algorithm, checksum.type, checksum.value
    content, metadata, tags = record.content, record.metadata, record.tags
    return (
        record.key,
        record.size,
        record.etag,
        record.modified_ms,
        record.body,
        record.storage_class,
        algorithm,
        kind,
        value,
        content.content_type,
        None if content is _NO_CONTENT else _content_row(content),
        _encode(metadata).decode() if metadata else None,
        _encode(tags).decode() if tags else None,
        record.part_count,
        record.upload_id,
    )


def valued_object_of(key: str, row: Row) -> tuple[ObjectRecord, bytes | None]:
    """Return the record and the inline value of a row of `OBJECT_COLUMNS` and a value."""
    return object_of(key, row), (row[14] if row[0] else b"")


def summary_of(row: Row) -> ObjectSummary:
    """Return the summary of a row of `SUMMARY_COLUMNS`."""
    return ObjectSummary(*row)


def upload_of(row: Row) -> UploadRecord:
    """Return the record of a row of `UPLOAD_COLUMNS`."""
    return UploadRecord(
        upload_id=row[1],
        key=row[0],
        initiated_ms=row[2],
        storage_class=row[3],
        content=_content_of(row[6], row[7]),
        metadata={} if row[8] is None else _metadata(row[8]),
        tags=() if row[9] is None else _tags(row[9]),
        checksum_algorithm=row[4],
        checksum_type=row[5],
    )


def upload_row(record: UploadRecord) -> Row:
    """Return the values of `UPLOAD_COLUMNS`."""
    return (
        record.key,
        record.upload_id,
        record.initiated_ms,
        record.storage_class,
        record.checksum_algorithm,
        record.checksum_type,
        record.content.content_type,
        _content_row(record.content),
        _encode(record.metadata).decode() if record.metadata else None,
        _encode(record.tags).decode() if record.tags else None,
    )


def part_of(row: Row) -> PartRecord:
    """Return the record of a row of `PART_COLUMNS`."""
    checksum = None if row[5] is None else Checksum(row[5], row[6], row[7])
    return PartRecord(row[0], row[1], row[2], row[3], row[4], checksum)


def part_row(record: PartRecord) -> Row:
    """Return the values of `PART_COLUMNS`."""
    checksum = record.checksum
    return (
        record.number,
        record.size,
        record.etag,
        record.modified_ms,
        record.body,
        *((checksum.algorithm, checksum.type, checksum.value) if checksum else (None, None, None)),
    )


def signed(crc: int) -> int:
    """Return 64 bits as the signed integer SQLite stores."""
    return crc - (1 << 64) if crc >> 63 else crc


def unsigned(crc: int) -> int:
    """Return the 64 bits that `signed` stored."""
    return crc & 0xFFFF_FFFF_FFFF_FFFF
