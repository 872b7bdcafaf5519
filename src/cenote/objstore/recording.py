"""A store that counts what is asked of it.

Owns: the counts and the list.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cenote.errors import Error
from cenote.objstore.api import ObjectStore
from cenote.objstore.around import AroundStore, Call, bytes_read

__all__ = ["RecordingStore", "Request"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: what was called, bytes out and in, and the kind of its error, or None."""

    op: str
    path: str
    sent: int
    received: int
    error: str | None = None


class RecordingStore(AroundStore):
    """Counts requests by kind, and bytes; lists the requests when `keeps_list` is set."""

    def __init__(self, inner: ObjectStore, *, keeps_list: bool = True) -> None:
        super().__init__(inner)
        self._lock = threading.Lock()
        self._keeps_list = keeps_list
        self._requests: list[Request] = []
        self._counts: Counter[str] = Counter()
        self._sent = self._received = 0

    @property
    def requests(self) -> list[Request]:
        """The requests so far, in the order they ended."""
        with self._lock:
            return list(self._requests)

    @property
    def counts(self) -> dict[str, int]:
        """How many requests of each kind ended, whatever their end."""
        with self._lock:
            return dict(self._counts)

    @property
    def sent(self) -> int:
        """Bytes of objects sent."""
        return self._sent

    @property
    def received(self) -> int:
        """Bytes of objects received."""
        return self._received

    def reset(self) -> None:
        """Forget all that was recorded."""
        with self._lock:
            self._requests.clear()
            self._counts.clear()
            self._sent = self._received = 0

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        try:
            result = run()
        except Error as error:
            self._note(call, None, error.kind)
            raise
        self._note(call, result, None)
        return result

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await run()
        except Error as error:
            self._note(call, None, error.kind)
            raise
        self._note(call, result, None)
        return result

    def _note(self, call: Call, result: object, error: str | None) -> None:
        received = bytes_read(result)
        with self._lock:
            self._counts[call.op] += 1
            self._sent += call.sends
            self._received += received
            if self._keeps_list:
                self._requests.append(Request(call.op, call.path, call.sends, received, error))
