"""The folder on a local disk in which a database keeps parts of its table files.

Owns: which files are kept there: tables, whose names are never used twice.
Does not own: the folder (`cenote.objstore.PartFolder`), who fetches through it.

Only reads of tables go through the folder. Manifests change, and a log file is read once.
"""

from __future__ import annotations

from pathlib import Path

from cenote.lsm.format import FileKind, parse_name
from cenote.objstore import ObjectStore, PartCachingStore, PartFolder

__all__ = ["through_folder"]


def through_folder(store: ObjectStore, folder: str | None, budget: int) -> ObjectStore:
    """Return a store that fetches tables by way of a folder; `store` itself without one.

    Raises InvalidError(kind="invalid_folder").
    """
    if folder is None:
        return store
    return PartCachingStore(store, PartFolder(Path(folder), budget), is_immutable=_is_table)


def _is_table(path: str) -> bool:
    """Tell whether a path, below any root, is that of a table."""
    name = parse_name("/".join(path.split("/")[-2:]))
    return name is not None and name.kind is FileKind.TABLE
