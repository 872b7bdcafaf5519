"""Range headers: RFC 9110, 14.1.2, and what S3 makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.s3 import S3Error, content_range, settle_range, settled_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-499", (0, 500)),
        ("bytes=500-999", (500, 1000)),
        ("bytes=9500-", (9500, 10_000)),
        ("bytes=-500", (9500, 10_000)),
        ("bytes=-1", (9999, 10_000)),
        ("bytes=-20000", (0, 10_000)),
        ("bytes=0-", (0, 10_000)),
        ("bytes=0-99999999999999999999999", (0, 10_000)),
        ("bytes=-99999999999999999999999", (0, 10_000)),
        ("bytes=0000000000000000000000000001-2", (1, 3)),
        ("Bytes=1-2", (1, 3)),
        (" bytes=1-2 ", (1, 3)),
    ],
)
def test_ranges_of_ten_thousand_bytes(text: str, expected: tuple[int, int]) -> None:
    assert settle_range(text, 10_000) == expected


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0x1-0x2",
        "bytes=1.0-2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=٠-١",
        "bytes=0 - 1",
        "bytes = 0-1",
        "items=0-1",
        "bytes=0-1,5-6",
        "bytes=0-0" + ",0-0" * 5000,
        "bytes=0-1;",
    ],
)
def test_ranges_s3_ignores(text: str | None) -> None:
    assert settle_range(text, 10_000) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("bytes=10-", 10),
        ("bytes=10-20", 10),
        ("bytes=99999999999999999999-", 10),
        ("bytes=" + "9" * 6000 + "-", 10),
        ("bytes=-0", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-1", 0),
    ],
)
def test_ranges_outside(text: str, size: int) -> None:
    with pytest.raises(S3Error) as caught:
        settle_range(text, size)
    error = caught.value
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.extra == {"RangeRequested": text, "ActualObjectSize": size}
    assert error.headers == (("Content-Range", f"bytes */{size}"),)


@given(st.text(max_size=12).map("bytes={}".format) | st.text(), st.integers(0, 30))
def test_any_text_settles_within_the_object(text: str, size: int) -> None:
    try:
        settled = settle_range(text, size)
    except S3Error as error:
        assert error.code == "InvalidRange"
        return
    if settled is not None:
        assert 0 <= settled[0] < settled[1] <= size


def test_content_range() -> None:
    assert content_range(0, 500, 1234) == "bytes 0-499/1234"  # RFC 9110, 14.4


def test_dates_to_come_do_not_count() -> None:
    assert settled_date(None, 1000) is None
    assert settled_date(1000, 1000) == 1000
    assert settled_date(1001, 1000) is None
