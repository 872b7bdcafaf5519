"""Routing: each request to its operation, and nothing unknown to Put or Delete."""

import pytest

from cenote.s3 import OPS, RequestHead, S3Error, resolve


def route(method, target, headers=None, host_bucket=None, repeated=frozenset()):
    path, _, query = target.partition("?")
    head = RequestHead(method, path.encode(), query.encode(), headers or {}, repeated)
    return resolve(head, host_bucket)


def refused(method, target, headers=None, host_bucket=None, repeated=frozenset()):
    with pytest.raises(S3Error) as caught:
        route(method, target, headers, host_bucket, repeated)
    return caught.value


COPY = {"x-amz-copy-source": "/b/k"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "name"),
    [
        ("GET", "/", {}, "ListBuckets"),
        ("GET", "/?max-buckets=5&x-id=ListBuckets", {}, "ListBuckets"),
        ("PUT", "/b", {}, "CreateBucket"),
        ("PUT", "/b/", {}, "CreateBucket"),
        ("HEAD", "/b", {}, "HeadBucket"),
        ("DELETE", "/b/", {}, "DeleteBucket"),
        ("GET", "/b?location", {}, "GetBucketLocation"),
        ("GET", "/b?location=", {}, "GetBucketLocation"),
        ("GET", "/b", {}, "ListObjects"),
        ("GET", "/b?prefix=a&unknown=1", {}, "ListObjects"),
        ("GET", "/b?list-type=2&prefix=a", {}, "ListObjectsV2"),
        ("GET", "/b?prefix=uploads", {}, "ListObjects"),
        ("GET", "/b?uploads&prefix=a", {}, "ListMultipartUploads"),
        ("POST", "/b?delete", {}, "DeleteObjects"),
        ("POST", "/b/?delete", {}, "DeleteObjects"),
        ("PUT", "/b/k", {}, "PutObject"),
        ("PUT", "/b/k?x-id=PutObject", {}, "PutObject"),
        ("PUT", "/b/k", COPY, "CopyObject"),
        ("PUT", "/b/k?X-Amz-Signature=0&x-amz-copy-source=b%2Fk", {}, "CopyObject"),
        ("GET", "/b/k", {}, "GetObject"),
        ("GET", "/b/k?response-content-type=a", {}, "GetObject"),
        ("GET", "/b/k?whatever", {}, "GetObject"),
        ("HEAD", "/b/k?partNumber=1", {}, "HeadObject"),
        ("DELETE", "/b/k", {}, "DeleteObject"),
        ("DELETE", "/b/k?versionId=null", {}, "DeleteObject"),
        ("GET", "/b/k?attributes", {}, "GetObjectAttributes"),
        ("GET", "/b/k?tagging", {}, "GetObjectTagging"),
        ("PUT", "/b/k?tagging", {}, "PutObjectTagging"),
        ("DELETE", "/b/k?tagging", {}, "DeleteObjectTagging"),
        ("POST", "/b/k?uploads", {}, "CreateMultipartUpload"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", {}, "UploadPart"),
        ("PUT", "/b/k?partNumber=1&uploadId=u", COPY, "UploadPartCopy"),
        ("POST", "/b/k?uploadId=u", {}, "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=u", {}, "AbortMultipartUpload"),
        ("GET", "/b/k?uploadId=u&max-parts=2", {}, "ListParts"),
    ],
)
def test_request_finds_its_operation(method, target, headers, name):
    assert route(method, target, headers).op is OPS[name]


@pytest.mark.parametrize("name", sorted(op.name for op in OPS.values() if not op.implemented))
def test_every_known_operation_without_hands_is_501(name):
    op = OPS[name]
    path = {"service": "/", "bucket": "/b", "object": "/b/k"}[op.target]
    query = "&".join(word if value is None else f"{word}={value}" for word, value in op.query)
    if name == "ListDirectoryBuckets":
        query = "max-directory-buckets=5"
    if name == "WriteGetObjectResponse":
        path = "/WriteGetObjectResponse"
    error = refused(op.method, f"{path}?{query}" if query else path)
    assert (error.status, error.code) == (501, "NotImplemented")


SUBRESOURCES = [
    "abac", "acl", "analytics&id=1", "annotation&annotationName=n", "encryption", "inventory&id=1",
    "legal-hold", "metadataTable", "object-lock", "policy", "publicAccessBlock", "renameObject",
    "replication", "requestPayment", "retention", "versioning", "website", "unheardOf",
    "unheardOf=1", "append&position=0", "%61cl", "prefix=a", "list-type=2", "=", "X-Unknown=1",
    "partNumber=1", "amz-copy-source=b/k",
]  # fmt: skip


@pytest.mark.parametrize("word", SUBRESOURCES)
@pytest.mark.parametrize("path", ["/b", "/b/", "/b/k"])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_no_sub_resource_falls_through_to_a_change(method, path, word):
    error = refused(method, f"{path}?{word}")
    assert error.code in ("NotImplemented", "MethodNotAllowed")
    assert error.status in (501, 405)


def test_unknown_word_beside_a_known_one_is_refused():
    assert refused("PUT", "/b/k?tagging&unheardOf").status == 501
    assert refused("DELETE", "/b/k?uploadId=u&unheardOf").status == 501
    assert refused("POST", "/b?delete&unheardOf=1").status == 501


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/b?delete"), ("GET", "/b/k?uploads"), ("GET", "/b?attributes"),
        ("HEAD", "/b/k?tagging"), ("GET", "/b/k?location"), ("GET", "/?location"),
        ("DELETE", "/b?location"), ("POST", "/b/k"), ("POST", "/"), ("PUT", "/"), ("DELETE", "/"),
        ("PATCH", "/b/k"), ("TRACE", "/b"), ("HEAD", "/"), ("POST", "/b/k?tagging"),
    ],
)  # fmt: skip
def test_known_word_with_the_wrong_method_is_405(method, target):
    error = refused(method, target)
    assert (error.status, error.code) == (405, "MethodNotAllowed")


def test_405_says_what_is_allowed():
    assert ("Allow", "DELETE, GET, PUT") in refused("POST", "/b/k?tagging").headers


def test_conflicting_sub_resources():
    error = refused("GET", "/b/k?acl&tagging")
    assert (error.code, error.message) == (
        "InvalidArgument",
        "Conflicting query string parameters: acl, tagging",
    )
    assert refused("PUT", "/b/k?uploadId=u&tagging").code == "InvalidArgument"


def test_parameters_given_twice_are_refused():
    assert refused("PUT", "/b/k?uploadId=a&uploadId=b&partNumber=1").code == "InvalidArgument"
    assert refused("GET", "/b?prefix=a&pref%69x=b").code == "InvalidArgument"


def test_list_type_other_than_two():
    assert refused("GET", "/b?list-type=3").code == "InvalidArgument"


def test_put_does_not_take_a_version():
    error = refused("PUT", "/b/k?versionId=null")
    assert error.message == "This operation does not accept a version-id."


def test_preflight_without_cors_rules():
    assert refused("OPTIONS", "/b/k").status == 403


@pytest.mark.parametrize(
    "name", ["range", "x-amz-copy-source", "x-amz-storage-class", "content-md5"]
)
def test_headers_given_twice_are_refused(name):
    error = refused("PUT", "/b/k", {name: "a,b"}, repeated=frozenset({name}))
    assert error.code == "InvalidArgument"


def test_list_headers_may_come_twice():
    assert route("GET", "/b/k", repeated=frozenset({"if-none-match", "accept", "x-amz-meta-a"}))


def test_virtual_host():
    found = route("GET", "/", host_bucket="my.bucket")
    assert (found.op.name, found.bucket, found.key) == ("ListObjects", "my.bucket", None)
    found = route("PUT", "/my.bucket//k", host_bucket="my.bucket")
    assert (found.op.name, found.key) == ("PutObject", "my.bucket//k")
    assert refused("GET", "/", host_bucket="..").code == "InvalidBucketName"
    assert refused("POST", "/WriteGetObjectResponse", host_bucket="b").status == 405


def test_parameters_are_decoded_once():
    assert route("GET", "/b?prefix=a+b%2Bc%2525").params == {"prefix": "a b+c%25"}
    assert refused("GET", "/b?prefix=%zz").code == "InvalidURI"
    assert refused("GET", "/b?prefix=%ff").code == "InvalidURI"
    assert refused("GET", "/b?prefix=%00").code == "InvalidURI"


def test_number_of_parameters_is_bounded():
    assert refused("GET", "/b?" + "&".join(f"a{i}" for i in range(300))).code == "InvalidRequest"
