"""Several sources merged by a compiled kernel, which takes blocks as they are in the files.

Owns: feeding the kernel. Does not own: the merge itself (`format.kernels.Scanner`), reverse scans
and files of version 1 (`window`).

Invariants:
1. What the sources need next is fetched together, as far as it is known.
2. After an error or a seek the kernel is thrown away, and begins again behind the last row that was
   returned; what was fetched is kept.
3. Damage found by the kernel is told with the file and the block, as everywhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from cenote.errors import DataError
from cenote.lsm.cursor import MemtableCursor, key_of
from cenote.lsm.entry import Row
from cenote.lsm.format import SEQ_MAX, Codec
from cenote.lsm.format.kernels import DONE, Scanner
from cenote.lsm.merge import fold_versions
from cenote.lsm.meta import Meta
from cenote.lsm.plan import Fetch, Plan
from cenote.lsm.run_walk import RunWalk
from cenote.lsm.table import DecodedBlock, Table, fetch_checked

if TYPE_CHECKING:
    from cenote.lsm.memtable import Memtable
    from cenote.lsm.options import Reading
    from cenote.lsm.tables import Slot

__all__ = ["FedMerge"]

# The first rows are to come soon, the later ones cheaply.
_ROWS_FIRST: Final = 128
_ROWS_MAX: Final = 1024
_ROWS_A_BLOCK: Final = 32  # about so many there are
_BLOCKS_MAX: Final = 64


class _RunFeed(RunWalk):
    """Gives the blocks of a run to a kernel, some at a time."""

    __slots__ = ("_began", "_fed", "_now")

    def __init__(
        self, slots: Sequence[Slot], start: bytes, end: bytes | None, read: Reading
    ) -> None:
        super().__init__(slots, start, end, read, False)
        self._began = False
        self._now = 1
        # What was given last, to tell what is damaged: file bytes, or the plain bytes of blocks.
        self._fed: tuple[Table, Meta, range, bytes | list[bytes]] | None = None

    def begin(self, start: bytes, wanted: int) -> None:
        """Stand where the first row at or above `start` may be; `wanted` rows are asked for."""
        if self.move(start) or self._began:  # a kernel may have been thrown away
            self.place()
        self._began = True
        self._now = min(1 + wanted // _ROWS_A_BLOCK, _BLOCKS_MAX)
        self._fed = None

    def feed(self, scanner: Scanner, number: int) -> Fetch | None:
        """Give the kernel's source the next blocks, or its end; or return what to fetch first."""
        while True:
            missing = self.enter()
            if missing is not None:
                return missing
            meta = self.meta
            if meta is None:
                scanner.end(number)
                return None
            if self.blocks:
                table = self.slots[self.at_slot].table
                fed, missing = self._feed_from(scanner, number, table, meta)
                if missing is not None:
                    return missing
                self.leave()
                if fed:
                    return None
            else:
                self.leave()

    def _feed_from(
        self, scanner: Scanner, number: int, table: Table, meta: Meta
    ) -> tuple[bool, Fetch | None]:
        """Give the next blocks of a table; tell whether there were rows, or what to fetch."""
        first = self.blocks.start
        kept = self.kept(table, first)
        owner, chunk_first, chunk_stop, data = self._chunk
        at_hand = owner is table and chunk_first <= first < chunk_stop
        if isinstance(kept, DecodedBlock) or self._is_clipped(table):
            return self._feed_rows(scanner, number, table, meta, kept)
        count, self._now = self._now, min(self._now * 2, _BLOCKS_MAX)
        if kept is None and at_hand and not self.keep and table.info.codec is Codec.NONE:
            stop = min(self.blocks.stop, chunk_stop, first + count)
            base = meta.offsets[chunk_first]
            start = meta.offsets[first]
            if (first, stop) != (chunk_first, chunk_stop):
                data = data[start - base : meta.offsets[stop] - base]
            ends = [offset - start for offset in meta.offsets[first + 1 : stop + 1]]
            self._fed = (table, meta, range(first, stop), data)
            scanner.feed(number, data, ends, True)
        else:
            payloads = self._payloads(table, meta, kept, count)
            if not payloads:
                return False, self.fetch(table, meta)
            stop = first + len(payloads)
            self._fed = (table, meta, range(first, stop), payloads)
            data = payloads[0] if len(payloads) == 1 else b"".join(payloads)
            scanner.feed(number, data, list(accumulate(map(len, payloads))), False)
        self.blocks = self.blocks[stop - first :]
        return True, None

    def _payloads(self, table: Table, meta: Meta, kept: bytes | None, count: int) -> list[bytes]:
        """Return the plain bytes of up to `count` next blocks, as far as they are at hand."""
        payloads: list[bytes] = []
        for at in self.blocks[:count]:
            block = kept if kept is not None and not payloads else self.kept(table, at)
            if isinstance(block, DecodedBlock):
                break
            if block is None:
                block = self.fetched(table, meta, at)
                if block is None:
                    break
            payloads.append(block)
        return payloads

    def _feed_rows(
        self,
        scanner: Scanner,
        number: int,
        table: Table,
        meta: Meta,
        kept: DecodedBlock | bytes | None,
    ) -> tuple[bool, Fetch | None]:
        """Give the rows of one block: of a table that is seen in part, or decoded already."""
        at = self.blocks[0]
        block = self.fetched(table, meta, at) if kept is None else kept
        if block is None:
            return False, self.fetch(table, meta)
        rows = block.rows if isinstance(block, DecodedBlock) else table.rows(meta, at, block)
        self.blocks = self.blocks[1:]
        start, end = self.bounds()
        first = bisect_left(rows, start, key=key_of)
        last = len(rows) if end is None else bisect_left(rows, end, key=key_of)
        if first or last < len(rows):
            rows = rows[first:last]
        if rows:
            self._fed = None
            scanner.feed_rows(number, rows)
        return bool(rows), None

    def _is_clipped(self, table: Table) -> bool:
        """Tell whether less than all of the table is seen, whatever the scan's range is."""
        low, stop, _ = self.slots[self.at_slot]
        last = table.info.last_entry
        return low != (table.info.first_entry or b"") or stop != (
            None if last is None else last + b"\0"
        )

    def blame(self) -> None:
        """Raise the DataError of the block that is damaged, if it is among those given last."""
        if self._fed is None:
            return
        table, meta, numbers, given = self._fed
        for number in numbers:
            if isinstance(given, list):
                payload = given[number - numbers.start]
            else:
                start = meta.offsets[numbers.start]
                payload = table.unpack(meta, number, given, start, keep=False)
            table.rows(meta, number, payload)


class _MemtableFeed:
    """Gives the rows of a memtable to a kernel, some at a time."""

    __slots__ = ("_cursor", "_end", "_memtable", "_read")

    def __init__(self, memtable: Memtable, end: bytes | None, read: Reading) -> None:
        self._memtable = memtable
        self._end = end
        self._read = read

    def begin(self, start: bytes, wanted: int) -> None:
        self._cursor = MemtableCursor(self._memtable, start, self._end, self._read, False)

    def feed(self, scanner: Scanner, number: int) -> Fetch | None:
        cursor = self._cursor
        cursor.prepare()
        if cursor.at == cursor.until:
            scanner.end(number)
        else:
            scanner.feed_rows(number, cursor.rows)
            cursor.at = cursor.until
        return None

    def take(self, data: Sequence[bytes]) -> None:
        raise AssertionError("a memtable asks for nothing")

    def blame(self) -> None:
        pass


class FedMerge:
    """What is seen of the keys in a range, rising, from memtables and runs, the newest first."""

    __slots__ = ("_end", "_feeds", "_last", "_limit", "_pairs", "_read", "_scanner", "_start")

    def __init__(
        self,
        memtables: Sequence[Memtable],
        layers: Sequence[Sequence[Slot]],
        start: bytes,
        end: bytes | None,
        read: Reading,
        pairs: bool = False,
    ) -> None:
        """With `pairs`, keys and values come instead of rows."""
        feeds: list[_RunFeed | _MemtableFeed] = [
            _MemtableFeed(memtable, end, read)
            for memtable in memtables
            # What comes into an empty one is newer than the moment that is read.
            if memtable.chains or read.seq_max is None
        ]
        feeds += [_RunFeed(slots, start, end, read) for slots in layers]
        self._feeds = feeds
        self._read = read
        self._start, self._end = start, end
        self._last: bytes | None = None  # the last key returned
        self._limit = _ROWS_FIRST
        self._pairs = pairs
        self._scanner: Scanner | None = None

    def next_rows(self, wanted: int = 0) -> Plan[list[Any]]:
        """Return the next rows; none at the end.

        `wanted`: so many if there are, else as many as come easily.
        """
        rows: list[Any] = []
        whole = False
        try:
            yield from self._gather(rows, wanted)
            whole = True
        finally:
            if not whole:  # what was gathered is lost, and comes again
                self._scanner = None
        if rows:
            self._last = rows[-1][0]
            self._limit = min(self._limit * 2, _ROWS_MAX)
        return rows

    def _gather(self, rows: list[Any], wanted: int) -> Plan[None]:
        scanner = self._scanner
        if scanner is None:
            scanner = self._begin(wanted)
        limit = wanted or self._limit
        while True:
            wanting = scanner.wants()
            while wanting:
                missing = [
                    (number, self._feeds[number].feed(scanner, number)) for number in wanting
                ]
                fetches = [(number, fetch) for number, fetch in missing if fetch is not None]
                if not fetches:
                    break
                found = yield from fetch_checked([fetch for _, fetch in fetches])
                for (number, _), data in zip(fetches, found, strict=True):
                    self._feeds[number].take(data)
                wanting = [number for number, _ in fetches]
            found, told = self._run(scanner, limit - len(rows))
            rows += found
            if told == DONE or len(rows) >= limit or (rows and not wanted):
                return

    def seek(self, key: bytes) -> None:
        """Go on at `key`, which lies ahead of the last row returned."""
        self._start = key
        self._last = None
        self._scanner = None

    def _begin(self, wanted: int) -> Scanner:
        read = self._read
        start = self._start if self._last is None else self._last + b"\0"
        share = wanted // max(len(self._feeds), 1)
        for feed in self._feeds:
            feed.begin(start, share)

        def fold(versions: list[Row]) -> Row | None:
            return fold_versions(versions, read.now_ms, read.operator)

        self._scanner = Scanner(
            [(start, self._end)] * len(self._feeds),
            seq_max=SEQ_MAX if read.seq_max is None else read.seq_max,
            now_ms=read.now_ms(),
            pairs=self._pairs,
            fold=fold,
        )
        return self._scanner

    def _run(self, scanner: Scanner, limit: int) -> tuple[list[Any], int]:
        try:
            return scanner.run(limit)
        except DataError:
            for feed in self._feeds:
                feed.blame()
            raise
