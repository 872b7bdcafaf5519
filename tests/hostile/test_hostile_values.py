"""Values out of range, out of order, or of another kind than asked.

Sources: the operations' pages of the S3 API reference; RFC 9110 sections 13 and 14.
"""

from __future__ import annotations

import hashlib

import pytest
from forge import crc32, md5
from lab import Case, Lab, named

WHOLE = 1024  # bytes at `lab.seed`
FAR = "Fri, 01 Jan 2100 00:00:00 GMT"
PAST = "Sat, 01 Jan 2000 00:00:00 GMT"


def read(*lines: tuple[str, str], query: str = "", method: str = "GET"):
    """Return an attack: a GET of the stored object with `lines` and `query`."""
    return lambda lab: lab.forge.request(method, lab.seed + query, list(lines))


def ranged(value: str):
    return read(("range", value))


INVALID_RANGE = (416, "InvalidRange")

# What a range that RFC 9110 14.2 lets the server ignore gets: the whole object.
RANGES = [
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=0-", 206, slice(0, None)),
    ("bytes=5-9", 206, slice(5, 10)),
    ("bytes=-5", 206, slice(-5, None)),
    ("bytes=-99999", 206, slice(0, None)),
    ("bytes=1000-99999", 206, slice(1000, None)),
    ("bytes=1023-", 206, slice(1023, None)),
    ("bytes=0-99999999999999999999999999", 206, slice(0, None)),
    ("bytes=5-2", 200, slice(0, None)),
    ("bytes=abc", 200, slice(0, None)),
    ("bytes=", 200, slice(0, None)),
    ("bytes=-", 200, slice(0, None)),
    ("bytes=1-2-3", 200, slice(0, None)),
    ("bytes=0x0-0x5", 200, slice(0, None)),
    ("bytes=+1-5", 200, slice(0, None)),
    ("bytes=--5", 200, slice(0, None)),
    ("lines=0-5", 200, slice(0, None)),
    ("0-5", 200, slice(0, None)),
    ("bytes=0-1,5-6", 200, slice(0, None)),
    ("bytes=" + ",".join(["0-"] * 1300), 200, slice(0, None)),
    ("bytes=1024-", 416, None),
    ("bytes=99999999999999999999-", 416, None),
    ("bytes=-0", 416, None),
]


@pytest.mark.parametrize(("value", "status", "piece"), RANGES, ids=[r[0][:40] for r in RANGES])
def test_ranges(lab: Lab, value: str, status: int, piece: slice | None):
    reply = lab.send(ranged(value)(lab))
    assert reply.status == status, (reply.status, reply.code)
    if piece is None:
        assert reply.code == "InvalidRange"
    else:
        assert reply.body == lab.stored[piece]
        assert reply.headers["content-length"] == str(len(reply.body))
    if status == 206:
        start = lab.stored.index(reply.body) if value != "bytes=-5" else WHOLE - 5
        end = start + len(reply.body) - 1 if value != "bytes=0-0" else 0
        assert reply.headers["content-range"].endswith(f"/{WHOLE}")
        assert end >= start or value == "bytes=0-0"


NOT_FOUND = (404, "NoSuchKey")
BAD = (400, ("InvalidArgument", "InvalidRequest"))

READS = [
    Case("partNumber 0", read(query="?partNumber=0"), *BAD),
    Case("partNumber -1", read(query="?partNumber=-1"), *BAD),
    Case("partNumber 10001", read(query="?partNumber=10001"), *BAD),
    Case("partNumber 1e3", read(query="?partNumber=1e3"), *BAD),
    Case("partNumber a path", read(query="?partNumber=..%2F1"), *BAD),
    Case("partNumber 2 of 1", read(query="?partNumber=2"), 416, "InvalidPartNumber"),
    Case(
        "partNumber and Range",
        read(("range", "bytes=0-1"), query="?partNumber=1"),
        400,
        "InvalidRequest",
    ),
    Case("an unknown version", read(query="?versionId=abc"), (400, 404, 501)),
    Case("an empty version", read(query="?versionId="), (200, 400)),
    Case("an unknown sub-resource", read(query="?no-such-thing"), (200, 400, 501)),
    Case("If-Match of another", read(("if-match", '"abc"')), 412, "PreconditionFailed"),
    Case("If-Match *", read(("if-match", "*")), 200),
    Case("If-None-Match *", read(("if-none-match", "*")), 304),
    Case("If-Match nonsense", read(("if-match", "}{")), 412),
    Case("a malformed date", read(("if-modified-since", "yesterday")), 200),
    Case("a date in the future", read(("if-modified-since", FAR)), (200, 304)),
    Case("a date of the past", read(("if-unmodified-since", PAST)), 412),
    Case("a huge date", read(("if-modified-since", "9" * 4000)), 200),
    Case(
        "checksum mode unknown",
        read(("x-amz-checksum-mode", "perhaps")),
        (200, 400),
    ),
    Case(
        "a line end in response-content-type",
        read(query="?response-content-type=a%0d%0aX-Evil:%201"),
        (200, 400),
    ),
    Case(
        "a line end in response-content-disposition",
        read(query="?response-content-disposition=a%0aX-Evil:%201"),
        (200, 400),
    ),
    Case(
        "a NUL in response-cache-control",
        read(query="?response-cache-control=a%00b"),
        (200, 400),
    ),
    Case(
        "another account's bucket",
        read(("x-amz-expected-bucket-owner", "999999999999")),
        403,
        "AccessDenied",
    ),
    Case(
        "a customer's key over plain HTTP",
        read(("x-amz-server-side-encryption-customer-algorithm", "AES256")),
        (400, 501),
    ),
]


@named(READS)
def test_reads(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab), case.method)
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    assert "x-evil" not in reply.headers


def test_response_overrides_need_a_signature(lab: Lab):
    """CVE-2020-1760: an anonymous link must not choose the type its reader's browser sees."""
    from forge import head

    data = head("GET", lab.seed + "?response-content-type=text/html", [("host", "a")])
    assert lab.send(data).status in (400, 403)


def listed(query: str):
    return lambda lab: lab.forge.request("GET", f"/{lab.bucket}?{query}")


LISTS = [
    Case("max-keys -1", listed("list-type=2&max-keys=-1"), *BAD),
    Case("max-keys abc", listed("list-type=2&max-keys=abc"), *BAD),
    Case("max-keys 1e3", listed("list-type=2&max-keys=1e3"), *BAD),
    Case("max-keys 1.5", listed("list-type=2&max-keys=1.5"), *BAD),
    Case("max-keys of Arabic digits", listed("list-type=2&max-keys=%D9%A1"), *BAD),
    Case("max-keys 2^31", listed("list-type=2&max-keys=2147483648"), (200, 400)),
    Case("max-keys 2^64", listed("list-type=2&max-keys=18446744073709551616"), (200, 400)),
    Case("max-keys of 10,000 digits", listed("list-type=2&max-keys=" + "9" * 10000), (200, 400)),
    Case("max-keys 0", listed("list-type=2&max-keys=0"), 200),
    Case("V1: max-keys -1", listed("max-keys=-1"), *BAD),
    Case("list-type 3", listed("list-type=3"), (200, 400)),
    Case("a forged token", listed("list-type=2&continuation-token=forged"), 400, "InvalidArgument"),
    Case("an empty token is none", listed("list-type=2&continuation-token="), 200),
    Case(
        "a token of bytes",
        listed("list-type=2&continuation-token=%FF%FE%00"),
        400,
        ("InvalidArgument", "InvalidURI"),
    ),
    Case(
        "a token of 8 KiB",
        listed("list-type=2&continuation-token=" + "A" * 8000),
        400,
        "InvalidArgument",
    ),
    Case("another encoding", listed("list-type=2&encoding-type=base64"), 400, "InvalidArgument"),
    Case("a marker beyond the end", listed("marker=%F4%8F%BF%BF"), 200),
    Case("a start beyond the end", listed("list-type=2&start-after=%F4%8F%BF%BF"), 200),
    Case("a long delimiter", listed("list-type=2&delimiter=" + "x" * 2000), (200, 400)),
    Case("a long prefix", listed("list-type=2&prefix=" + "x" * 2000), (200, 400)),
    Case("fetch-owner perhaps", listed("list-type=2&fetch-owner=perhaps"), (200, 400)),
    Case("uploads: max -1", listed("uploads&max-uploads=-1"), *BAD),
    Case("uploads: max abc", listed("uploads&max-uploads=abc"), *BAD),
    Case("uploads: only an id marker", listed("uploads&upload-id-marker=x"), (200, 400)),
    Case("a prefix of a quote", listed("list-type=2&prefix='%20OR%201=1--"), 200),
    Case("a prefix of glob", listed("list-type=2&prefix=*"), 200),
    Case("an unknown sub-resource", listed("no-such-thing&list-type=2"), (200, 400, 501)),
]


@named(LISTS)
def test_lists(lab: Lab, case: Case):
    reply = lab.send(case.attack(lab))
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    if "prefix of" in case.name:
        assert b"<Key>seed</Key>" not in reply.body


def stored(*lines: tuple[str, str], body: bytes = b"body", query: str = ""):
    """Return an attack: a PUT with `lines` at a fresh key."""
    return lambda lab: lab.forge.request("PUT", lab.fresh + query, list(lines), body)


META = "x-amz-meta-"
DIGEST = ("InvalidDigest", "BadDigest")

WRITES = [
    Case("MD5 of nonsense", stored(("content-md5", "nonsense")), 400, "InvalidDigest"),
    Case("MD5 of 15 bytes", stored(("content-md5", "AAAAAAAAAAAAAAAAAAAA")), 400, "InvalidDigest"),
    Case("MD5 of other bytes", stored(("content-md5", md5(b"other"))), 400, "BadDigest"),
    Case("an empty MD5", stored(("content-md5", "")), 400, "InvalidDigest"),
    Case(
        "CRC32 of other bytes", stored(("x-amz-checksum-crc32", crc32(b"other"))), 400, "BadDigest"
    ),
    Case("CRC32 of nonsense", stored(("x-amz-checksum-crc32", "!")), 400, "InvalidRequest"),
    Case("CRC32 of 5 bytes", stored(("x-amz-checksum-crc32", "AAAAAAA=")), 400, "InvalidRequest"),
    Case("SHA256 of nonsense", stored(("x-amz-checksum-sha256", "AAAA")), 400, "InvalidRequest"),
    Case("an unknown checksum", stored(("x-amz-checksum-crc99", "AAAA")), (400, 501)),
    Case(
        "two checksums",
        stored(("x-amz-checksum-crc32", crc32(b"body")), ("x-amz-checksum-crc32c", "AAAAAA==")),
        400,
        ("InvalidRequest", "BadDigest"),
    ),
    Case(
        "an algorithm and another checksum",
        stored(("x-amz-sdk-checksum-algorithm", "SHA256"), ("x-amz-checksum-crc32", "AAAAAA==")),
        400,
    ),
    Case("an unknown algorithm", stored(("x-amz-sdk-checksum-algorithm", "CRC99")), 400),
    Case("If-None-Match an ETag", stored(("if-none-match", '"abc"')), (400, 501)),
    Case("If-Match of the absent", stored(("if-match", '"abc"')), 404, "NoSuchKey"),
    Case("If-Match * of the absent", stored(("if-match", "*")), (400, 404, 412, 501)),
    Case(
        "both conditions",
        stored(("if-match", '"abc"'), ("if-none-match", "*")),
        (400, 404, 412, 501),
    ),
    Case("2 KiB of metadata and more", stored((META + "a", "v" * 2048)), 400, "MetadataTooLarge"),
    Case(
        "much metadata",
        stored(*((f"{META}{i}", "v" * 20) for i in range(120))),
        400,
        "MetadataTooLarge",
    ),
    Case("metadata without a name", stored((META, "v")), (200, 400)),
    Case("eleven tags", stored(("x-amz-tagging", "&".join(f"k{i}=v" for i in range(11)))), 400),
    Case(
        "a tag twice", stored(("x-amz-tagging", "a=1&a=2")), 400, ("InvalidArgument", "InvalidTag")
    ),
    Case("a tag of 129", stored(("x-amz-tagging", "k" * 129 + "=v")), 400),
    Case("a tag of AWS", stored(("x-amz-tagging", "aws:a=v")), 400),
    Case("a tag of bad escapes", stored(("x-amz-tagging", "a=%zz")), (200, 400)),
    Case("a tag of control", stored(("x-amz-tagging", "a=%00")), 400),
    Case("an unknown class", stored(("x-amz-storage-class", "FREE")), 400, "InvalidStorageClass"),
    Case("an unknown grant", stored(("x-amz-acl", "everybody")), (400, 501)),
    Case("a lock", stored(("x-amz-object-lock-mode", "GOVERNANCE")), (400, 501)),
    Case("an offset", stored(("x-amz-write-offset-bytes", "4")), (400, 501)),
    Case("encryption unknown", stored(("x-amz-server-side-encryption", "ROT13")), (400, 501)),
    Case(
        "a customer's key of 3 bytes",
        stored(
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", "AAAA"),
            ("x-amz-server-side-encryption-customer-key-md5", "AAAA"),
        ),
        (400, 501),
    ),
    Case("an unheard-of header", stored(("x-amz-unheard-of", "1")), (200, 400, 501)),
    Case("an unknown sub-resource", stored(query="?inventory&id=1"), (400, 405, 501)),
    Case("an invented sub-resource", stored(query="?no-such-thing"), (400, 405, 501)),
    Case("ACL", stored(query="?acl"), (400, 404, 501)),
    Case("retention", stored(query="?retention"), (400, 404, 501)),
    Case("part without upload", stored(query="?partNumber=1"), (400, 405, 501)),
    Case("upload without part", stored(query="?uploadId=abc"), (400, 404, 405, 501)),
    Case("part of no upload", stored(query="?partNumber=1&uploadId=abc"), 404, "NoSuchUpload"),
    Case("part 0", stored(query="?partNumber=0&uploadId=abc"), *BAD),
    Case("part 10001", stored(query="?partNumber=10001&uploadId=abc"), *BAD),
    Case("part -1", stored(query="?partNumber=-1&uploadId=abc"), *BAD),
    Case("part 1e3", stored(query="?partNumber=1e3&uploadId=abc"), *BAD),
    Case("an upload of a path", stored(query="?partNumber=1&uploadId=..%2F..%2Fx"), 404),
    Case("an upload of 8 KiB", stored(query="?partNumber=1&uploadId=" + "x" * 8000), (400, 404)),
]


@named(WRITES)
def test_writes(lab: Lab, case: Case):
    data = case.attack(lab)
    path = data.split(b" ", 2)[1].decode().partition("?")[0]
    reply = lab.send(data, "PUT")
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    assert lab.get(path).status == (200 if reply.status == 200 else 404)


NEVER = ["?inventory&id=1", "?analytics&id=1", "?metrics&id=1", "?abac", "?metadataTable", "?nope"]


@pytest.mark.parametrize("query", NEVER)
def test_unknown_sub_resources_never_reach_the_bucket(lab: Lab, query: str):
    """They fall through to Delete and Put in half of the field's servers."""
    empty, absent = "/hostile-empty", "/hostile-absent"
    assert lab.get(empty, "PUT").status == 200
    assert lab.get(empty + query, "DELETE").status in (400, 404, 405, 501)
    assert lab.get(empty, "HEAD").status == 200
    assert lab.get(absent + query, "PUT").status in (400, 404, 405, 501)
    assert lab.get(absent, "HEAD").status == 404
    assert lab.get(lab.seed + query, "DELETE").status in (400, 404, 405, 501)
    assert lab.get(lab.seed, "HEAD").status == 200


def copied(source: str, *lines: tuple[str, str]):
    return lambda lab: lab.forge.request(
        "PUT", lab.fresh, [("x-amz-copy-source", source.replace("{b}", lab.bucket)), *lines]
    )


SOURCE = (400, ("InvalidArgument", "InvalidRequest"))

COPIES = [
    Case("empty", copied(""), (400, 501), ("InvalidArgument", "InvalidRequest")),
    Case("only a slash", copied("/"), *SOURCE),
    Case("no key", copied("/{b}"), *SOURCE),
    Case("an empty key", copied("/{b}/"), *SOURCE),
    Case("no such key", copied("/{b}/absent"), *NOT_FOUND),
    Case("no such bucket", copied("/absent-bucket/k"), 404, "NoSuchBucket"),
    Case("a bucket of dots", copied("/../etc/passwd"), (400, 404)),
    Case("up and away", copied("/{b}/../../etc/passwd"), *NOT_FOUND),
    Case("an encoded slash", copied("%2F{b}%2Fseed"), (200, 400, 404)),
    Case("bad escapes", copied("/{b}/%zz"), (400, 404)),
    Case("invalid UTF-8", copied("/{b}/%FF"), (400, 404)),
    Case("an unknown version", copied("/{b}/seed?versionId=abc"), (400, 404, 501)),
    Case("an empty version", copied("/{b}/seed?versionId="), (200, 400)),
    Case("an encoded question mark", copied("/{b}/seed%3FversionId=abc"), *NOT_FOUND),
    Case("another parameter", copied("/{b}/seed?acl"), (400, 404, 501)),
    Case(
        "an access point",
        copied("arn:aws:s3:us-east-1:123456789012:accesspoint/a/object/k"),
        (400, 501),
    ),
    Case("a URL", copied("http://evil.invalid/x/y"), (400, 404)),
    Case("10 KiB", copied("/{b}/" + "k" * 7000), (400, 404)),
    Case(
        "an unknown directive", copied("/{b}/seed", ("x-amz-metadata-directive", "KEEP")), *SOURCE
    ),
    Case("a tagging directive", copied("/{b}/seed", ("x-amz-tagging-directive", "KEEP")), *SOURCE),
    Case(
        "an ETag that is not",
        copied("/{b}/seed", ("x-amz-copy-source-if-match", '"abc"')),
        412,
        "PreconditionFailed",
    ),
    Case(
        "any but this",
        copied("/{b}/seed", ("x-amz-copy-source-if-none-match", "*")),
        412,
        "PreconditionFailed",
    ),
    Case(
        "changed since the future",
        copied("/{b}/seed", ("x-amz-copy-source-if-unmodified-since", PAST)),
        412,
        "PreconditionFailed",
    ),
]


@named(COPIES)
def test_copies(lab: Lab, case: Case):
    data = case.attack(lab)
    path = data.split(b" ", 2)[1].decode()
    reply = lab.send(data, "PUT")
    assert case.fits(reply), (reply.status, reply.code, reply.body[:300])
    assert lab.get(path).status == (200 if reply.status == 200 else 404)


def test_copy_to_itself_unchanged(lab: Lab):
    reply = lab.send(lab.forge.request("PUT", lab.seed, [("x-amz-copy-source", lab.seed)]), "PUT")
    assert (reply.status, reply.code) == (400, "InvalidRequest")


def test_copy_with_a_body(lab: Lab):
    """The bytes sent must not be stored under the copy's name."""
    path = lab.fresh
    data = lab.forge.request("PUT", path, [("x-amz-copy-source", lab.seed)], b"other bytes")
    reply = lab.send(data, "PUT")
    assert reply.status in (200, 400)
    if reply.status == 200:
        assert lab.get(path).body == lab.stored


def test_a_metadata_header_twice(lab: Lab):
    """S3 joins the lines with a comma; the signature covers both."""
    path = lab.fresh
    lines = [("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")]
    reply = lab.send(lab.forge.request("PUT", path, lines, b"x"), "PUT")
    assert reply.status == 200, reply.body
    assert lab.get(path).headers["x-amz-meta-a"] in ("1,2", "1, 2")


def test_metadata_comes_back_without_breaking_lines(lab: Lab):
    path = lab.fresh
    value = 'caf\u00e9 =?UTF-8?Q?a?= \t;,"'
    data = lab.forge.request("PUT", path, [("x-amz-meta-note", value)], b"x")
    reply = lab.send(data, "PUT")
    assert reply.status in (200, 400, 403)
    if reply.status == 200:
        assert "\r" not in lab.get(path).headers["x-amz-meta-note"]


def test_clock_before_the_object(lab: Lab):
    """A client that believes in another century gets an answer, not a fault."""
    for value in ("Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"):
        reply = lab.send(read(("if-modified-since", value))(lab))
        assert reply.status in (200, 304)


EXPECTED_ETAG = hashlib.md5(bytes(range(256)) * 4).hexdigest()


def test_etag_lists_and_weak_etags(lab: Lab):
    """RFC 9110 13.1: If-None-Match compares weakly, and both take lists."""
    etag = f'"{EXPECTED_ETAG}"'
    assert lab.send(read(("if-none-match", f'"a", {etag}'))(lab)).status == 304
    assert lab.send(read(("if-none-match", f"W/{etag}"))(lab)).status == 304
    assert lab.send(read(("if-match", f'"a", {etag}'))(lab)).status == 200
    assert lab.send(read(("if-match", EXPECTED_ETAG))(lab)).status in (200, 412)
