"""A store that keeps what it read of objects that never change in a folder on a local disk.

Owns: the folder, what is kept in it, which parts go first.
Does not own: which paths are immutable; the caller says.

Each part is a file of the folder, named `OBJECT-START-END-CRC.part`: 32 hexadecimal digits of the
SHA-256 of the object's path, the range of its bytes, their CRC-32. The parts of an object do not
overlap. A read is answered from the parts that cover it; what is missing is fetched as one range,
and kept in parts of up to `PART_SIZE`. Nothing is synced: a part that a crash spoiled does not
match its checksum.

Invariants:
1. The parts never take more than the budget; the least recently used go.
2. A part is used only when its checksum matches; one that does not is deleted, and fetched anew.
3. A disk that fails or is full makes reads slower, never wrong and never an error.
4. A path that is not immutable is never answered from here. A write or delete by way of this store
   forgets its path.

Why many small files and not one large one: whoever cleans up disks can delete any of them.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from cenote.errors import InvalidError
from cenote.objstore.api import ObjectStore, check_range
from cenote.objstore.around import AroundStore, Call

__all__ = ["PART_SIZE", "PartCachingStore", "PartFolder"]

T = TypeVar("T")

PART_SIZE: Final = 256 * 1024

_PART: Final = ".part"
_TEMPORARY: Final = ".part.tmp"
_NAME: Final = re.compile(r"([0-9a-f]{32})-(\d+)-(\d+)-([0-9a-f]{8})\.part")

Span = tuple[int, int]


class PartFolder:
    """Parts of objects in a folder. Thread-safe. For one process: each counts its own parts."""

    def __init__(self, folder: Path, budget: int) -> None:
        """Take what an earlier one left. Raises InvalidError(kind="invalid_folder")."""
        self._folder = folder
        self._budget = budget
        self._mutex = threading.Lock()
        self._numbers = count()
        self._size = 0
        # By object: its parts, rising. By object and start: end and checksum, least used first.
        self._spans: dict[str, list[Span]] = {}
        self._parts: OrderedDict[tuple[str, int], tuple[int, str]] = OrderedDict()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._load()
        except OSError as error:
            raise InvalidError(
                f"the folder {folder} cannot keep parts of objects: {error.strerror}",
                kind="invalid_folder",
            ) from error

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def find(self, path: str, start: int, end: int) -> tuple[bytes, bytes, Span]:
        """Return what is kept of a range from its start on, what up to its end, and the rest.

        The rest is the range between the two, empty when nothing is missing.
        """
        name = _name_of(path)
        head: list[bytes] = []
        low = start
        while low < end and (part := self._part_at(name, low)) is not None:
            first, data = part
            head.append(data[low - first : end - first])
            low += len(head[-1])
        tail: list[bytes] = []
        high = end
        while high > low and (part := self._part_at(name, high - 1)) is not None:
            first, data = part
            tail.append(data[max(low - first, 0) : high - first])
            high -= len(tail[-1])
        return b"".join(head), b"".join(reversed(tail)), (low, high)

    def keep(self, path: str, start: int, data: bytes) -> None:
        """Keep the bytes of an object from `start` on, as far as they are not kept yet."""
        name = _name_of(path)
        for at in range(start, start + len(data), PART_SIZE):
            part = data[at - start : at - start + PART_SIZE]
            end, crc = at + len(part), f"{crc32(part):08x}"
            number = next(self._numbers)
            temporary = self._folder / f"{os.getpid()}-{id(self):x}-{number}{_TEMPORARY}"
            try:
                temporary.write_bytes(part)
                with self._mutex:
                    if self._add(name, at, end, crc):
                        temporary.replace(self._file(name, at, end, crc))
                temporary.unlink(missing_ok=True)
            except OSError:
                with self._mutex:
                    self._drop(name, at)
                return

    def forget(self, path: str) -> None:
        """Keep nothing of an object."""
        name = _name_of(path)
        with self._mutex:
            for start, _ in list(self._spans.get(name, ())):
                self._drop(name, start)

    def _part_at(self, name: str, at: int) -> tuple[int, bytes] | None:
        """Return the start and the bytes of the part that holds the byte at `at`, or None."""
        with self._mutex:
            spans = self._spans.get(name, [])
            number = bisect_right(spans, (at, 2**64)) - 1
            if number < 0 or spans[number][1] <= at:
                return None
            start, end = spans[number]
            crc = self._parts[name, start][1]
            self._parts.move_to_end((name, start))
        try:
            data = self._file(name, start, end, crc).read_bytes()
        except OSError:
            data = b""
        if len(data) == end - start and f"{crc32(data):08x}" == crc:
            return start, data
        with self._mutex:
            if self._parts.get((name, start)) == (end, crc):
                self._drop(name, start)
        return None

    def _add(self, name: str, start: int, end: int, crc: str) -> bool:
        """Note a part; False when it overlaps another, or there is no room. Holds the mutex."""
        size = end - start
        spans = self._spans.get(name, [])
        after = bisect_right(spans, (start, 2**64))
        if (
            size > self._budget
            or (after and spans[after - 1][1] > start)
            or (after < len(spans) and spans[after][0] < end)
        ):
            return False
        while self._size + size > self._budget:
            self._drop(*next(iter(self._parts)))
        insort(self._spans.setdefault(name, []), (start, end))
        self._parts[name, start] = (end, crc)
        self._size += size
        return True

    def _drop(self, name: str, start: int) -> None:
        """Delete a part, if there is one. Holds the mutex."""
        kept = self._parts.pop((name, start), None)
        if kept is None:
            return
        end, crc = kept
        self._size -= end - start
        spans = self._spans[name]
        spans.remove((start, end))
        if not spans:
            del self._spans[name]
        # What cannot be deleted now is found by the next one, or has gone already.
        with suppress(OSError):
            self._file(name, start, end, crc).unlink()

    def _file(self, name: str, start: int, end: int, crc: str) -> Path:
        return self._folder / f"{name}-{start}-{end}-{crc}{_PART}"

    def _load(self) -> None:
        """Take what is in the folder, the least recently written first."""
        found: list[tuple[float, str, int, int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(_TEMPORARY):
                    Path(entry.path).unlink(missing_ok=True)
                told = _NAME.fullmatch(entry.name)
                if told is not None:
                    name, start, end, crc = told.groups()
                    changed = entry.stat().st_mtime
                    found.append((changed, name, int(start), int(end), crc))
        for _, name, start, end, crc in sorted(found):
            if not (start < end and self._add(name, start, end, crc)):
                self._file(name, start, end, crc).unlink(missing_ok=True)


class PartCachingStore(AroundStore):
    """Keeps parts of the objects at paths of which `is_immutable` holds."""

    def __init__(
        self, inner: ObjectStore, parts: PartFolder, *, is_immutable: Callable[[str], bool]
    ) -> None:
        super().__init__(inner)
        self.parts = parts
        self._is_immutable = is_immutable

    def get_range(self, path: str, start: int, end: int) -> bytes:
        return self.get_ranges(path, [(start, end)])[0]

    async def get_range_async(self, path: str, start: int, end: int) -> bytes:
        return (await self.get_ranges_async(path, [(start, end)]))[0]

    def get_ranges(self, path: str, ranges: Sequence[Span]) -> Sequence[bytes]:
        if not self._is_immutable(path):
            return self.inner.get_ranges(path, ranges)
        places, missing = self._find(path, ranges)
        if len(missing) == 1:
            fetched: Sequence[bytes] = [self.inner.get_range(path, *missing[0])]
        else:
            fetched = self.inner.get_ranges(path, missing) if missing else ()
        return self._whole(path, places, fetched)

    async def get_ranges_async(self, path: str, ranges: Sequence[Span]) -> Sequence[bytes]:
        if not self._is_immutable(path):
            return await self.inner.get_ranges_async(path, ranges)
        places, missing = self._find(path, ranges)
        if len(missing) == 1:
            fetched: Sequence[bytes] = [await self.inner.get_range_async(path, *missing[0])]
        else:
            fetched = await self.inner.get_ranges_async(path, missing) if missing else ()
        return self._whole(path, places, fetched)

    def delete_many(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.parts.forget(path)
        self.inner.delete_many(paths)

    def _find(
        self, path: str, ranges: Sequence[Span]
    ) -> tuple[list[tuple[bytes, bytes, Span]], list[Span]]:
        """Return what is kept of each range, and what is missing of all of them."""
        for start, end in ranges:
            check_range(path, start, end)
        places = [self.parts.find(path, start, end) for start, end in ranges]
        return places, [span for _, _, span in places if span[0] < span[1]]

    def _whole(
        self, path: str, places: Sequence[tuple[bytes, bytes, Span]], fetched: Sequence[bytes]
    ) -> list[bytes]:
        """Put what was kept and what was fetched together, and keep the latter."""
        pieces = iter(fetched)
        found: list[bytes] = []
        for head, tail, (low, high) in places:
            if low == high:
                found.append(head)
                continue
            piece = next(pieces)
            self.parts.keep(path, low, piece)
            found.append(head + piece + tail)
        return found

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if not call.is_write:
            return run()
        try:
            return run()
        finally:
            self.parts.forget(call.path)

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()


def _name_of(path: str) -> str:
    # What is no path is refused by the store below.
    return sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:32]
