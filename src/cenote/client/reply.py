"""A reply: status, headers, and a body read as it comes.

Owns: reading a body with flat memory, and telling when it was cut short.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from types import TracebackType

from cenote.errors import UnavailableError

__all__ = ["Reply"]

BODY_IN_MEMORY_MAX = 64 << 20
CHUNK_SIZE = 1 << 20


class Reply:
    """The server's answer. Close it (or leave its `with`) to free the connection."""

    def __init__(
        self,
        response: http.client.HTTPResponse,
        connection: http.client.HTTPConnection,
        give_back: Callable[[http.client.HTTPConnection], None],
    ) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._response = response
        self._connection = connection
        self._give_back = give_back
        self._closed = False

    @property
    def size(self) -> int | None:
        """The announced size of the body in bytes, or None."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isdecimal() else None

    def chunks(self, size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Yield the body in pieces of at most `size` bytes.

        Raises: UnavailableError when the connection ends before the body does.
        """
        try:
            while data := self._response.read(size):
                yield data
            # http.client counts down what was announced, and ends quietly when cut short.
            if self._response.length:
                raise http.client.IncompleteRead(b"", self._response.length)
        except (OSError, http.client.HTTPException) as error:
            raise UnavailableError(f"the body was cut short: {error}", kind="cut_short") from error

    def read(self, size_max: int = BODY_IN_MEMORY_MAX) -> bytes:
        """Return the whole body. Raises: UnavailableError past `size_max` bytes or cut short."""
        parts, total = [], 0
        for data in self.chunks():
            total += len(data)
            if total > size_max:
                raise UnavailableError(f"the reply is larger than {size_max} bytes")
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        """Keep the connection if the body was read to the end, else drop it."""
        if self._closed:
            return
        self._closed = True
        done = self._response.isclosed() or self._response.length == 0
        alive = done and not self._response.will_close
        self._response.close()
        if alive:
            self._give_back(self._connection)
        else:
            self._connection.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
