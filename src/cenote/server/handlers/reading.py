"""GetObject, HeadObject, GetObjectAttributes.

A small body comes with its record in one look-up and leaves in one write; a long one is held open
by a lease and streamed. Which bytes are meant is decided from the record the bytes belong to.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html and its neighbours.
"""

from __future__ import annotations

from typing import Any

from cenote.buckets import NO_READ_CONDITIONS, PartSpan, limits, reading
from cenote.buckets import conditions as rules
from cenote.errors import PreconditionError
from cenote.ports import BodyLease, Bucket, Checksum, ObjectRecord, PartMark
from cenote.s3 import (
    OPS,
    PlainGet,
    Route,
    S3Error,
    content_range,
    http_date,
    settle_range,
    structs,
)
from cenote.server.call import Answer, Call, Leased, Written
from cenote.server.handlers.mapping import (
    checksum_members,
    read_conditions_of,
    storage_class_shown,
)

__all__ = ["get_object", "get_object_attributes", "get_plain", "head_object", "plain_lines"]

_GET_OBJECT = OPS["GetObject"]
INLINE_READ_MAX = 256 << 10
ATTEMPTS = 8


def get_object(call: Call) -> object:
    """Answer GetObject."""
    asked = call.input
    bucket = call.bucket()
    if asked.part_number is not None:
        return _get_part(call, bucket)
    found = bucket.index.object_value(asked.key, INLINE_READ_MAX)
    if found is None:
        raise rules.no_such_key(asked.key)
    return _get_found(call, bucket, *found)


def get_plain(call: Call, plain: PlainGet) -> object:
    """Answer a plain GET, whose sender is proven."""
    call.op, call.auth = _GET_OBJECT, plain.auth
    bucket = call.pipeline.store.bucket(plain.bucket)
    found = bucket.index.object_value(plain.key, INLINE_READ_MAX)
    if found is None:
        raise rules.no_such_key(plain.key)
    record, value = found
    if value is not None:
        lines = plain_lines(record, plain.with_checksum)
        if lines is not None:
            return Written(lines, value)
    call.route = Route(_GET_OBJECT, plain.bucket, plain.key, {})
    call.input = structs.GetObjectInput(
        bucket=plain.bucket,
        key=plain.key,
        checksum_mode="ENABLED" if plain.with_checksum else None,
    )
    return _get_found(call, bucket, record, value)


def _get_found(call: Call, bucket: Bucket, record: ObjectRecord, value: bytes | None) -> object:
    if value is None:
        return _get_long(call, bucket)
    asked = call.input
    if _is_plain(asked):
        lines = plain_lines(record, asked.checksum_mode is not None)
        if lines is not None:
            return Written(lines, value)
    start, end, members = _judge(call, record)
    if end - start != record.size:
        value = value[start:end]
    return Answer(structs.GetObjectOutput(**members), value)


def _is_plain(asked: structs.GetObjectInput) -> bool:
    """Tell whether all of the object is asked for, under no condition, with its own headers."""
    return (
        asked.range is None
        and asked.if_none_match is None
        and asked.if_match is None
        and asked.if_modified_since is None
        and asked.if_unmodified_since is None
        and asked.response_content_disposition is None
        and asked.response_content_type is None
        and asked.response_cache_control is None
        and asked.response_content_encoding is None
        and asked.response_content_language is None
        and asked.response_expires is None
    )


def plain_lines(record: ObjectRecord, with_checksum: bool) -> str | None:
    """Return the header lines of a plain GET, or None when the object has more to tell.

    What `render_output` gives, for the objects that are most of all, at a fifth of its cost.
    """
    content = record.content
    kind = content.content_type
    if (
        record.metadata
        or record.tags
        or record.storage_class != "STANDARD"
        or kind is None
        or content.cache_control is not None
        or content.content_disposition is not None
        or content.content_encoding is not None
        or content.content_language is not None
        or content.expires is not None
        or content.website_redirect_location is not None
        or not (kind.isascii() and kind.isprintable())
    ):
        return None
    lines = (
        f"accept-ranges: bytes\r\nlast-modified: {http_date(record.modified_ms)}\r\n"
        f'content-length: {record.size}\r\netag: "{record.etag}"\r\ncontent-type: {kind}\r\n'
    )
    checksum = record.checksum
    if with_checksum and checksum is not None:
        lines += (
            f"x-amz-checksum-{checksum.algorithm.lower()}: {checksum.value}\r\n"
            f"x-amz-checksum-type: {checksum.type}\r\n"
        )
    return lines


def _get_long(call: Call, bucket: Bucket) -> object:
    record, lease = _lease(bucket, call.input.key)
    try:
        start, end, members = _judge(call, record)
    except BaseException:
        lease.close()
        raise
    return Answer(structs.GetObjectOutput(**members), Leased(lease, start, end))


def _get_part(call: Call, bucket: Bucket) -> object:
    """Answer with one part: where it lies is read beside the body, so both must be of one write."""
    asked = call.input
    for _ in range(ATTEMPTS):
        record, lease = _lease(bucket, asked.key)
        try:
            with bucket.index.read() as view:
                seen = view.object(asked.key)
                if seen is None or seen.body != record.body:
                    lease.close()
                    continue
                span = reading.part_span(view, record, asked.part_number)
            start, end, members = _judge(call, record, span)
        except BaseException:
            lease.close()
            raise
        return Answer(structs.GetObjectOutput(**members), Leased(lease, start, end))
    raise S3Error("OperationAborted")


def _lease(bucket: Bucket, key: str) -> tuple[ObjectRecord, BodyLease]:
    # Conditions and archives are judged with the answer at hand: see `_judge`.
    found = bucket.bodies.lease(key)
    if found is None:
        raise rules.no_such_key(key)
    return found


def head_object(call: Call) -> object:
    """Answer HeadObject."""
    asked = call.input
    with call.bucket().index.read() as view:
        record = view.object(asked.key)
        if record is None:
            raise rules.no_such_key(asked.key)
        span = None
        if asked.part_number is not None:
            span = reading.part_span(view, record, asked.part_number)
    _, _, members = _judge(call, record, span, archived=True)
    return structs.HeadObjectOutput(**members)


def _judge(
    call: Call, record: ObjectRecord, part: PartSpan | None = None, *, archived: bool = False
) -> tuple[int, int, dict[str, Any]]:
    """Check the conditions and choose the bytes: (start, end, the output's members).

    `archived`: the bytes are not wanted, so an archived object will do.
    """
    asked = call.input
    conditions = read_conditions_of(asked, call)
    if conditions is not NO_READ_CONDITIONS:
        try:
            rules.check_read(conditions, record)
        except PreconditionError as error:
            if error.kind == "not_modified":
                raise _not_modified(record) from None
            raise
    if not archived:
        limits.check_readable(record)
    start, end = 0, record.size
    members = _members(record)
    checksum = record.checksum
    if part is not None:
        if asked.range is not None:
            raise S3Error(
                "InvalidRequest",
                "Cannot specify both Range header and partNumber query parameter",
            )
        start, end = part.start, part.end
        if record.part_count:
            members["parts_count"] = record.part_count
            checksum = _part_checksum(record, part.checksum)
        if record.size:
            members["content_range"] = content_range(start, end, record.size)
    elif asked.range is not None and _range_counts(call, record):
        chosen = settle_range(asked.range, record.size)
        if chosen is not None:
            start, end = chosen
            members["content_range"] = content_range(start, end, record.size)
            checksum = None
    members["content_length"] = end - start
    if asked.checksum_mode is not None:
        members.update(checksum_members(checksum))
    if call.route is not None and call.route.params:
        _override(asked, members)
    return start, end, members


def _override(asked: Any, members: dict[str, Any]) -> None:
    """Replace stored headers by the `response-*` parameters; `authorise` let them through."""
    for name in _OVERRIDES:
        value = getattr(asked, f"response_{name}")
        if value is not None:
            members[name] = value


_OVERRIDES = (
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "content_type",
    "expires",
)


def _members(record: ObjectRecord) -> dict[str, Any]:
    content = record.content
    return {
        "last_modified": record.modified_ms,
        "etag": record.etag,
        "cache_control": content.cache_control,
        "content_disposition": content.content_disposition,
        "content_encoding": content.content_encoding,
        "content_language": content.content_language,
        "content_type": content.content_type,
        "expires": content.expires,
        "website_redirect_location": content.website_redirect_location,
        "metadata": record.metadata,
        "storage_class": storage_class_shown(record.storage_class),
        "tag_count": len(record.tags) or None,
    }


def _part_checksum(record: ObjectRecord, value: str | None) -> Checksum | None:
    if record.checksum is None or value is None:
        return None
    return Checksum(record.checksum.algorithm, record.checksum.type, value)


def _range_counts(call: Call, record: ObjectRecord) -> bool:
    """RFC 9110, 13.1.5: with an If-Range that does not match, the range is not meant."""
    validator = call.exchange.head.headers.get("if-range")
    if validator is None:
        return True
    return validator in (f'"{record.etag}"', http_date(record.modified_ms))


def _not_modified(record: ObjectRecord) -> S3Error:
    return S3Error(
        "NotModified",
        headers=(
            ("etag", f'"{record.etag}"'),
            ("last-modified", http_date(record.modified_ms)),
        ),
    )


def get_object_attributes(call: Call) -> object:
    """Answer GetObjectAttributes."""
    asked = call.input
    wanted = asked.object_attributes
    with call.bucket().index.read() as view:
        found = reading.attributes(
            view,
            asked.key,
            after_part=asked.part_number_marker,
            max_parts=asked.max_parts,
        )
    record = found.object
    checksum = None
    if "Checksum" in wanted and record.checksum is not None:
        checksum = structs.Checksum(**checksum_members(record.checksum))
    parts = None
    if "ObjectParts" in wanted and record.part_count:
        parts = structs.AttributesParts(
            total_parts_count=record.part_count,
            part_number_marker=asked.part_number_marker,
            next_part_number_marker=found.next_part,
            max_parts=asked.max_parts,
            is_truncated=found.truncated,
            parts=[_object_part(record, mark) for mark in found.parts],
        )
    return structs.GetObjectAttributesOutput(
        last_modified=record.modified_ms,
        etag=record.etag if "ETag" in wanted else None,
        checksum=checksum,
        object_parts=parts,
        storage_class=record.storage_class if "StorageClass" in wanted else None,
        object_size=record.size if "ObjectSize" in wanted else None,
    )


def _object_part(record: ObjectRecord, mark: PartMark) -> structs.ObjectPart:
    checksum = _part_checksum(record, mark.checksum)
    return structs.ObjectPart(
        part_number=mark.number, size=mark.size, **checksum_members(checksum, typed=False)
    )
