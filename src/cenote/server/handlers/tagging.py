"""Tags of objects: get, put, delete."""

from __future__ import annotations

from cenote.buckets import objects
from cenote.s3 import structs
from cenote.server.call import Call

__all__ = ["delete_object_tagging", "get_object_tagging", "put_object_tagging"]


def get_object_tagging(call: Call) -> object:
    """Answer GetObjectTagging."""
    with call.bucket().index.read() as view:
        tags = objects.tags(view, call.input.key)
    # A set has no order of its own; S3's clients may count on one that stays.
    return structs.GetObjectTaggingOutput(
        tag_set=[structs.Tag(key=key, value=value) for key, value in sorted(tags)]
    )


def put_object_tagging(call: Call) -> object:
    """Answer PutObjectTagging."""
    asked = call.input
    tags = tuple((tag.key, tag.value) for tag in asked.tagging.tag_set)
    change = objects.put_tags(asked.key, tags)
    return call.commit(call.bucket(), change, lambda _: structs.PutObjectTaggingOutput())


def delete_object_tagging(call: Call) -> object:
    """Answer DeleteObjectTagging."""
    change = objects.delete_tags(call.input.key)
    return call.commit(call.bucket(), change, lambda _: structs.DeleteObjectTaggingOutput())
