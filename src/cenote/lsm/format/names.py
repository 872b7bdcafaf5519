"""The names of a database's objects, below its root, and the boundary files' one number.

Owns: ids to names and back. Does not own: the root, where objects are.

    manifest/<20 digits>.manifest         1, 2, 3, ... each written once
    compactions/<20 digits>.compactions   1, 2, 3, ...
    wal/<20 digits>.sst                   1, 2, 3, ...; an object of no bytes is a fence
    compacted/<ULID>.sst                  tables of level 0 and of sorted runs
    gc/manifest.boundary                  the least manifest id that may still be written, as text
    gc/compactions.boundary

A boundary file holds a decimal u64 in ASCII, white space around it ignored; every id up to it may
have been deleted, so none of them may be written again. No file: 0.

Invariants:
1. `parse_name(name_of(x)) == x`, and a name that is not canonical parses to None: listings hold
   foreign objects, which are nobody's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cenote.errors import DataError, InvalidError
from cenote.lsm.format.ids import parse_ulid

__all__ = [
    "FileKind",
    "FileName",
    "boundary_name",
    "compactions_name",
    "decode_boundary",
    "encode_boundary",
    "manifest_name",
    "parse_name",
    "table_name",
    "wal_name",
]

_U64_MAX: Final = 2**64 - 1


class FileKind(StrEnum):
    """A kind of numbered or named object; the value is its folder."""

    MANIFEST = "manifest"
    COMPACTIONS = "compactions"
    WAL = "wal"
    TABLE = "compacted"


_ENDS: Final = {
    FileKind.MANIFEST: "manifest",
    FileKind.COMPACTIONS: "compactions",
    FileKind.WAL: "sst",
    FileKind.TABLE: "sst",
}
_NAME: Final = re.compile(r"([a-z]+)/([0-9A-Z]+)\.([a-z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileName:
    """What a name says: the kind, and the id (a number, or a table's ULID)."""

    kind: FileKind
    id: int | str


def _numbered(kind: FileKind, number: int) -> str:
    if not 0 < number <= _U64_MAX:
        raise InvalidError(f"{number} is not the number of a file", kind="file_number")
    return f"{kind.value}/{number:020d}.{_ENDS[kind]}"


def manifest_name(number: int) -> str:
    """Return the name of a manifest. Raises InvalidError unless 0 < number < 2**64."""
    return _numbered(FileKind.MANIFEST, number)


def compactions_name(number: int) -> str:
    """Return the name of a compactions file. Raises InvalidError unless 0 < number < 2**64."""
    return _numbered(FileKind.COMPACTIONS, number)


def wal_name(number: int) -> str:
    """Return the name of a log file. Raises InvalidError unless 0 < number < 2**64."""
    return _numbered(FileKind.WAL, number)


def table_name(ulid: str) -> str:
    """Return the name of a table file. Raises DataError when `ulid` is not one."""
    parse_ulid(ulid)
    return f"{FileKind.TABLE.value}/{ulid}.sst"


def boundary_name(kind: FileKind) -> str:
    """Return the name of the boundary file of manifests or of compactions files."""
    if kind not in (FileKind.MANIFEST, FileKind.COMPACTIONS):
        raise InvalidError(f"{kind.value} has no boundary", kind="file_kind")
    return f"gc/{kind.value}.boundary"


def parse_name(name: str) -> FileName | None:
    """Return what a name below the root says, or None when it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in set(FileKind):
        return None
    kind = FileKind(found[1])
    if found[3] != _ENDS[kind]:
        return None
    if kind is FileKind.TABLE:
        try:
            parse_ulid(found[2])
        except DataError:
            return None
        return FileName(kind, found[2])
    if len(found[2]) != 20 or not found[2].isdecimal() or not 0 < int(found[2]) <= _U64_MAX:
        return None
    return FileName(kind, int(found[2]))


def encode_boundary(number: int) -> bytes:
    """Return the bytes of a boundary file."""
    if not 0 <= number <= _U64_MAX:
        raise InvalidError(f"{number} is not a boundary", kind="file_number")
    return b"%d" % number


def decode_boundary(data: bytes) -> int:
    """Return the number in a boundary file. Raises DataError."""
    text = data[:64].strip()
    if len(data) > 64 or not text.isdigit() or int(text) > _U64_MAX:
        raise DataError("a boundary file does not hold a number", kind="boundary")
    return int(text)
