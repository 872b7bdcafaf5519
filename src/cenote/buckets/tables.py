"""Buckets themselves: what one is created with, when one may go, pages of them.

Owns: the rules of CreateBucket, DeleteBucket and ListBuckets.
Does not own: the directory the buckets are in (`service`).

Sources: AWS API pages CreateBucket, DeleteBucket, ListBuckets.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from cenote.buckets.model import BucketPage
from cenote.buckets.names import check_bucket_name
from cenote.errors import ConflictError, InvalidError
from cenote.ports import BucketRecord, Change, IndexTxn

__all__ = [
    "PAGE_MAX",
    "CloseChange",
    "close_if_empty",
    "new_record",
    "page",
]

PAGE_MAX: Final = 10_000
_UPLOADS_AT_ONCE: Final = 1000
REGION_SIZE_MAX: Final = 64


def new_record(
    name: str,
    now_ms: int,
    *,
    region: str | None = None,
    owner: str = "",
    inline_max: int | None = None,
) -> BucketRecord:
    """Make the record of a bucket to be created.

    Raises InvalidError: kind "invalid_bucket_name", or "invalid_argument" for a region that no
    location constraint could be.
    """
    check_bucket_name(name)
    if region is not None and not (
        0 < len(region) <= REGION_SIZE_MAX and region.isascii() and region.isprintable()
    ):
        raise InvalidError(
            "a region has 1 to 64 printable characters", kind="invalid_argument", argument="region"
        )
    return BucketRecord(
        name=name, created_ms=now_ms, region=region, owner=owner, inline_max=inline_max
    )


def close_if_empty(name: str) -> Change[None]:
    """End the uploads under way, and let nothing more into the bucket, if it holds no object.

    Should the removal be cut short the bucket is there again, empty: no upload may then miss bytes.
    Raises, in the change, ConflictError(kind="bucket_not_empty").
    """
    return CloseChange(name)


class CloseChange(Struct, frozen=True, array_like=True, tag="close"):
    """The change of `close_if_empty`."""

    name: str

    def __call__(self, txn: IndexTxn) -> None:
        if not txn.is_empty():
            raise ConflictError(
                "the bucket is not empty", kind="bucket_not_empty", bucket=self.name
            )
        while page := txn.uploads(("", ""), None, _UPLOADS_AT_ONCE):
            for upload in page:
                txn.delete_upload(upload.upload_id)
        txn.close_bucket()


def page(
    names: Sequence[str],
    look_up: Callable[[str], BucketRecord | None],
    *,
    prefix: str = "",
    region: str | None = None,
    token: str | None = None,
    limit: int = PAGE_MAX,
) -> BucketPage:
    """Return one page of the buckets, by name: at most `limit` of at most 10,000.

    `look_up` answers None for a bucket that went meanwhile. Cost: one look-up for each bucket
    told, and for each one of another region passed over.
    Raises InvalidError(kind="invalid_argument") for a limit outside 1 to 10,000, a forged token.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidError(
            f"max-buckets must be from 1 to {PAGE_MAX}",
            kind="invalid_argument",
            argument="max-buckets",
            value=limit,
        )
    names = sorted(names)
    first = bisect_left(names, prefix)
    if token is not None:
        first = max(first, bisect_right(names, _parse_token(token)))
    found: list[BucketRecord] = []
    for name in names[first:]:
        if not name.startswith(prefix):
            break
        record = look_up(name)
        if record is None or (region is not None and (record.region or "us-east-1") != region):
            continue
        if len(found) == limit:
            return BucketPage(found, _token(found[-1].name))
        found.append(record)
    return BucketPage(found)


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(b"b" + name.encode()).decode("ascii").rstrip("=")


def _parse_token(token: str) -> str:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if raw[:1] == b"b":
            return check_bucket_name(raw[1:].decode("ascii"))
    except (ValueError, binascii.Error):
        pass
    raise InvalidError(
        "the continuation token provided is incorrect",
        kind="invalid_argument",
        argument="continuation-token",
        value=token,
    )
