"""The sequence tracker: about when which sequence number was written.

Owns: the tracker's bytes, both ways. Does not own: when a sample is taken or dropped.

    u8 version = 1 | u32 little-endian count | sequence numbers | seconds since the epoch

Both series are bit streams, the highest bit first, each filled up with zeros to a whole byte: a
32-bit count; the first value in 64 bits; then for each value the change d of the difference to
the one before, which starts at 0:

    d = 0               0
    -63   ..   63       10   and d in 7 bits
    -255  ..  255       110  and d in 9 bits
    -2047 .. 2047       1110 and d in 12 bits
    else                1111 and d in 32 bits

d is two's complement. No samples: the byte 1 and twelve zeros.

Invariants:
1. Both series are as long as the count says, and neither ever falls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from cenote.errors import DataError, FormatVersionError, InvalidError

__all__ = ["EMPTY_TRACKER", "decode_tracker", "encode_tracker"]

_VERSION: Final = 1
EMPTY_TRACKER: Final = bytes((_VERSION,)) + bytes(12)

# (greatest magnitude, prefix, bits of prefix, bits of the number)
_CLASSES: Final = ((63, 0b10, 2, 7), (255, 0b110, 3, 9), (2047, 0b1110, 4, 12))
_WIDE: Final = (0b1111, 4, 32)
_U64_MAX: Final = 2**64 - 1


def encode_tracker(samples: Sequence[tuple[int, int]]) -> bytes:
    """Return the bytes of (sequence number, second) pairs. Raises InvalidError.

    Requires: neither falls, and no step changes by 2**31 or more.
    """
    series = [seq for seq, _ in samples], [second for _, second in samples]
    head = bytes((_VERSION,)) + len(samples).to_bytes(4, "little")
    return head + _encode_series(series[0]) + _encode_series(series[1])


def _encode_series(values: Sequence[int]) -> bytes:
    bits = [f"{len(values):032b}"]
    if values:
        if not 0 <= values[0] <= _U64_MAX:
            raise InvalidError("a sample of a sequence tracker is out of range", kind="tracker")
        bits.append(f"{values[0]:064b}")
    delta = 0
    for before, value in pairwise(values):
        change, delta = value - before - delta, value - before
        bits.append(_encode_change(change))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _encode_change(change: int) -> str:
    if change == 0:
        return "0"
    for limit, prefix, _, width in _CLASSES:
        if -limit <= change <= limit:
            return f"{prefix:b}{change & (1 << width) - 1:0{width}b}"
    prefix, _, width = _WIDE
    if not -(2**31) <= change < 2**31:
        raise InvalidError("a step of a sequence tracker is too long", kind="tracker")
    return f"{prefix:b}{change & (1 << width) - 1:0{width}b}"


def decode_tracker(data: bytes) -> list[tuple[int, int]]:
    """Return the (sequence number, second) pairs. Raises DataError, FormatVersionError."""
    if len(data) < 5:
        raise DataError("a sequence tracker is shorter than its head", kind="tracker")
    if data[0] != _VERSION:
        raise FormatVersionError(f"sequence trackers of version {data[0]} are not known")
    count = int.from_bytes(data[1:5], "little")
    seqs, at = _decode_series(data, 5, count)
    seconds, at = _decode_series(data, at, count)
    if at != len(data):
        raise DataError("bytes are left over after a sequence tracker", kind="tracker")
    if any(a > b for series in (seqs, seconds) for a, b in pairwise(series)):
        raise DataError("the samples of a sequence tracker fall", kind="tracker")
    return list(zip(seqs, seconds, strict=True))


def _decode_series(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """Return the `count` values of the series at byte `at`, and where the next one starts."""
    bits = _Bits(data, at)
    # Each value but the first takes a bit or more, so a count cannot ask for more than there is.
    if bits.take(32) != count or count > 8 * len(data):
        raise DataError("a sequence tracker's counts do not agree", kind="tracker")
    return list(_values(bits, count)), bits.byte_end()


def _values(bits: _Bits, count: int) -> Iterator[int]:
    if not count:
        return
    value, delta = bits.take(64), 0
    yield value
    for _ in range(count - 1):
        delta += bits.change()
        value += delta
        if not 0 <= value <= _U64_MAX:
            raise DataError("a sample of a sequence tracker is out of range", kind="tracker")
        yield value


class _Bits:
    """A cursor over bits."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = 8 * at

    def take(self, width: int) -> int:
        """Return the next `width` bits as a number."""
        end = self._at + width
        if end > 8 * len(self._data):
            raise DataError("a sequence tracker is cut short", kind="tracker")
        span = self._data[self._at // 8 : (end + 7) // 8]
        self._at = end
        return int.from_bytes(span, "big") >> -end % 8 & (1 << width) - 1

    def change(self) -> int:
        """Return the next change of a difference."""
        ones = 0
        while ones < 4 and self.take(1):
            ones += 1
        if not ones:
            return 0
        width = (7, 9, 12, 32)[ones - 1]
        number = self.take(width)
        return number - (1 << width) if number >> width - 1 else number

    def byte_end(self) -> int:
        """Return the byte after the one the cursor is in."""
        return (self._at + 7) // 8
