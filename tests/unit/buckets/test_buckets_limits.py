"""What an object may carry, by AWS's limits."""

from __future__ import annotations

import pytest

from cenote.buckets.limits import (
    check_metadata,
    check_size,
    check_storage_class,
    check_tags,
    stored_content,
)
from cenote.errors import InvalidError
from cenote.ports import Content


def kind_of(call, *args) -> str | None:
    try:
        call(*args)
    except InvalidError as error:
        return error.kind
    return None


def test_metadata_of_2_kib_and_no_more():
    assert kind_of(check_metadata, {"a": "x" * 2047}) is None
    assert kind_of(check_metadata, {"a": "x" * 2048}) == "metadata_too_large"
    assert kind_of(check_metadata, {"a": "é" * 1023}) is None
    assert kind_of(check_metadata, {"a": "é" * 1024}) == "metadata_too_large"
    assert kind_of(check_metadata, {f"{i:04}": "y" * 60 for i in range(33)}) == "metadata_too_large"


@pytest.mark.parametrize(
    "metadata", [{"": "x"}, {"a b": "x"}, {"A": "x"}, {"ä": "x"}, {"a": "x\r\ny"}]
)
def test_metadata_no_header_could_carry(metadata: dict[str, str]):
    assert kind_of(check_metadata, metadata) == "invalid_argument"


@pytest.mark.parametrize(
    "tags",
    [
        (),
        tuple((f"k{i}", "v") for i in range(10)),
        (("k" * 128, "v" * 256),),
        (("a", ""),),
        (("Grüße 日本 _.:/=+-@", "ok 1"),),
    ],
)
def test_tags_aws_allows(tags):
    assert kind_of(check_tags, tags) is None


@pytest.mark.parametrize(
    "tags",
    [
        tuple((f"k{i}", "v") for i in range(11)),
        (("k" * 129, "v"),),
        (("k", "v" * 257),),
        (("", "v"),),
        (("k", "1"), ("k", "2")),
        (("aws:x", "1"),),
        (("a{b", "1"),),
        (("a", "1\n"),),
        (("a", "#"),),
    ],
)
def test_tags_aws_refuses(tags):
    assert kind_of(check_tags, tags) == "invalid_tag"


def test_one_put_takes_5_gib():
    assert kind_of(check_size, 5 << 30) is None
    assert kind_of(check_size, (5 << 30) + 1) == "entity_too_large"


def test_storage_classes():
    assert kind_of(check_storage_class, "DEEP_ARCHIVE") is None
    for name in ("standard", "", "EXPRESS_ONEZONE", "OUTPOSTS", "X"):
        assert kind_of(check_storage_class, name) == "invalid_storage_class"


def test_the_content_type_has_s3s_default():
    assert stored_content(Content()).content_type == "binary/octet-stream"
    stored = stored_content(Content(cache_control="no-store"))
    assert (stored.content_type, stored.cache_control) == ("binary/octet-stream", "no-store")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (Content(content_type="a\r\nSet-Cookie: x"), "invalid_argument"),
        (Content(cache_control="a\nb"), "invalid_argument"),
        (Content(expires="\x00"), "invalid_argument"),
        (Content(content_language="\ud800"), "invalid_argument"),
        (Content(cache_control="a\tb\u2028"), None),
        (Content(website_redirect_location="elsewhere"), "invalid_redirect_location"),
        (Content(website_redirect_location="/" + "a" * 2048), "invalid_redirect_location"),
        (Content(website_redirect_location="https://example.org/"), None),
    ],
)
def test_stored_headers(content: Content, kind: str | None):
    assert kind_of(stored_content, content) == kind
