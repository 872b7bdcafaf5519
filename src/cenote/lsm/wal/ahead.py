"""Reading log files ahead: the next ones are on their way while one is replayed.

Owns: the threads that fetch, for as long as the replay lasts.
Does not own: what a file is read into, or what happens when one is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
    with ThreadPoolExecutor(min(len(numbers), _AT_ONCE), "cenote-replay") as pool:
        coming: deque[Future[list[Row]]] = deque()
        try:
            for number in numbers:
                coming.append(pool.submit(read, number))
                if len(coming) == _AT_ONCE:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for each in coming:
                each.cancel()
