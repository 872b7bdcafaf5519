"""cenote: S3-compatible object storage in SQLite files, and a database on any object store.

`Store` opens a directory of buckets in process; see `cenote.buckets`. `Db` and `AsyncDb` open a
database; see `cenote.lsm`. Each is imported when it is first asked for, so that `import cenote`
stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cenote.buckets import Store
    from cenote.errors import (
        AlreadyExistsError,
        ChecksumError,
        ClosedError,
        ConflictError,
        DataError,
        DeniedError,
        Error,
        FormatVersionError,
        InvalidError,
        NotFoundError,
        PreconditionError,
        ThrottledError,
        TransactionConflictError,
        UnavailableError,
        UnsupportedError,
    )
    from cenote.lsm import (
        NEVER,
        Admin,
        AsyncDb,
        AsyncDbReader,
        Db,
        DbReader,
        DbSettings,
        MergeOperator,
        ReaderSettings,
        WriteBatch,
    )

__all__ = [
    "NEVER",
    "Admin",
    "AlreadyExistsError",
    "AsyncDb",
    "AsyncDbReader",
    "ChecksumError",
    "ClosedError",
    "ConflictError",
    "DataError",
    "Db",
    "DbReader",
    "DbSettings",
    "DeniedError",
    "Error",
    "FormatVersionError",
    "InvalidError",
    "MergeOperator",
    "NotFoundError",
    "PreconditionError",
    "ReaderSettings",
    "Store",
    "ThrottledError",
    "TransactionConflictError",
    "UnavailableError",
    "UnsupportedError",
    "WriteBatch",
    "__version__",
]

__version__ = "0.1.0.dev0"

_HOMES: Final = {"Store": "cenote.buckets"} | dict.fromkeys(
    (
        "NEVER",
        "Admin",
        "AsyncDb",
        "AsyncDbReader",
        "Db",
        "DbReader",
        "DbSettings",
        "MergeOperator",
        "ReaderSettings",
        "WriteBatch",
    ),
    "cenote.lsm",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "cenote.errors")), name)
    globals()[name] = value
    return value
