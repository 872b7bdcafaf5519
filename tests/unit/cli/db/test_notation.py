"""Keys and values on the command line: what is written reads back, and moves no cursor."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cenote.cli.db.notation import Notation, bytes_field, parse_bytes, to_text, write_bytes
from cenote.errors import InvalidError


@given(st.binary(), st.sampled_from([Notation.TEXT, Notation.HEX]))
def test_what_is_written_reads_back(data: bytes, notation: Notation) -> None:
    word = write_bytes(data, notation).decode()
    assert word.isprintable()
    assert parse_bytes(word, notation) == data


@given(st.binary().filter(lambda data: b"\0" not in data))
def test_raw_is_what_the_shell_gave(data: bytes) -> None:
    assert parse_bytes(os.fsdecode(data), Notation.RAW) == data
    assert write_bytes(data, Notation.RAW) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain key", "plain key"),
        ("größer".encode(), "größer"),
        (b"a\tb\n", "a\\tb\\n"),
        (b"\0\x1b[2J", "\\x00\\x1b[2J"),
        (b"c:\\dir", "c:\\\\dir"),
        (b"\xff\xfe", "\\xff\\xfe"),
        ("\u202e".encode(), "\\xe2\\x80\\xae"),  # turns a line's direction round
    ],
)
def test_text(data: bytes, text: str) -> None:
    assert to_text(data) == text
    assert parse_bytes(text, Notation.TEXT) == data


@pytest.mark.parametrize("word", ["\\", "\\q", "\\x1", "\\xzz", "ends\\"])
def test_what_no_notation_has_is_refused(word: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_bytes(word, Notation.TEXT)
    assert caught.value.kind == "invalid_notation"


def test_hex_takes_digits_only() -> None:
    assert parse_bytes("00fF", Notation.HEX) == b"\0\xff"
    with pytest.raises(InvalidError):
        parse_bytes("0", Notation.HEX)


def test_json_tells_text_from_other_bytes() -> None:
    assert bytes_field("key", "ü\n".encode()) == {"key": "ü\n"}
    assert bytes_field("key", b"\xff") == {"key_hex": "ff"}
