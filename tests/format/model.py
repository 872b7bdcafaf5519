"""What a database in a directory holds, read with the decoders alone.

The simplest reading there can be: every row of every file that the last manifest names, and of the
log after it, newest first. It honours merges and tombstones, and does not look at expiry.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cenote.lsm import MERGE, TOMBSTONE, Row
from cenote.lsm.format import (
    FileKind,
    Manifest,
    SstView,
    decode_manifest,
    decode_wal,
    open_sst,
    parse_name,
    table_name,
    wal_name,
)

__all__ = ["contents", "last_manifest", "rows_of", "table_paths"]


def last_manifest(root: Path) -> Manifest:
    """Return the newest manifest of a database."""
    names = [parse_name(f"manifest/{path.name}") for path in (root / "manifest").iterdir()]
    number = max(int(name.id) for name in names if name and name.kind is FileKind.MANIFEST)
    return decode_manifest((root / f"manifest/{number:020d}.manifest").read_bytes())


def table_path(root: Path, manifest: Manifest, view: SstView) -> Path:
    """Return where a table lies: below this database, or the one it was cloned from."""
    for external in manifest.external_dbs:
        if view.sst_id in external.sst_ids:
            # The path was absolute where it was written; only its last part is the same here.
            return root.parent / Path(external.path).name / table_name(view.sst_id)
    return root / table_name(view.sst_id)


def table_paths(root: Path) -> list[Path]:
    """Return every table file below a directory."""
    return sorted(root.rglob("compacted/*.sst"))


def rows_of(root: Path) -> Iterator[Row]:
    """Yield every row that is visible in some file."""
    manifest = last_manifest(root)
    for tree in manifest.trees():
        for view in tree.views():
            sst = open_sst(table_path(root, manifest, view).read_bytes())
            for row in sst.rows():
                if view.visible is None or view.visible.contains(row[0]):
                    yield row
    number = manifest.replay_after_wal_id + 1
    while (path := root / wal_name(number)).exists():
        for row in decode_wal(path.read_bytes()):
            if row[2] > manifest.last_l0_seq:
                yield row
        number += 1


def contents(root: Path) -> dict[bytes, bytes]:
    """Return keys and values, operands joined by commas."""
    versions: dict[bytes, list[Row]] = {}
    for row in rows_of(root):
        versions.setdefault(row[0], []).append(row)
    found: dict[bytes, bytes] = {}
    for key in sorted(versions):
        parts: list[bytes] = []
        for _, value, _, kind, _, _ in sorted(versions[key], key=lambda row: -row[2]):
            if kind != TOMBSTONE:
                parts.append(value)
            if kind != MERGE:
                break
        if parts:
            found[key] = b",".join(reversed(parts))
    return found
