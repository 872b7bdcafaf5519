"""The table: one row per operation of the S3 API.

Owns: every operation's name, method, target, the query that names it, and its input and output.
Does not own: how a request is matched to a row (`route`), read (`parse`) or answered (`render`).

A row that is not implemented is still a row: it is recognised and refused with 501
NotImplemented, and nothing is changed. Names, methods and queries are those of the API's model.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cenote.s3 import structs_buckets as b
from cenote.s3 import structs_listings as ls
from cenote.s3 import structs_objects as o
from cenote.s3 import structs_uploads as u
from cenote.s3.ops_refused import REFUSED

__all__ = ["OPS", "Op", "Route"]

Target = Literal["service", "bucket", "object"]
Body = Literal["none", "xml", "stream"]


class Nothing(msgspec.Struct, frozen=True):
    """The members of an operation that is not implemented."""


class Op(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One operation.

    `query`: the parameters that name it; a value of None means any. `header`: a request header
    that tells it from the operation with the same query. `body`: what a request carries.
    `digest_required`: S3 demands Content-MD5 or a checksum of the body. `root`: the element of
    the answer's document, or None. `status`: of success. `reason`: why it is not implemented.
    """

    name: str
    method: str
    target: Target
    query: tuple[tuple[str, str | None], ...] = ()
    header: str | None = None
    body: Body = "none"
    digest_required: bool = False
    input: type[msgspec.Struct] = Nothing
    output: type[msgspec.Struct] = Nothing
    root: str | None = None
    status: int = 200
    implemented: bool = True
    reason: str | None = None


class Route(msgspec.Struct, frozen=True):
    """Where a request goes. `params` are all its query parameters, decoded."""

    op: Op
    bucket: str | None
    key: str | None
    params: dict[str, str]


_IMPLEMENTED = (
    Op(
        name="ListBuckets",
        method="GET",
        target="service",
        input=b.ListBucketsInput,
        output=b.ListBucketsOutput,
        root="ListAllMyBucketsResult",
    ),
    Op(
        name="CreateBucket",
        method="PUT",
        target="bucket",
        body="xml",
        input=b.CreateBucketInput,
        output=b.CreateBucketOutput,
    ),
    Op(
        name="HeadBucket",
        method="HEAD",
        target="bucket",
        input=b.HeadBucketInput,
        output=b.HeadBucketOutput,
    ),
    Op(
        name="DeleteBucket",
        method="DELETE",
        target="bucket",
        input=b.DeleteBucketInput,
        output=b.DeleteBucketOutput,
        status=204,
    ),
    Op(
        name="GetBucketLocation",
        method="GET",
        target="bucket",
        query=(("location", None),),
        input=b.GetBucketLocationInput,
        output=b.GetBucketLocationOutput,
        root="LocationConstraint",
    ),
    Op(
        name="ListObjects",
        method="GET",
        target="bucket",
        input=ls.ListObjectsInput,
        output=ls.ListObjectsOutput,
        root="ListBucketResult",
    ),
    Op(
        name="ListObjectsV2",
        method="GET",
        target="bucket",
        query=(("list-type", "2"),),
        input=ls.ListObjectsV2Input,
        output=ls.ListObjectsV2Output,
        root="ListBucketResult",
    ),
    Op(
        name="ListMultipartUploads",
        method="GET",
        target="bucket",
        query=(("uploads", None),),
        input=u.ListMultipartUploadsInput,
        output=u.ListMultipartUploadsOutput,
        root="ListMultipartUploadsResult",
    ),
    Op(
        name="DeleteObjects",
        method="POST",
        target="bucket",
        query=(("delete", None),),
        body="xml",
        digest_required=True,
        input=o.DeleteObjectsInput,
        output=o.DeleteObjectsOutput,
        root="DeleteResult",
    ),
    Op(
        name="PutObject",
        method="PUT",
        target="object",
        body="stream",
        input=o.PutObjectInput,
        output=o.PutObjectOutput,
    ),
    Op(
        name="CopyObject",
        method="PUT",
        target="object",
        header="x-amz-copy-source",
        input=o.CopyObjectInput,
        output=o.CopyObjectOutput,
        root="CopyObjectResult",
    ),
    Op(
        name="GetObject",
        method="GET",
        target="object",
        input=o.GetObjectInput,
        output=o.GetObjectOutput,
    ),
    Op(
        name="HeadObject",
        method="HEAD",
        target="object",
        input=o.HeadObjectInput,
        output=o.HeadObjectOutput,
    ),
    Op(
        name="DeleteObject",
        method="DELETE",
        target="object",
        input=o.DeleteObjectInput,
        output=o.DeleteObjectOutput,
        status=204,
    ),
    Op(
        name="GetObjectAttributes",
        method="GET",
        target="object",
        query=(("attributes", None),),
        input=o.GetObjectAttributesInput,
        output=o.GetObjectAttributesOutput,
        root="GetObjectAttributesResponse",
    ),
    Op(
        name="GetObjectTagging",
        method="GET",
        target="object",
        query=(("tagging", None),),
        input=o.GetObjectTaggingInput,
        output=o.GetObjectTaggingOutput,
        root="Tagging",
    ),
    Op(
        name="PutObjectTagging",
        method="PUT",
        target="object",
        query=(("tagging", None),),
        body="xml",
        digest_required=True,
        input=o.PutObjectTaggingInput,
        output=o.PutObjectTaggingOutput,
    ),
    Op(
        name="DeleteObjectTagging",
        method="DELETE",
        target="object",
        query=(("tagging", None),),
        input=o.DeleteObjectTaggingInput,
        output=o.DeleteObjectTaggingOutput,
        status=204,
    ),
    Op(
        name="CreateMultipartUpload",
        method="POST",
        target="object",
        query=(("uploads", None),),
        input=u.CreateMultipartUploadInput,
        output=u.CreateMultipartUploadOutput,
        root="InitiateMultipartUploadResult",
    ),
    Op(
        name="UploadPart",
        method="PUT",
        target="object",
        query=(("uploadId", None),),
        body="stream",
        input=u.UploadPartInput,
        output=u.UploadPartOutput,
    ),
    Op(
        name="UploadPartCopy",
        method="PUT",
        target="object",
        query=(("uploadId", None),),
        header="x-amz-copy-source",
        input=u.UploadPartCopyInput,
        output=u.UploadPartCopyOutput,
        root="CopyPartResult",
    ),
    Op(
        name="CompleteMultipartUpload",
        method="POST",
        target="object",
        query=(("uploadId", None),),
        body="xml",
        input=u.CompleteMultipartUploadInput,
        output=u.CompleteMultipartUploadOutput,
        root="CompleteMultipartUploadResult",
    ),
    Op(
        name="AbortMultipartUpload",
        method="DELETE",
        target="object",
        query=(("uploadId", None),),
        input=u.AbortMultipartUploadInput,
        output=u.AbortMultipartUploadOutput,
        status=204,
    ),
    Op(
        name="ListParts",
        method="GET",
        target="object",
        query=(("uploadId", None),),
        input=u.ListPartsInput,
        output=u.ListPartsOutput,
        root="ListPartsResult",
    ),
)


def _query(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    return name, value if equals else None


def _refused_rows() -> list[Op]:
    rows = []
    for reason, operations in REFUSED.items():
        for name, method, target, query in operations:
            rows.append(
                Op(
                    name=name,
                    method=method,
                    target=target,
                    query=tuple(_query(word) for word in query),
                    implemented=False,
                    reason=reason,
                )
            )
    return rows


OPS: dict[str, Op] = {op.name: op for op in (*_IMPLEMENTED, *_refused_rows())}
