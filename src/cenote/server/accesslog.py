"""The access log: one line per request, in the combined format or as JSON.

Owns: the two forms and the file they go to. Lines gather and are written once a second and at the
end, so that the cost is a string per request and not a system call.

Invariants:
1. What came from a client cannot break or forge a line: targets are raw bytes, escaped.
2. Query values that carry signatures are not logged.
"""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec
from msgspec import Struct

__all__ = ["AccessEntry", "AccessLog"]

_SECRET = re.compile(rb"(?i)((?:x-amz-(?:signature|security-token)|(?<![^?&])signature)=)[^&]*")
_UNSAFE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
_FLUSH_AT = 512


class AccessEntry(Struct, frozen=True):
    """One request that is over. `duration_ms` to the last byte handed to the kernel."""

    time_ms: int
    peer: str
    access_key: str | None
    method: str
    target: str
    operation: str
    status: int
    code: str | None
    bytes_in: int
    bytes_out: int
    duration_ms: float
    request_id: str
    agent: str


def shown_target(path: bytes, query: bytes) -> str:
    """Return the target as it may be logged: signatures cut, odd bytes escaped."""
    raw = path + b"?" + _SECRET.sub(rb"\1-", query) if query else path
    return _safe(raw.decode("latin-1"))


def _safe(text: str) -> str:
    return _UNSAFE.sub(lambda m: f"\\x{ord(m.group()):02x}", text)


class AccessLog:
    """Writes entries to a file, or to standard error when `path` is None."""

    def __init__(self, style: str, path: str | None) -> None:
        self._json = style == "json"
        self._file: TextIO = (
            sys.stderr if path is None else open(path, "a", encoding="utf-8")  # noqa: PTH123, SIM115
        )
        self._owned = path is not None
        self._encode = msgspec.json.Encoder().encode
        self._lines: list[str] = []

    def write(self, entry: AccessEntry) -> None:
        self._lines.append(self._line(entry))
        if len(self._lines) >= _FLUSH_AT:
            self.flush()

    def _line(self, entry: AccessEntry) -> str:
        if self._json:
            return self._encode(entry).decode("utf-8") + "\n"
        moment = datetime.fromtimestamp(entry.time_ms / 1000, UTC)
        return (
            f"{entry.peer or '-'} - {entry.access_key or '-'} "
            f"[{moment:%d/%b/%Y:%H:%M:%S} +0000] "
            f'"{entry.method} {entry.target} HTTP/1.1" {entry.status} {entry.bytes_out} '
            f'"-" "{_safe(entry.agent) or "-"}" {entry.operation} {entry.code or "-"} '
            f"{entry.duration_ms:.1f} {entry.request_id}\n"
        )

    def flush(self) -> None:
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            try:
                self._file.write(text)
                self._file.flush()
            except OSError:
                # A full log disk must not stop the service; the lines are lost.
                return

    def close(self) -> None:
        self.flush()
        if self._owned:
            self._file.close()
