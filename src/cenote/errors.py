"""The errors cenote raises, classed by what the caller does next.

Owns: the class tree and the fields every error carries.
Does not own: wire codes. `cenote.server` maps `kind` to S3's codes in one table.

Why by next step and not by subsystem: a caller that can only retry, refresh or give up needs to
know which of the three, not which file failed.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyExistsError",
    "ChecksumError",
    "ClosedError",
    "ConflictError",
    "DataError",
    "DeniedError",
    "Error",
    "FormatVersionError",
    "InvalidError",
    "NotFoundError",
    "PreconditionError",
    "ThrottledError",
    "TransactionConflictError",
    "UnavailableError",
    "UnsupportedError",
]


class Error(Exception):
    """Base of all errors raised on purpose.

    `message` is a sentence for people, `kind` a stable snake_case code for programs, `hint` what
    to try next (or None), `context` small values that tell where (bucket, key, path).
    """

    default_kind = "error"

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        hint: str | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or self.default_kind
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidError(Error, ValueError):
    """The call itself is wrong: change it."""

    default_kind = "invalid"


class NotFoundError(Error, LookupError):
    """What was asked for is absent."""

    default_kind = "not_found"


class DeniedError(Error):
    """The caller is not authenticated or not allowed."""

    default_kind = "denied"


class ConflictError(Error):
    """Somebody was first: refresh and decide again."""

    default_kind = "conflict"


class AlreadyExistsError(ConflictError):
    """The thing to create is there already."""

    default_kind = "already_exists"


class PreconditionError(ConflictError):
    """A condition of the call does not hold."""

    default_kind = "precondition_failed"


class TransactionConflictError(ConflictError):
    """What a transaction read or wrote was changed since it began: run it again."""

    default_kind = "transaction_conflict"


class UnavailableError(Error):
    """Try later. `effect_unknown` says whether the call may have taken effect all the same."""

    default_kind = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        hint: str | None = None,
        effect_unknown: bool = False,
        **context: Any,
    ) -> None:
        super().__init__(message, kind=kind, hint=hint, **context)
        self.effect_unknown = effect_unknown


class ThrottledError(UnavailableError):
    """Too much at once: slow down, then try again."""

    default_kind = "throttled"


class DataError(Error):
    """Stored bytes are not what was written."""

    default_kind = "data"


class ChecksumError(DataError):
    """A checksum does not match its bytes."""

    default_kind = "checksum"


class FormatVersionError(DataError):
    """The file is of a version this program does not know."""

    default_kind = "format_version"


class ClosedError(Error):
    """The handle is closed. `reason` is "clean", "fenced" or "failed"."""

    default_kind = "closed"

    def __init__(self, message: str, *, reason: str = "clean", **context: Any) -> None:
        super().__init__(message, **context)
        self.reason = reason


class UnsupportedError(Error):
    """Known, and not done here. Nothing was changed."""

    default_kind = "unsupported"
