"""A level 0 file that is too large for one request goes up in parts."""

from __future__ import annotations

import pytest

from cenote import Db
from cenote.objstore import MemoryStore, RecordingStore


def test_a_large_level_0_file_goes_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cenote.lsm.flush._ONE_PUT_MAX", 10_000)
    store = RecordingStore(MemoryStore())
    with Db.open(store, background=False) as db:
        rows = {b"%04d" % n: b"v" * 100 for n in range(500)}
        for key, value in rows.items():
            db.put(key, value, durable=False)
        db.flush_memtable()
        compacted = [request.op for request in store.requests if "compacted" in request.path]
        assert compacted
        assert all(op.startswith("multipart") for op in compacted)
    with Db.open(store, background=False) as db:
        assert dict(db.scan()) == rows
