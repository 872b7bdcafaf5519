"""What stops an open before anything is changed: guards that disagree, logs with gaps, damage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import writing
from writing import ROOT, Concat, contents, get, opened, put

from cenote.errors import DataError, InvalidError, UnavailableError
from cenote.lsm.format import Manifest, decode_manifest, encode_manifest, wal_name
from cenote.lsm.manifest import store as manifest_files
from cenote.objstore import MemoryStore


def test_a_gap_in_the_log_is_damage_and_not_its_end() -> None:
    store = MemoryStore()
    writer = opened(store)
    for n in range(4):
        put(writer, b"%d" % n, b"")
    store.delete(f"{ROOT}/{wal_name(3)}")
    before = writing.snapshot(store)
    with pytest.raises(DataError) as failed:
        opened(store)
    assert failed.value.kind == "wal_gap"
    changed = {path for path in writing.snapshot(store) if path not in before}
    assert all("/manifest/" in path for path in changed)


def test_a_log_file_that_is_damaged_stops_the_open() -> None:
    store = MemoryStore()
    put(opened(store), b"a", b"1")
    path = f"{ROOT}/{wal_name(2)}"
    data = bytearray(store.get(path).data)
    data[3] ^= 1
    store.put(path, data)
    with pytest.raises(DataError):
        opened(store)


def test_a_log_in_another_store_is_missed() -> None:
    """SlateDB hazard: opened without the store of its log, a database lacked what was durable."""
    store, log = MemoryStore(), MemoryStore()
    writer = opened(store, wal=log)
    put(writer, b"a", b"1")
    writer.flush_memtable()
    put(writer, b"b", b"2")
    writer.close()
    assert not list(store.list(f"{ROOT}/wal"))
    before = writing.snapshot(store), writing.snapshot(log)
    other = MemoryStore()
    for wal in (None, other):
        with pytest.raises(InvalidError) as failed:
            opened(store, wal=wal)
        assert failed.value.kind == "wal_store"
    stranger = MemoryStore()
    opened(MemoryStore(), wal=stranger).close()
    with pytest.raises(InvalidError):
        opened(store, wal=stranger)
    assert (writing.snapshot(store), writing.snapshot(log)) == before
    assert contents(store, wal=log) == {b"a": b"1", b"b": b"2"}


def test_a_database_whose_log_is_its_own_takes_no_other_store() -> None:
    store = MemoryStore()
    put(opened(store), b"a", b"1")
    before = writing.snapshot(store)
    with pytest.raises(InvalidError) as failed:
        opened(store, wal=MemoryStore())
    assert failed.value.kind == "wal_store"
    assert writing.snapshot(store) == before


def test_a_database_of_slatedb_with_its_log_elsewhere_is_not_opened_without_it() -> None:
    """Nothing in its manifest tells; that its log is empty does."""
    store, log = MemoryStore(), MemoryStore()
    writer = opened(store, wal=log)
    put(writer, b"a", b"1")
    writer.flush_memtable()
    put(writer, b"b", b"2")
    for guard in (f"{ROOT}/cenote/guard.json", f"{ROOT}/cenote/wal.json"):
        store.delete(guard)
        log.delete(guard)
    before = writing.snapshot(store)
    with pytest.raises(InvalidError) as failed:
        opened(store)
    assert failed.value.kind == "wal_store"
    assert writing.snapshot(store) == before
    assert contents(store, wal=log) == {b"a": b"1", b"b": b"2"}
    with pytest.raises(InvalidError):
        opened(store)


def test_another_merge_operator_is_refused() -> None:
    class Other(Concat):
        name = "other"

    store = MemoryStore()
    writer = opened(store, merge_operator=Other())
    put(writer, b"a", b"1")  # nothing merged yet: nothing noted
    writer = opened(store, merge_operator=Concat())
    writing.merge(writer, b"a", b"2")
    before = writing.snapshot(store)
    with pytest.raises(InvalidError) as failed:
        opened(store, merge_operator=Other())
    assert failed.value.kind == "merge_operator"
    assert writing.snapshot(store) == before
    assert get(opened(store, merge_operator=Concat()), b"a") == b"1,2"
    assert opened(store).last_seq == 2  # without one, plain rows can be read and written


def test_a_guard_nobody_understands_is_refused() -> None:
    store = MemoryStore()
    opened(store)
    for data in (b"{", b'{"version": 2}', b'{"version": 1, "more": 1}', b"[]"):
        store.put(f"{ROOT}/cenote/guard.json", data)
        with pytest.raises(DataError):
            opened(store)


def test_an_unfinished_clone_is_not_opened() -> None:
    store = MemoryStore()
    opened(store)
    path = [meta.path for meta in store.list(f"{ROOT}/manifest")][-1]
    manifest = decode_manifest(store.get(path).data)
    store.put(path, encode_manifest(replace(manifest, initialized=False)))
    with pytest.raises(UnavailableError) as failed:
        opened(store)
    assert failed.value.kind == "not_initialized"


def test_an_old_manifest_tells_where_its_log_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 names the log's store: it is asked for, and told no more once it is noted."""
    store, log = MemoryStore(), MemoryStore()
    put(opened(store, wal=log), b"a", b"1")
    store.delete(f"{ROOT}/cenote/guard.json")
    decode = manifest_files.decode_manifest

    def as_version_1(data: bytes) -> Manifest:
        found = decode(data)
        return found if found.writer_epoch > 1 else replace(found, wal_store_uri="s3://logs")

    monkeypatch.setattr(manifest_files, "decode_manifest", as_version_1)
    before = writing.snapshot(store)
    with pytest.raises(InvalidError) as failed:
        opened(store)
    assert failed.value.kind == "wal_store"
    assert "s3://logs" in str(failed.value)
    assert writing.snapshot(store) == before
    assert contents(store, wal=log) == {b"a": b"1"}
