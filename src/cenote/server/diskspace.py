"""How much of the disk a directory of buckets takes."""

from __future__ import annotations

import os

__all__ = ["disk_bytes"]


def disk_bytes(root: str) -> int:
    """Return the bytes allocated to files under `root`; holes in them do not count.

    What comes and goes meanwhile may or may not be counted. Cost: a stat a file, and a bucket has
    few.
    """
    total = 0
    folders = [root]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
            except OSError:
                continue
    return total
