"""Reading objects: their records, spans of their bytes, parts and attributes.

Owns: which bytes a range or a part number stands for, and `ObjectReader`.
Does not own: syntax of Range headers (`cenote.s3`), or the files (`cenote.ports.Bodies`).

Sources: AWS API pages GetObject, HeadObject, GetObjectAttributes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final

from msgspec import Struct

from cenote.buckets.conditions import check_read, no_such_key
from cenote.buckets.limits import check_readable
from cenote.buckets.model import NO_READ_CONDITIONS, Attributes, ReadConditions
from cenote.buckets.objects import require
from cenote.errors import ClosedError, ConflictError, InvalidError
from cenote.ports import BodyLease, Bucket, IndexView, ObjectRecord, PartMark

__all__ = [
    "ObjectReader",
    "PartSpan",
    "all_marks",
    "attributes",
    "head",
    "lease",
    "open_object",
    "open_part",
    "part_span",
    "span",
]

PARTS_MAX: Final = 1000
CHUNK_SIZE: Final = 1 << 20
ATTEMPTS: Final = 8


class PartSpan(Struct, frozen=True):
    """Where one part's bytes are: start <= i < end. `checksum` is base64 text, or None."""

    start: int
    end: int
    checksum: str | None = None


def head(
    view: IndexView, key: str, conditions: ReadConditions = NO_READ_CONDITIONS
) -> ObjectRecord:
    """Return the object's record. Archived objects answer too.

    Raises NotFoundError(kind="no_such_key"); as `check_read`.
    """
    record = require(view, key)
    check_read(conditions, record)
    return record


def lease(
    bucket: Bucket, key: str, conditions: ReadConditions = NO_READ_CONDITIONS
) -> tuple[ObjectRecord, BodyLease]:
    """Look up an object and hold its bytes; whoever calls closes the lease.

    Raises NotFoundError(kind="no_such_key"); DeniedError(kind="invalid_object_state"); as
    `check_read`.
    """
    found = bucket.bodies.lease(key)
    if found is None:
        raise no_such_key(key)
    record, held = found
    try:
        check_read(conditions, record)
        check_readable(record)
    except BaseException:
        held.close()
        raise
    return record, held


def span(record: ObjectRecord, start: int | None, end: int | None) -> tuple[int, int]:
    """Return the bytes meant by start <= i < end, cut to the object's size.

    A negative `start` counts from the end; None is the beginning, or the end.
    Raises InvalidError(kind="invalid_range", size=) if no byte is left, but for all of an empty
    object.
    """
    size = record.size
    if start is None and end is None:
        return 0, size
    first = 0 if start is None else max(size + start, 0) if start < 0 else start
    last = size if end is None else min(end, size)
    if first >= last:
        raise InvalidError(
            "the requested range is not satisfiable",
            kind="invalid_range",
            key=record.key,
            size=size,
        )
    return first, last


def part_span(view: IndexView, record: ObjectRecord, number: int) -> PartSpan:
    """Return where part `number` lies; an object put in one piece has part 1 alone.

    Requires: `view` sees `record`, or was opened after it was read.
    Raises InvalidError(kind="invalid_part_number", part_count=);
    ConflictError(kind="conditional_conflict") if the view no longer knows the record's parts.
    """
    if record.part_count == 0 or record.size == 0:
        if number == 1:
            return PartSpan(0, record.size, record.checksum.value if record.checksum else None)
    else:
        found = view.marks(record.body, number - 1, 1)
        if found and found[0].number == number:
            mark = found[0]
            return PartSpan(mark.offset, mark.offset + mark.size, mark.checksum)
        if not found and not view.marks(record.body, 0, 1):
            raise ConflictError(
                "the object was rewritten while it was opened", kind="conditional_conflict"
            )
    raise InvalidError(
        "the requested part number is not satisfiable",
        kind="invalid_part_number",
        key=record.key,
        part_number=number,
        part_count=max(record.part_count, 1),
    )


def attributes(
    view: IndexView, key: str, *, after_part: int = 0, max_parts: int = PARTS_MAX
) -> Attributes:
    """Return the record and one page, at most 1000, of its parts with numbers above `after_part`.

    Raises NotFoundError(kind="no_such_key").
    """
    record = require(view, key)
    if record.part_count == 0:
        return Attributes(record)
    limit = min(max_parts, PARTS_MAX)
    found = view.marks(record.body, after_part, limit + 1)
    page = tuple(found[:limit])
    return Attributes(
        record,
        parts=page,
        next_part=page[-1].number if page else 0,
        truncated=limit > 0 and len(found) > limit,
    )


def all_marks(view: IndexView, record: ObjectRecord) -> list[PartMark]:
    """Return every part mark of the object: at most 10,000."""
    marks: list[PartMark] = []
    while record.part_count and record.size:
        page = view.marks(record.body, marks[-1].number if marks else 0, PARTS_MAX)
        marks += page
        if len(page) < PARTS_MAX:
            break
    return marks


def open_object(
    bucket: Bucket,
    key: str,
    *,
    start: int | None = None,
    end: int | None = None,
    conditions: ReadConditions = NO_READ_CONDITIONS,
) -> ObjectReader:
    """Open the bytes start <= i < end of an object, as `span` means them, for reading.

    Raises as `lease` and `span`.
    """
    record, held = lease(bucket, key, conditions)
    try:
        first, last = span(record, start, end)
    except BaseException:
        held.close()
        raise
    return ObjectReader(record, held, first, last)


def open_part(
    bucket: Bucket, key: str, number: int, *, conditions: ReadConditions = NO_READ_CONDITIONS
) -> ObjectReader:
    """Open the bytes of one part of an object for reading.

    Raises as `lease` and `part_span`; ConflictError(kind="conditional_conflict") if the object is
    rewritten again and again meanwhile.
    """
    for _ in range(ATTEMPTS):
        with bucket.index.read() as view:
            seen = require(view, key)
            check_read(conditions, seen)
            part = part_span(view, seen, number)
        record, held = lease(bucket, key, conditions)
        if record.body == seen.body:
            return ObjectReader(record, held, part.start, part.end)
        held.close()
    raise ConflictError(
        "the object was rewritten again and again while it was opened", kind="conditional_conflict"
    )


class ObjectReader:
    """Bytes of one object, held until closed whatever is written meanwhile.

    `record` is the object's; `start` and `end` say which of its bytes these are. A context
    manager, and an iterable of pieces of at most 1 MiB. Not thread-safe.
    """

    def __init__(self, record: ObjectRecord, held: BodyLease, start: int, end: int) -> None:
        self.record = record
        self.start = start
        self.end = end
        self._lease: BodyLease | None = held
        self._at = start

    @property
    def size(self) -> int:
        """How many bytes this reader began with."""
        return self.end - self.start

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or with -1 all that are left; b"" at the end."""
        stop = self.end if size < 0 else min(self._at + size, self.end)
        if stop == self._at:
            return b""
        data = b"".join(self._held().chunks(self._at, stop))
        self._at = stop
        return data

    def __iter__(self) -> Iterator[bytes]:
        while self._at < self.end:
            yield self.read(CHUNK_SIZE)

    def close(self) -> None:
        """Let the bytes go. Harmless when repeated."""
        held, self._lease = self._lease, None
        if held is not None:
            held.close()

    def __enter__(self) -> ObjectReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _held(self) -> BodyLease:
        if self._lease is None:
            raise ClosedError("the reader is closed", key=self.record.key)
        return self._lease
