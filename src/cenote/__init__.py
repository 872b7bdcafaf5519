"""cenote: S3-compatible object storage in SQLite files.

`Store` opens a directory of buckets in process; see `cenote.buckets`. It is imported when it is
first asked for, so that `import cenote` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cenote.buckets import Store

__all__ = ["Store", "__version__"]

__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    if name == "Store":
        from cenote.buckets import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
