"""A directory as one number, and the databases in the tree."""

from __future__ import annotations

import hashlib
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[3] / "format" / "golden"


def golden_names() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.zip"))


def digest(root: Path) -> str:
    """Return what changes when any file comes, goes, or is written."""
    told = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        told.update(f"{path} {path.stat().st_mtime_ns}".encode())
        if path.is_file():
            told.update(path.read_bytes())
    return told.hexdigest()
