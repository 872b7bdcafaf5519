"""PutObject and UploadPart: operations whose body is streamed.

What can be refused without the body is refused before it is asked for: the bucket, the size, a
condition that is false already, claims that make no sense.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, API_UploadPart.html.
"""

from __future__ import annotations

from typing import Final, cast

from cenote.buckets import (
    NO_CONDITIONS,
    PutChange,
    PutObject,
    PutPart,
    WriteResult,
    limits,
    objects,
    uploads,
)
from cenote.buckets import conditions as rules
from cenote.ports import Bucket, Content, PartRecord
from cenote.s3 import OPS, PlainPut, structs
from cenote.server.call import Call, Written
from cenote.server.claims import Claimed
from cenote.server.extensions import transact_items
from cenote.server.handlers.mapping import checksum_members, conditions_of, content_of
from cenote.server.intake import Taken
from cenote.server.receive import body_length, discard, receive
from cenote.tables import PutWithItems

_PUT_OBJECT: Final = OPS["PutObject"]

__all__ = ["put_object", "put_plain", "stored_lines", "upload_part"]


def put_plain(call: Call, plain: PlainPut) -> object:
    """Answer a plain PUT, whose sender is proven."""
    call.op, call.auth = _PUT_OBJECT, plain.auth
    bucket = call.pipeline.store.bucket(plain.bucket)
    length = body_length(call)
    limits.check_size(length)
    content = limits.stored_content(Content(plain.content_type))
    claimed = Claimed.of(call)

    def taken(body: Taken) -> object:
        request = PutObject(plain.key, content, claims=claimed.settled(body))
        change = objects.put(request, body.staged, call.now_ms)
        return call.commit(bucket, change, _stored, lambda: discard(call, bucket, body.staged))

    return receive(call, bucket, length, claimed.algorithms(), taken)


def put_object(call: Call) -> object:
    """Answer PutObject."""
    asked = call.input
    bucket = call.bucket()
    length = body_length(call)
    limits.check_size(length)
    claimed = Claimed.of(call)
    conditions = conditions_of(asked)
    content = limits.stored_content(content_of(asked))
    limits.check_metadata(asked.metadata)
    tags = asked.tagging or ()
    limits.check_tags(tags)
    storage_class = asked.storage_class or "STANDARD"
    limits.check_storage_class(storage_class)
    items = transact_items(call)
    if conditions is not NO_CONDITIONS:
        rules.check_form(conditions)
        with bucket.index.read() as view:
            rules.check_write(conditions, asked.key, view.object(asked.key))

    def taken(body: Taken) -> object:
        request = PutObject(
            key=asked.key,
            content=content,
            metadata=asked.metadata,
            tags=tags,
            storage_class=storage_class,
            claims=claimed.settled(body),
            conditions=conditions,
        )
        change = objects.put(request, body.staged, call.now_ms)
        if items is not None:
            change = PutWithItems(cast(PutChange, change), items)
        return call.commit(bucket, change, _stored, lambda: discard(call, bucket, body.staged))

    return receive(call, bucket, length, claimed.algorithms(), taken)


def _stored(result: WriteResult) -> object:
    return Written(stored_lines(result), b"")


def stored_lines(result: WriteResult) -> str:
    """Return the header lines that tell what was stored, as `PutObjectOutput` has them.

    Written here and not by the table, at a fifth of the cost. Nothing in them came from a client
    as it stands: a hash in hex, the name of an algorithm, a checksum computed here.
    """
    checksum = result.checksum
    if checksum is None:
        return f'etag: "{result.etag}"\r\ncontent-length: 0\r\n'
    name = checksum.algorithm.lower()
    return (
        f'etag: "{result.etag}"\r\nx-amz-checksum-{name}: {checksum.value}\r\n'
        f"x-amz-checksum-type: {checksum.type}\r\ncontent-length: 0\r\n"
    )


def upload_part(call: Call) -> object:
    """Answer UploadPart."""
    asked = call.input
    bucket = call.bucket()
    length = body_length(call)
    limits.check_size(length)
    uploads.check_part_number(asked.part_number)
    claimed = Claimed.of(call)
    algorithm = _upload_algorithm(bucket, asked.key, asked.upload_id)

    def taken(body: Taken) -> object:
        request = PutPart(asked.key, asked.upload_id, asked.part_number, claimed.settled(body))
        change = uploads.put_part(request, body.staged, call.now_ms)
        return call.commit(bucket, change, stored, lambda: discard(call, bucket, body.staged))

    def stored(part: PartRecord) -> object:
        return structs.UploadPartOutput(
            etag=part.etag, **checksum_members(part.checksum, typed=False)
        )

    return receive(call, bucket, length, claimed.algorithms(algorithm), taken)


def _upload_algorithm(bucket: Bucket, key: str, upload_id: str) -> str:
    with bucket.index.read() as view:
        return uploads.algorithm_of(uploads.require(view, key, upload_id))
