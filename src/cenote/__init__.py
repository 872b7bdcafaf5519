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
        ClosedError,
        ConflictError,
        DataError,
        Error,
        InvalidError,
        NotFoundError,
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
    "AsyncDb",
    "AsyncDbReader",
    "ClosedError",
    "ConflictError",
    "DataError",
    "Db",
    "DbReader",
    "DbSettings",
    "Error",
    "InvalidError",
    "MergeOperator",
    "NotFoundError",
    "ReaderSettings",
    "Store",
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
