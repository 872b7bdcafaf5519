"""What boto3 sends, read by us: routed to the same operation, parsed to the same members."""

from datetime import UTC, datetime
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from cenote.s3 import CopySource, RequestHead, S3Error, parse_input, resolve

WHEN = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)
WHEN_MS = 1_709_209_815_000
KEY = "dir//a+b c/../ü%2F€.txt"
COMMON = {"Bucket": "my-bucket", "Key": KEY}
PARTS = [{"ETag": '"' + "a" * 32 + '"', "PartNumber": 1, "ChecksumCRC32": "AAAAAA=="},
         {"ETag": "b" * 32, "PartNumber": 2}]  # fmt: skip
SOURCE = {"Bucket": "src", "Key": "k ey+ü?versionId=x"}
STORED = {
    "CacheControl": "no-cache",
    "ContentDisposition": "attachment",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "ContentType": "text/plain",
    "Expires": WHEN,
    "Metadata": {"Colour": "blue", "shape": "round"},
    "StorageClass": "STANDARD_IA",
    "Tagging": "a=1&b=x%20y",
    "WebsiteRedirectLocation": "/elsewhere",
}
STORED_READ = {
    "cache_control": "no-cache",
    "content_disposition": "attachment",
    "content_encoding": "gzip",
    "content_language": "de",
    "content_type": "text/plain",
    "expires": "Thu, 29 Feb 2024 12:30:15 GMT",
    "metadata": {"colour": "blue", "shape": "round"},
    "storage_class": "STANDARD_IA",
    "tagging": (("a", "1"), ("b", "x y")),
    "website_redirect_location": "/elsewhere",
}
COPY_CONDITIONS = {
    "CopySourceIfMatch": '"e"',
    "CopySourceIfNoneMatch": '"f"',
    "CopySourceIfModifiedSince": WHEN,
    "CopySourceIfUnmodifiedSince": WHEN,
    "ExpectedSourceBucketOwner": "123456789012",
}
COPY_READ = {
    "copy_source": CopySource("src", "k ey+ü?versionId=x"),
    "copy_source_if_match": '"e"',
    "copy_source_if_none_match": '"f"',
    "copy_source_if_modified_since": WHEN_MS,
    "copy_source_if_unmodified_since": WHEN_MS,
    "expected_source_bucket_owner": "123456789012",
}
READ = {
    "IfMatch": '"a"',
    "IfNoneMatch": '"b"',
    "IfModifiedSince": WHEN,
    "IfUnmodifiedSince": WHEN,
    "Range": "bytes=0-9",
    "ResponseCacheControl": "no-store",
    "ResponseContentDisposition": 'attachment; filename="a b.txt"',
    "ResponseContentEncoding": "br",
    "ResponseContentLanguage": "en",
    "ResponseContentType": "a/b",
    "ResponseExpires": WHEN,
    "VersionId": "null",
    "PartNumber": 7,
    "ChecksumMode": "ENABLED",
}
READ_READ = {
    "if_match": '"a"',
    "if_none_match": '"b"',
    "if_modified_since": WHEN_MS,
    "if_unmodified_since": WHEN_MS,
    "range": "bytes=0-9",
    "response_cache_control": "no-store",
    "response_content_disposition": 'attachment; filename="a b.txt"',
    "response_content_encoding": "br",
    "response_content_language": "en",
    "response_content_type": "a/b",
    "response_expires": "Thu, 29 Feb 2024 12:30:15 GMT",
    "version_id": "null",
    "part_number": 7,
    "checksum_mode": "ENABLED",
}
TAGS = {"TagSet": [{"Key": "k<", "Value": " v "}, {"Key": "l", "Value": ""}]}

# operation, arguments, members that must come out (bucket and key are checked for all)
CASES = [
    ("list_buckets", {}, {"max_buckets": None}),
    (
        "list_buckets",
        {"MaxBuckets": 7, "ContinuationToken": "t/+=", "Prefix": "p ", "BucketRegion": "r"},
        {"max_buckets": 7, "continuation_token": "t/+=", "prefix": "p ", "bucket_region": "r"},
    ),
    ("create_bucket", {"Bucket": "my-bucket"}, {"create_bucket_configuration": None}),
    (
        "create_bucket",
        {"Bucket": "my-bucket", "ACL": "private", "ObjectOwnership": "BucketOwnerEnforced",
         "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}},
        {"create_bucket_configuration.location_constraint": "eu-west-1"},
    ),
    ("head_bucket", {"Bucket": "my-bucket"}, {}),
    (
        "delete_bucket",
        {"Bucket": "my-bucket", "ExpectedBucketOwner": "123456789012"},
        {"expected_bucket_owner": "123456789012"},
    ),
    ("get_bucket_location", {"Bucket": "my-bucket"}, {}),
    (
        "put_object",
        {**COMMON, **STORED, "Body": b"abc", "IfNoneMatch": "*", "RequestPayer": "requester"},
        {**STORED_READ, "if_none_match": "*", "if_match": None, "checksum_algorithm": "CRC32"},
    ),
    (
        "put_object",
        {**COMMON, "Body": b"abc", "IfMatch": '"x"', "ChecksumSHA256": "A" * 43 + "=",
         "ContentMD5": "kAFQmDzST7DWlj99KOF/cg==", "ACL": "bucket-owner-full-control"},
        {"if_match": '"x"', "checksum_sha256": "A" * 43 + "=",
         "content_md5": "kAFQmDzST7DWlj99KOF/cg==", "tagging": None, "metadata": {}},
    ),
    ("get_object", {**COMMON, **READ}, READ_READ),
    ("head_object", {**COMMON, **READ}, READ_READ),
    (
        "delete_object",
        {**COMMON, "VersionId": "null", "IfMatch": '"x"', "IfMatchSize": 5,
         "IfMatchLastModifiedTime": WHEN, "BypassGovernanceRetention": True},
        {"version_id": "null", "if_match": '"x"', "if_match_size": 5,
         "if_match_last_modified_time": WHEN_MS},
    ),
    (
        "delete_objects",
        {"Bucket": "my-bucket", "BypassGovernanceRetention": True, "Delete": {
            "Quiet": True,
            "Objects": [{"Key": " a&<b>\n "}, {"Key": "ü", "ETag": '"e"', "Size": 4,
                         "LastModifiedTime": WHEN, "VersionId": "null"}]}},
        {"delete.quiet": True, "delete.objects.0.key": " a&<b>\n ", "delete.objects.0.etag": None,
         "delete.objects.1.key": "ü", "delete.objects.1.etag": "e", "delete.objects.1.size": 4,
         "delete.objects.1.last_modified_time": WHEN_MS, "delete.objects.1.version_id": "null",
         "checksum_algorithm": "CRC32"},
    ),
    (
        "copy_object",
        {**COMMON, **STORED, **COPY_CONDITIONS, "CopySource": SOURCE, "IfMatch": '"d"',
         "MetadataDirective": "REPLACE", "TaggingDirective": "REPLACE",
         "ChecksumAlgorithm": "SHA1", "AnnotationDirective": "EXCLUDE"},
        {**STORED_READ, **COPY_READ, "if_match": '"d"', "metadata_directive": "REPLACE",
         "tagging_directive": "REPLACE", "checksum_algorithm": "SHA1"},
    ),
    (
        "copy_object",
        {**COMMON, "CopySource": {"Bucket": "src", "Key": "k", "VersionId": "null"}},
        {"copy_source": CopySource("src", "k", "null"), "metadata_directive": "COPY",
         "tagging_directive": "COPY"},
    ),
    (
        "get_object_attributes",
        {**COMMON, "ObjectAttributes": ["ETag", "Checksum", "ObjectParts"], "MaxParts": 5,
         "PartNumberMarker": 2},
        {"object_attributes": ("ETag", "Checksum", "ObjectParts"), "max_parts": 5,
         "part_number_marker": 2},
    ),
    (
        "list_objects",
        {"Bucket": "my-bucket", "Delimiter": "/", "Marker": "m&", "MaxKeys": 5000, "Prefix": "p+",
         "EncodingType": "url", "OptionalObjectAttributes": ["RestoreStatus"]},
        {"delimiter": "/", "marker": "m&", "max_keys": 1000, "prefix": "p+",
         "encoding_type": "url", "optional_object_attributes": ("RestoreStatus",)},
    ),
    (
        "list_objects_v2",
        {"Bucket": "my-bucket", "Delimiter": "", "MaxKeys": 0, "Prefix": "ü",
         "ContinuationToken": "a+b/c=", "FetchOwner": True, "StartAfter": "s"},
        {"delimiter": None, "max_keys": 0, "prefix": "ü", "continuation_token": "a+b/c=",
         "fetch_owner": True, "start_after": "s"},
    ),
    (
        "create_multipart_upload",
        {**COMMON, **STORED, "ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"},
        {**STORED_READ, "checksum_algorithm": "CRC64NVME", "checksum_type": "FULL_OBJECT"},
    ),
    (
        "upload_part",
        {**COMMON, "UploadId": "u/+", "PartNumber": 10000, "Body": b"x",
         "ChecksumCRC32C": "AAAAAA=="},
        {"upload_id": "u/+", "part_number": 10000, "checksum_crc32c": "AAAAAA=="},
    ),
    (
        "upload_part_copy",
        {**COMMON, **COPY_CONDITIONS, "CopySource": SOURCE, "CopySourceRange": "bytes=0-9",
         "UploadId": "u", "PartNumber": 1},
        {**COPY_READ, "copy_source_range": "bytes=0-9", "upload_id": "u", "part_number": 1},
    ),
    (
        "complete_multipart_upload",
        {**COMMON, "UploadId": "u", "MultipartUpload": {"Parts": PARTS}, "IfNoneMatch": "*",
         "ChecksumCRC32": "AAAAAA==", "ChecksumType": "COMPOSITE", "MpuObjectSize": 12},
        {"upload_id": "u", "multipart_upload.parts.0.etag": "a" * 32,
         "multipart_upload.parts.0.part_number": 1, "if_none_match": "*", "mpu_object_size": 12,
         "multipart_upload.parts.0.checksum_crc32": "AAAAAA==",
         "multipart_upload.parts.1.etag": "b" * 32, "multipart_upload.parts.1.part_number": 2,
         "checksum_crc32": "AAAAAA==", "checksum_type": "COMPOSITE"},
    ),
    (
        "abort_multipart_upload",
        {**COMMON, "UploadId": "u"},
        {"upload_id": "u"},
    ),
    (
        "list_parts",
        {**COMMON, "UploadId": "u", "MaxParts": 3, "PartNumberMarker": 9},
        {"upload_id": "u", "max_parts": 3, "part_number_marker": 9},
    ),
    (
        "list_multipart_uploads",
        {"Bucket": "my-bucket", "Delimiter": "/", "EncodingType": "url", "KeyMarker": "k ",
         "MaxUploads": 4, "Prefix": "p", "UploadIdMarker": "m"},
        {"delimiter": "/", "encoding_type": "url", "key_marker": "k ", "max_uploads": 4,
         "prefix": "p", "upload_id_marker": "m"},
    ),
    ("get_object_tagging", {**COMMON, "VersionId": "null"}, {"version_id": "null"}),
    (
        "put_object_tagging",
        {**COMMON, "Tagging": TAGS},
        {"tagging.tag_set.0.key": "k<", "tagging.tag_set.0.value": " v ",
         "tagging.tag_set.1.value": ""},
    ),
    ("delete_object_tagging", COMMON, {}),
]  # fmt: skip


def capture(operation, arguments, *, style="path"):
    """Return the request boto3 would send, without sending it."""
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(s3={"addressing_style": style}, retries={"max_attempts": 0}),
    )
    seen = []

    def answer(request, **_kwargs):
        seen.append(request)
        return AWSResponse(request.url, 200, {}, _Raw())

    client.meta.events.register("before-send.s3", answer)
    getattr(client, operation)(**arguments)
    return client.meta.method_to_api_mapping[operation], seen[0]


class _Raw:
    def stream(self, *_args, **_kwargs):
        return iter([b'<a xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'])

    def read(self, *_args):
        return b""


def head_of(request):
    _, _, rest = request.url.partition("://")
    target = rest[rest.index("/") :] if "/" in rest else "/"
    path, _, query = target.partition("?")
    headers = {
        name.lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }
    return RequestHead(request.method, path.encode(), query.encode(), headers)


def member(value, path):
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else getattr(value, step)
    return value


@pytest.mark.parametrize(
    ("operation", "arguments", "expected"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_boto3_request_parses_to_its_members(operation, arguments, expected):
    name, request = capture(operation, arguments)
    head = head_of(request)
    route = resolve(head)
    assert route.op.name == name
    body = request.body if isinstance(request.body, bytes | bytearray) else None
    parsed = parse_input(route, head.headers, bytes(body) if body is not None else None)
    assert isinstance(parsed, route.op.input)
    if "Bucket" in arguments:
        assert (route.bucket, parsed.bucket) == ("my-bucket", "my-bucket")
    if "Key" in arguments:
        assert (route.key, parsed.key) == (KEY, KEY)
    assert {path: member(parsed, path) for path in expected} == expected


def test_every_implemented_operation_is_sent():
    from cenote.s3 import OPS

    sent = {"".join(word.title() for word in case[0].split("_")) for case in CASES}
    assert sent == {op.name for op in OPS.values() if op.implemented}


def test_virtual_host_request():
    _, request = capture("get_object", COMMON, style="virtual")
    host = urlsplit(request.url).hostname
    # An IP endpoint has no subdomains: boto3 falls back to the path, which is what we must see.
    assert host == "127.0.0.1"
    route = resolve(RequestHead("GET", b"/dir//a%2Bb", b"", {}), "my-bucket")
    assert (route.op.name, route.bucket, route.key) == ("GetObject", "my-bucket", "dir//a+b")


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("put_object_annotation", {**COMMON, "AnnotationName": "n", "AnnotationPayload": b"x"}),
        ("delete_object_annotation", {**COMMON, "AnnotationName": "n"}),
        ("rename_object", {**COMMON, "RenameSource": "my-bucket/other"}),
        (
            "update_object_encryption",
            {**COMMON, "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": "arn:aws:kms:r:1:key/a"}}},
        ),
        ("put_object", {**COMMON, "Body": b"x", "WriteOffsetBytes": 4}),
        ("put_object", {**COMMON, "Body": b"x", "ServerSideEncryption": "AES256"}),
        ("put_object", {**COMMON, "Body": b"x", "ACL": "public-read"}),
        ("put_object", {**COMMON, "Body": b"x", "GrantRead": "id=1"}),
        ("put_object", {**COMMON, "Body": b"x", "StorageClass": "GLACIER"}),
        ("put_object", {**COMMON, "Body": b"x", "ObjectLockLegalHoldStatus": "ON"}),
        ("create_bucket", {"Bucket": "my-bucket", "ObjectLockEnabledForBucket": True}),
        ("create_bucket", {"Bucket": "my-bucket", "CreateBucketConfiguration": {
            "Tags": [{"Key": "a", "Value": "b"}]}}),
        ("put_bucket_versioning", {"Bucket": "my-bucket",
                                   "VersioningConfiguration": {"Status": "Enabled"}}),
        ("delete_bucket_inventory_configuration", {"Bucket": "my-bucket", "Id": "1"}),
        ("delete_bucket_replication", {"Bucket": "my-bucket"}),
        ("put_bucket_abac", {"Bucket": "my-bucket", "AbacStatus": {"Status": "Enabled"}}),
        ("abort_multipart_upload", {**COMMON, "UploadId": "u", "IfMatchInitiatedTime": WHEN}),
        ("list_object_versions", {"Bucket": "my-bucket"}),
        ("get_object_acl", COMMON),
        ("select_object_content", {**COMMON, "Expression": "x", "ExpressionType": "SQL",
                                   "InputSerialization": {}, "OutputSerialization": {}}),
    ],
)  # fmt: skip
def test_what_is_not_done_is_refused_by_name(operation, arguments):
    _, request = capture(operation, arguments)
    head = head_of(request)
    body = request.body if isinstance(request.body, bytes) else None
    with pytest.raises(S3Error) as caught:
        parse_input(resolve(head), head.headers, body)
    assert (caught.value.code, caught.value.status) == ("NotImplemented", 501)
