"""Inputs and outputs of the operations on the service and on a bucket.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Struct

from cenote.s3.shapes import Element, Header, Items, Nested, PathPart, Payload, Query, Text
from cenote.s3.structs_shared import BucketInput, Owner
from cenote.s3.values import BOOLEAN, ISO_DATE, integer

__all__ = [
    "Bucket",
    "CreateBucketConfiguration",
    "CreateBucketInput",
    "CreateBucketOutput",
    "DeleteBucketInput",
    "DeleteBucketOutput",
    "GetBucketLocationInput",
    "GetBucketLocationOutput",
    "HeadBucketInput",
    "HeadBucketOutput",
    "ListBucketsInput",
    "ListBucketsOutput",
]


class Bucket(Struct, frozen=True, kw_only=True):
    """One bucket of ListBuckets. `creation_date`: milliseconds."""

    name: Annotated[str, Element("Name")]
    creation_date: Annotated[int, Element("CreationDate", ISO_DATE)]
    bucket_region: Annotated[str | None, Element("BucketRegion")] = None


class ListBucketsInput(Struct, frozen=True, kw_only=True):
    """`max_buckets` None: all of them, without paging."""

    max_buckets: Annotated[int | None, Query("max-buckets", integer(1, 10_000))] = None
    continuation_token: Annotated[str | None, Query("continuation-token")] = None
    prefix: Annotated[str | None, Query("prefix")] = None
    bucket_region: Annotated[str | None, Query("bucket-region")] = None


class ListBucketsOutput(Struct, frozen=True, kw_only=True):
    """`continuation_token` is set when there are more."""

    owner: Annotated[Owner | None, Nested("Owner", Owner)] = None
    buckets: Annotated[Sequence[Bucket], Items("Bucket", Bucket, wrapper="Buckets")] = ()
    continuation_token: Annotated[str | None, Element("ContinuationToken")] = None
    prefix: Annotated[str | None, Element("Prefix")] = None


class CreateBucketConfiguration(Struct, frozen=True, kw_only=True):
    """The body of CreateBucket: `location_constraint` None or empty means the default region.

    What it could also say is of directory buckets, and tags of buckets.
    """

    refused: ClassVar[frozenset[str]] = frozenset({"Location", "Bucket", "Tags"})

    location_constraint: Annotated[str | None, Element("LocationConstraint")] = None


class CreateBucketInput(Struct, frozen=True, kw_only=True):
    """The configuration may be left out altogether."""

    bucket: Annotated[str, PathPart("Bucket")]
    create_bucket_configuration: Annotated[
        CreateBucketConfiguration | None,
        Payload("CreateBucketConfiguration", CreateBucketConfiguration),
    ] = None


class CreateBucketOutput(Struct, frozen=True, kw_only=True):
    """`location` is "/bucket"."""

    location: Annotated[str | None, Header("Location")] = None
    bucket_arn: Annotated[str | None, Header("x-amz-bucket-arn")] = None


class HeadBucketInput(BucketInput, frozen=True, kw_only=True):
    """Only the bucket."""


class HeadBucketOutput(Struct, frozen=True, kw_only=True):
    """`access_point_alias` is always false here."""

    bucket_arn: Annotated[str | None, Header("x-amz-bucket-arn")] = None
    bucket_region: Annotated[str | None, Header("x-amz-bucket-region")] = None
    access_point_alias: Annotated[bool | None, Header("x-amz-access-point-alias", BOOLEAN)] = None


class DeleteBucketInput(BucketInput, frozen=True, kw_only=True):
    """Only the bucket."""


class DeleteBucketOutput(Struct, frozen=True, kw_only=True):
    """Nothing."""


class GetBucketLocationInput(BucketInput, frozen=True, kw_only=True):
    """Only the bucket."""


class GetBucketLocationOutput(Struct, frozen=True, kw_only=True):
    """None stands for us-east-1, which S3 writes as an empty element."""

    location_constraint: Annotated[str | None, Text("LocationConstraint")] = None
