"""A database that keeps parts of its tables on a local disk."""

from __future__ import annotations

from pathlib import Path

import pytest

import cenote
from cenote.lsm import DbSettings, ReaderSettings
from cenote.lsm.parts import through_folder
from cenote.objstore import MemoryStore, RecordingStore


def tables_read(store: RecordingStore) -> int:
    return sum(
        "compacted/" in request.path and request.op.startswith("get") for request in store.requests
    )


def test_what_was_read_once_is_on_disk_after_a_restart(tmp_path: Path) -> None:
    store = RecordingStore(MemoryStore())
    settings = DbSettings(part_cache_dir=str(tmp_path / "parts"))
    with cenote.Db.open(store, settings=settings) as db:
        for n in range(100):
            db.put(b"%03d" % n, b"v" * 2000, durable=False)
        db.flush_memtable()
    with cenote.Db.open(store, settings=settings) as db:
        assert len(list(db.scan())) == 100
        assert db.get(b"050") == b"v" * 2000
    assert tables_read(store) > 0
    store.reset()
    with cenote.Db.open(store, settings=settings) as db:
        assert len(list(db.scan())) == 100
        assert db.get(b"050") == b"v" * 2000
    reading = ReaderSettings(part_cache_dir=str(tmp_path / "parts"))
    with cenote.DbReader.open(store, settings=reading) as reader:
        assert len(list(reader.scan())) == 100
    assert tables_read(store) == 0


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("db/compacted/01HZZZZZZZZZZZZZZZZZZZZZZZ.sst", True),
        ("compacted/01HZZZZZZZZZZZZZZZZZZZZZZZ.sst", True),
        ("db/wal/00000000000000000001.sst", False),
        ("db/manifest/00000000000000000001.manifest", False),
        ("db/compacted/other.sst", False),
    ],
)
def test_only_tables_are_kept(tmp_path: Path, path: str, kept: bool) -> None:
    store = MemoryStore()
    store.put(path, b"bytes")
    through = through_folder(store, str(tmp_path), 1000)
    assert through.get_range(path, 0, 5) == b"bytes"
    store.put(path, b"other")
    assert through.get_range(path, 0, 5) == (b"bytes" if kept else b"other")
    assert through_folder(store, None, 1000) is store
