"""FlatBuffers, as far as the files use them: tables, vectors, strings; no structs, no identifier.

Owns: the frame of a buffer, both ways. Does not own: which tables there are.

Layout (all numbers little-endian, every offset counted from where it stands):

    buffer   u32 offset of the root table | anything
    table    i32 (own position - vtable's position) | fields, at offsets the vtable tells
    vtable   u16 its own size | u16 size of the table | u16 offset of field 0, 1, ...; 0: absent
    vector   u32 count | elements
    string   u32 count | UTF-8 bytes | NUL (not counted)

A field of a table, a string or a vector is a u32 offset forward. A scalar is aligned to its size
from the start of the buffer, a table and a vector to 4, a vtable to 2.

Invariants:
1. Nothing outside the buffer is read, and no byte of a table, vector or string is read for two
   parents: the sum of all that was read never exceeds the buffer, so a small hostile buffer cannot
   unfold into a large value. Vtables are shared by every writer, and are not counted.
2. A field that the reader does not know is noted in `FlatReader.unknown` by table and number, so
   that nobody rewrites what they cannot represent.
3. What `finish` writes passes the verifier of the official implementations: alignment, required
   fields, NULs.

Why not the `flatbuffers` package: its reader trusts the buffer (a flipped bit is an IndexError, a
struct.error or gigabytes), has no verifier, and its writer costs 10 us a field.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final, TypeAlias, TypeVar

from cenote.errors import DataError

__all__ = ["FlatReader", "FlatTable", "FlatView", "finish"]

_U8: Final = Struct("<B")
_U16: Final = Struct("<H")
_U32: Final = Struct("<I")
_I32: Final = Struct("<i")
_U64: Final = Struct("<Q")
_I64: Final = Struct("<q")
_VECTOR_COUNT_SIZE: Final = 4

_T = TypeVar("_T")


def _damaged(what: str, at: int) -> DataError:
    return DataError(f"a flatbuffer is damaged: {what}", kind="flatbuffer", offset=at)


class FlatReader:
    """One buffer being read. `unknown` collects `Table.number` of each field nobody knows."""

    __slots__ = ("_left", "data", "unknown")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.unknown: list[str] = []
        self._left = len(data)

    def root(self) -> FlatView:
        """Return the root table. Raises DataError."""
        if len(self.data) < 8:
            raise _damaged("it is too short", 0)
        self.spend(4, 0)
        return FlatView(self, _U32.unpack_from(self.data, 0)[0])

    def spend(self, size: int, at: int) -> None:
        """Account for `size` bytes read at `at`, which lie in the buffer. Raises DataError."""
        self._left -= size
        if at + size > len(self.data) or self._left < 0:
            raise _damaged("a part lies outside it or is used twice", at)

    def target(self, at: int) -> int:
        """Return where the offset at `at` leads."""
        offset: int = _U32.unpack_from(self.data, at)[0]
        if offset < 4 or at + offset + 4 > len(self.data):
            raise _damaged("an offset leads nowhere", at)
        return at + offset

    def vector(self, at: int, element_size: int) -> tuple[int, int]:
        """Return the first element's place and the count of the vector that starts at `at`."""
        count: int = _U32.unpack_from(self.data, at)[0]
        self.spend(_VECTOR_COUNT_SIZE + count * element_size, at)
        return at + _VECTOR_COUNT_SIZE, count


class FlatView:
    """One table in a buffer. Each getter takes the field's number and raises DataError."""

    __slots__ = ("_at", "_reader", "_slots")

    def __init__(self, reader: FlatReader, at: int) -> None:
        data = reader.data
        if at + 4 > len(data):
            raise _damaged("a table lies outside it", at)
        vtable = at - _I32.unpack_from(data, at)[0]
        if not 0 <= vtable <= len(data) - 4:
            raise _damaged("a vtable lies outside it", at)
        size, table_size = Struct("<HH").unpack_from(data, vtable)
        if size < 4 or size % 2 or vtable + size > len(data) or table_size < 4:
            raise _damaged("a vtable does not fit", vtable)
        reader.spend(table_size, at)
        self._reader = reader
        self._at = at
        self._slots: tuple[int, ...] = Struct(f"<{(size - 4) // 2}H").unpack_from(data, vtable + 4)
        if self._slots and max(self._slots) >= table_size:
            raise _damaged("a field lies outside its table", at)

    def known(self, name: str, count: int) -> FlatView:
        """Note every present field whose number is `count` or more as unknown; return self."""
        for number, slot in enumerate(self._slots[count:], count):
            if slot:
                self._reader.unknown.append(f"{name}.{number}")
        return self

    def unsupported(self, name: str, *numbers: int) -> None:
        """Note those of the fields that are present as unknown: they have no place in a value."""
        self._reader.unknown += [f"{name}.{number}" for number in numbers if self.has(number)]

    def has(self, number: int) -> bool:
        """Tell whether the field is present."""
        return number < len(self._slots) and self._slots[number] != 0

    def _scalar(self, number: int, form: Struct, default: int | None) -> int | None:
        if not self.has(number):
            return default
        at = self._at + self._slots[number]
        if at + form.size > len(self._reader.data):
            raise _damaged("a number lies outside it", at)
        value: int = form.unpack_from(self._reader.data, at)[0]
        return value

    def u8(self, number: int) -> int:
        """Return an unsigned byte; 0 when absent."""
        return self._scalar(number, _U8, 0) or 0

    def boolean(self, number: int) -> bool:
        """Return a flag; False when absent."""
        return self.u8(number) != 0

    def u16(self, number: int) -> int:
        """Return 16 bits; 0 when absent."""
        return self._scalar(number, _U16, 0) or 0

    def optional_u16(self, number: int) -> int | None:
        """Return 16 bits; None when absent."""
        return self._scalar(number, _U16, None)

    def u32(self, number: int) -> int:
        """Return 32 bits; 0 when absent."""
        return self._scalar(number, _U32, 0) or 0

    def u64(self, number: int) -> int:
        """Return 64 bits; 0 when absent."""
        return self._scalar(number, _U64, 0) or 0

    def i64(self, number: int) -> int:
        """Return 64 bits with a sign; 0 when absent."""
        return self._scalar(number, _I64, 0) or 0

    def _target(self, number: int) -> int | None:
        if not self.has(number):
            return None
        at = self._at + self._slots[number]
        if at + 4 > len(self._reader.data):
            raise _damaged("an offset lies outside it", at)
        return self._reader.target(at)

    def optional_blob(self, number: int) -> bytes | None:
        """Return a vector of bytes; None when absent."""
        at = self._target(number)
        if at is None:
            return None
        start, count = self._reader.vector(at, 1)
        return bytes(self._reader.data[start : start + count])

    def blob(self, number: int) -> bytes:
        """Return a vector of bytes that must be there."""
        return self._required(self.optional_blob(number), number)

    def optional_text(self, number: int) -> str | None:
        """Return a string; None when absent."""
        found = self.optional_blob(number)
        if found is None:
            return None
        try:
            return found.decode("utf-8")
        except UnicodeDecodeError as fault:
            raise _damaged("a string is not UTF-8", self._at) from fault

    def text(self, number: int) -> str:
        """Return a string that must be there."""
        return self._required(self.optional_text(number), number)

    def optional_table(self, number: int) -> FlatView | None:
        """Return a table; None when absent."""
        at = self._target(number)
        return None if at is None else FlatView(self._reader, at)

    def table(self, number: int) -> FlatView:
        """Return a table that must be there."""
        return self._required(self.optional_table(number), number)

    def optional_tables(self, number: int) -> list[FlatView] | None:
        """Return a vector of tables; None when absent."""
        at = self._target(number)
        if at is None:
            return None
        reader = self._reader
        start, count = reader.vector(at, 4)
        return [FlatView(reader, reader.target(start + 4 * element)) for element in range(count)]

    def tables(self, number: int) -> list[FlatView]:
        """Return a vector of tables that must be there."""
        return self._required(self.optional_tables(number), number)

    def u32s(self, number: int) -> tuple[int, ...]:
        """Return a vector of 32-bit numbers; empty when absent."""
        at = self._target(number)
        if at is None:
            return ()
        start, count = self._reader.vector(at, 4)
        return Struct(f"<{count}I").unpack_from(self._reader.data, start)

    def _required(self, value: _T | None, number: int) -> _T:
        if value is None:
            raise _damaged(f"field {number}, which is required, is absent", self._at)
        return value


_Child: TypeAlias = "FlatTable | bytes | str | list[FlatTable] | tuple[int, ...]"


class FlatTable:
    """A table to be written. Setters return the table; a number equal to the default is left out.

    A child given as None is left out.
    """

    __slots__ = ("_children", "_scalars")

    def __init__(self) -> None:
        self._scalars: list[tuple[int, Struct, int]] = []
        self._children: list[tuple[int, _Child]] = []

    def u8(self, number: int, value: int) -> FlatTable:
        return self._set(number, _U8, value)

    def u16(self, number: int, value: int) -> FlatTable:
        return self._set(number, _U16, value)

    def u32(self, number: int, value: int) -> FlatTable:
        return self._set(number, _U32, value)

    def u64(self, number: int, value: int) -> FlatTable:
        return self._set(number, _U64, value)

    def i64(self, number: int, value: int) -> FlatTable:
        return self._set(number, _I64, value)

    def optional_u16(self, number: int, value: int | None) -> FlatTable:
        if value is not None:
            self._scalars.append((number, _U16, value))
        return self

    def _set(self, number: int, form: Struct, value: int) -> FlatTable:
        if value:
            self._scalars.append((number, form, value))
        return self

    def blob(self, number: int, value: bytes | None) -> FlatTable:
        return self._put(number, value)

    def text(self, number: int, value: str | None) -> FlatTable:
        return self._put(number, value)

    def table(self, number: int, value: FlatTable | None) -> FlatTable:
        return self._put(number, value)

    def tables(self, number: int, values: Iterable[FlatTable]) -> FlatTable:
        return self._put(number, list(values))

    def u32s(self, number: int, values: Iterable[int]) -> FlatTable:
        return self._put(number, tuple(values))

    def _put(self, number: int, value: _Child | None) -> FlatTable:
        if value is not None:
            self._children.append((number, value))
        return self

    def write(self, out: bytearray, vtables: dict[bytes, int]) -> int:
        """Append this table and all below it; return where it starts."""
        fields = [(form.size, number, form, value) for number, form, value in self._scalars]
        fields += [(4, number, _U32, 0) for number, _ in self._children]
        fields.sort(key=lambda field: (-field[0], field[1]))
        slots = [0] * (1 + max((field[1] for field in fields), default=-1))
        inline = bytearray(4)
        for _size, number, form, value in fields:
            slots[number] = len(inline)
            inline += form.pack(value)
        vtable = Struct(f"<{2 + len(slots)}H").pack(4 + 2 * len(slots), len(inline), *slots)
        vtable_at = vtables.get(vtable)
        if vtable_at is None:
            out.extend(bytes(len(out) % 2))
            vtable_at = vtables[vtable] = len(out)
            out.extend(vtable)
        # Eight-byte fields come first in the table, after its four bytes of offset.
        wide = bool(fields) and fields[0][0] == 8
        _pad(out, 8 if wide else 4, 4 if wide else 0)
        at = len(out)
        out.extend(inline)
        _I32.pack_into(out, at, at - vtable_at)
        for number, child in self._children:
            slot = at + slots[number]
            _U32.pack_into(out, slot, _write_child(child, out, vtables) - slot)
        return at


def _write_child(child: _Child, out: bytearray, vtables: dict[bytes, int]) -> int:
    if isinstance(child, FlatTable):
        return child.write(out, vtables)
    _pad(out, 4, 0)
    at = len(out)
    if isinstance(child, str | bytes):
        raw = child.encode() if isinstance(child, str) else child
        out.extend(_U32.pack(len(raw)))
        out.extend(raw)
        if isinstance(child, str):
            out.append(0)
    elif isinstance(child, tuple):
        out.extend(Struct(f"<{1 + len(child)}I").pack(len(child), *child))
    else:
        out.extend(_U32.pack(len(child)))
        out.extend(bytes(4 * len(child)))
        for number, table in enumerate(child, 1):
            slot = at + 4 * number
            _U32.pack_into(out, slot, table.write(out, vtables) - slot)
    return at


def _pad(out: bytearray, multiple: int, remainder: int) -> None:
    out.extend(bytes((remainder - len(out)) % multiple))


def finish(root: FlatTable) -> bytes:
    """Return the buffer whose root table is `root`.

    Raises struct.error for a number that its field cannot hold: callers check theirs before.
    """
    out = bytearray(4)
    at = root.write(out, {})
    _U32.pack_into(out, 0, at)
    return bytes(out)
