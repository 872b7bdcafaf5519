"""The examples that AWS prints on its page about signature version 2.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html. Left out is the
page's example of a delete: its string to sign holds a date that its rules leave empty.
"""

from __future__ import annotations

import pytest

from cenote.s3 import RequestHead, S3Error, authenticate
from cenote.s3.query import read_query
from cenote.s3.times import read_http_date

KEYS = {
    "AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "44CF9590006BF252F707": "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV",
}
BUCKET = "awsexamplebucket1"
UPLOAD = {
    "date": "Tue, 27 Mar 2007 21:06:08 +0000",
    "x-amz-acl": "public-read",
    "content-type": "application/x-download",
    "content-md5": "4gJE4saaMU4BqNR0kLY+lw==",
    "x-amz-meta-reviewedby": "joe@example.com,jane@example.com",
    "x-amz-meta-filechecksum": "0x02661779",
    "x-amz-meta-checksumalgorithm": "crc32",
    "content-disposition": "attachment; filename=database.dat",
    "content-encoding": "gzip",
    "content-length": "5913339",
}

# method, bucket in the host, target, headers, signature
SIGNED = {
    "get": (
        "GET",
        BUCKET,
        "/photos/puppy.jpg",
        {"date": "Tue, 27 Mar 2007 19:36:42 +0000"},
        "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
    ),
    "put": (
        "PUT",
        BUCKET,
        "/photos/puppy.jpg",
        {"content-type": "image/jpeg", "date": "Tue, 27 Mar 2007 21:15:45 +0000"},
        "iqRzw+ileNPu1fhspnRs8nOjjIA=",
    ),
    "list": (
        "GET",
        BUCKET,
        "/?prefix=photos&max-keys=50&marker=puppy",
        {"user-agent": "Mozilla/5.0", "date": "Tue, 27 Mar 2007 19:42:41 +0000"},
        "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
    ),
    "fetch": (
        "GET",
        BUCKET,
        "/?acl",
        {"date": "Tue, 27 Mar 2007 19:44:46 +0000"},
        "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
    ),
    "upload": (
        "PUT",
        "static.example.com",
        "/db-backup.dat.gz",
        UPLOAD,
        "jtBQa0Aq+DkULFI8qrpwIjGEx0E=",
    ),
    "list all my buckets": (
        "GET",
        None,
        "/",
        {"date": "Wed, 28 Mar 2007 01:29:59 +0000"},
        "qGdzdERIC03wnaRNKh6OqZehG9s=",
    ),
    "unicode keys": (
        "GET",
        None,
        "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re",
        {"date": "Wed, 28 Mar 2007 01:49:49 +0000"},
        "DNEZGsoieTZ92F3bUfSPQcbGmlM=",
    ),
}

# bucket in the host, target
PRESIGNED = {
    "by host": (
        "johnsmith",
        "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE"
        "&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620",
    ),
    "by path": (
        None,
        "/quotes/nelson?AWSAccessKeyId=44CF9590006BF252F707&Expires=1141889120"
        "&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4%3D",
    ),
}


def check(method: str, target: str, headers: dict[str, str], bucket: str | None, now_ms: int):
    path, _, query = target.partition("?")
    head = RequestHead(method, path.encode(), query.encode(), headers)
    return authenticate(
        head,
        read_query(head.query),
        keys=KEYS.get,
        now_ms=now_ms,
        host_bucket=bucket,
        signature_v2=True,
    )


@pytest.mark.parametrize("name", SIGNED)
def test_signed_headers(name: str) -> None:
    method, bucket, target, headers, signature = SIGNED[name]
    now_ms = read_http_date(headers["date"])
    assert now_ms is not None
    sent = {**headers, "authorization": f"AWS AKIAIOSFODNN7EXAMPLE:{signature}"}
    assert check(method, target, sent, bucket, now_ms).access_key == "AKIAIOSFODNN7EXAMPLE"
    with pytest.raises(S3Error) as refused:
        check(method, target, sent, "anothers", now_ms)
    assert refused.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", PRESIGNED)
def test_presigned_urls(name: str) -> None:
    bucket, target = PRESIGNED[name]
    expires = int(target.partition("Expires=")[2].partition("&")[0]) * 1000
    auth = check("GET", target, {"date": "Thu, 09 Mar 2006 07:25:20 GMT"}, bucket, expires)
    assert (auth.access_key in KEYS, auth.presigned) == (True, True)
    with pytest.raises(S3Error) as refused:
        check("GET", target, {}, bucket, expires + 1)
    assert (refused.value.code, refused.value.message) == ("AccessDenied", "Request has expired")
