"""A table file made piece by piece, for tables that are too long to hold whole.

Owns: the end of a file, from what is remembered of its blocks; compression on the way.
Does not own: cutting rows into blocks (`kernels`), the sections' payloads and the layout (`sst`
tells), storing the pieces.

Invariants:
1. The pieces, one after the other, are the very bytes that `encode_sst` makes of the same rows.
2. What is held: the open block; of each block its index key, end and counts; of each row 8 bytes
   for each filter; and the pieces that nobody took yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cenote.errors import InvalidError
from cenote.lsm.entry import Row
from cenote.lsm.format import kernels
from cenote.lsm.format.block import RowCounts
from cenote.lsm.format.codec import Codec
from cenote.lsm.format.filter import Bloom, BloomBuilder, BloomPolicy, encode_filters
from cenote.lsm.format.info import SstInfo
from cenote.lsm.format.section import encode_section
from cenote.lsm.format.sst import VERSION, SstLayout, frame_end, sum_counts
from cenote.lsm.format.stats import SstStats, encode_stats

__all__ = ["BuiltSst", "SstBuilder", "fits_kernels"]

_COMPRESSED_AT_ONCE: Final = 2**18


@dataclass(frozen=True, slots=True)
class BuiltSst:
    """What a manifest repeats of a finished table, and its size in bytes."""

    info: SstInfo
    size: int
    rows: int
    version: int = VERSION


def fits_kernels(layout: SstLayout) -> bool:
    """Tell whether tables of a layout can be made without looking at rows one by one."""
    return all(_is_plain(policy) for policy in layout.filters)


def _is_plain(policy: BloomPolicy) -> bool:
    return policy.prefix_of is None and policy.whole_keys


class SstBuilder:
    """Takes the rows of one table, gives its bytes. Not thread-safe.

    Use: `add` batches, `take` the bytes now and then, `finish`, `take` the rest. `writer` cuts the
    blocks; where `fits_kernels` says so, rows may be given to it directly.
    """

    __slots__ = (
        "_blooms",
        "_layout",
        "_offset",
        "_offsets",
        "_pieces",
        "_ready",
        "_seen",
        "writer",
    )

    def __init__(self, layout: SstLayout | None = None) -> None:
        self._layout = layout = layout or SstLayout()
        # Policies over anything but whole keys need the rows: the writer keeps only keys' hashes.
        self._blooms = [None if _is_plain(p) else BloomBuilder(p) for p in layout.filters]
        hashed = False
        for policy in layout.filters:
            policy.check()
            hashed = hashed or _is_plain(policy)
        self.writer = kernels.BlockWriter(
            layout.block_size, framed=layout.codec is Codec.NONE, hashed=hashed
        )
        self._pieces: list[bytes] = []
        self._ready = 0
        self._offsets: list[int] = []  # of the blocks that were compressed
        self._offset = 0  # where the next of them begins
        self._seen = 0  # bytes of plain blocks that were compressed

    @property
    def rows(self) -> int:
        """How many rows were added."""
        return self.writer.rows

    @property
    def size(self) -> int:
        """How many bytes of blocks there are so far; what is not compressed yet counts as it is."""
        return self._offset + self.writer.size - self._seen

    @property
    def ready(self) -> int:
        """How many bytes `take` would return."""
        return self._ready + (self.writer.ready if self._layout.codec is Codec.NONE else 0)

    @property
    def last_key(self) -> bytes | None:
        """The key of the last row added; None before the first."""
        return self.writer.last_key

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows, which follow those added before in a table's order.

        Raises InvalidError when they do not, or one of them cannot be written: then the builder is
        of no further use. Cost: 0.2 us a row with compiled kernels; else 2, and 6 for a filter.
        """
        self.writer.add(rows)
        for bloom in self._blooms:
            if bloom is not None:
                bloom.add(rows)
        self.pack()

    def add_chains(self, chains: Mapping[bytes, Any]) -> None:
        """Append every version in a memtable's dictionary of chains, which nobody changes.

        Requires: `fits_kernels`. Raises as `add`.
        """
        self.writer.add_chains(chains)
        self.pack()

    def pack(self) -> None:
        """Compress what is ready, when it is enough. For those who give rows to `writer`."""
        if self._layout.codec is not Codec.NONE and self.writer.ready >= _COMPRESSED_AT_ONCE:
            self._compress()

    def _compress(self) -> None:
        start = self._seen
        ends = self.writer.ends(len(self._offsets))
        data = self.writer.take()
        base = start
        for end in ends:
            section = encode_section(data[start - base : end - base], self._layout.codec)
            self._offsets.append(self._offset)
            self._pieces.append(section)
            self._offset += len(section)
            self._ready += len(section)
            start = end
        self._seen = start

    def take(self) -> list[bytes]:
        """Return the pieces made since the last time, in order, and forget them."""
        if self._layout.codec is Codec.NONE and self.writer.ready:
            self._pieces.append(self.writer.take())
        pieces, self._pieces, self._ready = self._pieces, [], 0
        return pieces

    def finish(self) -> BuiltSst:
        """Make the end of the file; `take` returns the last pieces.

        Raises InvalidError when no row was added.
        """
        writer, layout = self.writer, self._layout
        if not writer.rows:
            raise InvalidError("a table has at least one row", kind="row_order")
        writer.close()
        plain = layout.codec is Codec.NONE
        if plain:
            size = writer.size
            offsets = [0, *writer.ends()[:-1]]
        else:
            self._compress()
            size, offsets = self._offset, self._offsets
        first, last, key_bytes, value_bytes = writer.entries()
        counts = [RowCounts(*each) for each in writer.counts()]
        end, info = frame_end(
            offsets,
            writer.first_keys(),
            size,
            layout.codec,
            first_entry=first,
            last_entry=last,
            filters=self._filters(),
            stats=encode_stats(SstStats(sum_counts(counts), key_bytes, value_bytes, tuple(counts))),
        )
        tail = b"".join(end)
        self._pieces.append(writer.take(tail) if plain else tail)
        return BuiltSst(info, size + len(tail), writer.rows)

    def _filters(self) -> bytes:
        layout, rows = self._layout, self.writer.rows
        if not layout.filters or rows < layout.filter_rows_min:
            return b""
        filters = []
        for policy, bloom in zip(layout.filters, self._blooms, strict=True):
            if bloom is None:
                size, probes = policy.measure(rows)
                filters.append((policy.name, Bloom(probes, self.writer.bloom(size, probes))))
            else:
                filters.append((policy.name, bloom.finish()))
        return encode_filters(filters)
