"""boto3: conditions, checksums, multipart, presigned URLs, paging, streams and refusals.

The expected digests are computed here with hashlib, zlib and the AWS runtime; the expected error
codes are those of the S3 API reference ("Error responses", and the pages of the operations).
"""

import base64
import hashlib
import io
import random
import urllib.error
import urllib.request
import zlib

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def refused():
    """Call, demand a ClientError, and return its (HTTP status, code)."""
    from botocore.exceptions import ClientError

    def call(function, **arguments) -> tuple[int, str]:
        with pytest.raises(ClientError) as caught:
            function(**arguments)
        answer = caught.value.response
        return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]

    return call


PRECONDITION_FAILED = (412, "PreconditionFailed")
STALE = '"00000000000000000000000000000000"'


def test_conditional_put_and_delete(s3, bucket, refused) -> None:
    at = {"Bucket": bucket, "Key": "state"}
    first = s3.put_object(**at, Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, **at, Body=b"x", IfNoneMatch="*") == PRECONDITION_FAILED
    second = s3.put_object(**at, Body=b"2", IfMatch=first)["ETag"]
    assert refused(s3.put_object, **at, Body=b"x", IfMatch=first) == PRECONDITION_FAILED
    assert s3.get_object(**at)["Body"].read() == b"2"
    absent = {"Bucket": bucket, "Key": "absent"}
    assert refused(s3.put_object, **absent, Body=b"x", IfMatch=first) == (404, "NoSuchKey")
    assert refused(s3.delete_object, **at, IfMatch=STALE) == PRECONDITION_FAILED
    s3.delete_object(**at, IfMatch=second)
    assert refused(s3.get_object, **at) == (404, "NoSuchKey")


def test_conditional_copy_and_complete(s3, bucket, refused) -> None:
    source = {"Bucket": bucket, "Key": "source"}
    etag = s3.put_object(**source, Body=b"source")["ETag"]
    copy = {"Bucket": bucket, "Key": "target", "CopySource": source}
    assert refused(s3.copy_object, **copy, CopySourceIfMatch=STALE) == PRECONDITION_FAILED
    s3.copy_object(**copy, CopySourceIfMatch=etag, IfNoneMatch="*")
    assert refused(s3.copy_object, **copy, IfNoneMatch="*") == PRECONDITION_FAILED

    upload = s3.create_multipart_upload(Bucket=bucket, Key="target")["UploadId"]
    at = {"Bucket": bucket, "Key": "target", "UploadId": upload}
    part = s3.upload_part(**at, PartNumber=1, Body=b"parts")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    complete = {**at, "MultipartUpload": parts}
    assert refused(s3.complete_multipart_upload, **complete, IfNoneMatch="*") == PRECONDITION_FAILED
    assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() == b"source"
    s3.complete_multipart_upload(**complete, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="target")["Body"].read() == b"parts"


def test_conditional_reads(s3, bucket, refused) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    etag = s3.put_object(**at, Body=b"body")["ETag"]
    modified = s3.head_object(**at)["LastModified"]
    assert s3.get_object(**at, IfMatch=etag)["Body"].read() == b"body"
    assert refused(s3.get_object, **at, IfMatch=STALE) == PRECONDITION_FAILED
    assert refused(s3.get_object, **at, IfNoneMatch=etag)[0] == 304
    assert refused(s3.get_object, **at, IfModifiedSince=modified)[0] == 304
    assert refused(s3.head_object, **at, IfNoneMatch=etag)[0] == 304


def _crt(name: str, body: bytes) -> bytes:
    checksums = pytest.importorskip("awscrt.checksums")
    size = 8 if "64" in name else 4
    return getattr(checksums, name)(body).to_bytes(size, "big")


CHECKSUMS = {
    "CRC32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "CRC32C": lambda body: _crt("crc32c", body),
    "CRC64NVME": lambda body: _crt("crc64nvme", body),
    "SHA1": lambda body: hashlib.sha1(body).digest(),
    "SHA256": lambda body: hashlib.sha256(body).digest(),
}


@pytest.mark.parametrize("name", CHECKSUMS)
def test_a_checksum_is_verified_stored_and_returned(s3, bucket, refused, name) -> None:
    body = random.Random(5).randbytes(100_000)
    right = base64.b64encode(CHECKSUMS[name](body)).decode()
    wrong = base64.b64encode(CHECKSUMS[name](body + b"!")).decode()
    at, member = {"Bucket": bucket, "Key": name}, f"Checksum{name}"
    # The client computes it, and sends it in a trailer or a header as it likes.
    put = s3.put_object(**at, Body=io.BytesIO(body), ChecksumAlgorithm=name)
    assert put[member] == right
    head = s3.head_object(**at, ChecksumMode="ENABLED")
    assert (head[member], head["ChecksumType"]) == (right, "FULL_OBJECT")
    got = s3.get_object(**at, ChecksumMode="ENABLED")
    assert got[member] == right
    assert got["Body"].read() == body
    attributes = s3.get_object_attributes(**at, ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert attributes["Checksum"][member] == right
    assert attributes["ObjectSize"] == len(body)
    assert attributes["ETag"] == hashlib.md5(body).hexdigest()
    # The caller computed it, and it is wrong: refused, and what was there stays.
    assert refused(s3.put_object, **at, Body=b"other", **{member: wrong}) == (400, "BadDigest")
    assert s3.get_object(**at)["Body"].read() == body


def test_a_wrong_content_md5_is_refused(s3, bucket, refused) -> None:
    at = {"Bucket": bucket, "Key": "k", "Body": b"body"}
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    right = base64.b64encode(hashlib.md5(b"body").digest()).decode()
    assert refused(s3.put_object, **at, ContentMD5=wrong) == (400, "BadDigest")
    assert refused(s3.put_object, **at, ContentMD5="no digest") == (400, "InvalidDigest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.put_object(**at, ContentMD5=right)


def test_the_transfer_manager_moves_large_objects_in_parts(s3, bucket, tmp_path) -> None:
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    body = random.Random(6).randbytes(17 * MIB + 3)
    (tmp_path / "up").write_bytes(body)
    extra = {"Metadata": {"colour": "blue"}, "ContentType": "application/x-e2e"}
    s3.upload_file(tmp_path / "up", bucket, "big", ExtraArgs=extra, Config=config)
    head = s3.head_object(Bucket=bucket, Key="big")
    parts = [body[start : start + 5 * MIB] for start in range(0, len(body), 5 * MIB)]
    joined = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert head["ETag"] == f'"{joined}-4"'
    assert head["Metadata"] == {"colour": "blue"}
    assert head["ContentType"] == "application/x-e2e"
    s3.download_file(bucket, "big", tmp_path / "down", Config=config)
    assert (tmp_path / "down").read_bytes() == body
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["PartsCount"] == 4
    assert second["Body"].read() == parts[1]
    # A managed copy of a large object is made by UploadPartCopy.
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copied", Config=config)
    sink = io.BytesIO()
    s3.download_fileobj(bucket, "copied", sink, Config=config)
    assert sink.getvalue() == body


def test_parts_are_listed_aborted_and_checked(s3, bucket, refused) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    at = {"Bucket": bucket, "Key": "k", "UploadId": upload}
    etags = [
        s3.upload_part(**at, PartNumber=number, Body=b"x" * 10)["ETag"] for number in (1, 2, 9)
    ]
    listed = s3.get_paginator("list_parts").paginate(**at, PaginationConfig={"PageSize": 2})
    assert [p["PartNumber"] for page in listed for p in page["Parts"]] == [1, 2, 9]
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in uploads] == [("k", upload)]
    numbered = [{"PartNumber": n, "ETag": e} for n, e in zip((1, 2, 9), etags, strict=True)]
    complete = s3.complete_multipart_upload
    small = {"Parts": numbered}
    assert refused(complete, **at, MultipartUpload=small) == (400, "EntityTooSmall")
    backwards = {"Parts": numbered[::-1]}
    assert refused(complete, **at, MultipartUpload=backwards) == (400, "InvalidPartOrder")
    unknown = {"Parts": [{"PartNumber": 1, "ETag": STALE}]}
    assert refused(complete, **at, MultipartUpload=unknown) == (400, "InvalidPart")
    s3.abort_multipart_upload(**at)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    late = {**at, "PartNumber": 1, "Body": b"late"}
    assert refused(s3.upload_part, **late) == (404, "NoSuchUpload")


def test_presigned_urls(s3, bucket) -> None:
    at = {"Bucket": bucket, "Key": "a b+c/ü.txt"}
    put = s3.generate_presigned_url("put_object", Params=at, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, b"hello", method="PUT")) as answer:
        assert answer.status == 200
    overrides = {"ResponseContentType": "text/x-e2e", "ResponseContentDisposition": "attachment"}
    get = s3.generate_presigned_url("get_object", Params={**at, **overrides}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"hello"
        assert answer.headers["Content-Type"] == "text/x-e2e"
        assert answer.headers["Content-Disposition"] == "attachment"
    for changed, code in (
        (get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), b"SignatureDoesNotMatch"),
        (get.replace("text%2Fx-e2e", "text%2Fhtml"), b"SignatureDoesNotMatch"),
        (get.split("?")[0], b"AccessDenied"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(changed)
        with caught.value as error:
            assert error.code == 403
            assert code in error.read()


@pytest.fixture
def as_installed(endpoint):
    """A boto3 client that nobody configured: it signs by version 4, and presigns by version 2."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
    )
    yield client
    client.close()


def test_presigned_urls_of_a_client_as_installed(as_installed, s3, bucket) -> None:
    import urllib3

    http = urllib3.PoolManager()
    at = {"Bucket": bucket, "Key": "a b+c/ü~(1).txt"}
    meta = {"Metadata": {"who": "me"}, "ContentType": "text/x-e2e"}
    put = as_installed.generate_presigned_url("put_object", Params={**at, **meta}, ExpiresIn=60)
    assert "Signature=" in put
    assert "X-Amz-" not in put
    assert http.request("PUT", put, body=b"hello").status == 200
    assert http.request("PUT", put, body=b"hello", headers={"x-amz-meta-who": "me"}).status == 200
    head = s3.head_object(**at)
    assert (head["Metadata"], head["ContentType"]) == ({"who": "me"}, "text/x-e2e")
    overrides = {"ResponseContentType": "text/html; charset=x", "ResponseExpires": "0"}
    get = as_installed.generate_presigned_url(
        "get_object", Params={**at, **overrides}, ExpiresIn=60
    )
    answer = http.request("GET", get)
    assert (answer.status, answer.data) == (200, b"hello")
    assert answer.headers["Content-Type"] == "text/html; charset=x"
    for method, url, sent, code in (
        ("PUT", get, {}, "SignatureDoesNotMatch"),
        ("PUT", put, {"Content-Type": "text/html"}, "InvalidArgument"),
        ("PUT", put, {"x-amz-copy-source": f"/{bucket}/other"}, "SignatureDoesNotMatch"),
        ("PUT", f"{put}&x-amz-acl=private", {}, "SignatureDoesNotMatch"),
        ("PUT", f"{put}&tagging", {}, "SignatureDoesNotMatch"),
        ("GET", get.replace("text%2Fhtml", "text%2Fplain"), {}, "SignatureDoesNotMatch"),
        ("GET", get.replace("Expires=1", "Expires=2"), {}, "SignatureDoesNotMatch"),
    ):
        answer = http.request(method, url, headers=sent, body=b"" if method == "PUT" else None)
        assert answer.status in (400, 403)
        assert f"<Code>{code}</Code>" in answer.data.decode(), url
    late = as_installed.generate_presigned_url("get_object", Params=at, ExpiresIn=-1)
    assert "Request has expired" in http.request("GET", late).data.decode()
    listing = as_installed.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    assert http.request("GET", listing).status == 200


def test_all_of_it_by_version_2(endpoint, bucket, refused) -> None:
    old = endpoint.boto3(signature_version="s3")
    old.put_object(
        Bucket=bucket, Key="a b", Body=b"x" * 9, ContentType="text/x", Metadata={"a": "b"}
    )
    assert old.get_object(Bucket=bucket, Key="a b", Range="bytes=0-2")["Body"].read() == b"xxx"
    old.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b"})
    old.upload_fileobj(io.BytesIO(b"y" * (9 * MIB)), bucket, "parts")
    old.put_object_tagging(
        Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]}
    )
    keys = [entry["Key"] for entry in old.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["a b", "copy", "parts"]
    assert old.get_bucket_location(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200
    gone = old.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(gone["Deleted"]) == 3
    assert bucket in [entry["Name"] for entry in old.list_buckets()["Buckets"]]
    wrong = endpoint.boto3(secret_key="wrong", signature_version="s3")
    assert refused(wrong.list_objects_v2, Bucket=bucket) == (403, "SignatureDoesNotMatch")
    old.close()
    wrong.close()


def test_paging_in_both_versions(s3, bucket) -> None:
    keys = sorted(
        [f"dir{i:02}/{name}" for i in range(9) for name in ("a", "b")]
        + ["plain", "with space", "plus+", "amp&<>", "ünï", "日本", "line\nbreak", "😀"],
        key=str.encode,
    )
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 4}
        )
        assert [o["Key"] for page in pages for o in page.get("Contents", [])] == keys
        folded = list(
            s3.get_paginator(operation).paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 5}
            )
        )
        prefixes = [p["Prefix"] for page in folded for p in page.get("CommonPrefixes", [])]
        assert prefixes == [f"dir{i:02}/" for i in range(9)]
        flat = [o["Key"] for page in folded for o in page.get("Contents", [])]
        assert flat == [key for key in keys if "/" not in key]
    after = s3.list_objects_v2(Bucket=bucket, Prefix="dir", StartAfter="dir07/a", FetchOwner=True)
    assert [o["Key"] for o in after["Contents"]] == ["dir07/b", "dir08/a", "dir08/b"]
    assert "ID" in after["Contents"][0]["Owner"]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert sorted((d["Key"] for d in deleted["Deleted"]), key=str.encode) == keys
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_bodies_are_streamed_and_cut(s3, bucket, refused) -> None:
    body = random.Random(7).randbytes(3 * MIB)
    at = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**at, Body=io.BytesIO(body))
    stream = s3.get_object(**at)["Body"]
    assert b"".join(stream.iter_chunks(64 * 1024)) == body
    part = s3.get_object(**at, Range="bytes=1000000-1999999")
    assert part["ContentRange"] == f"bytes 1000000-1999999/{len(body)}"
    assert part["Body"].read() == body[1_000_000:2_000_000]
    assert s3.get_object(**at, Range="bytes=-5")["Body"].read() == body[-5:]
    assert refused(s3.get_object, **at, Range=f"bytes={len(body)}-") == (416, "InvalidRange")
    # A reader that leaves early must not hurt the next one.
    abandoned = s3.get_object(**at)["Body"]
    assert abandoned.read(10) == body[:10]
    abandoned.close()
    assert s3.get_object(**at)["Body"].read() == body


def test_headers_tags_and_metadata_are_kept(s3, bucket) -> None:
    at = {"Bucket": bucket, "Key": "k"}
    headers = {
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="x"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/plain; charset=utf-8",
        "Metadata": {"one": "1", "two-words": "a b"},
    }
    s3.put_object(**at, Body=b"body", Tagging="a=1&b=two%20words", **headers)
    head = s3.head_object(**at)
    assert {name: head[name] for name in headers} == headers
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_object_tagging(**at)["TagSet"]}
    assert tags == {"a": "1", "b": "two words"}
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource=at,
        MetadataDirective="REPLACE",
        Metadata={"three": "3"},
    )
    copied = s3.head_object(Bucket=bucket, Key="copy")
    assert copied["Metadata"] == {"three": "3"}
    s3.put_object_tagging(**at, Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    assert s3.get_object_tagging(**at)["TagSet"] == [{"Key": "c", "Value": "3"}]
    s3.delete_object_tagging(**at)
    assert s3.get_object_tagging(**at)["TagSet"] == []


def test_whoever_cannot_sign_is_refused(endpoint, bucket, refused) -> None:
    from botocore import UNSIGNED

    wrong = endpoint.boto3(secret_key="not the secret")
    unknown = endpoint.boto3(access_key="NOBODY")
    nobody = endpoint.boto3(signature_version=UNSIGNED)
    put = {"Bucket": bucket, "Key": "k", "Body": b"body"}
    try:
        assert refused(wrong.put_object, **put) == (403, "SignatureDoesNotMatch")
        assert refused(unknown.put_object, **put) == (403, "InvalidAccessKeyId")
        assert refused(nobody.put_object, **put) == (403, "AccessDenied")
        assert refused(nobody.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    finally:
        for client in (wrong, unknown, nobody):
            client.close()


def test_buckets(s3, bucket, refused) -> None:
    names = [f"{bucket}-{number}" for number in range(3)]
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = s3.get_paginator("list_buckets").paginate(
        Prefix=f"{bucket}-", PaginationConfig={"PageSize": 2}
    )
    assert [b["Name"] for page in pages for b in page["Buckets"]] == names
    assert "LocationConstraint" in s3.get_bucket_location(Bucket=bucket)
    s3.put_object(Bucket=names[0], Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket=names[0]) == (409, "BucketNotEmpty")
    s3.delete_object(Bucket=names[0], Key="k")
    s3.delete_bucket(Bucket=names[0])
    assert refused(s3.head_bucket, Bucket=names[0])[0] == 404
    assert refused(s3.list_objects_v2, Bucket=names[0]) == (404, "NoSuchBucket")


def test_what_is_not_built_is_refused_and_changes_nothing(s3, bucket, refused) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"kept")
    grant = {"Bucket": bucket, "Key": "k", "ACL": "public-read"}
    assert refused(s3.put_object_acl, **grant) == (501, "NotImplemented")
    rules = {"Rules": [{"ID": "r", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}}]}
    put = s3.put_bucket_lifecycle_configuration
    assert refused(put, Bucket=bucket, LifecycleConfiguration=rules) == (501, "NotImplemented")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"kept"
