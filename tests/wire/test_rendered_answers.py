"""Our answers, read by botocore's parser: every member it knows comes out as it went in."""

from datetime import UTC, datetime

import pytest
from botocore import parsers
from botocore.loaders import Loader
from botocore.model import ServiceModel

from cenote.s3 import OPS, S3Error, render_error, render_output, structs

MODEL = ServiceModel(Loader().load_service_model("s3", "service-2"), "s3")
WHEN_MS = 1_709_209_815_678
WHEN = datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC)
ETAG = "d41d8cd98f00b204e9800998ecf8427e"
QUOTED = f'"{ETAG}"'
ODD = "ü <&>\"' /%2F+é\U0001f600"

OWNER = structs.Owner(id="123", display_name="me")
OWNER_READ = {"ID": "123", "DisplayName": "me"}
CRC = {"checksum_crc64nvme": "AAAAAAAAAAA=", "checksum_type": "FULL_OBJECT"}
CRC_READ = {"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}
OBJECT = {
    **CRC,
    "last_modified": WHEN_MS,
    "content_length": 5,
    "etag": ETAG,
    "cache_control": "no-cache",
    "content_disposition": "attachment",
    "content_encoding": "gzip",
    "content_language": "de",
    "content_type": "text/plain",
    "website_redirect_location": "/x",
    "metadata": {"a": "b", "c": "d e"},
    "storage_class": "STANDARD_IA",
    "parts_count": 3,
    "tag_count": 2,
}
OBJECT_READ = {
    **CRC_READ,
    "AcceptRanges": "bytes",
    "LastModified": WHEN,
    "ContentLength": 5,
    "ETag": QUOTED,
    "CacheControl": "no-cache",
    "ContentDisposition": "attachment",
    "ContentEncoding": "gzip",
    "ContentLanguage": "de",
    "ContentType": "text/plain",
    "WebsiteRedirectLocation": "/x",
    "Metadata": {"a": "b", "c": "d e"},
    "StorageClass": "STANDARD_IA",
    "PartsCount": 3,
    "TagCount": 2,
}
ENTRY = structs.ObjectEntry(
    key=ODD, last_modified=WHEN_MS, etag=ETAG, size=7, owner=OWNER, checksum_algorithm="CRC32",
    checksum_type="COMPOSITE",
)  # fmt: skip
ENTRY_READ = {
    "Key": ODD, "LastModified": WHEN, "ETag": QUOTED, "Size": 7, "Owner": OWNER_READ,
    "StorageClass": "STANDARD", "ChecksumAlgorithm": ["CRC32"], "ChecksumType": "COMPOSITE",
}  # fmt: skip

# operation, members in, status, members out
CASES = [
    (
        "ListBuckets",
        {"owner": OWNER, "continuation_token": "t", "prefix": "p",
         "buckets": [structs.Bucket(name="b", creation_date=WHEN_MS, bucket_region="r")]},
        200,
        {"Owner": OWNER_READ, "ContinuationToken": "t", "Prefix": "p",
         "Buckets": [{"Name": "b", "CreationDate": WHEN, "BucketRegion": "r"}]},
    ),
    ("ListBuckets", {"owner": OWNER}, 200, {"Owner": OWNER_READ, "Buckets": []}),
    ("CreateBucket", {"location": "/b"}, 200, {"Location": "/b"}),
    (
        "HeadBucket",
        {"bucket_region": "r", "access_point_alias": False},
        200,
        {"BucketRegion": "r", "AccessPointAlias": False},
    ),
    ("DeleteBucket", {}, 204, {}),
    ("GetBucketLocation", {"location_constraint": "eu-west-1"}, 200,
     {"LocationConstraint": "eu-west-1"}),
    ("GetBucketLocation", {}, 200, {"LocationConstraint": None}),
    ("PutObject", {"etag": ETAG, "size": 9, **CRC}, 200, {"ETag": QUOTED, "Size": 9, **CRC_READ}),
    ("GetObject", OBJECT, 200, OBJECT_READ),
    (
        "GetObject",
        {"content_range": "bytes 0-4/9", "content_length": 5},
        206,
        {"ContentRange": "bytes 0-4/9", "ContentLength": 5, "AcceptRanges": "bytes",
         "Metadata": {}},
    ),
    ("HeadObject", OBJECT, 200, OBJECT_READ),
    ("DeleteObject", {}, 204, {}),
    (
        "DeleteObjects",
        {"deleted": [structs.DeletedObject(key=ODD)],
         "errors": [structs.DeleteError(key="k", code="AccessDenied", message="No")]},
        200,
        {"Deleted": [{"Key": ODD}],
         "Errors": [{"Key": "k", "Code": "AccessDenied", "Message": "No"}]},
    ),
    ("DeleteObjects", {}, 200, {}),
    (
        "CopyObject",
        {"copy_object_result": structs.CopyObjectResult(last_modified=WHEN_MS, etag=ETAG, **CRC)},
        200,
        {"CopyObjectResult": {"LastModified": WHEN, "ETag": QUOTED, **CRC_READ}},
    ),
    (
        "GetObjectAttributes",
        {"last_modified": WHEN_MS, "etag": ETAG, "checksum": structs.Checksum(**CRC),
         "storage_class": "STANDARD", "object_size": 8,
         "object_parts": structs.AttributesParts(
             total_parts_count=1, part_number_marker=0, next_part_number_marker=1, max_parts=9,
             is_truncated=False,
             parts=[structs.ObjectPart(part_number=1, size=8, checksum_sha1="s")])},
        200,
        {"LastModified": WHEN, "ETag": ETAG, "Checksum": CRC_READ, "StorageClass": "STANDARD",
         "ObjectSize": 8, "ObjectParts": {
             "TotalPartsCount": 1, "PartNumberMarker": 0, "NextPartNumberMarker": 1,
             "MaxParts": 9, "IsTruncated": False,
             "Parts": [{"PartNumber": 1, "Size": 8, "ChecksumSHA1": "s"}]}},
    ),
    (
        "ListObjects",
        {"name": "b", "prefix": "p", "marker": "m", "next_marker": "n", "max_keys": 2,
         "delimiter": "/", "is_truncated": True, "contents": [ENTRY],
         "common_prefixes": [structs.CommonPrefix(prefix="a&/")]},
        200,
        {"Name": "b", "Prefix": "p", "Marker": "m", "NextMarker": "n", "MaxKeys": 2,
         "Delimiter": "/", "IsTruncated": True, "Contents": [ENTRY_READ],
         "CommonPrefixes": [{"Prefix": "a&/"}]},
    ),
    (
        "ListObjectsV2",
        {"name": "b", "start_after": "s", "continuation_token": "c", "key_count": 1,
         "next_continuation_token": "d", "is_truncated": True, "contents": [ENTRY]},
        200,
        {"Name": "b", "Prefix": "", "StartAfter": "s", "ContinuationToken": "c", "KeyCount": 1,
         "NextContinuationToken": "d", "IsTruncated": True, "MaxKeys": 1000,
         "Contents": [ENTRY_READ]},
    ),
    (
        "CreateMultipartUpload",
        {"bucket": "b", "key": ODD, "upload_id": "u", "checksum_algorithm": "SHA1",
         "checksum_type": "COMPOSITE"},
        200,
        {"Bucket": "b", "Key": ODD, "UploadId": "u", "ChecksumAlgorithm": "SHA1",
         "ChecksumType": "COMPOSITE"},
    ),
    ("UploadPart", {"etag": ETAG, "checksum_crc32": "x"}, 200,
     {"ETag": QUOTED, "ChecksumCRC32": "x"}),
    (
        "UploadPartCopy",
        {"copy_part_result": structs.CopyPartResult(last_modified=WHEN_MS, etag=ETAG)},
        200,
        {"CopyPartResult": {"LastModified": WHEN, "ETag": QUOTED}},
    ),
    (
        "CompleteMultipartUpload",
        {"location": "http://h/b/k", "bucket": "b", "key": ODD, "etag": f"{ETAG}-2", **CRC},
        200,
        {"Location": "http://h/b/k", "Bucket": "b", "Key": ODD, "ETag": f'"{ETAG}-2"',
         **CRC_READ},
    ),
    ("AbortMultipartUpload", {}, 204, {}),
    (
        "ListParts",
        {"bucket": "b", "key": ODD, "upload_id": "u", "part_number_marker": 1,
         "next_part_number_marker": 2, "max_parts": 3, "is_truncated": True, "owner": OWNER,
         "initiator": OWNER, "storage_class": "STANDARD", "checksum_algorithm": "SHA256",
         "checksum_type": "COMPOSITE",
         "parts": [structs.Part(part_number=2, last_modified=WHEN_MS, etag=ETAG, size=5,
                                checksum_sha256="z")]},
        200,
        {"Bucket": "b", "Key": ODD, "UploadId": "u", "PartNumberMarker": 1,
         "NextPartNumberMarker": 2, "MaxParts": 3, "IsTruncated": True, "Owner": OWNER_READ,
         "Initiator": OWNER_READ, "StorageClass": "STANDARD", "ChecksumAlgorithm": "SHA256",
         "ChecksumType": "COMPOSITE",
         "Parts": [{"PartNumber": 2, "LastModified": WHEN, "ETag": QUOTED, "Size": 5,
                    "ChecksumSHA256": "z"}]},
    ),
    (
        "ListMultipartUploads",
        {"bucket": "b", "key_marker": "k", "upload_id_marker": "u", "next_key_marker": "l",
         "next_upload_id_marker": "v", "prefix": "p", "delimiter": "/", "max_uploads": 5,
         "is_truncated": True,
         "uploads": [structs.MultipartUpload(upload_id="w", key=ODD, initiated=WHEN_MS,
                                             owner=OWNER, initiator=OWNER)],
         "common_prefixes": [structs.CommonPrefix(prefix="a/")]},
        200,
        {"Bucket": "b", "KeyMarker": "k", "UploadIdMarker": "u", "NextKeyMarker": "l",
         "NextUploadIdMarker": "v", "Prefix": "p", "Delimiter": "/", "MaxUploads": 5,
         "IsTruncated": True,
         "Uploads": [{"UploadId": "w", "Key": ODD, "Initiated": WHEN, "StorageClass": "STANDARD",
                      "Owner": OWNER_READ, "Initiator": OWNER_READ}],
         "CommonPrefixes": [{"Prefix": "a/"}]},
    ),
    ("GetObjectTagging", {"tag_set": [structs.Tag(key="k", value="<v>")]}, 200,
     {"TagSet": [{"Key": "k", "Value": "<v>"}]}),
    ("GetObjectTagging", {}, 200, {"TagSet": []}),
    ("PutObjectTagging", {}, 200, {}),
    ("DeleteObjectTagging", {}, 204, {}),
]  # fmt: skip


def read_by_botocore(name, rendered):
    operation = MODEL.operation_model(name)
    parser = parsers.create_parser("rest-xml")
    answer = {
        "status_code": rendered.status,
        "headers": dict(rendered.headers),
        "body": rendered.body,
    }
    shape = operation.output_shape
    read = parser.parse(answer, shape)
    read.pop("ResponseMetadata")
    read.pop("Body", None)
    return read


@pytest.mark.parametrize(
    ("name", "members", "status", "expected"),
    CASES,
    ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)],
)
def test_botocore_reads_what_was_written(name, members, status, expected):
    op = OPS[name]
    rendered = render_output(op, op.output(**members))
    assert rendered.status == status
    read = read_by_botocore(name, rendered)
    if name == "GetBucketLocation":
        # botocore reads this answer in a handler of its own, not by the model.
        from botocore.handlers import parse_get_bucket_location

        class Http:
            content = rendered.body
            raw = b""

        parse_get_bucket_location(read, Http())
    assert read == expected


def test_every_implemented_operation_is_answered():
    assert {case[0] for case in CASES} == {op.name for op in OPS.values() if op.implemented}


@pytest.mark.parametrize("name", ["ListObjects", "ListObjectsV2"])
def test_encoding_type_url_carries_every_key(name):
    from urllib.parse import unquote

    key = "a b+c/\x01\r\n\ufffe~*é"
    output = OPS[name].output(
        name="b", encoding_type="url", prefix="\x02", delimiter="\x0a",
        contents=[structs.ObjectEntry(key=key, last_modified=0, etag=ETAG, size=0)],
        common_prefixes=[structs.CommonPrefix(prefix=key)],
    )  # fmt: skip
    read = read_by_botocore(name, render_output(OPS[name], output))
    assert read["EncodingType"] == "url"
    assert unquote(read["Contents"][0]["Key"]) == key
    assert unquote(read["CommonPrefixes"][0]["Prefix"]) == key
    assert (unquote(read["Prefix"]), unquote(read["Delimiter"])) == ("\x02", "\x0a")
    # As S3's documentation shows: test_file(3).png appears as test_file%283%29.png.
    shown = OPS[name].output(name="b", encoding_type="url", prefix="test_file(3).png")
    assert b"<Prefix>test_file%283%29.png</Prefix>" in render_output(OPS[name], shown).body


def test_keys_without_encoding_type_survive_a_parser():
    key = "tab\tnewline\nreturn\r]]>&amp;<"
    output = structs.ListObjectsOutput(
        name="b", contents=[structs.ObjectEntry(key=key, last_modified=0, etag=ETAG, size=0)]
    )
    read = read_by_botocore("ListObjects", render_output(OPS["ListObjects"], output))
    assert read["Contents"][0]["Key"] == key


def test_error_document():
    error = S3Error(
        "InvalidArgument", "Say <why>", resource="/b/k&", ArgumentName="max-keys", ArgumentValue="x"
    )
    answer = {"status_code": error.status, "headers": {}, "body": render_error(error, "R", "H")}
    read = parsers.create_parser("rest-xml").parse(answer, None)
    assert read["Error"] == {
        "Code": "InvalidArgument",
        "Message": "Say <why>",
        "ArgumentName": "max-keys",
        "ArgumentValue": "x",
        "Resource": "/b/k&",
    }
    # botocore takes these two from headers; other SDKs read them here.
    assert answer["body"].endswith(b"<RequestId>R</RequestId><HostId>H</HostId></Error>")


def test_not_modified_has_no_document():
    assert render_error(S3Error("NotModified"), "r", "h") == b""


def test_metadata_beyond_ascii_is_written_as_rfc_2047_has_it():
    from email.header import decode_header, make_header

    output = structs.GetObjectOutput(metadata={"a": "grün\r\nX: y"}, content_type="a/b\r\nX: y")
    headers = dict(render_output(OPS["GetObject"], output).headers)
    assert str(make_header(decode_header(headers["x-amz-meta-a"]))) == "grün\r\nX: y"
    assert not any("\r" in value or "\n" in value for value in headers.values())


def test_metadata_no_header_can_name_is_counted():
    output = structs.GetObjectOutput(metadata={"ok": "1", "a b": "2", "ü": "3", "x:y\r\nz": "4"})
    headers = dict(render_output(OPS["GetObject"], output).headers)
    assert headers["x-amz-missing-meta"] == "3"
    assert [name for name in headers if name.startswith("x-amz-meta-")] == ["x-amz-meta-ok"]
