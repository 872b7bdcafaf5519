"""What may name an object: a strict relative path that means the same in every store.

Owns: the rule, and joining.

A path is 1 to 900 bytes of UTF-8: segments of 1 to 200 bytes with "/" between them. No segment is
"." or "..", none is empty, and no character is a control character, a backslash or not text. The
first segment is not ".cenote", which a directory keeps for itself.

Invariants:
1. A path that passes names one object in every store, and is a safe name of a file below a folder.
2. Paths order as their UTF-8 bytes do, which is how Python orders the strings.

Why so strict: stores disagree about what "a//b", "a/../b" and "/a" name, and an engine needs none
of them.
"""

from __future__ import annotations

from typing import Final

from cenote.errors import InvalidError

__all__ = ["OWN_FOLDER", "check_path", "check_prefix", "fault_of", "joined"]

OWN_FOLDER: Final = ".cenote"
SIZE_MAX: Final = 900  # leaves room for a store's own prefix below S3's 1024
SEGMENT_SIZE_MAX: Final = 200  # leaves room for a suffix below the 255 of file systems


def fault_of(path: str) -> str | None:
    """Return what keeps `path` from being a path, or None."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not text"
    if not 1 <= len(encoded) <= SIZE_MAX:
        return f"must have 1 to {SIZE_MAX} bytes"
    if not path.isprintable() or "\\" in path:
        return "must hold neither control characters nor backslashes"
    segments = path.split("/")
    for segment in segments:
        if segment in ("", ".", ".."):
            return "must be relative, without empty, '.' or '..' segments"
        if len(segment) > SEGMENT_SIZE_MAX // 4 and len(segment.encode()) > SEGMENT_SIZE_MAX:
            return f"must have segments of at most {SEGMENT_SIZE_MAX} bytes"
    if segments[0] == OWN_FOLDER:
        return f"must not begin with {OWN_FOLDER}, which is the store's own"
    return None


def check_path(path: str) -> str:
    """Return `path` if it may name an object. Raises InvalidError(kind="invalid_path")."""
    fault = fault_of(path)
    if fault is not None:
        raise InvalidError(f"the path {path!r} {fault}", kind="invalid_path", path=path)
    return path


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it names a folder: "" for all, or a path without a trailing slash."""
    return prefix and check_path(prefix)


def joined(prefix: str, path: str) -> str:
    """Return `path` below the folder `prefix` ("" is the top)."""
    return f"{prefix}/{path}" if prefix else path
