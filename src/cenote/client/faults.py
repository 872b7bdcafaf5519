"""What the server refused, as one of cenote's errors.

Owns: the one mapping from S3's codes and statuses to `cenote.errors` classes. `kind` is the code
as the server wrote it; `context` has status, request_id, bucket and key.
"""

from __future__ import annotations

from typing import Any

from cenote.client.replies import read_error
from cenote.errors import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    Error,
    InvalidError,
    NotFoundError,
    PreconditionError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)

__all__ = ["error_from"]

BY_CODE: dict[str, type[Error]] = {
    "BucketAlreadyExists": AlreadyExistsError,
    "BucketAlreadyOwnedByYou": AlreadyExistsError,
    "NotImplemented": UnsupportedError,
    "RequestTimeout": UnavailableError,
    "SlowDown": ThrottledError,
}
BY_STATUS: dict[int, type[Error]] = {
    304: PreconditionError,
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    412: PreconditionError,
    429: ThrottledError,
    501: UnsupportedError,
}
# A HEAD has no body to name a code in.
CODE_OF_STATUS = {
    304: "NotModified",
    403: "AccessDenied",
    404: "NotFound",
    412: "PreconditionFailed",
}


def error_from(status: int, headers: dict[str, str], body: bytes, **context: Any) -> Error:
    """Return the error a reply tells of. A body that is no S3 error is not shown."""
    code, message = read_error(body)
    if not code:
        code = CODE_OF_STATUS.get(status, "")
    fallback: type[Error] = UnavailableError if status >= 500 else InvalidError
    kind = BY_CODE.get(code) or BY_STATUS.get(status, fallback)
    return kind(
        message or f"the server answered {status}{' ' + code if code else ''}",
        kind=code or f"http_{status}",
        status=status,
        request_id=headers.get("x-amz-request-id"),
        **{name: value for name, value in context.items() if value is not None},
    )
