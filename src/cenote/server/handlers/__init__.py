"""The operations: one function each, by the operation's name.

`HANDLERS` are called when all of the request is there; `RECEIVERS`, of operations with a streamed
body, when its head is, and they arrange for the body themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cenote.server.call import Call
from cenote.server.handlers import (
    buckets,
    copying,
    deleting,
    listing,
    multipart,
    reading,
    tagging,
    writing,
)

__all__ = ["HANDLERS", "RECEIVERS"]

Handler = Callable[[Call], object]

HANDLERS: Final[dict[str, Handler]] = {
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": multipart.complete_multipart_upload,
    "CopyObject": copying.copy_object,
    "CreateBucket": buckets.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": buckets.delete_bucket,
    "DeleteObject": deleting.delete_object,
    "DeleteObjectTagging": tagging.delete_object_tagging,
    "DeleteObjects": deleting.delete_objects,
    "GetBucketLocation": buckets.get_bucket_location,
    "GetObject": reading.get_object,
    "GetObjectAttributes": reading.get_object_attributes,
    "GetObjectTagging": tagging.get_object_tagging,
    "HeadBucket": buckets.head_bucket,
    "HeadObject": reading.head_object,
    "ListBuckets": buckets.list_buckets,
    "ListMultipartUploads": multipart.list_multipart_uploads,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects_v2,
    "ListParts": multipart.list_parts,
    "PutObjectTagging": tagging.put_object_tagging,
    "UploadPartCopy": copying.upload_part_copy,
}

RECEIVERS: Final[dict[str, Handler]] = {
    "PutObject": writing.put_object,
    "UploadPart": writing.upload_part,
}
