"""Operations on buckets: list, create, head, delete, location."""

from __future__ import annotations

from cenote.buckets import BucketPage
from cenote.errors import AlreadyExistsError
from cenote.ports import BucketRecord
from cenote.s3 import S3Error, structs
from cenote.server.call import Call

__all__ = [
    "create_bucket",
    "delete_bucket",
    "get_bucket_location",
    "head_bucket",
    "list_buckets",
]

REGION_DEFAULT = "us-east-1"


def list_buckets(call: Call) -> object:
    """Answer ListBuckets."""
    asked = call.input
    store = call.pipeline.store
    owner = structs.Owner(id=call.pipeline.settings.account_id)

    def job() -> BucketPage:
        return store.list_buckets(
            prefix=asked.prefix or "",
            region=asked.bucket_region,
            token=asked.continuation_token,
            limit=asked.max_buckets or 10_000,
        )

    def then(page: BucketPage) -> object:
        return structs.ListBucketsOutput(
            owner=owner,
            buckets=[
                structs.Bucket(
                    name=record.name,
                    creation_date=record.created_ms,
                    bucket_region=record.region or _region(call),
                )
                for record in page.buckets
            ],
            continuation_token=page.next_token,
            prefix=asked.prefix,
        )

    return call.run(job, then)


def _region(call: Call) -> str:
    return call.pipeline.settings.region or REGION_DEFAULT


def create_bucket(call: Call) -> object:
    """Answer CreateBucket."""
    asked = call.input
    store = call.pipeline.store
    pinned = call.pipeline.settings.region
    region = None
    if asked.create_bucket_configuration is not None:
        region = asked.create_bucket_configuration.location_constraint or None
    if pinned is not None and region not in (None, pinned):
        raise S3Error(
            "IllegalLocationConstraintException",
            f"The {region} location constraint is incompatible for the region specific endpoint "
            "this request was sent to.",
        )
    output = structs.CreateBucketOutput(location=f"/{asked.bucket}")
    home = pinned or REGION_DEFAULT

    def job() -> BucketRecord | None:
        try:
            return store.create_bucket(asked.bucket, region=region)
        except AlreadyExistsError as error:
            # us-east-1 answers 200 to its bucket's owner; the other regions refuse.
            if error.kind == "bucket_exists" and (region or home) == REGION_DEFAULT:
                return None
            raise

    return call.run(job, lambda _: output)


def head_bucket(call: Call) -> object:
    """Answer HeadBucket."""
    record = _record(call)
    return structs.HeadBucketOutput(
        bucket_region=record.region or _region(call), access_point_alias=False
    )


def get_bucket_location(call: Call) -> object:
    """Answer the region asked for at the bucket's making; without one, AWS's null for us-east-1."""
    region = _record(call).region
    if region is None and _region(call) != REGION_DEFAULT:
        region = _region(call)
    return structs.GetBucketLocationOutput(location_constraint=region)


def _record(call: Call) -> BucketRecord:
    with call.bucket().index.read() as view:
        return view.bucket()


def delete_bucket(call: Call) -> object:
    """Answer DeleteBucket."""
    store, name = call.pipeline.store, call.input.bucket
    return call.run(lambda: store.delete_bucket(name), lambda _: structs.DeleteBucketOutput())
