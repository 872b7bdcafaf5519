"""The loops that run once per row, as plain functions on bytes and tuples.

Owns: rows to blocks and back, the search in a block, the hash and the bits of a bloom filter.
Does not own: the layouts (told in `row`, `block` and `filter`, which are the only callers).

Invariants:
1. Each function is pure, and takes and gives builtin values only: a compiled twin may replace it
   one by one, and the same tests hold it to the same bytes.
2. Bytes that no writer makes raise DataError. No length read is believed before it is compared
   with the bytes that are there, so nothing is allocated beyond the size of the input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from operator import lt
from struct import Struct
from struct import error as StructError  # noqa: N812
from typing import Any, Final

from cenote.errors import DataError, InvalidError
from cenote.lsm.entry import KEY_SIZE_MAX, MERGE, PUT, TOMBSTONE, VALUE_SIZE_MAX, Row

__all__ = [
    "bloom_build",
    "bloom_contains",
    "decode_block",
    "decode_block_v1",
    "decode_rows",
    "encode_blocks",
    "encode_row",
    "find_in_block",
    "shared_prefix",
    "siphash13",
    "varint",
]

VERSION: Final = 2
"""Of what the kernels take and give: a compiled module of another version is passed by."""

RESTART_INTERVAL: Final = 16

_EXPIRES: Final = 2
_CREATED: Final = 4
_KNOWN_FLAGS: Final = TOMBSTONE | _EXPIRES | _CREATED | MERGE
_RESTART_MAX: Final = 0xFFFF
_U64_MASK: Final = 0xFFFFFFFFFFFFFFFF

_BLOCK_SIZE_MAX: Final = 65536

_U16: Final = Struct(">H")
_TAILS: Final[dict[int, Struct]] = {  # seq, flags and the times that the flags tell of
    0: Struct(">QB"),
    _EXPIRES: Struct(">QBq"),
    _CREATED: Struct(">QBq"),
    _EXPIRES | _CREATED: Struct(">QBqq"),
}
_TAIL_SIZES: Final = tuple(9 + 8 * (bool(f & 2) + bool(f & 4)) for f in range(16))
# From the flags to the end of the row; no row is long enough for flags that nobody sets.
_ROW_TAILS: Final = tuple(
    2**63 if f & ~_KNOWN_FLAGS or f & 9 == 9 else _TAIL_SIZES[f] - 8 for f in range(256)
)


def varint(number: int) -> bytes:
    """Return an unsigned LEB128 of a 32-bit number: 1 to 5 bytes."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = tuple(varint(n) for n in range(4096))


def _read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends."""
    number = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if number > KEY_SIZE_MAX:
                break
            return number, at
        shift += 7
        if shift > 28:
            break
    raise DataError("a length in a row is not a 32-bit varint", kind="row", offset=at)


def shared_prefix(a: bytes, b: bytes) -> int:
    """Return how many first bytes are the same. Cost: one comparison of both as integers."""
    size = min(len(a), len(b))
    differ = int.from_bytes(a[:size], "big") ^ int.from_bytes(b[:size], "big")
    return size - (differ.bit_length() + 7 >> 3)


def encode_blocks(
    rows: Iterable[Row], block_size: int
) -> list[tuple[bytes, bytes, bytes, tuple[int, int, int]]]:
    """Cut rows into blocks of about `block_size` bytes, in the order they come.

    Returns for each block its bytes, its first and last key, and how many puts, tombstones and
    merges it holds. A block takes a row while the whole fits `block_size`; an empty one takes any
    row. Requires: rows as `Entry` says. Raises InvalidError for a row that cannot be written.
    Cost: 1 us a row.
    """
    if not 0 < block_size <= _BLOCK_SIZE_MAX:
        raise InvalidError("a block holds 1 to 65536 bytes", kind="block_size", size=block_size)
    open_block = OpenBlock(block_size)
    open_block.add(rows)
    open_block.close()
    return open_block.closed


def _out_of_range() -> InvalidError:
    return InvalidError("a number of a row is out of range", kind="row")


class OpenBlock:
    """The block that is being filled, and those that were: `closed`, as `encode_blocks` tells.

    `size` is the bytes of the open block's rows, `count` how many they are, `last` the last key.
    """

    __slots__ = (
        "_first",
        "_kinds",
        "_parts",
        "_restarts",
        "block_size",
        "closed",
        "count",
        "last",
        "size",
    )

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.closed: list[tuple[bytes, bytes, bytes, tuple[int, int, int]]] = []
        self.size = self.count = 0
        self.last = b""
        self._first = b""
        self._parts: list[bytes] = []
        self._restarts: list[int] = []
        self._kinds = [0] * 9

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows. Raises InvalidError for one that cannot be written: then it is of no use."""
        try:
            self._add(rows)
        except StructError as fault:
            raise _out_of_range() from fault

    def _add(self, rows: Iterable[Row]) -> None:
        parts, restarts, kinds = self._parts, self._restarts, self._kinds
        size, count, previous, block_size = self.size, self.count, self.last, self.block_size
        varints, from_bytes, pack_created = _VARINTS, int.from_bytes, _TAILS[_CREATED].pack
        for row in rows:
            key, value, seq, kind, create_ts, expire_ts = row
            key_size, value_size = len(key), len(value)
            restart = count % RESTART_INTERVAL == 0
            shared = 0
            if not restart:
                common = key_size if key_size < len(previous) else len(previous)
                differ = from_bytes(previous[:common], "big") ^ from_bytes(key[:common], "big")
                shared = common - (differ.bit_length() + 7 >> 3)
            if kind or create_ts is None or expire_ts is not None:
                tail = _row_tail(row)
            else:
                tail = pack_created(seq, _CREATED, create_ts)
            unshared = key_size - shared
            if key_size < 4096 and value_size < 4096:
                head = varints[shared] + varints[unshared] + varints[value_size]
            else:
                head = _long_head(shared, unshared, value_size)
            row_size = len(head) + unshared + value_size + len(tail)
            if count and size + 2 * len(restarts) + 2 + row_size + 2 * restart > block_size:
                self.last, self.count = previous, count
                self.close()
                parts, restarts, kinds = self._parts, self._restarts, self._kinds
                size = count = 0
                if not restart:  # in a new block the key is written whole
                    restart, unshared = True, key_size
                    head = _long_head(0, key_size, value_size)
                    row_size = len(head) + key_size + value_size + len(tail)
            if restart:
                restarts.append(size)
            if not count:
                self._first = key
            parts += (head, key[key_size - unshared :], value, tail)
            size += row_size
            count += 1
            kinds[kind] += 1
            previous = key
        self.size, self.count, self.last = size, count, previous

    def close(self) -> None:
        """End the open block, if it has rows."""
        if not self.count:
            return
        parts, restarts, kinds = self._parts, self._restarts, self._kinds
        restarts.append(len(restarts))
        parts.append(Struct(f">{len(restarts)}H").pack(*restarts))
        counts = kinds[PUT], kinds[TOMBSTONE], kinds[MERGE]
        self.closed.append((b"".join(parts), self._first, self.last, counts))
        self.size = self.count = 0
        self._parts, self._restarts, self._kinds = [], [], [0] * 9


def encode_row(row: Row, shared: int) -> bytes:
    """Return one version 2 row whose first `shared` key bytes are those of the row before."""
    key, value = row[0], row[1]
    head = _long_head(shared, len(key) - shared, len(value))
    try:
        return head + key[shared:] + value + _row_tail(row)
    except StructError as fault:
        raise _out_of_range() from fault


def _row_tail(row: Row) -> bytes:
    """Return the seq, flags and times of any row, as its kind and what is None tell."""
    _, value, seq, kind, create_ts, expire_ts = row
    if kind not in (PUT, TOMBSTONE, MERGE) or (kind == TOMBSTONE and value):
        raise InvalidError("a row is of an unknown kind, or a tombstone with a value", kind="row")
    times = [] if expire_ts is None else [expire_ts]
    flags = kind if expire_ts is None else kind | _EXPIRES
    if create_ts is not None:
        times.append(create_ts)
        flags |= _CREATED
    return _TAILS[flags & 6].pack(seq, flags, *times)


def _long_head(shared: int, unshared: int, value_size: int) -> bytes:
    if shared + unshared > KEY_SIZE_MAX or value_size > VALUE_SIZE_MAX:
        raise InvalidError("a key or a value is longer than 4 GiB", kind="entity_too_large")
    return varint(shared) + varint(unshared) + varint(value_size)


_READERS_MAX: Final = 8192
_readers: dict[int, Callable[[bytes, int], Any]] = {}


def _make_reader(unshared: int, value_size: int, flags: int) -> Callable[[bytes, int], Any]:
    """Return a reader of a row's key suffix, value, seq, flags and times, all at once.

    It is kept: rows of a table have few sizes, and to make one costs more than to use it.
    """
    if len(_readers) >= _READERS_MAX:
        _readers.clear()
    times = "q" * (_TAIL_SIZES[flags] // 8 - 1)
    made = Struct(f">{unshared}s{value_size}sQB{times}").unpack_from
    _readers[unshared << 16 | value_size << 4 | flags] = made
    return made


def _times(flags: int, found: tuple[Any, ...]) -> tuple[int | None, int | None]:
    """Return the creation time and the expiry of a row, from where its flags put them."""
    if flags & _EXPIRES:
        return found[5] if flags & _CREATED else None, found[4]
    return found[4] if flags & _CREATED else None, None


def block_restarts(block: bytes) -> tuple[tuple[int, ...], int]:
    """Return the restart offsets of a block and where its rows end."""
    if len(block) < 2:
        raise DataError("a block is shorter than its count of restarts", kind="block")
    (count,) = _U16.unpack_from(block, len(block) - 2)
    end = len(block) - 2 - 2 * count
    if end < 0 or (count == 0 and end):
        raise DataError("a block is shorter than its restarts", kind="block", restarts=count)
    restarts = Struct(f">{count}H").unpack_from(block, end)
    if count and restarts[0] != 0:
        raise DataError("a block's first restart is not its first row", kind="block")
    if not all(map(lt, restarts, restarts[1:])):
        raise DataError("the restarts of a block do not rise", kind="block")
    return restarts, end


def decode_rows(block: bytes, at: int, end: int, previous: bytes) -> tuple[list[Row], list[int]]:
    """Return the rows of `block[at:end]`, and where those start whose keys are complete."""
    rows: list[Row] = []
    whole: list[int] = []
    append, readers, sizes = rows.append, _readers, _ROW_TAILS
    while at < end:
        start = at
        if at + 3 <= end and (block[at] | block[at + 1] | block[at + 2]) < 0x80:
            shared, unshared, value_size = block[at], block[at + 1], block[at + 2]
            at += 3
        else:
            shared, at = _read_varint(block, at, end)
            unshared, at = _read_varint(block, at, end)
            value_size, at = _read_varint(block, at, end)
        flags_at = at + unshared + value_size + 8
        if flags_at >= end or shared > len(previous):
            raise DataError("a row does not fit its block", kind="row", offset=start)
        flags = block[flags_at]
        row_end = flags_at + sizes[flags]
        if row_end > end or (flags & 1 and value_size):
            raise DataError("a row has flags that no writer sets", kind="row", offset=start)
        if value_size < 4096:
            read = readers.get(unshared << 16 | value_size << 4 | flags)
            found = (read or _make_reader(unshared, value_size, flags))(block, at)
        else:  # one such size is seldom seen again
            cut = at + unshared
            value = block[cut : cut + value_size]
            found = (block[at:cut], value, *_TAILS[flags & 6].unpack_from(block, flags_at - 8))
        if shared:
            previous = previous[:shared] + found[0]
        else:
            previous = found[0]
            whole.append(start)
        if flags == _CREATED:
            append((previous, found[1], found[2], 0, found[4], None))
        else:
            append((previous, found[1], found[2], flags & 9, *_times(flags, found)))
        at = row_end
    return rows, whole


def decode_block(block: bytes) -> list[Row]:
    """Return the rows of a version 2 block, in their order.

    Raises DataError where a length, a flag or a restart is not what a writer makes.
    Cost: 0.6 us a row.
    """
    restarts, end = block_restarts(block)
    rows, whole = decode_rows(block, 0, end, b"")
    if not set(restarts) <= set(whole):
        raise DataError("a restart of a block is not a row with a whole key", kind="block")
    return rows


def find_in_block(block: bytes, key: bytes, seq_max: int) -> Row | None:
    """Return the newest row of `key` with seq <= `seq_max` in one version 2 block, or None.

    Requires: rows ordered by key. Cost: a binary search over restarts, then at most 16 rows.
    """
    restarts, end = block_restarts(block)
    low, high = 0, len(restarts)
    while low < high:  # the first restart whose key is not below `key`
        middle = (low + high) // 2
        if _key_at(block, restarts[middle], end) < key:
            low = middle + 1
        else:
            high = middle
    # Versions of a key may begin in the run before the one that starts with it.
    at = restarts[max(low - 1, 0)] if restarts else end
    return _find_row(block, at, end, key, seq_max)


def _find_row(block: bytes, at: int, end: int, key: bytes, seq_max: int) -> Row | None:
    """Return the first row at or after a restart with this key and seq <= `seq_max`, or None."""
    previous = b""
    while at < end:
        start = at
        if at + 3 <= end and (block[at] | block[at + 1] | block[at + 2]) < 0x80:
            shared, unshared, value_size = block[at], block[at + 1], block[at + 2]
            at += 3
        else:
            shared, at = _read_varint(block, at, end)
            unshared, at = _read_varint(block, at, end)
            value_size, at = _read_varint(block, at, end)
        flags_at = at + unshared + value_size + 8
        if flags_at >= end or shared > len(previous):
            raise DataError("a row does not fit its block", kind="row", offset=start)
        before, previous = previous, previous[:shared] + block[at : at + unshared]
        if previous >= key:
            if previous > key:
                return None
            row_end = min(flags_at + _ROW_TAILS[block[flags_at]], end)
            row = decode_rows(block, start, row_end, before)[0][0]
            if row[2] <= seq_max:
                return row
        at = flags_at + _ROW_TAILS[block[flags_at]]
    if at != end:
        raise DataError("a row does not fit its block", kind="row")
    return None


def _key_at(block: bytes, at: int, end: int) -> bytes:
    """Return the whole key of the row at a restart."""
    if at + 3 <= end and (block[at] | block[at + 1] | block[at + 2]) < 0x80:
        shared, unshared = block[at], block[at + 1]
        at += 3
    else:
        shared, at = _read_varint(block, at, end)
        unshared, at = _read_varint(block, at, end)
        _, at = _read_varint(block, at, end)
    if shared or at + unshared > end:
        raise DataError("a restart of a block is not a row with a whole key", kind="block")
    return block[at : at + unshared]


def decode_block_v1(block: bytes) -> list[Row]:
    """Return the rows of a version 1 block, in their order. Raises DataError."""
    offsets, end = block_restarts(block)
    rows: list[Row] = []
    first = b""
    for start, stop in pairwise((*offsets, end)):
        if start + 13 > stop or stop > end:
            raise DataError("a row does not fit its block", kind="row", offset=start)
        shared, unshared = Struct(">HH").unpack_from(block, start)
        at = start + 4 + unshared
        if at + 9 > stop or shared > len(first):
            raise DataError("a row does not fit its block", kind="row", offset=start)
        key = first[:shared] + block[start + 4 : at]
        seq, flags = _TAILS[0].unpack_from(block, at)
        kind = flags & 9
        value_at = at + 9 + (_TAIL_SIZES[flags & 6] - 9)
        if flags & ~_KNOWN_FLAGS or kind == 9 or value_at > stop:
            raise DataError("a row has flags that no writer sets", kind="row", offset=start)
        times = iter(_TAILS[flags & 6].unpack_from(block, at)[2:])
        expire_ts = next(times) if flags & _EXPIRES else None
        create_ts = next(times) if flags & _CREATED else None
        value = b""
        if kind == TOMBSTONE:
            value_at -= 4
        elif value_at + 4 > stop:
            raise DataError("a row does not fit its block", kind="row", offset=start)
        else:
            value = block[value_at + 4 : stop]
            if int.from_bytes(block[value_at : value_at + 4], "big") != len(value):
                raise DataError("a value does not fill its row", kind="row", offset=start)
        if value_at + 4 + len(value) != stop:
            raise DataError("a row does not end where the next starts", kind="row", offset=start)
        if not rows:
            first = key
        rows.append((key, value, seq, kind, create_ts, expire_ts))
    return rows


def _siphash13(data: bytes) -> int:
    """Return SipHash-1-3 of `data` under the zero key. Cost: 5 us for 16 bytes."""
    mask = _U64_MASK
    size = len(data)
    count = size >> 3
    last = int.from_bytes(data[count * 8 :], "little") | (size & 0xFF) << 56
    v0, v1 = 0x736F6D6570736575, 0x646F72616E646F6D
    v2, v3 = 0x6C7967656E657261, 0x7465646279746573
    # The three closing rounds are rounds of a zero word, after one change of v2.
    words = (*Struct(f"<{count}Q").unpack_from(data), last, 0, 0, 0)
    for number, word in enumerate(words):
        if number == count + 1:
            v2 ^= 0xFF
        v3 ^= word
        v0 = (v0 + v1) & mask
        v1 = (v1 << 13 & mask | v1 >> 51) ^ v0
        v0 = v0 << 32 & mask | v0 >> 32
        v2 = (v2 + v3) & mask
        v3 = (v3 << 16 & mask | v3 >> 48) ^ v2
        v0 = (v0 + v3) & mask
        v3 = (v3 << 21 & mask | v3 >> 43) ^ v0
        v2 = (v2 + v1) & mask
        v1 = (v1 << 17 & mask | v1 >> 47) ^ v2
        v2 = v2 << 32 & mask | v2 >> 32
        v0 ^= word
    return v0 ^ v1 ^ v2 ^ v3


def _siphash13_builtin(data: bytes) -> int:
    """Return the same from the interpreter's own hash of bytes. Cost: 0.1 us for 16 bytes."""
    number = hash(data) & _U64_MASK
    # The interpreter hashes nothing to 0, and gives -2 for a hash of -1.
    return number if data and number != _U64_MASK - 1 else _siphash13(data)


def _builtin_is_siphash13() -> bool:
    """Tell whether `hash` is SipHash-1-3 under the zero key, as PYTHONHASHSEED=0 makes it."""
    if sys.hash_info.algorithm != "siphash13" or sys.hash_info.hash_bits != 64:
        return False
    samples = [bytes(range(size)) for size in range(1, 40)]
    return all(_siphash13_builtin(sample) == _siphash13(sample) for sample in samples)


siphash13: Final[Callable[[bytes], int]] = (
    _siphash13_builtin if _builtin_is_siphash13() else _siphash13
)
"""SipHash-1-3 of bytes under the zero key, as a number of 64 bits."""


def bloom_build(hashes: Sequence[int], size: int, probes: int) -> bytes:
    """Return a bit array of `size` bytes with `probes` bits set for each hash.

    Cost: 1 us a hash.
    """
    bits = bytearray(size)
    modulus = size * 8
    for number in hashes:
        at = (number & 0xFFFFFFFF) % modulus
        step = (number >> 32) % modulus
        for turn in range(probes):
            step = (step + turn) % modulus
            bits[at >> 3] |= 1 << (at & 7)
            at = (at + step) % modulus
    return bytes(bits)


def bloom_contains(bits: bytes, probes: int, number: int) -> bool:
    """Tell whether all bits of a hash are set; False when there are no bits."""
    modulus = len(bits) * 8
    if not modulus:
        return False
    at = (number & 0xFFFFFFFF) % modulus
    step = (number >> 32) % modulus
    for turn in range(probes):
        step = (step + turn) % modulus
        if not bits[at >> 3] >> (at & 7) & 1:
            return False
        at = (at + step) % modulus
    return True
