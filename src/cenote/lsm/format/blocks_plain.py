"""Rows in the order of a table to blocks, block by block.

Owns: what must be remembered of the blocks for the table's end.
Does not own: how a block is cut (`kernels_plain`), the end itself (`builder`).

Invariants:
1. The blocks are those that `encode_blocks` makes of all rows at once, wherever the rows are
   divided among calls.
2. With `framed` each block is followed by the checksum of a section, so that the bytes are those of
   a file that is not compressed; without, they are the blocks' payloads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

from cenote.errors import InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format.kernels_plain import OpenBlock, bloom_build, encode_blocks, siphash13
from cenote.lsm.keys import separator

__all__ = ["BlockWriter", "encode_log"]


def encode_log(rows: Sequence[Row], block_size: int) -> tuple[bytes, list[int], list[bytes]]:
    """Cut the rows of a log file, by rising numbers, into blocks with their checksums.

    Returns their bytes, where each block ends, and the u64 BE number of each one's first row.
    Raises InvalidError for rows that are not in order or cannot be written. Cost: 1 us a row.
    """
    if any(a[2] > b[2] for a, b in pairwise(rows)):
        raise InvalidError("the rows of a log file are not in order", kind="row_order")
    pieces: list[bytes] = []
    ends: list[int] = []
    firsts: list[bytes] = []
    size = at = 0
    for payload, _, _, counts in encode_blocks(rows, block_size):
        pieces += (payload, crc32(payload).to_bytes(4, "big"))
        size += len(payload) + 4
        ends.append(size)
        firsts.append(rows[at][2].to_bytes(8, "big"))
        at += sum(counts)
    return b"".join(pieces), ends, firsts


class BlockWriter:
    """Takes the rows of one table, gives its blocks. Not thread-safe.

    After an error it is of no further use. With `hashed` the keys' hashes are kept for `bloom`.
    """

    __slots__ = (
        "_counts",
        "_ends",
        "_entries",
        "_first_keys",
        "_framed",
        "_hashes",
        "_last",
        "_last_seq",
        "_open",
        "_pieces",
        "_taken",
        "ready",
        "rows",
    )

    def __init__(self, block_size: int, *, framed: bool, hashed: bool) -> None:
        if not 0 < block_size <= 65536:
            raise InvalidError("a block holds 1 to 65536 bytes", kind="block_size", size=block_size)
        self._open = OpenBlock(block_size)
        self._framed = framed
        self._hashes: list[int] | None = [] if hashed else None
        self._pieces: list[bytes] = []
        self._ends: list[int] = []
        self._first_keys: list[bytes] = []
        self._counts: list[tuple[int, int, int]] = []
        self._entries: tuple[bytes, bytes, int, int] = (b"", b"", 0, 0)
        self._last = b""  # key of the last closed block
        self._last_seq = 0
        self._taken = 0
        self.ready = 0
        self.rows = 0

    @property
    def size(self) -> int:
        """How many bytes the blocks have so far, those that were taken and the open one's rows."""
        return self._taken + self.ready + self._open.size

    @property
    def last_key(self) -> bytes | None:
        """The key of the last row; None before the first."""
        return self._open.last if self.rows else None

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows, which follow those before in a table's order.

        Raises InvalidError when they do not, or one of them cannot be written. Cost: 1 us a row.
        """
        if not rows:
            return
        self._check_order(rows)
        first, _, key_bytes, value_bytes = self._entries
        self._open.add(rows)
        self._entries = (
            first if self.rows else rows[0][0],
            rows[-1][0],
            key_bytes + sum([len(row[0]) for row in rows]),
            value_bytes + sum([len(row[1]) for row in rows]),
        )
        self.rows += len(rows)
        self._last_seq = rows[-1][2]
        if self._hashes is not None:
            self._hashes += [siphash13(row[0]) for row in rows]
        self._collect()

    def _check_order(self, rows: Sequence[Row]) -> None:
        if self.rows:
            key, seq = self._open.last, self._last_seq
        elif not rows[0][0]:
            raise InvalidError("a key must have at least one byte", kind="empty_key")
        else:
            key, seq = b"", 0
        for row in rows:
            if row[0] <= key and (row[0] < key or row[2] >= seq):
                raise InvalidError("the rows of a table are not in order", kind="row_order")
            key, seq = row[0], row[2]

    def _collect(self) -> None:
        closed = self._open.closed
        for payload, first, last, counts in closed:
            self._first_keys.append(separator(self._last, first) if self._first_keys else b"")
            self._last = last
            self._pieces.append(payload)
            self.ready += len(payload)
            if self._framed:
                self._pieces.append(crc32(payload).to_bytes(4, "big"))
                self.ready += 4
            self._ends.append(self._taken + self.ready)
            self._counts.append(counts)
        closed.clear()

    def add_chains(self, chains: Mapping[bytes, Any]) -> None:
        """Append all versions of all keys of a dictionary of chains, which nobody changes.

        Raises as `add`.
        """
        rows: list[Row] = []
        for key in sorted(chains):
            chain = chains[key]
            while chain is not None:
                seq, kind, value, create_ts, expire_ts, chain = chain
                rows.append((key, value, seq, kind, create_ts, expire_ts))
        self.add(rows)

    def close(self) -> None:
        """End the open block."""
        self._open.close()
        self._collect()

    def take(self, tail: bytes = b"") -> bytes:
        """Return the bytes of the closed blocks since the last time, and `tail` behind them."""
        data = b"".join((*self._pieces, tail))
        self._taken += self.ready
        self.ready = 0
        self._pieces = []
        return data

    def ends(self, since: int = 0) -> list[int]:
        """Return where each closed block but the first `since` ends, in the bytes of all blocks."""
        return self._ends[since:]

    def first_keys(self) -> list[bytes]:
        """Return the index key of each closed block."""
        return self._first_keys

    def counts(self) -> list[tuple[int, int, int]]:
        """Return how many puts, tombstones and merges each closed block has."""
        return list(self._counts)

    def entries(self) -> tuple[bytes, bytes, int, int]:
        """Return the first and the last key, the bytes of all keys and of all values."""
        return self._entries

    def bloom(self, size: int, probes: int) -> bytes:
        """Return the bits of a bloom filter over the keys of all rows, `size` bytes."""
        return bloom_build(self._hashes or (), size, probes)
