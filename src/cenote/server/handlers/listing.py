"""ListObjects (V1) and ListObjectsV2.

Run on a worker thread: a page of a thousand keys costs a millisecond, and more from a cold disk.
"""

from __future__ import annotations

from cenote.buckets import ListObjects, ObjectPage, listing
from cenote.ports import Bucket, ObjectSummary
from cenote.s3 import structs
from cenote.server.call import Call

__all__ = ["list_objects", "list_objects_v2"]


def _page(bucket: Bucket, request: ListObjects) -> ObjectPage:
    with bucket.index.read() as view:
        return listing.objects(view, request)


def _entries(page: ObjectPage, owner: structs.Owner | None) -> list[structs.ObjectEntry]:
    return [_entry(summary, owner) for summary in page.contents]


def _entry(summary: ObjectSummary, owner: structs.Owner | None) -> structs.ObjectEntry:
    return structs.ObjectEntry(
        key=summary.key,
        last_modified=summary.modified_ms,
        etag=summary.etag,
        checksum_algorithm=summary.checksum_algorithm,
        checksum_type=summary.checksum_type,
        size=summary.size,
        owner=owner,
        storage_class=summary.storage_class,
    )


def _prefixes(page: ObjectPage) -> list[structs.CommonPrefix]:
    return [structs.CommonPrefix(prefix=prefix) for prefix in page.prefixes]


def list_objects(call: Call) -> object:
    """Answer ListObjects."""
    asked = call.input
    bucket = call.bucket()
    owner = structs.Owner(id=call.pipeline.settings.account_id)
    request = ListObjects(
        prefix=asked.prefix,
        delimiter=asked.delimiter or "",
        marker=asked.marker,
        max_keys=asked.max_keys,
    )

    def then(page: ObjectPage) -> object:
        return structs.ListObjectsOutput(
            name=asked.bucket,
            prefix=asked.prefix,
            marker=asked.marker,
            next_marker=page.next_marker if asked.delimiter else None,
            max_keys=asked.max_keys,
            delimiter=asked.delimiter,
            encoding_type=asked.encoding_type,
            is_truncated=page.truncated,
            contents=_entries(page, owner),
            common_prefixes=_prefixes(page),
        )

    return call.run(lambda: _page(bucket, request), then)


def list_objects_v2(call: Call) -> object:
    """Answer ListObjectsV2."""
    asked = call.input
    bucket = call.bucket()
    owner = structs.Owner(id=call.pipeline.settings.account_id) if asked.fetch_owner else None
    request = ListObjects(
        prefix=asked.prefix,
        delimiter=asked.delimiter or "",
        start_after=asked.start_after or "",
        token=asked.continuation_token,
        max_keys=asked.max_keys,
    )

    def then(page: ObjectPage) -> object:
        return structs.ListObjectsV2Output(
            name=asked.bucket,
            prefix=asked.prefix,
            start_after=asked.start_after,
            continuation_token=asked.continuation_token,
            next_continuation_token=page.next_token,
            key_count=len(page.contents) + len(page.prefixes),
            max_keys=asked.max_keys,
            delimiter=asked.delimiter,
            encoding_type=asked.encoding_type,
            is_truncated=page.truncated,
            contents=_entries(page, owner),
            common_prefixes=_prefixes(page),
        )

    return call.run(lambda: _page(bucket, request), then)
