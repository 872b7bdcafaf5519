"""Damage whose checksum was made good again: what a bug in a writer, or malice, could leave.

Method: take a golden file, overwrite some bytes of one section, compute its checksum anew, read
everything. Whatever comes, it is a value or a DataError, within a second.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest

from cenote.errors import DataError
from cenote.lsm.format import (
    FOOTER_SIZE,
    decode_compactions,
    decode_footer,
    decode_manifest,
    decode_wal,
    open_sst,
)

NAMES = (
    *("0.10.0-plain", "0.17.0-codec-none", "0.17.0-codec-snappy", "0.17.0-codec-zlib"),
    *("0.17.0-codec-lz4", "0.17.0-codec-zstd", "0.17.0-segments"),
)
BYTES = (0, 1, 127, 128, 255)


def read_table(data: bytes) -> None:
    sst = open_sst(data)
    for row in sst.rows():
        sst.find(row[0])
        break
    sst.filters()
    sst.stats()
    sst.check()


def payloads(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the bytes under each checksum of a table or log are."""
    sst = open_sst(data)
    info = sst.info
    footer = decode_footer(data[-FOOTER_SIZE:], len(data))
    yield footer.start, footer.end - 4
    yield info.index_offset, info.index_offset + info.index_size - 4
    if info.filter_size:
        yield info.filter_offset, info.filter_offset + info.filter_size - 4
    if info.stats_size:
        yield info.stats_offset, info.stats_offset + info.stats_size - 4
    for start, end in zip(
        sst.index.offsets, (*sst.index.offsets[1:], info.data_size), strict=False
    ):
        yield start, end - 4


def decoder(path: Path) -> Callable[[bytes], object] | None:
    match path.parent.name:
        case "compacted":
            return read_table
        case "wal":
            return decode_wal
        case "manifest":
            return decode_manifest
        case "compactions":
            return decode_compactions
    return None


def check(golden: Callable[[str], Path], seed: int, cases: int) -> None:
    chance = random.Random(seed)
    files = [
        (path.read_bytes(), decode)
        for name in NAMES
        for path in sorted(golden(name).rglob("*.*"))
        if (decode := decoder(path)) and path.stat().st_size
    ]
    for _ in range(cases):
        data, decode = chance.choice(files)
        damaged = bytearray(data)
        framed = decode in (read_table, decode_wal)
        start, end = chance.choice(list(payloads(data))) if framed else (2, len(data))
        for _ in range(chance.randint(1, 4)):
            if start < end:
                damaged[chance.randrange(start, end)] = chance.choice(BYTES)
        if framed:
            damaged[end : end + 4] = crc32(damaged[start:end]).to_bytes(4, "big")
        try:
            decode(bytes(damaged))
        except DataError:
            continue
        except Exception as fault:
            raise AssertionError(f"seed {seed}: {fault!r}") from fault


def test_a_few(golden: Callable[[str], Path]) -> None:
    check(golden, 1, 1500)


@pytest.mark.slow
def test_many(golden: Callable[[str], Path]) -> None:
    check(golden, int.from_bytes(os.urandom(4), "big"), 60_000)
