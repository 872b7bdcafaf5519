"""Reading log files ahead: the next ones are on their way while one is replayed.

Owns: the threads that fetch, for as long as the replay lasts.
Does not own: what a file is read into, or what happens when one is missing.

Why not an executor: its queue is none of `threading`'s locks, which a simulation has in its hands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cenote.lsm.entry import Row

__all__ = ["read_ahead"]

_AT_ONCE: Final = 8


def read_ahead(read: Callable[[int], list[Row]], numbers: Sequence[int]) -> Iterator[list[Row]]:
    """Yield what `read` returns of each number, in order. Raises what it raises.

    Requires: `read` may be called from several threads. Memory: some files.
    """
    if len(numbers) < 2:
        yield from map(read, numbers)
        return
    ahead = _Ahead(read, numbers)
    try:
        for at in range(len(numbers)):
            yield ahead.take(at)
    finally:
        ahead.end()


class _Ahead:
    """Files by their place in `numbers`: those that were read, and are not taken yet."""

    def __init__(self, read: Callable[[int], list[Row]], numbers: Sequence[int]) -> None:
        self._read = read
        self._numbers = numbers
        self._changed = threading.Condition()
        self._begun = 0
        self._taken = 0
        self._found: dict[int, list[Row] | BaseException] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"cenote-replay-{n}", daemon=True)
            for n in range(min(len(numbers), _AT_ONCE))
        ]
        for thread in self._threads:
            thread.start()

    def take(self, at: int) -> list[Row]:
        """Return the rows of a file, when it is there. Raises what reading it raised."""
        with self._changed:
            self._changed.wait_for(lambda: at in self._found)
            found = self._found.pop(at)
            self._taken = at + 1
            self._changed.notify_all()
        if isinstance(found, BaseException):
            raise found
        return found

    def end(self) -> None:
        """Begin no more, and wait for those that are on their way."""
        with self._changed:
            self._begun = len(self._numbers)
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (at := self._next()) is not None:
            found: list[Row] | BaseException
            try:
                found = self._read(self._numbers[at])
            except BaseException as error:  # noqa: BLE001 - raised again by who takes it
                found = error
            with self._changed:
                self._found[at] = found
                self._changed.notify_all()

    def _next(self) -> int | None:
        """Return the place of the next file to read, when there is room for it; None at the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._begun - self._taken < _AT_ONCE or self._begun >= len(self._numbers)
            )
            if self._begun >= len(self._numbers):
                return None
            self._begun += 1
            return self._begun - 1
