"""Walking a folder of files in the order of their paths, from the middle if need be.

Invariants:
1. Files come in the order of their whole paths: a folder sorts as its name with "/" behind it.
2. Only plain files with names that are paths are seen; symbolic links are not followed.
3. Memory: the names of one folder a level, never the tree.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from cenote.objstore.path import fault_of

__all__ = ["walk", "walk_level"]

Found = tuple[str, os.stat_result]


def walk(root: str, prefix: str, start_after: str) -> Iterator[Found]:
    """Yield path and status of every file below the folder `prefix` with path > `start_after`.

    Raises OSError. A folder that is absent, or goes away meanwhile, is empty.
    """
    for name, entry in _entries(root, prefix):
        if name.endswith("/"):
            if name > start_after or start_after.startswith(name):
                yield from walk(root, name[:-1], start_after)
        elif name > start_after:
            status = _status(entry)
            if status is not None:
                yield name, status


def walk_level(root: str, prefix: str) -> tuple[list[Found], list[str]]:
    """Return the files right in the folder `prefix`, and the folders there that hold any file."""
    files: list[Found] = []
    folders: list[str] = []
    for name, entry in _entries(root, prefix):
        if name.endswith("/"):
            if next(walk(root, name[:-1], ""), None) is not None:
                folders.append(name[:-1])
        else:
            status = _status(entry)
            if status is not None:
                files.append((name, status))
    return files, sorted(folders)


def _entries(root: str, prefix: str) -> list[tuple[str, os.DirEntry[str]]]:
    above = f"{prefix}/" if prefix else ""
    found: list[tuple[str, os.DirEntry[str]]] = []
    try:
        with os.scandir(f"{root}/{prefix}") as entries:
            for entry in entries:
                path = above + entry.name
                if fault_of(path) is not None:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    found.append((f"{path}/", entry))
                elif entry.is_file(follow_symlinks=False):
                    found.append((path, entry))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found.sort(key=lambda item: item[0])
    return found


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
