"""Paths: which bucket and which key, byte for byte."""

import pytest

from cenote.s3 import S3Error
from cenote.s3.uri import split_path


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (b"/b/a%2Fb", "a/b"),
        (b"/b/a+b", "a+b"),
        (b"/b/a%2Bb", "a+b"),
        (b"/b/a%20b", "a b"),
        (b"/b//a", "/a"),
        (b"/b/a//b", "a//b"),
        (b"/b/a/", "a/"),
        (b"/b//", "/"),
        (b"/b/.", "."),
        (b"/b/..", ".."),
        (b"/b/../x", "../x"),
        (b"/b/a/../b", "a/../b"),
        (b"/b/%2e%2e/x", "../x"),
        (b"/b/%252e", "%2e"),
        (b"/b/a%5Cb", "a\\b"),
        (b"/b/%0d%0a", "\r\n"),
        (b"/b/%3F%23", "?#"),
        (b"/b/%F0%9F%98%80", "\U0001f600"),
        ("/b/é".encode(), "é"),
        (b"/b/e%CC%81", "e\u0301"),
        (b"/b/%01", "\x01"),
        (b"/b/con", "con"),
    ],
)
def test_key_is_kept_as_sent(path, key):
    assert split_path(path, None) == ("b", key)
    assert split_path(path[2:], "b") == ("b", key)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"", "InvalidURI"),
        (b"b/k", "InvalidURI"),
        (b"*", "InvalidURI"),
        (b"http://h/b/k", "InvalidURI"),
        (b"/b/%", "InvalidURI"),
        (b"/b/%1", "InvalidURI"),
        (b"/b/%zz", "InvalidURI"),
        (b"/b/%u0041", "InvalidURI"),
        (b"/b/%ff", "InvalidURI"),
        (b"/b/%C0%AF", "InvalidURI"),
        (b"/b/%ED%A0%80", "InvalidURI"),
        (b"/b/\xff", "InvalidURI"),
        (b"/b/%00", "InvalidURI"),
        (b"/b/a\x00", "InvalidURI"),
        (b"/b%00/k", "InvalidURI"),
        (b"//", "InvalidBucketName"),
        (b"//k", "InvalidBucketName"),
        (b"/../k", "InvalidBucketName"),
        (b"/./k", "InvalidBucketName"),
        (b"/%2e%2e/k", "InvalidBucketName"),
        (b"/a%2Fb/k", "InvalidBucketName"),
        (b"/..%2F..%2Fetc/passwd", "InvalidBucketName"),
        (b"/a%5Cb/k", "InvalidBucketName"),
        (b"/a%0Ab/k", "InvalidBucketName"),
        (b"/ab%0A/k", "InvalidBucketName"),
        ("/bücket/k".encode(), "InvalidBucketName"),
        (b"/" + b"b" * 256 + b"/k", "InvalidBucketName"),
    ],
)
def test_what_is_no_path_is_refused(path, code):
    with pytest.raises(S3Error) as caught:
        split_path(path, None)
    assert (caught.value.code, caught.value.status) == (code, 400)


def test_key_length_is_counted_in_bytes():
    assert split_path(b"/b/" + b"k" * 1024, None) == ("b", "k" * 1024)
    assert split_path(b"/b/" + b"%C3%A9" * 512, None) == ("b", "é" * 512)
    for path in (b"/b/" + b"k" * 1025, b"/b/" + b"%C3%A9" * 512 + b"k"):
        with pytest.raises(S3Error) as caught:
            split_path(path, None)
        assert caught.value.code == "KeyTooLongError"
        assert caught.value.extra == {"Size": 1025, "MaxSizeAllowed": 1024}


@pytest.mark.parametrize(
    ("path", "named"),
    [(b"/", (None, None)), (b"/b", ("b", None)), (b"/b/", ("b", None)), (b"/b/k", ("b", "k"))],
)
def test_service_bucket_and_object(path, named):
    assert split_path(path, None) == named
