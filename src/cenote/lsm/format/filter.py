"""Filters of a table: which keys are surely not in it.

Owns: the layout of the filter section and of a bloom filter, both ways; a filter's name.
Does not own: the hash and the bit loops (`kernels`), when a filter is asked.

Filter section, composite (`FilterFormat.COMPOSITE`, the only one written):

    u16 BE n
    n x { u16 BE name size | name | u64 BE data size | data }

Legacy section: the data of one bloom filter over whole keys.

Bloom data:

    u16 BE probes
    bits                  ceil(hashes x bits per key / 8) bytes

A hash h is SipHash-1-3 under the zero key of the raw key. With m bits: start at (low 32 bits of h)
mod m, with a step of (high 32 bits of h) mod m; before probe i (0, 1, ...) the step grows by i,
after it the place moves on by the step, all mod m. Bit p is bit p % 8 of byte p / 8. No bits:
nothing is in it.

One hash is counted for every row, even when a key has many; with a prefix extractor, one for each
run of equal prefixes too, added before the key's. Names: `_bf`, with `:p=EXTRACTOR` when prefixes
are in it, and `:wh=0` when whole keys are not.

Invariants:
1. A filter of an unknown name is passed over: it may not be asked, and it does no harm.
2. `may_contain` never says False for what was added.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct, unpack
from typing import Final

from cenote.errors import DataError, InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format.kernels import bloom_build, bloom_contains, siphash13

__all__ = [
    "Bloom",
    "BloomBuilder",
    "BloomPolicy",
    "FilterFormat",
    "build_bloom",
    "decode_filters",
    "encode_filters",
    "key_hash",
]

_U16: Final = Struct(">H")
_U64: Final = Struct(">Q")
# The reference implementation computes with 32-bit floats, so the constant is one.
_PROBES_PER_BIT: Final[float] = unpack("<f", Struct("<f").pack(0.69))[0]

key_hash: Final = siphash13
"""The hash of a key that `Bloom.may_contain` takes."""


class FilterFormat(IntEnum):
    """How the filter section is framed; the numbers are those of the files."""

    LEGACY = 0
    COMPOSITE = 1


@dataclass(frozen=True, slots=True)
class BloomPolicy:
    """Which bloom filter a table gets.

    `prefix_of` returns the part of a key that prefix searches ask for, or None for a key without;
    `extractor` is its name, under which readers know the filter. Requires: what it returns begins
    the key, and is what it returns for every other key that begins so.
    """

    bits_per_key: int = 10
    whole_keys: bool = True
    extractor: str | None = None
    prefix_of: Callable[[bytes], bytes | None] | None = None

    @property
    def name(self) -> str:
        """The filter's name in a file."""
        prefix = "" if self.extractor is None else f":p={self.extractor}"
        return f"_bf{prefix}{'' if self.whole_keys else ':wh=0'}"

    def check(self) -> None:
        """Raise InvalidError for a policy that no file can hold."""
        if not 0 < self.bits_per_key <= 1024:
            raise InvalidError("a bloom filter takes 1 to 1024 bits a key", kind="bits_per_key")
        if (self.prefix_of is None) != (self.extractor is None):
            raise InvalidError("an extractor has a name and a function", kind="extractor")

    def measure(self, hashes: int) -> tuple[int, int]:
        """Return the bytes and the probes of a filter of so many hashes."""
        product: float = unpack("<f", Struct("<f").pack(_PROBES_PER_BIT * self.bits_per_key))[0]
        return (hashes * self.bits_per_key + 7) // 8, int(product)


@dataclass(frozen=True, slots=True)
class Bloom:
    """A bloom filter."""

    probes: int
    bits: bytes

    def may_contain(self, number: int) -> bool:
        """Tell whether a key or prefix of this hash may be in the table."""
        return bloom_contains(self.bits, self.probes, number)

    def encode(self) -> bytes:
        """Return the bloom data."""
        return _U16.pack(self.probes) + self.bits

    @classmethod
    def decode(cls, data: bytes) -> Bloom:
        """Return the filter of some bloom data. Raises DataError."""
        if len(data) < 2:
            raise DataError("a bloom filter is shorter than its head", kind="filter")
        return cls(_U16.unpack_from(data)[0], data[2:])


class BloomBuilder:
    """Gathers the hashes of a table's rows, which come in order, a batch at a time."""

    __slots__ = ("_hashes", "_last", "_policy")

    def __init__(self, policy: BloomPolicy) -> None:
        """Raises InvalidError for a policy that no file can hold."""
        policy.check()
        self._policy = policy
        self._hashes = array("Q")
        self._last: bytes | None = None

    def add(self, rows: Iterable[Row]) -> None:
        """Take rows. Cost: 6 us each."""
        policy, hashes = self._policy, self._hashes
        prefix_of, whole_keys = policy.prefix_of, policy.whole_keys
        if prefix_of is None:
            if whole_keys:
                hashes.extend([siphash13(row[0]) for row in rows])
            return
        for row in rows:
            prefix = prefix_of(row[0])
            if prefix is not None and prefix != self._last:
                hashes.append(siphash13(prefix))
                self._last = prefix
            if whole_keys:
                hashes.append(siphash13(row[0]))

    def add_hashes(self, hashes: Iterable[int]) -> None:
        """Take hashes of keys that somebody else computed."""
        self._hashes.extend(hashes)

    def finish(self) -> Bloom:
        """Return the filter. Cost: 1 us a row."""
        size, probes = self._policy.measure(len(self._hashes))
        return Bloom(probes, bloom_build(self._hashes, size, probes))


def build_bloom(rows: Iterable[Row], policy: BloomPolicy) -> Bloom:
    """Return the bloom filter of the rows of a table.

    Raises InvalidError for a policy that no file can hold. Cost: 6 us a row.
    """
    builder = BloomBuilder(policy)
    builder.add(rows)
    return builder.finish()


def encode_filters(filters: Sequence[tuple[str, Bloom]]) -> bytes:
    """Return the payload of a composite filter section."""
    parts = [_U16.pack(len(filters))]
    for name, bloom in filters:
        raw = name.encode()
        if len(raw) > 0xFFFF:
            raise InvalidError("a filter's name is too long", kind="extractor")
        data = bloom.encode()
        parts += (_U16.pack(len(raw)), raw, _U64.pack(len(data)), data)
    return b"".join(parts)


def decode_filters(payload: bytes, form: FilterFormat) -> dict[str, Bloom]:
    """Return the bloom filters of a filter section by name. Raises DataError.

    A filter whose name does not begin with `_bf` is passed over.
    """
    if form is FilterFormat.LEGACY:
        return {"_bf": Bloom.decode(payload)}
    found: dict[str, Bloom] = {}
    (count,) = _U16.unpack(_take(payload, 0, 2))
    at = 2
    for _ in range(count):
        (size,) = _U16.unpack(_take(payload, at, 2))
        name = _take(payload, at + 2, size)
        at += 2 + size
        (size,) = _U64.unpack(_take(payload, at, 8))
        data = _take(payload, at + 8, size)
        at += 8 + size
        if name == b"_bf" or name.startswith(b"_bf:"):
            found[name.decode("utf-8", "surrogateescape")] = Bloom.decode(data)
    if at != len(payload):
        raise DataError("bytes are left over after the last filter", kind="filter")
    return found


def _take(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise DataError("a filter is longer than its section", kind="filter")
    return data[at : at + size]
