"""What obstore raises becomes ours.

Owns: the one table, and what can be read from a message.

obstore has a class for each answer that means something, and one class for all else; there the
HTTP status and the kind of network error stand in the message.
"""

from __future__ import annotations

import re
from typing import Final

from obstore import exceptions as foreign

from cenote.errors import (
    DeniedError,
    Error,
    InvalidError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)
from cenote.objstore.api import no_such_key

__all__ = [
    "BEYOND_THE_END",
    "BLOB_EXISTS",
    "FOREIGN",
    "NOT_PARTIAL",
    "NO_BUCKET",
    "foreign",
    "from_obstore",
    "status_of",
]

# NotFoundError is FileNotFoundError, NotSupportedError NotImplementedError there, a bad path is a
# ValueError and a request that timed out may be a plain OSError.
FOREIGN: Final = (foreign.BaseError, OSError, ValueError, NotImplementedError)

NOT_PARTIAL: Final = "Received non-partial response"
NO_BUCKET: Final = "<Code>NoSuchBucket</Code>"
# A store answered with all of the object, since no byte of the range is in it.
BEYOND_THE_END: Final = "Wanted range starting at"
BLOB_EXISTS: Final = "<Code>BlobAlreadyExists</Code>"
_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_CONNECT: Final = re.compile(r"kind: Connect\b|error trying to connect|dns error|tcp connect error")
_TIMEOUT: Final = re.compile(r"kind: Timeout\b|operation timed out|timed out")


def from_obstore(error: BaseException, what: str, path: str, *, is_write: bool) -> Error:
    """Return the error to raise in place of `error`, met while doing `what` to `path`."""
    first_line = str(error).partition("\n")[0]
    message = f"{what} {path}: {first_line}"
    status = status_of(error)
    if NO_BUCKET in str(error):
        # Not NotFoundError: to an engine that would say that its database is yet to be made.
        return InvalidError(f"{what} {path}: there is no such bucket", kind="no_such_bucket")
    if isinstance(error, FileNotFoundError):
        return no_such_key(path)
    denied = foreign.PermissionDeniedError | foreign.UnauthenticatedError
    if isinstance(error, denied) or status in (401, 403):
        return DeniedError(message, path=path)
    if isinstance(error, NotImplementedError | foreign.NotSupportedError) or status == 501:
        return UnsupportedError(message, path=path)
    if isinstance(error, ValueError | foreign.InvalidPathError):
        return InvalidError(message, kind="invalid_path", path=path)
    if isinstance(error, foreign.UnknownConfigurationKeyError):
        return InvalidError(message)
    if status in (429, 503):
        # A 503 of S3's own code says that nothing was done; one of a proxy says nothing at all.
        unknown = is_write and status == 503 and "SlowDown" not in str(error)
        return ThrottledError(message, path=path, effect_unknown=unknown)
    if status == 409:
        return UnavailableError(message, kind="conflict", path=path)
    timed_out = status == 408 or "<Code>RequestTimeout</Code>" in str(error)
    if status is not None and 400 <= status < 500 and not timed_out:
        return InvalidError(message, kind="refused", path=path)
    if _CONNECT.search(str(error)):
        return UnavailableError(message, kind="unreachable", path=path)
    kind = "timeout" if timed_out or _TIMEOUT.search(str(error)) else "unavailable"
    return UnavailableError(message, kind=kind, effect_unknown=is_write, path=path)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status an error of obstore tells of, or None."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else None
