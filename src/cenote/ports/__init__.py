"""What a bucket's backend implements: records, an index of them, and bodies of bytes."""

from cenote.ports.bodies import Bodies, BodyLease, BodyWriter, FileSlice
from cenote.ports.bucket import Bucket, Buckets
from cenote.ports.index import Change, Index, IndexTxn, IndexView
from cenote.ports.records import (
    EMPTY_BODY,
    BucketRecord,
    Checksum,
    Content,
    Extent,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    PartRecord,
    StagedBody,
    UploadRecord,
)

__all__ = [
    "EMPTY_BODY",
    "Bodies",
    "BodyLease",
    "BodyWriter",
    "Bucket",
    "BucketRecord",
    "Buckets",
    "Change",
    "Checksum",
    "Content",
    "Extent",
    "FileSlice",
    "Index",
    "IndexTxn",
    "IndexView",
    "ObjectRecord",
    "ObjectSummary",
    "PartMark",
    "PartRecord",
    "StagedBody",
    "UploadRecord",
]
