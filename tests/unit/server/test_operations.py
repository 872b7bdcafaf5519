"""Every operation, by boto3 against a server: what AWS's reference says a client sees."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import urllib.error
import urllib.request
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

MIB = 1 << 20


def refused(call: Any, **arguments: Any) -> tuple[int, str]:
    """Return the status and code a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def headers_of(response: Any) -> dict[str, str]:
    return response["ResponseMetadata"]["HTTPHeaders"]


# Buckets.


def test_buckets_live_and_die(s3: Any):
    assert s3.create_bucket(Bucket="life-and-death")["Location"] == "/life-and-death"
    assert s3.create_bucket(Bucket="life-and-death")  # us-east-1 answers 200 to the owner
    assert headers_of(s3.head_bucket(Bucket="life-and-death"))["x-amz-bucket-region"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="life-and-death")["LocationConstraint"] is None
    assert "life-and-death" in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.put_object(Bucket="life-and-death", Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket="life-and-death") == (409, "BucketNotEmpty")
    s3.delete_object(Bucket="life-and-death", Key="k")
    status = s3.delete_bucket(Bucket="life-and-death")["ResponseMetadata"]["HTTPStatusCode"]
    assert status == 204
    assert refused(s3.head_bucket, Bucket="life-and-death") == (404, "404")
    assert refused(s3.delete_bucket, Bucket="life-and-death") == (404, "NoSuchBucket")


def test_a_bucket_keeps_its_location_constraint(s3: Any):
    s3.create_bucket(
        Bucket="in-frankfurt",
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    assert s3.get_bucket_location(Bucket="in-frankfurt")["LocationConstraint"] == "eu-central-1"


def test_a_location_constraint_is_told_as_it_was_asked(s3: Any):
    s3.create_bucket(
        Bucket="in-virginia", CreateBucketConfiguration={"LocationConstraint": "us-east-1"}
    )
    assert s3.get_bucket_location(Bucket="in-virginia")["LocationConstraint"] == "us-east-1"
    assert (
        headers_of(s3.head_bucket(Bucket="in-frankfurt"))["x-amz-bucket-region"] == "eu-central-1"
    )
    again = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}
    assert refused(s3.create_bucket, Bucket="in-frankfurt", **again) == (
        409,
        "BucketAlreadyOwnedByYou",
    )


@pytest.mark.parametrize("name", ["ab", "Up", "a..b", "192.168.1.1", "xn--a", "a" * 64])
def test_bad_bucket_names_are_refused(make_s3: Any, name: str):
    client = make_s3()
    client.meta.events.unregister(
        "before-parameter-build.s3", __import__("botocore.handlers").handlers.validate_bucket_name
    )
    assert refused(client.create_bucket, Bucket=name) == (400, "InvalidBucketName")


def test_listing_buckets_pages(s3: Any):
    for i in range(3):
        s3.create_bucket(Bucket=f"paged-{i}")
    page = s3.list_buckets(Prefix="paged-", MaxBuckets=2)
    assert [b["Name"] for b in page["Buckets"]] == ["paged-0", "paged-1"]
    rest = s3.list_buckets(Prefix="paged-", ContinuationToken=page["ContinuationToken"])
    assert [b["Name"] for b in rest["Buckets"]] == ["paged-2"]
    assert "ContinuationToken" not in rest


def test_another_owner_is_refused(s3: Any, bucket: str):
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner="000000000000")
    arguments = {"Bucket": bucket, "Key": "k", "ExpectedBucketOwner": "111111111111"}
    assert refused(s3.put_object, Body=b"x", **arguments) == (403, "AccessDenied")
    assert refused(s3.get_object, **arguments) == (403, "AccessDenied")


# Objects.


@pytest.mark.parametrize("size", [0, 1, 1000, 32 * 1024, 64 * 1024, 64 * 1024 + 1, 3 * MIB + 7])
def test_bytes_come_back_as_they_were(s3: Any, bucket: str, size: int):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(body).to_bytes(4)).decode()
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert (got["ContentLength"], got["ETag"]) == (size, put["ETag"])
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentLength"], head["ETag"]) == (size, put["ETag"])
    assert "ChecksumCRC32" not in head


@pytest.mark.parametrize("key", ["a b", "a+b", "a%2Fb", "//", "../..", "ü/日本/😀", "a" * 1024])
def test_any_key_names_an_object(s3: Any, bucket: str, key: str):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert refused(s3.get_object, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_stored_headers_come_back_and_can_be_overridden(s3: Any, bucket: str):
    stored = {
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/plain",
        "Expires": datetime(2030, 1, 1, tzinfo=UTC),
        "Metadata": {"one": "1", "two": "zwei"},
        "WebsiteRedirectLocation": "/other",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **stored)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in stored} == stored
    got = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="image/png",
        ResponseCacheControl="max-age=1",
    )
    assert (got["ContentType"], got["CacheControl"]) == ("image/png", "max-age=1")


def test_ranges(s3: Any, bucket: str):
    for body in (os.urandom(1000), os.urandom(300_000)):
        size = len(body)
        s3.put_object(Bucket=bucket, Key="k", Body=body)
        for text, start, end in [
            ("bytes=0-0", 0, 1),
            ("bytes=10-19", 10, 20),
            ("bytes=990-5000000", 990, size),
            ("bytes=-7", size - 7, size),
            ("bytes=500-", 500, size),
        ]:
            got = s3.get_object(Bucket=bucket, Key="k", Range=text)
            assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert got["ContentRange"] == f"bytes {start}-{end - 1}/{size}"
            assert got["Body"].read() == body[start:end]
        assert refused(s3.get_object, Bucket=bucket, Key="k", Range="bytes=5000000-") == (
            416,
            "InvalidRange",
        )
        several = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-1,3-4")
        assert several["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert several["Body"].read() == body


def test_read_conditions(s3: Any, bucket: str):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    past, future = (datetime.now(UTC) + timedelta(days=d) for d in (-1, 1))
    s3.get_object(Bucket=bucket, Key="k", IfMatch=etag, IfNoneMatch='"other"')
    s3.get_object(Bucket=bucket, Key="k", IfModifiedSince=past, IfUnmodifiedSince=future)
    for call in (s3.get_object, s3.head_object):
        assert refused(call, Bucket=bucket, Key="k", IfNoneMatch=etag)[0] == 304
        assert refused(call, Bucket=bucket, Key="k", IfMatch='"other"')[0] == 412
        assert refused(call, Bucket=bucket, Key="k", IfUnmodifiedSince=past)[0] == 412
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=etag)
    assert headers_of(caught.value.response)["etag"] == etag


def test_write_conditions(s3: Any, bucket: str):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    failed = (412, "PreconditionFailed")
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == failed
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == failed
    assert refused(s3.put_object, Bucket=bucket, Key="n", Body=b"2", IfMatch=etag) == (
        404,
        "NoSuchKey",
    )
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)["ETag"]
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == failed
    s3.delete_object(Bucket=bucket, Key="k", IfMatch=second)
    big = os.urandom(300_000)
    s3.put_object(Bucket=bucket, Key="big", Body=big, IfNoneMatch="*")
    assert refused(s3.put_object, Bucket=bucket, Key="big", Body=b"", IfNoneMatch="*") == failed


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_checked_and_kept(s3: Any, bucket: str, algorithm: str, size: int):
    body = os.urandom(size)
    member = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[member] == put[member]
    assert head["ChecksumType"] == "FULL_OBJECT"
    wrong = {member: put[member]}
    assert refused(s3.put_object, Bucket=bucket, Key="other", Body=body[::-1] + b"x", **wrong) == (
        400,
        "BadDigest",
    )
    assert refused(s3.head_object, Bucket=bucket, Key="other")[0] == 404


@pytest.mark.parametrize("size", [10, 300_000])
def test_a_wrong_content_md5_stores_nothing(s3: Any, bucket: str, size: int):
    body = os.urandom(size)
    right = base64.b64encode(hashlib.md5(body).digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=body, ContentMD5=right)
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    arguments = {"Bucket": bucket, "Key": "bad", "Body": body}
    assert refused(s3.put_object, ContentMD5=wrong, **arguments) == (400, "BadDigest")
    assert refused(s3.put_object, ContentMD5="no", **arguments) == (400, "InvalidDigest")
    assert refused(s3.head_object, Bucket=bucket, Key="bad")[0] == 404


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("signed", [True, False])
def test_signed_and_unsigned_payloads(make_s3: Any, bucket: str, signed: bool, size: int):
    client = make_s3(
        s3={"addressing_style": "path", "payload_signing_enabled": signed},
        request_checksum_calculation="when_required",
    )
    body = os.urandom(size)
    client.put_object(Bucket=bucket, Key="k", Body=body)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def test_deleting(s3: Any, bucket: str):
    for key in ("a", "b", "c"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="absent")
    objects = [{"Key": "a"}, {"Key": "absent"}, {"Key": "b", "ETag": '"wrong"'}]
    done = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [d["Key"] for d in done["Deleted"]] == ["a", "absent"]
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [("b", "PreconditionFailed")]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["c"]


def test_copying(s3: Any, bucket: str):
    s3.create_bucket(Bucket=bucket + "-target")
    etag = s3.put_object(
        Bucket=bucket,
        Key="a b",
        Body=b"x" * 200_000,
        Metadata={"m": "1"},
        ContentType="text/a",
        Tagging="t=1",
    )["ETag"]
    for target in (bucket, bucket + "-target"):
        copy = s3.copy_object(
            Bucket=target, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"}
        )
        assert copy["CopyObjectResult"]["ETag"] == etag
        got = s3.get_object(Bucket=target, Key="copy")
        assert got["Body"].read() == b"x" * 200_000
        assert (got["Metadata"], got["ContentType"], got["TagCount"]) == ({"m": "1"}, "text/a", 1)
    s3.copy_object(
        Bucket=bucket,
        Key="a b",
        CopySource={"Bucket": bucket, "Key": "a b"},
        MetadataDirective="REPLACE",
        Metadata={"m": "2"},
    )
    assert s3.head_object(Bucket=bucket, Key="a b")["Metadata"] == {"m": "2"}
    source = {"CopySource": {"Bucket": bucket, "Key": "a b"}, "Bucket": bucket}
    assert refused(s3.copy_object, Key="a b", **source) == (400, "InvalidRequest")
    assert refused(s3.copy_object, Key="n", CopySourceIfMatch='"x"', **source) == (
        412,
        "PreconditionFailed",
    )
    assert refused(s3.copy_object, Key="copy", IfNoneMatch="*", **source) == (
        412,
        "PreconditionFailed",
    )
    absent = {"CopySource": {"Bucket": bucket, "Key": "absent"}, "Bucket": bucket}
    assert refused(s3.copy_object, Key="n", **absent) == (404, "NoSuchKey")


def test_tags(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=1&b=2")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    assert headers_of(s3.get_object(Bucket=bucket, Key="k"))["x-amz-tagging-count"] == "2"
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags[:1]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags[:1]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = {"TagSet": [{"Key": str(i), "Value": ""} for i in range(11)]}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=many)[1] in (
        "BadRequest",
        "InvalidTag",
    )
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="n") == (404, "NoSuchKey")


# Listings.


def test_listing(s3: Any, bucket: str):
    keys = ["a", "b/1", "b/2", "c/1/x", "d", "é"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [o["Key"] for o in s3.list_objects(Bucket=bucket)["Contents"]] == keys
    found = []
    for page in s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}
    ):
        assert page["KeyCount"] <= 2
        found += [o["Key"] for o in page.get("Contents", [])]
        found += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
    assert sorted(found) == ["a", "b/", "c/", "d", "é"]
    v1 = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert (v1["IsTruncated"], v1["NextMarker"]) == (True, "b/")
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="b/1", FetchOwner=True, MaxKeys=2)
    assert [o["Key"] for o in after["Contents"]] == ["b/2", "c/1/x"]
    assert after["Contents"][0]["Owner"]["ID"] == "000000000000"
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    forged = {"Bucket": bucket, "ContinuationToken": "forged"}
    assert refused(s3.list_objects_v2, **forged) == (400, "InvalidArgument")


# Multipart.


@pytest.mark.parametrize(("algorithm", "kind"), [("CRC32", "COMPOSITE"), ("CRC64NVME", None)])
def test_a_multipart_upload(s3: Any, bucket: str, algorithm: str, kind: str | None):
    more = {"ChecksumType": kind} if kind else {}
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, Metadata={"m": "1"}, **more
    )
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    bodies = [os.urandom(5 * MIB), os.urandom(5 * MIB), os.urandom(1000)]
    done = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(PartNumber=number, Body=body, ChecksumAlgorithm=algorithm, **at)
        member = f"Checksum{algorithm}"
        done.append({"PartNumber": number, "ETag": part["ETag"], member: part[member]})
    listed = s3.list_parts(MaxParts=2, **at)
    assert [p["Size"] for p in listed["Parts"]] == [5 * MIB, 5 * MIB]
    assert (listed["IsTruncated"], listed["NextPartNumberMarker"]) == (True, 2)
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [
        upload["UploadId"]
    ]
    swapped = {"Parts": [done[1], done[0]]}
    assert refused(s3.complete_multipart_upload, MultipartUpload=swapped, **at) == (
        400,
        "InvalidPartOrder",
    )
    wrong = {"Parts": [{**done[0], "ETag": '"0"'}]}
    assert refused(s3.complete_multipart_upload, MultipartUpload=wrong, **at) == (
        400,
        "InvalidPart",
    )
    result = s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **at)
    digests = b"".join(hashlib.md5(body).digest() for body in bodies)
    assert result["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    again = s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **at)
    assert again["ETag"] == result["ETag"]
    whole = b"".join(bodies)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == whole
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (bodies[1], 3)
    assert refused(s3.get_object, Bucket=bucket, Key="k", PartNumber=4) == (
        416,
        "InvalidPartNumber",
    )
    span = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={5 * MIB - 5}-{5 * MIB + 4}")
    assert span["Body"].read() == whole[5 * MIB - 5 : 5 * MIB + 5]
    told = s3.get_object_attributes(
        Bucket=bucket,
        Key="k",
        ObjectAttributes=["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"],
    )
    assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (len(whole), 3)
    assert told["ETag"] == result["ETag"].strip('"')
    assert told["Checksum"][f"Checksum{algorithm}"]


def test_aborting_an_upload(s3: Any, bucket: str):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    s3.upload_part(PartNumber=1, Body=b"x" * 100_000, **at)
    s3.abort_multipart_upload(**at)
    assert refused(s3.upload_part, PartNumber=1, Body=b"x", **at) == (404, "NoSuchUpload")
    assert refused(s3.abort_multipart_upload, **at) == (404, "NoSuchUpload")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_parts_that_are_too_small(s3: Any, bucket: str):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    parts = [
        {"PartNumber": n, "ETag": s3.upload_part(PartNumber=n, Body=b"x", **at)["ETag"]}
        for n in (1, 2)
    ]
    assert refused(s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **at) == (
        400,
        "EntityTooSmall",
    )


def test_parts_copied_from_objects(s3: Any, bucket: str):
    body = os.urandom(6 * MIB)
    s3.put_object(Bucket=bucket, Key="source", Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    source = {"CopySource": {"Bucket": bucket, "Key": "source"}}
    one = s3.upload_part_copy(PartNumber=1, **source, **at)
    two = s3.upload_part_copy(PartNumber=2, CopySourceRange="bytes=100-199", **source, **at)
    for text in ("bytes=1-", "bytes=-5", "1-2", "bytes=5-4"):
        assert refused(s3.upload_part_copy, PartNumber=3, CopySourceRange=text, **source, **at) == (
            400,
            "InvalidArgument",
        )
    parts = [
        {"PartNumber": n, "ETag": part["CopyPartResult"]["ETag"]}
        for n, part in ((1, one), (2, two))
    ]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **at)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body + body[100:200]


def test_managed_transfers(s3: Any, bucket: str):
    body = os.urandom(20 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k")
    out = io.BytesIO()
    s3.download_fileobj(bucket, "k", out)
    assert out.getvalue() == body


# Ways in.


def test_presigned_urls(s3: Any, bucket: str):
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    request = urllib.request.Request(url, data=b"by url", method="PUT")
    assert urllib.request.urlopen(request).status == 200
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"by url"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"))
    assert caught.value.code == 403
    caught.value.close()


def test_what_is_not_implemented_changes_nothing(s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    for call, arguments in [
        (s3.get_bucket_policy, {}),
        (s3.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Enabled"}}),
        (s3.delete_bucket_lifecycle, {}),
        (s3.delete_bucket_inventory_configuration, {"Id": "1"}),
        (s3.get_object_acl, {"Key": "k"}),
    ]:
        assert refused(call, Bucket=bucket, **arguments) == (501, "NotImplemented")
    sse = {"ServerSideEncryption": "AES256"}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", **sse)[0] == 501
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"
