"""The bodies port: how bytes are taken in before a commit and read after it.

Invariants:
1. A writer's `finish` returns only when the bytes are durable, or are small enough to travel in
   the commit itself. What is never committed is given back to the disk.
2. A `BodyLease` keeps a body's bytes readable, whatever is deleted meanwhile, until it is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol

from msgspec import Struct

from cenote.ports.records import ObjectRecord, StagedBody

__all__ = ["Bodies", "BodyLease", "BodyWriter", "FileSlice"]


class FileSlice(Struct, frozen=True):
    """`size` bytes at `offset` of the open file `fd`, for sendfile and pread."""

    fd: int
    offset: int
    size: int


class BodyWriter(Protocol):
    """Takes one body in. Not thread-safe; may be handed from thread to thread."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Raises InvalidError(kind="incomplete_body") past the announced size."""
        ...

    def finish(self) -> StagedBody:
        """Make the bytes durable and return the staged body with its digests.

        Raises InvalidError(kind="incomplete_body") if fewer bytes came than announced.
        """
        ...

    def abort(self) -> None:
        """Give the space back. Harmless after `finish` failed, and when repeated."""
        ...


class BodyLease(Protocol):
    """A body held open for reading."""

    @property
    def size(self) -> int: ...

    def slices(self, start: int, end: int) -> Sequence[FileSlice | bytes]:
        """Return where the bytes start <= i < end are: file runs, or inline bytes."""
        ...

    def chunks(self, start: int, end: int, chunk_size: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes start <= i < end in pieces of at most `chunk_size`."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> BodyLease: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Bodies(Protocol):
    """One bucket's bytes."""

    @property
    def inline_max(self) -> int:
        """Bodies of at most this many bytes travel in the commit itself; staging one is quick."""
        ...

    def writer(self, size: int, algorithms: Sequence[str] = ()) -> BodyWriter:
        """Open a writer for a body of exactly `size` bytes.

        MD5 is always computed, and each of `algorithms` (CRC32, CRC32C, CRC64NVME, SHA1, SHA256).
        """
        ...

    def stage(self, data: bytes, algorithms: Sequence[str] = ()) -> StagedBody:
        """Stage a body that is at hand: what `writer` gives for it, without the steps between.

        Requires: at most `inline_max` bytes. Does not wait for a disk up to 64 KiB.
        """
        ...

    def discard(self, staged: StagedBody) -> None:
        """Give back a staged body that will not be committed."""
        ...

    def lease(self, key: str) -> tuple[ObjectRecord, BodyLease] | None:
        """Look up the object at `key` and hold its body: (ObjectRecord, lease), or None.

        The record and the bytes belong together whatever is written meanwhile.
        """
        ...
