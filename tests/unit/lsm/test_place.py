"""Places: a database's URI taken apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenote.errors import InvalidError
from cenote.lsm import Place, open_place
from cenote.lsm.format import ExternalDb, Manifest, SstHandle, SstInfo
from cenote.objstore import MemoryStore, split_uri

ULID = "01J6ZVEZ394GCJT1PHZYY1NZGP"
UUID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("uri", "store", "root"),
    [
        ("s3://b/a/b?region=r", "s3://b?region=r", "a/b"),
        ("s3://b", "s3://b", ""),
        ("gs://b/x%20y/", "gs://b", "x y"),
        ("az://c/p?account=a", "az://c?account=a", "p"),
        ("file:///data/db", "file:///data", "db"),
        ("file:///db/", "file:///", "db"),
        ("sqlite://d/b?prefix=p/q", "sqlite://d/b", "p/q"),
        ("memory://", "memory://", ""),
    ],
)
def test_a_uri_is_a_store_and_a_root(uri: str, store: str, root: str) -> None:
    assert split_uri(uri) == (store, root)


@pytest.mark.parametrize("uri", ["file:///", "s3:///a", "ftp://x/y", "s3://b/a?colour=red", "db"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(InvalidError) as refused:
        open_place(uri)
    assert refused.value.kind == "invalid_uri"


def test_a_path_makes_the_uri_the_store(tmp_path: Path) -> None:
    with_path = open_place(f"file://{tmp_path}", "x/db")
    with_path.store.put(with_path.path("here"), b"1")
    assert (tmp_path / "x/db/here").read_bytes() == b"1"
    whole = open_place(f"file://{tmp_path}/x/db")
    assert whole.store.get(whole.path("here")).data == b"1"
    with_path.close()
    whole.close()


def test_a_store_that_is_given_stays_open() -> None:
    store = MemoryStore()
    place = open_place(store, wal=MemoryStore())
    assert place.has_wal_store
    place.close()
    store.put("still", b"open")


def test_a_log_has_a_store_of_its_own_or_none() -> None:
    store = MemoryStore()
    with pytest.raises(InvalidError):
        open_place(store, wal=store)


def test_a_clone_reads_its_parents_files_where_they_are() -> None:
    info = SstInfo(b"a", b"z", 10, 10, 10, 0)
    own = ULID[:-1] + "0"
    manifest = Manifest(
        ssts=(SstHandle(ULID, info), SstHandle(own, info)),
        external_dbs=(ExternalDb("parents/one", UUID, None, (ULID,)),),
    )
    store = MemoryStore()
    place = Place(store, "child", store)
    assert place.tables(manifest) == {
        ULID: f"parents/one/compacted/{ULID}.sst",
        own: f"child/compacted/{own}.sst",
    }
