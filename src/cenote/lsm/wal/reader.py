"""The change feed: rows of the log in the order they became durable.

Owns: where to begin, going on from file to file, noticing that files are gone.
Does not own: a file's bytes (`format.wal`), how long the log is kept (`cenote.lsm.gc`).

The log is kept until its rows are in table files, and for the collector's least age after; who
reads more slowly than that meets a gap, and learns of it. A database without a log has no changes
to read.

Invariants:
1. Every row above the beginning is given once, in the order of sequence numbers, and the rows of a
   batch together.
2. A row is never left out in silence: DataError(kind="gap") instead.
3. A change feed writes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

from cenote.base import Clock
from cenote.errors import DataError, InvalidError, NotFoundError
from cenote.lsm.entry import Row
from cenote.lsm.wal.files import WalFiles

__all__ = ["AsyncChanges", "Change", "Changes"]

_WAIT_MIN_S: Final = 0.02
_WAIT_MAX_S: Final = 2.0


class Change(NamedTuple):
    """A row of the log; `kind` is PUT, TOMBSTONE or MERGE. `wal` is the number of its file."""

    key: bytes
    value: bytes
    seq: int
    kind: int
    create_ts: int | None
    expire_ts: int | None
    wal: int


class Changes:
    """The changes of a database, a log file at a time. Not thread-safe.

    Iterating ends with what is there by now, and may be done again later. `position` is the number
    of the last file that was read whole: pass it as `after_wal` to go on in another process.
    """

    def __init__(
        self,
        files: WalFiles,
        *,
        after_wal: int | None = None,
        after_seq: int | None = None,
        clock: Clock,
    ) -> None:
        """Begin after a log file, or after a sequence number; at the oldest file by default.

        Raises InvalidError (both given; kind "invalid_position" for a file that is not there yet),
        DataError(kind="gap") when changes after the beginning are gone, UnavailableError.
        Cost: a listing; for a sequence number, a read of about log2 of the files.
        """
        if after_wal is not None and after_seq is not None:
            raise InvalidError("begin after a file or after a sequence number, not after both")
        self._files = files
        self._clock = clock
        self.closed = False
        self._above = -1 if after_seq is None else after_seq
        listed = files.listed()
        numbers = [number for number, _ in listed]
        if after_seq is not None:
            self.position = self._find(after_seq, [n for n, meta in listed if meta.size], numbers)
        elif after_wal is None:
            self.position = _last_part(numbers) - 1
        else:
            self.position = self._checked(after_wal, numbers)

    def _checked(self, after: int, numbers: list[int]) -> int:
        last = numbers[-1] if numbers else 0
        if not 0 <= after <= last:
            raise InvalidError(
                f"there is no log file {after}; the last one is {last}", kind="invalid_position"
            )
        if after < last and after + 1 not in numbers:
            raise _gap(after + 1)
        return after

    def _find(self, seq: int, files: list[int], numbers: list[int]) -> int:
        """Return the number before the file that holds the first row above `seq`."""
        low, high = 0, len(files)  # files[:low] begin at or below seq, files[high:] above it
        while low < high:
            middle = (low + high) // 2
            if self._first_seq(files[middle]) <= seq:
                low = middle + 1
            else:
                high = middle
        if low:
            return files[low - 1] - 1
        if not files:
            return _last_part(numbers) - 1
        # All rows lie above: none is missing when they begin right after, or at the very start.
        is_whole = numbers[: files[0]] == list(range(1, files[0] + 1))
        if not is_whole and self._first_seq(files[0]) > seq + 1:
            raise DataError(
                f"changes after {seq} are gone: the log begins at {self._first_seq(files[0])}",
                kind="gap",
                hint="read the database, then its changes from there on",
            )
        return files[0] - 1

    def _first_seq(self, number: int) -> int:
        rows = self._read(number)
        return rows[0][2] if rows else 0

    def _read(self, number: int) -> list[Row]:
        try:
            return self._files.read(number)
        except NotFoundError as error:
            raise _gap(number) from error

    def next_batch(self) -> list[Change]:
        """Return the changes of the next log file that has any; [] when there is none yet.

        Raises DataError(kind="gap") when files were collected before they were read; then, and
        after any other error, it may be asked again. Cost: a listing, and a read.
        """
        return next(self.batches(), [])

    def batches(self) -> Iterator[list[Change]]:
        """Iterate over the changes file by file, to the end of what is there."""
        while not self.closed:
            begun = self.position
            for number, meta in self._files.listed(begun):
                if number != self.position + 1:
                    raise _gap(self.position + 1)
                rows = self._read(number) if meta.size else []
                self.position = number
                found = [Change(*row, number) for row in rows if row[2] > self._above]
                if found:
                    yield found
            if self.position == begun:
                return

    def __iter__(self) -> Iterator[Change]:
        for batch in self.batches():
            yield from batch

    def follow(self, timeout_ms: int | None = None) -> Iterator[Change]:
        """Iterate without an end: wait for changes, as long as they come within `timeout_ms`.

        It looks soon after something came, and less and less often while nothing does; `close`,
        from another thread, ends it.
        """
        wait = _WAIT_MIN_S
        waited = 0.0
        while not self.closed:
            found = False
            for change in self:
                found = True
                yield change
            wait, waited = (_WAIT_MIN_S, 0.0) if found else (min(wait * 2, _WAIT_MAX_S), waited)
            if timeout_ms is not None:
                if waited * 1000 >= timeout_ms:
                    return
                wait = min(wait, timeout_ms / 1000 - waited)
            if not self.closed:
                self._clock.sleep(wait)
                waited += wait

    def close(self) -> None:
        """Read no more. Harmless when repeated; may be called from another thread."""
        self.closed = True


class AsyncChanges:
    """As `Changes`, for an event loop: it reads in a thread, a file at a time."""

    def __init__(self, changes: Changes, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock

    @property
    def position(self) -> int:
        """The number of the last file that was read whole."""
        return self._changes.position

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._changes.closed

    async def next_batch(self) -> list[Change]:
        """As `Changes.next_batch`."""
        from asyncio import to_thread

        return await to_thread(self._changes.next_batch)

    async def batches(self) -> AsyncIterator[list[Change]]:
        """As `Changes.batches`."""
        while batch := await self.next_batch():
            yield batch

    async def __aiter__(self) -> AsyncIterator[Change]:
        async for batch in self.batches():
            for change in batch:
                yield change

    async def follow(self, timeout_ms: int | None = None) -> AsyncIterator[Change]:
        """As `Changes.follow`. Cancellation ends it."""
        wait, waited = _WAIT_MIN_S, 0.0
        while not self._changes.closed:
            batch = await self.next_batch()
            for change in batch:
                yield change
            if batch:
                wait, waited = _WAIT_MIN_S, 0.0
                continue
            if timeout_ms is not None:
                if waited * 1000 >= timeout_ms:
                    return
                wait = min(wait, timeout_ms / 1000 - waited)
            await self._clock.sleep_async(wait)
            waited += wait
            wait = min(wait * 2, _WAIT_MAX_S)

    def close(self) -> None:
        """Read no more. Harmless when repeated."""
        self._changes.close()


def _last_part(numbers: list[int]) -> int:
    """Return the number from which on none is missing; old fences stay where files are gone."""
    if not numbers:
        return 1
    first = numbers[-1]
    for number in reversed(numbers):
        if number < first - 1:
            break
        first = number
    return first


def _gap(number: int) -> DataError:
    return DataError(
        f"log file {number} was collected before it was read",
        kind="gap",
        hint="read the database, then its changes from there on",
        number=number,
    )
