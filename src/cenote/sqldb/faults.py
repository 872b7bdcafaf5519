"""Foreign errors become ours: one table for SQLite and the operating system.

Owns: the mapping of apsw exceptions and OSError to `cenote.errors`.
"""

from __future__ import annotations

import errno

import apsw

from cenote.errors import DataError, Error, UnavailableError

__all__ = ["is_full", "translate"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_full(error: BaseException) -> bool:
    """Tell whether the disk had no room."""
    return isinstance(error, apsw.FullError) or (
        isinstance(error, OSError) and error.errno in _FULL
    )


def translate(error: apsw.Error | OSError, what: str) -> Error:
    """Return the error to raise in place of `error`, met while doing `what`."""
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return UnavailableError(f"no space left {what}", kind="disk_full")
        if error.errno == errno.EROFS:
            return UnavailableError(f"the disk is read-only {what}", kind="read_only")
        return UnavailableError(f"input/output error {what}: {error}", kind="io")
    if isinstance(error, apsw.FullError):
        return UnavailableError(f"no space left {what}", kind="disk_full")
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        return UnavailableError(
            f"input/output error {what}: {error}", kind="io", effect_unknown=True
        )
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return UnavailableError(f"another program holds the file {what}", kind="busy")
    if isinstance(error, apsw.ReadOnlyError):
        return UnavailableError(f"the bucket is read-only {what}", kind="read_only")
    return DataError(f"SQLite refused {what}: {error}", kind="sqlite")
