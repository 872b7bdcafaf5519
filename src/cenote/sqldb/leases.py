"""Reading a body while others may delete it.

Owns: the two `BodyLease`s: of bytes in memory, and of runs in packs and inline values.
Does not own: what protects the runs (`pins`).

Invariants:
1. A reader whose lease the writer does not know (`stands`) looks at the index after it has read:
   who deletes commits first and then gives the bytes back, so what still stands was whole.
2. A lease holds at most `PIECE` bytes of a body in memory at a time, or `EAGER_MAX` for its life.
3. What it took, a pin and descriptors, is given back by `close`, once.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self, overload

import apsw

from cenote.errors import ClosedError, DataError, InvalidError, UnavailableError
from cenote.ports import FileSlice
from cenote.sqldb.faults import translate
from cenote.sqldb.packfile import PackFile
from cenote.sqldb.packs import Packs
from cenote.sqldb.pool import Pool, Reader
from cenote.sqldb.runs import Run

__all__ = ["MemoryLease", "RunsLease"]

PIECE: Final = 1 << 20


def _check_range(start: int, end: int, size: int) -> None:
    if not 0 <= start <= end <= size:
        raise InvalidError(f"range {start}..{end} of {size} bytes", kind="invalid_range", size=size)


class _Lease:
    """What a context manager needs; a lease adds `close`."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class MemoryLease(_Lease):
    """A body small enough to be in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def slices(self, start: int, end: int) -> Sequence[FileSlice | bytes]:
        _check_range(start, end, len(self._data))
        return (self._data[start:end],) if start < end else ()

    def chunks(self, start: int, end: int, chunk_size: int = PIECE) -> Iterator[bytes]:
        _check_range(start, end, len(self._data))
        for at in range(start, end, chunk_size):
            yield self._data[at : min(at + chunk_size, end)]

    def close(self) -> None:
        pass


class RunsLease(_Lease):
    """A body in runs. Not thread-safe; may be handed from thread to thread."""

    def __init__(
        self,
        runs: tuple[Run, ...],
        packs: Packs,
        pool: Pool,
        leave: Callable[[], None],
        stands: Callable[[Run], bool] | None = None,
    ) -> None:
        """`stands` tells whether a run is still where it was; None: nothing can move it."""
        self._stands = stands
        self._runs = runs
        self._packs = packs
        self._pool = pool
        self._files: dict[int, PackFile] = {}
        self._blob: tuple[int, Reader, apsw.Blob] | None = None
        self._cleanup = ExitStack()
        self._cleanup.callback(leave)
        self._starts: list[int] = []
        size = 0
        for run in runs:
            self._starts.append(size)
            size += run.size
        self._size = size
        self._closed = False

    @property
    def size(self) -> int:
        return self._size

    def slices(self, start: int, end: int) -> Sequence[FileSlice | bytes]:
        """See `ports.BodyLease`. Inline values come in pieces that are read when asked for."""
        return _Slices(self, self._pieces(start, end, PIECE))

    def chunks(self, start: int, end: int, chunk_size: int = PIECE) -> Iterator[bytes]:
        for run, low, high in self._pieces(start, end, None):
            for at in range(low, high, chunk_size):
                yield self._read(run, at, min(at + chunk_size, high))

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._close_blob()
            for pack in self._files.values():
                self._packs.unuse(pack)
            self._cleanup.close()

    def _pieces(self, start: int, end: int, inline: int | None) -> list[tuple[Run, int, int]]:
        """Return (run, from, to) for a range, ranges within runs; cut inline ones at `inline`."""
        if self._closed:
            raise ClosedError("the lease is closed")
        _check_range(start, end, self._size)
        pieces: list[tuple[Run, int, int]] = []
        index = max(bisect_right(self._starts, start) - 1, 0)
        while start < end:
            run, base = self._runs[index], self._starts[index]
            low, high = start - base, min(end - base, run.size)
            whole = inline is None or (run.pack and self._stands is None)
            step = high - low if whole or inline is None else inline
            pieces += [(run, at, min(at + step, high)) for at in range(low, high, step)]
            start = base + high
            index += 1
        return pieces

    def _slice(self, run: Run, low: int, high: int) -> FileSlice | bytes:
        if self._closed:
            raise ClosedError("the lease is closed")
        if not run.pack or self._stands is not None:
            return self._read(run, low, high)
        return FileSlice(self._file(run.pack).fd, run.offset + low, high - low)

    def _file(self, number: int) -> PackFile:
        pack = self._files.get(number)
        if pack is None:
            pack = self._files[number] = self._packs.use(number)
        return pack

    def _read(self, run: Run, low: int, high: int) -> bytes:
        if self._closed:
            raise ClosedError("the lease is closed")
        try:
            if run.pack:
                data = os.pread(self._file(run.pack).fd, high - low, run.offset + low)
                while data and len(data) < high - low:
                    at = low + len(data)
                    more = os.pread(self._file(run.pack).fd, high - at, run.offset + at)
                    if not more:
                        break
                    data += more
            else:
                blob = self._open_blob(run.body)
                blob.seek(low)
                data = blob.read(high - low)
        except (OSError, apsw.Error) as error:
            raise translate(error, "reading a body") from error
        if len(data) != high - low:
            self._require_standing(run)
            raise DataError(f"body {run.body} is shorter than its index says", kind="short_body")
        self._require_standing(run)
        return data

    def _require_standing(self, run: Run) -> None:
        if run.pack and self._stands is not None and not self._stands(run):
            raise UnavailableError(
                "the object was deleted, replaced or moved while it was read",
                kind="busy",
                hint="read it again",
            )

    def _open_blob(self, body: int) -> apsw.Blob:
        # Kept open: to reopen at an offset walks the value's pages from its start.
        if self._blob is not None:
            if self._blob[0] == body:
                return self._blob[2]
            self._close_blob()
        reader = self._pool.acquire()
        try:
            blob = reader.connection.blob_open("main", "body", "value", body, False)
        except BaseException:
            self._pool.release(reader)
            raise
        self._blob = (body, reader, blob)
        return blob

    def _close_blob(self) -> None:
        if self._blob is not None:
            _, reader, blob = self._blob
            self._blob = None
            blob.close()
            self._pool.release(reader)


class _Slices(Sequence[FileSlice | bytes]):
    """Slices made when they are asked for, so that inline pieces need no memory together."""

    def __init__(self, lease: RunsLease, pieces: list[tuple[Run, int, int]]) -> None:
        self._lease = lease
        self._pieces = pieces

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> FileSlice | bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[FileSlice | bytes]: ...

    def __getitem__(self, index: int | slice) -> FileSlice | bytes | Sequence[FileSlice | bytes]:
        if isinstance(index, slice):
            return _Slices(self._lease, self._pieces[index])
        return self._lease._slice(*self._pieces[index])
