"""A table file on its way into a store.

Owns: one file of a compaction's output: built, sent in pieces, or dropped.
Does not own: which rows it holds.

Invariants:
1. No file is seen before `finish` returns; a name is never used twice.
2. Held are at most a piece and what the builder holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cenote.lsm.entry import Row
from cenote.lsm.format import SstBuilder, SstHandle, SstLayout
from cenote.lsm.format.kernels import BlockWriter
from cenote.objstore import MultipartWriter, ObjectStore

__all__ = ["OutputTable"]

_PIECE_SIZE: Final = 8 * 2**20


class OutputTable:
    """A table file that is being made at `path`. Not thread-safe."""

    def __init__(self, store: ObjectStore, path: str, sst_id: str, layout: SstLayout) -> None:
        self._store = store
        self._path = path
        self._sst_id = sst_id
        self._builder = SstBuilder(layout)
        self._writer: MultipartWriter | None = None

    @property
    def size(self) -> int:
        """About how many bytes its blocks have so far."""
        return self._builder.size

    def add(self, rows: Sequence[Row]) -> None:
        """Append rows, in a table's order. Raises as `SstBuilder.add` and a store's writes do."""
        self._builder.add(rows)
        self.send()

    @property
    def writer(self) -> BlockWriter:
        """What takes rows from a kernel; then `send` is to be called now and then."""
        return self._builder.writer

    def send(self) -> None:
        """Send what is ready, when it is enough. Raises as a store's writes do."""
        self._builder.pack()
        if self._builder.ready >= _PIECE_SIZE:
            if self._writer is None:
                self._writer = self._store.multipart(self._path)
            self._writer.write(b"".join(self._builder.take()))

    def finish(self) -> SstHandle:
        """Make the file. Raises as a store's writes do; then it may be there, and nobody's."""
        built = self._builder.finish()
        rest = b"".join(self._builder.take())
        if self._writer is None:
            self._store.put(self._path, rest)
        else:
            self._writer.write(rest)
            self._writer.finish()
        return SstHandle(self._sst_id, built.info, built.version)

    def abort(self) -> None:
        """Drop it. Raises as a store's writes do."""
        if self._writer is not None:
            self._writer.abort()
