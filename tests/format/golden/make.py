"""Write the golden files of one version of the `slatedb` package; the README tells how."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = importlib.metadata.version("slatedb")
SCENARIOS = {
    "0.12.1": ("codec-none", "codec-zstd"),
    "0.15.0": ("codec-none", "segments"),
    "0.17.0": (
        *("codec-none", "codec-snappy", "codec-zlib", "codec-lz4", "codec-zstd"),
        *("runs", "segments", "checkpoints", "filters", "blocks"),
    ),
}


def pack(root: Path, contents: dict[str, dict[bytes, bytes]]) -> None:
    """Put a directory into one file, with what its databases hold by their paths within it."""
    expected = {
        name: {key.hex(): value.hex() for key, value in rows.items()}
        for name, rows in contents.items()
    }
    target = HERE / f"{VERSION}-{root.name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("expected.json", json.dumps(expected))
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(root))


def make_new(base: Path) -> None:
    """Write the scenarios of a version whose package has `slatedb.uniffi`."""
    sys.path.insert(0, str(HERE.parent))
    import wheel

    for name in SCENARIOS[VERSION]:
        root = wheel.write(name, base, 150)
        pack(root, wheel.scan_all(root))


def make_old(base: Path) -> None:
    """Write one database by the package as it was before: rows, a table, a log."""
    from slatedb import SlateDB, WriteBatch

    settings = base / "settings.toml"
    settings.write_text('flush_interval = "5ms"\nmin_filter_keys = 1\n')
    root = base / "plain"

    def concat(key: bytes, existing: bytes | None, operand: bytes) -> bytes:
        return operand if existing is None else existing + b"," + operand

    db = SlateDB(str(root), url="file:///", merge_operator=concat, settings=str(settings))
    for turn in range(2):
        batch = WriteBatch()
        for n in range(turn, 150, 1 + turn):
            batch.put(b"key:%06d" % n, b"value %d-%d" % (n, turn))
        for n in range(0, 150, 11 + turn):
            batch.delete(b"key:%06d" % n)
        for n in range(0, 150, 13):
            batch.merge(b"sum:%06d" % n, b"%d" % turn)
        db.write(batch)
        db.flush_with_options("memtable" if turn == 0 else "wal")
    rows = {key: value for prefix in (b"key:", b"sum:") for key, value in db.scan(prefix)}
    db.close()
    pack(root, {"": rows})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        (make_new if VERSION in SCENARIOS else make_old)(Path(scratch))
