"""The rows of operations that are known and refused, grouped by why.

Owns: for each such operation its name, method, target and the query that names it.
Does not own: the answer to them (501 NotImplemented, see `route`).

A query is written "name" (any value) or "name=value". Of two operations with the same method,
target and query the later one gets the requests (S3 has renamed three).
"""

from __future__ import annotations

from typing import Literal

__all__ = ["REFUSED"]

Target = Literal["service", "bucket", "object"]

REFUSED: dict[str, tuple[tuple[str, str, Target, tuple[str, ...]], ...]] = {
    "object annotations and metadata tables are not implemented": (
        ("CreateBucketMetadataConfiguration", "POST", "bucket", ("metadataConfiguration",)),
        ("CreateBucketMetadataTableConfiguration", "POST", "bucket", ("metadataTable",)),
        ("DeleteBucketMetadataConfiguration", "DELETE", "bucket", ("metadataConfiguration",)),
        ("DeleteBucketMetadataTableConfiguration", "DELETE", "bucket", ("metadataTable",)),
        (
            "DeleteObjectAnnotation",
            "DELETE",
            "object",
            (
                "annotation",
                "annotationName",
            ),
        ),
        ("GetBucketMetadataConfiguration", "GET", "bucket", ("metadataConfiguration",)),
        ("GetBucketMetadataTableConfiguration", "GET", "bucket", ("metadataTable",)),
        (
            "GetObjectAnnotation",
            "GET",
            "object",
            (
                "annotation",
                "annotationName",
            ),
        ),
        ("ListObjectAnnotations", "GET", "object", ("annotation",)),
        (
            "PutObjectAnnotation",
            "PUT",
            "object",
            (
                "annotation",
                "annotationName",
            ),
        ),
        (
            "UpdateBucketMetadataAnnotationTableConfiguration",
            "PUT",
            "bucket",
            ("metadataAnnotationTable",),
        ),
        (
            "UpdateBucketMetadataInventoryTableConfiguration",
            "PUT",
            "bucket",
            ("metadataInventoryTable",),
        ),
        (
            "UpdateBucketMetadataJournalTableConfiguration",
            "PUT",
            "bucket",
            ("metadataJournalTable",),
        ),
    ),
    "directory buckets are not implemented": (
        ("CreateSession", "GET", "bucket", ("session",)),
        ("ListDirectoryBuckets", "GET", "service", ()),
        ("RenameObject", "PUT", "object", ("renameObject",)),
    ),
    "analytics, metrics, inventory and intelligent tiering are not implemented": (
        (
            "DeleteBucketAnalyticsConfiguration",
            "DELETE",
            "bucket",
            (
                "analytics",
                "id",
            ),
        ),
        (
            "DeleteBucketIntelligentTieringConfiguration",
            "DELETE",
            "bucket",
            (
                "intelligent-tiering",
                "id",
            ),
        ),
        (
            "DeleteBucketInventoryConfiguration",
            "DELETE",
            "bucket",
            (
                "inventory",
                "id",
            ),
        ),
        (
            "DeleteBucketMetricsConfiguration",
            "DELETE",
            "bucket",
            (
                "metrics",
                "id",
            ),
        ),
        (
            "GetBucketAnalyticsConfiguration",
            "GET",
            "bucket",
            (
                "analytics",
                "id",
            ),
        ),
        (
            "GetBucketIntelligentTieringConfiguration",
            "GET",
            "bucket",
            (
                "intelligent-tiering",
                "id",
            ),
        ),
        (
            "GetBucketInventoryConfiguration",
            "GET",
            "bucket",
            (
                "inventory",
                "id",
            ),
        ),
        (
            "GetBucketMetricsConfiguration",
            "GET",
            "bucket",
            (
                "metrics",
                "id",
            ),
        ),
        ("ListBucketAnalyticsConfigurations", "GET", "bucket", ("analytics",)),
        ("ListBucketIntelligentTieringConfigurations", "GET", "bucket", ("intelligent-tiering",)),
        ("ListBucketInventoryConfigurations", "GET", "bucket", ("inventory",)),
        ("ListBucketMetricsConfigurations", "GET", "bucket", ("metrics",)),
        (
            "PutBucketAnalyticsConfiguration",
            "PUT",
            "bucket",
            (
                "analytics",
                "id",
            ),
        ),
        (
            "PutBucketIntelligentTieringConfiguration",
            "PUT",
            "bucket",
            (
                "intelligent-tiering",
                "id",
            ),
        ),
        (
            "PutBucketInventoryConfiguration",
            "PUT",
            "bucket",
            (
                "inventory",
                "id",
            ),
        ),
        (
            "PutBucketMetricsConfiguration",
            "PUT",
            "bucket",
            (
                "metrics",
                "id",
            ),
        ),
    ),
    "CORS and website hosting are not implemented": (
        ("DeleteBucketCors", "DELETE", "bucket", ("cors",)),
        ("DeleteBucketWebsite", "DELETE", "bucket", ("website",)),
        ("GetBucketCors", "GET", "bucket", ("cors",)),
        ("GetBucketWebsite", "GET", "bucket", ("website",)),
        ("PutBucketCors", "PUT", "bucket", ("cors",)),
        ("PutBucketWebsite", "PUT", "bucket", ("website",)),
    ),
    "server-side encryption is not implemented": (
        ("DeleteBucketEncryption", "DELETE", "bucket", ("encryption",)),
        ("GetBucketEncryption", "GET", "bucket", ("encryption",)),
        ("PutBucketEncryption", "PUT", "bucket", ("encryption",)),
        ("UpdateObjectEncryption", "PUT", "object", ("encryption",)),
    ),
    "lifecycle rules and archive storage are not implemented": (
        ("DeleteBucketLifecycle", "DELETE", "bucket", ("lifecycle",)),
        ("GetBucketLifecycle", "GET", "bucket", ("lifecycle",)),
        ("GetBucketLifecycleConfiguration", "GET", "bucket", ("lifecycle",)),
        ("PutBucketLifecycle", "PUT", "bucket", ("lifecycle",)),
        ("PutBucketLifecycleConfiguration", "PUT", "bucket", ("lifecycle",)),
        ("RestoreObject", "POST", "object", ("restore",)),
    ),
    "access control lists, policies and ownership are not implemented": (
        ("DeleteBucketOwnershipControls", "DELETE", "bucket", ("ownershipControls",)),
        ("DeleteBucketPolicy", "DELETE", "bucket", ("policy",)),
        ("DeletePublicAccessBlock", "DELETE", "bucket", ("publicAccessBlock",)),
        ("GetBucketAbac", "GET", "bucket", ("abac",)),
        ("GetBucketAcl", "GET", "bucket", ("acl",)),
        ("GetBucketOwnershipControls", "GET", "bucket", ("ownershipControls",)),
        ("GetBucketPolicy", "GET", "bucket", ("policy",)),
        ("GetBucketPolicyStatus", "GET", "bucket", ("policyStatus",)),
        ("GetObjectAcl", "GET", "object", ("acl",)),
        ("GetPublicAccessBlock", "GET", "bucket", ("publicAccessBlock",)),
        ("PutBucketAbac", "PUT", "bucket", ("abac",)),
        ("PutBucketAcl", "PUT", "bucket", ("acl",)),
        ("PutBucketOwnershipControls", "PUT", "bucket", ("ownershipControls",)),
        ("PutBucketPolicy", "PUT", "bucket", ("policy",)),
        ("PutObjectAcl", "PUT", "object", ("acl",)),
        ("PutPublicAccessBlock", "PUT", "bucket", ("publicAccessBlock",)),
    ),
    "replication is not implemented": (
        ("DeleteBucketReplication", "DELETE", "bucket", ("replication",)),
        ("GetBucketReplication", "GET", "bucket", ("replication",)),
        ("PutBucketReplication", "PUT", "bucket", ("replication",)),
    ),
    "bucket tagging, acceleration and requester-pays are not implemented": (
        ("DeleteBucketTagging", "DELETE", "bucket", ("tagging",)),
        ("GetBucketAccelerateConfiguration", "GET", "bucket", ("accelerate",)),
        ("GetBucketRequestPayment", "GET", "bucket", ("requestPayment",)),
        ("GetBucketTagging", "GET", "bucket", ("tagging",)),
        ("PutBucketAccelerateConfiguration", "PUT", "bucket", ("accelerate",)),
        ("PutBucketRequestPayment", "PUT", "bucket", ("requestPayment",)),
        ("PutBucketTagging", "PUT", "bucket", ("tagging",)),
    ),
    "notifications and logging are not implemented": (
        ("GetBucketLogging", "GET", "bucket", ("logging",)),
        ("GetBucketNotification", "GET", "bucket", ("notification",)),
        ("GetBucketNotificationConfiguration", "GET", "bucket", ("notification",)),
        ("PutBucketLogging", "PUT", "bucket", ("logging",)),
        ("PutBucketNotification", "PUT", "bucket", ("notification",)),
        ("PutBucketNotificationConfiguration", "PUT", "bucket", ("notification",)),
    ),
    "versioning is not implemented": (
        ("GetBucketVersioning", "GET", "bucket", ("versioning",)),
        ("ListObjectVersions", "GET", "bucket", ("versions",)),
        ("PutBucketVersioning", "PUT", "bucket", ("versioning",)),
    ),
    "object lock is not implemented": (
        ("GetObjectLegalHold", "GET", "object", ("legal-hold",)),
        ("GetObjectLockConfiguration", "GET", "bucket", ("object-lock",)),
        ("GetObjectRetention", "GET", "object", ("retention",)),
        ("PutObjectLegalHold", "PUT", "object", ("legal-hold",)),
        ("PutObjectLockConfiguration", "PUT", "bucket", ("object-lock",)),
        ("PutObjectRetention", "PUT", "object", ("retention",)),
    ),
    "queries inside objects, torrents and object lambda are not implemented": (
        ("GetObjectTorrent", "GET", "object", ("torrent",)),
        (
            "SelectObjectContent",
            "POST",
            "object",
            (
                "select",
                "select-type=2",
            ),
        ),
        ("WriteGetObjectResponse", "POST", "service", ()),
    ),
    "uploads by browser form are not implemented": (("PostObject", "POST", "bucket", ()),),
}
