"""The parts of a signature, against the standard library's and RFC 4231's."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.s3 import SigningKey
from cenote.s3.canonical import canonical_path, canonical_query, encode_text
from cenote.s3.keyring import signing_key
from cenote.s3.query import read_query
from cenote.s3.stamps import read_stamp, stamp


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_hmac(key: bytes, message: bytes) -> None:
    expected = hmac.digest(key, message, "sha256")
    assert SigningKey(key).digest(message) == expected
    assert SigningKey(key).sign(message) == expected.hex()


def test_hmac_of_rfc_4231_case_6() -> None:
    key = SigningKey(b"\xaa" * 131)  # longer than a block
    assert key.sign(b"Test Using Larger Than Block-Size Key - Hash Key First") == (
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    )


def test_key_derivation() -> None:
    key = b"AWS4" + b"secret"
    for part in (b"20130524", b"us-east-1", b"s3", b"aws4_request"):
        key = hmac.digest(key, part, "sha256")
    derived = signing_key("secret", "20130524", "us-east-1", "s3")
    assert derived.sign(b"x") == hmac.digest(key, b"x", "sha256").hex()
    assert "secret" not in repr(derived)


@given(st.binary())
def test_encoding_is_the_librarys(data: bytes) -> None:
    assert encode_text(data) == quote(data, safe="-_.~")
    path = quote(data, safe="/-_.~") or "/"
    assert canonical_path(quote(data, safe="!$&'()*+,;=:@/").encode()) == path
    assert canonical_path(path.encode()) == path


@given(st.binary())
def test_a_canonical_path_means_what_the_path_means(raw: bytes) -> None:
    assert unquote_to_bytes(canonical_path(raw)) == (unquote_to_bytes(raw) or b"/")


pairs = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
    st.text(),
    max_size=6,
)


@given(pairs, st.sampled_from(["", "/", "-_.~", "/:@!$'()*,;?"]))
def test_a_canonical_query_means_what_the_query_means(query: dict[str, str], safe: str) -> None:
    query = {name: value.replace("\0", "") for name, value in query.items()}
    raw = "&".join(f"{quote(n, safe=safe)}={quote(v, safe=safe)}" for n, v in query.items())
    made = canonical_query(raw.encode())
    assert read_query(made.encode()) == query == read_query(raw.encode())
    ordered = sorted((quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in query.items())
    assert made == "&".join(f"{name}={value}" for name, value in ordered)
    assert canonical_query(made.encode()) == made


@given(st.binary(max_size=40))
def test_any_query_has_a_canonical_form(raw: bytes) -> None:
    made = canonical_query(raw)
    assert made.isascii()
    assert all(piece.count("=") == 1 for piece in made.split("&") if made)
    assert canonical_query(made.encode()) == made


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_stamps(moment: datetime) -> None:
    text = moment.strftime("%Y%m%dT%H%M%SZ")
    time_ms = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp()) * 1000
    assert read_stamp(text) == time_ms
    assert stamp(time_ms) == stamp(time_ms + 999) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20130524",
        "20130524T000000",
        "20130524T000000z",
        "2013-05-24T00:00:00Z",
        "20130524T240000Z",
        "20130230T000000Z",
        "20130524T000060Z",
        "20130524T000000Z ",
        "00000524T000000Z",
        "٢0130524T000000Z",
        "+0130524T000000Z",
    ],
)
def test_texts_that_are_no_stamps(text: str) -> None:
    assert read_stamp(text) is None
