"""The operating system's errors become ours."""

from __future__ import annotations

import errno
from typing import Final

from cenote.errors import DeniedError, Error, InvalidError, UnavailableError

__all__ = ["from_os"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_CONFLICT: Final = (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY)


def from_os(error: OSError, what: str, path: str, *, effect_unknown: bool = False) -> Error:
    """Return the error to raise in place of `error`, met while doing `what` to `path`."""
    if error.errno in _FULL:
        return UnavailableError(
            f"no space left {what} {path}",
            kind="disk_full",
            path=path,
            effect_unknown=effect_unknown,
        )
    if error.errno in _DENIED:
        return DeniedError(f"{what} {path}: {error.strerror}", path=path)
    if error.errno in _CONFLICT:
        return InvalidError(
            f"{what} {path}: an object stands where a folder must, or the reverse",
            kind="path_conflict",
            path=path,
        )
    return UnavailableError(
        f"input/output error {what} {path}: {error.strerror or error}",
        kind="io",
        path=path,
        effect_unknown=effect_unknown,
    )
