"""How keys and values are written on a command line and read from it.

Owns: the three notations, both ways, and how bytes stand in JSON.

- text, the default: UTF-8 as it is, but for what does not print and the backslash. A tab is `\\t`,
  a line's end `\\n` or `\\r`, a backslash `\\\\`, any other byte `\\xNN`.
- hex: two digits a byte.
- raw: the bytes themselves.
- in JSON a field NAME holds the text of bytes that are UTF-8; of others NAME is absent, and
  NAME_hex has their digits.

Invariants:
1. What a notation writes, it reads back to the same bytes; text and hex never hold a tab, a line's
   end, or what moves a terminal's cursor.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from typing import Any, Final

from cenote.errors import InvalidError

__all__ = ["Notation", "bytes_field", "parse_bytes", "to_text", "write_bytes"]

_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_LONG: Final = {"t": b"\t", "n": b"\n", "r": b"\r", "\\": b"\\"}
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.|$)", re.DOTALL)


class Notation(Enum):
    """A way to write bytes."""

    TEXT = "text"
    HEX = "hex"
    RAW = "raw"


def to_text(data: bytes) -> str:
    """Return bytes in the notation "text"."""
    text = data.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(c if c.isprintable() and c != "\\" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def write_bytes(data: bytes, notation: Notation) -> bytes:
    """Return what stands for `data` in a line of output."""
    if notation is Notation.RAW:
        return data
    return data.hex().encode() if notation is Notation.HEX else to_text(data).encode()


def parse_bytes(word: str, notation: Notation) -> bytes:
    """Return the bytes a word of the command line stands for. Raises InvalidError."""
    data = os.fsencode(word)
    if notation is Notation.RAW:
        return data
    if notation is Notation.HEX:
        try:
            return bytes.fromhex(word)
        except ValueError as error:
            raise InvalidError(f"{word!r} is not hexadecimal", kind="invalid_notation") from error

    def unescaped(found: re.Match[bytes]) -> bytes:
        name = found[1].decode("latin-1")
        if name in _LONG:
            return _LONG[name]
        if len(name) == 3:
            return bytes.fromhex(name[1:])
        raise InvalidError(
            f"{word!r} has an unknown escape",
            kind="invalid_notation",
            hint="\\\\ is a backslash, \\xNN a byte; --raw takes all as it is",
        )

    return _ESCAPE.sub(unescaped, data) if b"\\" in data else data


def bytes_field(name: str, data: bytes) -> dict[str, Any]:
    """Return the field of a JSON object that holds `data`."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_hex": data.hex()}
