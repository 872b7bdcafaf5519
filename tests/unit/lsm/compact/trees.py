"""Trees of small tables for the compaction's tests, and what can be seen in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cenote.base import ManualClock, SeededRand
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.compact.source import InputTable
from cenote.lsm.format import SstHandle, SstLayout, UlidMint, encode_sst, open_sst
from cenote.lsm.merge import fold_versions
from cenote.objstore import ObjectStore

NOW_MS = 1_000_000


class Commas:
    """Operands joined by commas: associative, and every operand shows."""

    name = "commas"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join([*(() if existing is None else (existing,)), *operands])


MINT = UlidMint(ManualClock(), SeededRand(3))


def table(
    store: ObjectStore, rows: Iterable[Row], layout: SstLayout | None = None, root: str = "t"
) -> InputTable:
    """Store a table of these rows."""
    made, ulid = encode_sst(sorted(rows, key=row_order), layout), MINT.mint()
    path = f"{root}/{ulid}.sst"
    store.put(path, made.data)
    return InputTable(path, SstHandle(ulid, made.info, made.version))


def rows_at(store: ObjectStore, path: str) -> list[Row]:
    return list(open_sst(store.get(path).data).rows())


def seen(rows: Iterable[Row], seq: int, now_ms: int = NOW_MS) -> dict[bytes, bytes]:
    """Return what a reader at `seq` sees of rows in any order."""
    versions: dict[bytes, list[Row]] = {}
    for row in sorted(rows, key=row_order):
        if row[2] <= seq:
            versions.setdefault(row[0], []).append(row)
    found = {}
    for key, each in versions.items():
        row = fold_versions(each, lambda: now_ms, Commas())
        if row is not None:
            found[key] = row[1]
    return found


def put(key: bytes, value: bytes, seq: int, expire: int | None = None) -> Row:
    return key, value, seq, PUT, seq, expire


def operand(key: bytes, value: bytes, seq: int, expire: int | None = None) -> Row:
    return key, value, seq, MERGE, seq, expire


def tombstone(key: bytes, seq: int) -> Row:
    return key, b"", seq, TOMBSTONE, seq, None
