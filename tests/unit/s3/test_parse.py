"""Parsing: members typed and checked, with the codes S3 answers."""

import pytest

from cenote.s3 import CopySource, RequestHead, S3Error, parse_input, resolve

NS = "http://s3.amazonaws.com/doc/2006-03-01/"


def parse(method, target, headers=None, body=None):
    path, _, query = target.partition("?")
    headers = headers or {}
    head = RequestHead(method, path.encode(), query.encode(), headers)
    return parse_input(resolve(head), headers, body.encode() if isinstance(body, str) else body)


def refused(method, target, headers=None, body=None):
    with pytest.raises(S3Error) as caught:
        parse(method, target, headers, body)
    return caught.value


@pytest.mark.parametrize(
    ("query", "value"),
    [("", 1000), ("max-keys=", 1000), ("max-keys=0", 0), ("max-keys=1001", 1000),
     ("max-keys=2147483647", 1000)],
)  # fmt: skip
def test_max_keys(query, value):
    assert parse("GET", f"/b?{query}").max_keys == value


@pytest.mark.parametrize(
    "text", ["-1", "2147483648", "abc", "1e3", "1.5", "+1", "%201", "9" * 40, "٣", "0x10"]
)
def test_max_keys_that_is_none(text):
    error = refused("GET", f"/b?max-keys={text}")
    assert (error.code, error.extra["ArgumentName"]) == ("InvalidArgument", "max-keys")


@pytest.mark.parametrize("text", ["0", "-1", "10001", "1e3", "", "x"])
def test_part_number_out_of_range(text):
    for target in (f"/b/k?partNumber={text}&uploadId=u", f"/b/k?partNumber={text}"):
        error = refused("PUT" if "uploadId" in target else "GET", target)
        assert error.code == "InvalidArgument"
        assert error.message == "Part number must be an integer between 1 and 10000, inclusive"


def test_part_without_a_number():
    assert refused("PUT", "/b/k?uploadId=u").extra["ArgumentName"] == "partNumber"


def test_attributes_must_be_named():
    assert refused("GET", "/b/k?attributes").code == "InvalidRequest"
    error = refused("GET", "/b/k?attributes", {"x-amz-object-attributes": "ETag,Colour"})
    assert (error.code, error.extra["ArgumentValue"]) == ("InvalidArgument", "Colour")


def test_encoding_type():
    assert parse("GET", "/b?encoding-type=url").encoding_type == "url"
    error = refused("GET", "/b?encoding-type=base64")
    assert error.message == "Invalid Encoding Method specified in Request"


@pytest.mark.parametrize(
    ("version", "code"),
    [("", "InvalidArgument"), ("x", "InvalidArgument"), ("A" * 32, "NoSuchVersion")],
)
def test_there_is_no_version_but_null(version, code):
    assert refused("GET", f"/b/k?versionId={version}").code == code
    assert refused("DELETE", f"/b/k?versionId={version}").code == code
    assert parse("GET", "/b/k?versionId=null").version_id == "null"


STORAGE = [
    ("STANDARD", None), ("REDUCED_REDUNDANCY", None), ("STANDARD_IA", None), ("ONEZONE_IA", None),
    ("INTELLIGENT_TIERING", None), ("GLACIER_IR", None), ("GLACIER", 501), ("DEEP_ARCHIVE", 501),
    ("SNOW", 501), ("OUTPOSTS", 501), ("EXPRESS_ONEZONE", 501), ("standard", 400), ("X", 400),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status"), STORAGE)
def test_storage_classes(name, status):
    headers = {"x-amz-storage-class": name}
    if status is None:
        assert parse("PUT", "/b/k", headers).storage_class == name
    else:
        error = refused("PUT", "/b/k", headers)
        assert error.status == status
        assert error.code == ("NotImplemented" if status == 501 else "InvalidStorageClass")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-customer-key", "x"),
        ("x-amz-copy-source-server-side-encryption-customer-key", "x"),
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        ("x-amz-object-lock-legal-hold", "OFF"),
        ("x-amz-write-offset-bytes", "0"),
        ("x-amz-rename-source", "/b/k"),
        ("x-amz-mfa", "1 2"),
        ("x-amz-checksum-sha512", "x"),
        ("x-amz-te", "append-md5"),
        ("x-amz-snowball-extract", "true"),
        ("x-amz-something-of-2031", "1"),
        ("if-modified-since", "Thu, 29 Feb 2024 12:30:15 GMT"),
        ("content-range", "bytes 0-1/2"),
        ("x-amz-if-match-size", "3"),
    ],
)
def test_headers_that_ask_for_more_are_refused_by_name(name, value):
    error = refused("PUT", "/b/k", {name: value})
    assert (error.status, error.code, error.extra["Header"]) == (501, "NotImplemented", name)
    # Presigned URLs carry such headers as parameters.
    if name.startswith("x-amz-"):
        assert refused("PUT", f"/b/k?{name}={value.replace(' ', '+')}").status == 501


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        ("DELETE", "/b/k", "if-none-match"),
        ("PUT", "/b/k?uploadId=u&partNumber=1", "if-none-match"),
        ("POST", "/b/k?uploads", "if-match"),
        ("PUT", "/b", "if-none-match"),
    ],
)
def test_conditions_are_never_dropped(method, target, header):
    assert refused(method, target, {header: "*"}).status == 501


def test_harmless_headers_pass():
    headers = {
        "x-amz-acl": "private",
        "x-amz-request-payer": "requester",
        "x-amz-bypass-governance-retention": "true",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-date": "20240229T123015Z",
        "x-amz-security-token": "t",
        "x-amz-user-agent": "aws-sdk-js",
        "x-amz-sdk-checksum-algorithm": "CRC32",
        "amz-sdk-invocation-id": "1",
        "x-amzn-trace-id": "1",
        "x-amz-expected-bucket-owner": "123456789012",
        "if-range": "x",
    }
    read = parse("DELETE", "/b/k", headers)
    assert read.expected_bucket_owner == "123456789012"
    assert refused("PUT", "/b/k", {"x-amz-request-payer": "me"}).code == "InvalidArgument"
    assert refused("PUT", "/b/k", {"x-amz-acl": "mine"}).code == "InvalidArgument"
    assert parse("PUT", "/b/k", {"x-amz-acl": "bucket-owner-full-control"})


def test_presigned_headers_in_the_query_count_as_headers():
    read = parse("PUT", "/b/k?x-amz-meta-colour=gr%C3%BCn&X-Amz-Website-Redirect-Location=%2Fx")
    assert (read.metadata, read.website_redirect_location) == ({"colour": "grün"}, "/x")
    same = parse("PUT", "/b/k?x-amz-storage-class=STANDARD", {"x-amz-storage-class": "STANDARD"})
    assert same.storage_class == "STANDARD"
    clash = refused("PUT", "/b/k?x-amz-tagging=a%3D1", {"x-amz-tagging": "a=2"})
    assert clash.code == "InvalidArgument"
    assert refused("PUT", "/b/k?x-amz-meta-a=%0D%0AX%3A1").code == "InvalidArgument"
    assert refused("PUT", "/b/k?x-amz-meta-a%0D%0AX%3A=1").code == "InvalidArgument"
    assert refused("PUT", "/b/k?x-amz-meta-%C3%BC=1").code == "InvalidArgument"


def test_a_checksum_in_the_query_is_no_claim_about_the_body():
    # What the JavaScript SDK signs into a URL for PutObject: the checksum of no bytes at all.
    query = "X-Amz-Checksum-Crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32"
    found = parse("PUT", f"/b/k?{query}")
    assert (found.checksum_crc32, found.checksum_algorithm) == (None, None)
    header = {"x-amz-checksum-crc32": "NhCmhg=="}
    assert parse("PUT", f"/b/k?{query}", header).checksum_crc32 == "NhCmhg=="


def test_checksum_mode_in_the_case_of_either_sdk():
    for text in ("ENABLED", "enabled"):
        assert parse("GET", "/b/k", {"x-amz-checksum-mode": text}).checksum_mode == "ENABLED"
    assert refused("GET", "/b/k", {"x-amz-checksum-mode": "on"}).code == "InvalidArgument"


def test_response_overrides_begin_no_line():
    assert refused("GET", "/b/k?response-content-type=a%0D%0Ab").code == "InvalidArgument"


def test_checksum_algorithm():
    name = "x-amz-sdk-checksum-algorithm"
    assert parse("PUT", "/b/k", {name: "crc64nvme"}).checksum_algorithm == "CRC64NVME"
    assert refused("PUT", "/b/k", {name: "XXHASH64"}).status == 501
    error = refused("PUT", "/b/k", {name: "CRC16"})
    assert (error.status, error.code) == (400, "InvalidRequest")


def test_content_encoding_loses_the_framing():
    def encoding(text):
        return parse("PUT", "/b/k", {"content-encoding": text}).content_encoding

    assert encoding("aws-chunked") is None
    assert encoding("aws-chunked,gzip") == "gzip"
    assert encoding("gzip, AWS-Chunked") == "gzip"
    assert encoding("gzip, br") == "gzip, br"


def test_metadata():
    headers = {
        "x-amz-meta-Plain": "a",
        "x-amz-meta-utf8": "grün".encode().decode("latin-1"),
        "x-amz-meta-latin1": "gr\xfcn",
        "x-amz-meta-encoded": "=?UTF-8?B?Z3LDvG4=?=",
        "x-amz-meta-empty": "",
    }
    assert parse("PUT", "/b/k", {k.lower(): v for k, v in headers.items()}).metadata == {
        "plain": "a",
        "utf8": "grün",
        "latin1": "grün",
        "encoded": "=?UTF-8?B?Z3LDvG4=?=",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["a=1&a=2", "a=%zz", "a=%ff", "\u20ac"])
def test_tagging_header_that_is_none(text):
    assert refused("PUT", "/b/k", {"x-amz-tagging": text}).code == "InvalidArgument"


def test_tagging_header():
    read = parse("PUT", "/b/k", {"x-amz-tagging": "a=b+c&d=%2B%3D&e"})
    assert read.tagging == (("a", "b c"), ("d", "+="), ("e", ""))
    assert parse("PUT", "/b/k", {"x-amz-tagging": ""}).tagging == ()


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("b2/k", CopySource("b2", "k")),
        ("/b2/k", CopySource("b2", "k")),
        ("/b2/a/b%20c", CopySource("b2", "a/b c")),
        ("b2%2Fa%2Bb", CopySource("b2", "a+b")),
        ("b2/a+b", CopySource("b2", "a+b")),
        ("b2/k?versionId=null", CopySource("b2", "k", "null")),
        ("b2/k%3FversionId=x", CopySource("b2", "k?versionId=x")),
        ("b2/k?x", CopySource("b2", "k?x")),
        ("b2//k", CopySource("b2", "/k")),
        ("b2/ü".encode().decode("latin-1"), CopySource("b2", "ü")),
    ],
)
def test_copy_source(text, source):
    assert parse("PUT", "/b/k", {"x-amz-copy-source": text}).copy_source == source


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "InvalidArgument"),
        ("/", "InvalidArgument"),
        ("b2", "InvalidArgument"),
        ("/b2", "InvalidArgument"),
        ("b2/", "InvalidArgument"),
        ("//k", "InvalidArgument"),
        ("b2/%zz", "InvalidArgument"),
        ("b2/%ff", "InvalidArgument"),
        ("b2/%00", "InvalidArgument"),
        ("../k", "InvalidBucketName"),
        ("b2/" + "k" * 1025, "KeyTooLongError"),
        ("arn:aws:s3:us-east-1:1:accesspoint/a/object/k", "NotImplemented"),
    ],
)
def test_copy_source_that_is_none(text, code):
    assert refused("PUT", "/b/k", {"x-amz-copy-source": text}).code == code


def test_directives():
    source = {"x-amz-copy-source": "b/k"}
    error = refused("PUT", "/b/k", {**source, "x-amz-metadata-directive": "MERGE"})
    assert (error.code, error.message) == ("InvalidArgument", "Unknown metadata directive.")


def test_dates():
    def since(text):
        return parse("GET", "/b/k", {"if-modified-since": text}).if_modified_since

    # RFC 9110, 5.6.7: three forms of one instant.
    assert since("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777_000
    assert since("Sunday, 06-Nov-94 08:49:37 GMT") == 784_111_777_000
    assert since("Sun Nov  6 08:49:37 1994") == 784_111_777_000
    # 13.1.3: a date that is none is ignored; in a copy's condition it is an error.
    assert since("yesterday") is None
    assert since("Sun, 31 Feb 1994 08:49:37 GMT") is None
    headers = {"x-amz-copy-source": "b/k", "x-amz-copy-source-if-modified-since": "yesterday"}
    assert refused("PUT", "/b/k", headers).code == "InvalidArgument"


def test_redirects():
    name = "x-amz-website-redirect-location"
    assert parse("PUT", "/b/k", {name: "https://x"}).website_redirect_location == "https://x"
    assert refused("PUT", "/b/k", {name: "javascript:x"}).code == "InvalidRedirectLocation"


def test_bucket_configuration():
    def location(body):
        read = parse("PUT", "/b", body=body).create_bucket_configuration
        return read and read.location_constraint

    inner = "<LocationConstraint>eu-west-1</LocationConstraint>"
    assert location(b"") is None
    assert location(f'<CreateBucketConfiguration xmlns="{NS}">{inner}</CreateBucketConfiguration>')
    assert location(f"<CreateBucketConfiguration>{inner}</CreateBucketConfiguration>")
    assert location("<CreateBucketConfiguration/>") is None
    tags = "<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>"
    body = f"<CreateBucketConfiguration>{tags}</CreateBucketConfiguration>"
    assert refused("PUT", "/b", body=body).status == 501
    assert refused("PUT", "/b", {"x-amz-bucket-object-lock-enabled": "true"}).status == 501
    assert parse("PUT", "/b", {"x-amz-bucket-object-lock-enabled": "false"})
    assert refused("PUT", "/b", {"x-amz-object-ownership": "ObjectWriter"}).status == 501
