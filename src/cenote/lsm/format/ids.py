"""ULIDs and UUIDs: as text, as numbers, as tables in a flatbuffer; and new ones.

Owns: both forms of an id, the order in which new ULIDs are made.
Does not own: what they name.

A ULID is 128 bits: 48 of milliseconds since the epoch, then 80 of chance; its text is 26 digits of
Crockford's base 32, upper case, which sort as the numbers do (github.com/ulid/spec). A UUID's text
is that of RFC 9562, lower case. In a flatbuffer each is a table `{ 0 high:u64, 1 low:u64 }`.

Invariants:
1. Text is canonical: what `parse_ulid` takes, `format_ulid` gives back. Other spellings raise.
2. A `UlidMint` never makes the same ULID twice nor a smaller one later, even when the clock goes
   back: garbage collection reads the age of a file out of its name.
"""

from __future__ import annotations

import re
import threading
from typing import Final

from cenote.base import Clock, Rand
from cenote.errors import DataError, InvalidError
from cenote.lsm.format.flatbuffer import FlatTable, FlatView

__all__ = [
    "UlidMint",
    "format_ulid",
    "mint_uuid",
    "parse_ulid",
    "ulid_table",
    "ulid_time_ms",
    "uuid_table",
    "view_ulid",
    "view_uuid",
]

_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_ULID: Final = re.compile(f"[0-7][{_DIGITS}]{{25}}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_CHANCE_BITS: Final = 80
_TIME_MS_MAX: Final = 2**48 - 1
_HALF: Final = 2**64 - 1


def format_ulid(number: int) -> str:
    """Return the text of a ULID. Requires: `number` has at most 128 bits."""
    return "".join([_DIGITS[number >> shift & 31] for shift in range(125, -1, -5)])


def parse_ulid(text: str) -> int:
    """Return the number of a ULID's text. Raises DataError for any other text."""
    if not _ULID.fullmatch(text):
        raise DataError(f"{text!r} is not a ULID", kind="ulid")
    number = 0
    for digit in text:
        number = number << 5 | _VALUES[digit]
    return number


def ulid_time_ms(text: str) -> int:
    """Return when a ULID was made. Raises DataError."""
    return parse_ulid(text) >> _CHANCE_BITS


class UlidMint:
    """A maker of ULIDs, each above all it made before. Thread-safe."""

    __slots__ = ("_clock", "_last", "_lock", "_rand")

    def __init__(self, clock: Clock, rand: Rand, *, above: str | None = None) -> None:
        """Make ids above `above`, if it is given. Raises DataError when that is no ULID."""
        self._clock = clock
        self._rand = rand
        self._lock = threading.Lock()
        self._last = -1 if above is None else parse_ulid(above)

    def raise_to(self, text: str) -> None:
        """Make none at or below the ULID `text` from now on. Raises DataError.

        A collector tells by their order which files may still be on their way into a manifest, so
        that a writer begins above those that are there, however its clock stands.
        """
        number = parse_ulid(text)
        with self._lock:
            self._last = max(self._last, number)

    def mint(self) -> str:
        """Return a new ULID of now, or of the last one's time when the clock went back."""
        now_ms = min(max(self._clock.now_ms(), 0), _TIME_MS_MAX)
        chance = int.from_bytes(self._rand.bytes(10), "big")
        with self._lock:
            number = now_ms << _CHANCE_BITS | chance
            if number <= self._last:
                # Far from the last one: others may be above the same id, and make their own.
                number = self._last + 1 + (chance & _HALF)
            self._last = number
        return format_ulid(number)


def mint_uuid(rand: Rand) -> str:
    """Return a new UUID of version 4."""
    number = int.from_bytes(rand.bytes(16), "big")
    number = number & ~(0xF << 76) | 4 << 76
    return _format_uuid(number & ~(3 << 62) | 2 << 62)


def _format_uuid(number: int) -> str:
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _id_table(number: int) -> FlatTable:
    return FlatTable().u64(0, number >> 64).u64(1, number & _HALF)


def _view_number(view: FlatView, name: str) -> int:
    view.known(name, 2)
    return view.u64(0) << 64 | view.u64(1)


def ulid_table(text: str) -> FlatTable:
    """Return the table of a ULID. Raises DataError when the text is not one."""
    return _id_table(parse_ulid(text))


def view_ulid(view: FlatView) -> str:
    """Return the ULID of a table."""
    return format_ulid(_view_number(view, "Ulid"))


def uuid_table(text: str) -> FlatTable:
    """Return the table of a UUID. Raises InvalidError when the text is not a canonical one."""
    if not _UUID.fullmatch(text):
        raise InvalidError(f"{text!r} is not a UUID in lower case", kind="uuid")
    return _id_table(int(text.replace("-", ""), 16))


def view_uuid(view: FlatView) -> str:
    """Return the UUID of a table."""
    return _format_uuid(_view_number(view, "Uuid"))
