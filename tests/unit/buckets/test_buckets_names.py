"""Names by AWS's rules ("General purpose bucket naming rules", "Naming Amazon S3 objects")."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.buckets.names import check_bucket_name, check_key, key_after_prefix
from cenote.errors import InvalidError


@pytest.mark.parametrize(
    "name",
    ["abc", "a" * 63, "my.example.s3.bucket", "log-delivery-march-2020", "1a2", "a.b", "1.2.3"],
)
def test_names_aws_allows(name: str):
    assert check_bucket_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "doc_example_bucket",
        "DocExampleBucket",
        "doc-example-bucket-",
        "-abc",
        ".abc",
        "abc.",
        "a..b",
        "192.168.5.4",
        "999.999.999.999",
        "xn--abc",
        "sthree-abc",
        "sthree-configurator",
        "amzn-s3-demo-bucket",
        "abc-s3alias",
        "abc--ol-s3",
        "abc.mrap",
        "abc--x-s3",
        "abc--table-s3",
        "abc-111122223333-us-west-2-an",
        "..",
        "../abc",
        "a/b",
        "a\\b",
        "abc\n",
        "abc\0",
        "äbc",
        "a b",
    ],
)
def test_names_aws_refuses(name: str):
    with pytest.raises(InvalidError) as caught:
        check_bucket_name(name)
    assert caught.value.kind == "invalid_bucket_name"


@given(st.text(max_size=70))
def test_a_name_that_passes_is_a_plain_file_name(name: str):
    try:
        check_bucket_name(name)
    except InvalidError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert not set(name) & set("/\\\0 :")
    assert not name.startswith(".")


@pytest.mark.parametrize(
    "key", ["a", "/", "//", "..", "../x", "a/../b", "é" * 512, "x" * 1024, "\n"]
)
def test_keys_are_plain_bytes(key: str):
    assert check_key(key) == key


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("", "invalid_argument"),
        ("x" * 1025, "key_too_long"),
        ("é" * 513, "key_too_long"),
        ("a\0b", "invalid_argument"),
        ("\ud800", "invalid_argument"),
    ],
)
def test_keys_refused(key: str, kind: str):
    with pytest.raises(InvalidError) as caught:
        check_key(key)
    assert caught.value.kind == kind


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(texts, texts)
def test_key_after_prefix_parts_the_order(prefix: str, other: str):
    after = key_after_prefix(prefix)
    if after is None:
        assert set(prefix) <= {"\U0010ffff"}
        return
    after.encode()
    below = other.encode() < after.encode()
    begins = other.startswith(prefix)
    assert begins == (below and other.encode() >= prefix.encode())
