"""One level of a listing, made of a whole one."""

from __future__ import annotations

from collections.abc import Iterable

from cenote.objstore.api import Folder, ObjectMeta

__all__ = ["folded"]


def folded(objects: Iterable[ObjectMeta], prefix: str) -> Folder:
    """Fold all that lies below the folder `prefix` into its own objects and its folders.

    Requires: `objects` in order, all below `prefix`. Cost: as listing all of them.
    """
    skip = len(prefix) + 1 if prefix else 0
    here: list[ObjectMeta] = []
    folders: dict[str, None] = {}
    for meta in objects:
        slash = meta.path.find("/", skip)
        if slash < 0:
            here.append(meta)
        else:
            folders[meta.path[:slash]] = None
    return Folder(here, sorted(folders))
