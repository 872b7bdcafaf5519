"""The bytes of a compaction's inputs, fetched when they are wanted, or before.

Owns: one request ahead for each source, where threads are given for it.
Does not own: which bytes are wanted (`source`).

Over a network a compaction would spend most of its time waiting for one range after the other. With
a range of each source on its way while others are merged, it waits for the slowest only.

Invariants:
1. A range is fetched once, whether ahead or not, and its error is raised when it is asked for.
2. At most one range is ahead.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future

from cenote.errors import DataError, InvalidError
from cenote.objstore import ObjectStore

__all__ = ["Fetcher"]

_Range = tuple[str, int, int]


class Fetcher:
    """Fetches ranges of a store for one reader. Not thread-safe."""

    def __init__(self, store: ObjectStore, threads: Executor | None = None) -> None:
        self._store = store
        self._threads = threads
        self._ahead: tuple[_Range, Future[bytes]] | None = None
        self.bytes_read = 0

    def get(self, path: str, start: int, end: int) -> bytes:
        """Return a range. Raises DataError for a shorter object, and what the store raises."""
        ahead, self._ahead = self._ahead, None
        try:
            if ahead is not None and ahead[0] == (path, start, end):
                data = ahead[1].result()
            else:
                data = self._store.get_range(path, start, end)
        except InvalidError as error:
            raise DataError(
                f"{path} is shorter than the manifest says", kind="truncated"
            ) from error
        if len(data) != end - start:
            raise DataError(f"{path} gave too few bytes", kind="truncated")
        self.bytes_read += len(data)
        return data

    @property
    def looks_ahead(self) -> bool:
        """Whether `prepare` does anything."""
        return self._threads is not None

    def prepare(self, path: str, start: int, end: int) -> None:
        """Fetch the range that will be wanted next, where there are threads for it."""
        if self._threads is not None:
            future = self._threads.submit(self._store.get_range, path, start, end)
            self._ahead = ((path, start, end), future)
