"""Output of any length: lines gathered, so that a scan is not a system call a row.

Owns: the buffer before standard output.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, BinaryIO, Final

import msgspec

__all__ = ["Sheet"]

_FULL: Final = 1 << 16


class Sheet:
    """Writes lines to standard output. A context manager, which flushes at its end.

    With `prompt` a line is out when `line` returns, for output somebody waits for.
    """

    def __init__(self, *, prompt: bool = False) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._limit = 0 if prompt else _FULL

    def line(self, data: bytes | str) -> None:
        """Write a line, its end added."""
        self.put((data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data), True)

    def json(self, value: Any) -> None:
        """Write a value as a line of JSON."""
        self.put(msgspec.json.encode(value), True)

    def put(self, data: bytes, ends: bool = False) -> None:
        """Write bytes, and a line's end if `ends`."""
        self._lines.append(data)
        if ends:
            self._lines.append(b"\n")
        self._size += len(data) + 1
        if self._size > self._limit:
            self.flush()

    def flush(self) -> None:
        """See that all is out."""
        output: BinaryIO = sys.stdout.buffer
        output.write(b"".join(self._lines))
        output.flush()
        self._lines.clear()
        self._size = 0

    def __enter__(self) -> Sheet:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What came before an error was found is true, and shown.
        if kind is not BrokenPipeError:
            self.flush()
