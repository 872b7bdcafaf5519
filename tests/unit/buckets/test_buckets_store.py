"""Buckets of a store, and the store as a whole."""

from __future__ import annotations

import hashlib
import textwrap
import tracemalloc
from pathlib import Path

import pytest

from cenote.base import ManualClock
from cenote.buckets import CopyObject, CreateUpload, PutPart, Store, service
from cenote.errors import Error

BODY = b"123456789" * 1000
LARGE = bytes(range(256)) * 4096


def kind_of(call, *args, **kwargs) -> str | None:
    try:
        call(*args, **kwargs)
    except Error as error:
        return error.kind
    return None


def test_a_bucket_comes_and_goes(store: Store, clock: ManualClock):
    made = store.create_bucket("photos", region="eu-central-1")
    assert (made.name, made.region, made.created_ms) == ("photos", "eu-central-1", clock.now_ms())
    assert store.head_bucket("photos") == made
    assert store.has_bucket("photos")
    assert kind_of(store.create_bucket, "photos") == "bucket_exists"
    for region in ("", "x" * 65, "a\nb"):
        assert kind_of(store.create_bucket, "other", region=region) == "invalid_argument"
    store.delete_bucket("photos")
    assert not store.has_bucket("photos")
    assert kind_of(store.head_bucket, "photos") == "no_such_bucket"
    assert kind_of(store.delete_bucket, "photos") == "no_such_bucket"
    clock.advance(1)
    assert store.create_bucket("photos").created_ms == clock.now_ms()
    assert store.list_objects("photos").contents == []


def test_only_an_empty_bucket_can_go(store: Store, bucket: str):
    store.put_object(bucket, "k", BODY)
    assert kind_of(store.delete_bucket, bucket) == "bucket_not_empty"
    assert store.read_object(bucket, "k") == BODY
    store.delete_object(bucket, "k")
    # Unfinished uploads go with it.
    upload = store.create_multipart_upload(bucket, CreateUpload("k"))
    store.upload_part(bucket, PutPart("k", upload.upload_id, 1), BODY)
    store.delete_bucket(bucket)
    assert kind_of(store.list_parts, bucket, "k", upload.upload_id) == "no_such_bucket"


@pytest.mark.parametrize("name", ["..", "../etc", "A", "ab", ".cenote", "a/b", "x" * 64])
def test_no_name_leaves_the_directory(store: Store, tmp_path: Path, name: str):
    before = sorted(tmp_path.rglob("*"))
    assert kind_of(store.create_bucket, name) == "invalid_bucket_name"
    assert kind_of(store.head_bucket, name) == "no_such_bucket"
    assert kind_of(store.delete_bucket, name) == "no_such_bucket"
    assert kind_of(store.put_object, name, "k", BODY) == "no_such_bucket"
    assert sorted(tmp_path.rglob("*")) == before


def test_buckets_are_listed_in_pages(store: Store):
    names = ["alpha", "beta", "gamma-1", "gamma-2", "gamma-3"]
    for name in reversed(names):
        store.create_bucket(name, region="eu-west-1" if name == "beta" else None)
    assert [b.name for b in store.list_buckets().buckets] == names
    told, token = [], None
    while True:
        page = store.list_buckets(limit=2, token=token)
        told += [b.name for b in page.buckets]
        token = page.next_token
        if token is None:
            break
    assert told == names
    assert [b.name for b in store.list_buckets(prefix="gamma").buckets] == names[2:]
    assert [b.name for b in store.list_buckets(region="eu-west-1").buckets] == ["beta"]
    page = store.list_buckets(prefix="gamma", limit=2)
    assert page.next_token is not None
    assert store.list_buckets(prefix="gamma", limit=1, token=page.next_token).next_token is None
    for limit in (0, 10_001):
        assert kind_of(store.list_buckets, limit=limit) == "invalid_argument"
    for token in ("", "x", "%", "YWJj"):
        assert kind_of(store.list_buckets, token=token) == "invalid_argument"


def test_all_is_there_after_reopening(tmp_path: Path):
    with Store(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "small", BODY, metadata={"a": "b"})
        large = store.put_object("photos", "large", LARGE)
        upload = store.create_multipart_upload("photos", CreateUpload("k"))
        part = store.upload_part("photos", PutPart("k", upload.upload_id, 1), LARGE)
    with Store(tmp_path) as store:
        assert store.read_object("photos", "small") == BODY
        assert store.head_object("photos", "large").etag == large.etag
        assert store.read_object("photos", "large") == LARGE
        done = store.complete_multipart_upload("photos", "k", upload.upload_id, [part])
        assert store.read_object("photos", "k") == LARGE
    with Store(tmp_path) as store:
        assert store.complete_multipart_upload("photos", "k", upload.upload_id, [part]) == done
        assert store.check(deep=True) == []


def test_a_read_only_store_changes_nothing(tmp_path: Path):
    with Store(tmp_path) as store:
        store.create_bucket("photos")
        store.put_object("photos", "k", LARGE)
        with Store(tmp_path, read_only=True) as reader:  # beside the one that writes
            assert reader.read_object("photos", "k") == LARGE
            store.put_object("photos", "k", BODY)
            assert reader.read_object("photos", "k") == BODY
    with Store(tmp_path, read_only=True) as reader:
        assert reader.read_object("photos", "k") == BODY
        calls = [
            (reader.put_object, "photos", "k", b""),
            (reader.delete_object, "photos", "k"),
            (reader.create_bucket, "other"),
            (reader.delete_bucket, "photos"),
            (reader.create_multipart_upload, "photos", CreateUpload("k")),
            (reader.put_object_tagging, "photos", "k", ()),
            (reader.maintain,),
        ]
        for call, *arguments in calls:
            assert kind_of(call, *arguments) == "read_only"
        assert [b.name for b in reader.list_buckets().buckets] == ["photos"]


def test_a_closed_store_refuses(tmp_path: Path):
    store = Store(tmp_path)
    store.create_bucket("photos")
    store.close()
    store.close()
    assert kind_of(store.put_object, "photos", "k", b"") == "closed"
    assert kind_of(store.list_buckets) == "closed"


def test_small_and_large_bodies_by_the_buckets_own_measure(store: Store, tmp_path: Path):
    store.create_bucket("onefile", inline_max=1 << 30)
    store.put_object("onefile", "k", LARGE)
    assert store.read_object("onefile", "k") == LARGE
    assert not list((tmp_path / "data").glob("onefile.packs/*"))


def test_the_example_in_the_documentation(tmp_path: Path, monkeypatch, capsys):
    text = service.__doc__ or ""
    block = text.split("Example:\n\n")[1].split("\n\nErrors")[0]
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(block), {"Store": Store, "jpeg": BODY})
    assert capsys.readouterr().out == f"2024/iceland.jpg {len(BODY)}\n"


def test_a_store_that_is_not_there(tmp_path: Path):
    assert kind_of(Store, tmp_path / "nope", create=False) == "no_such_directory"
    assert kind_of(Store, tmp_path / "nope", read_only=True) == "no_such_directory"
    assert not (tmp_path / "nope").exists()


def test_one_writer_at_a_time(tmp_path: Path):
    with Store(tmp_path):
        assert kind_of(Store, tmp_path) == "directory_locked"
    Store(tmp_path).close()


def test_bodies_of_unknown_size_above_what_memory_keeps(store: Store, bucket: str):
    piece = LARGE
    store.put_object(bucket, "k", (piece for _ in range(6)))  # 6 MiB: spooled to a file
    digest = hashlib.md5(piece * 6).hexdigest()
    assert store.head_object(bucket, "k").etag == digest


def test_memory_stays_flat_whatever_the_size(store: Store, bucket: str):
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        store.put_object(bucket, "k", (piece for _ in range(64)), size=64 << 20)
        with store.get_object(bucket, "k") as reader:
            assert sum(map(len, reader)) == 64 << 20
        store.create_bucket("elsewhere")
        store.copy_object(bucket, "elsewhere", CopyObject("k", "k"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
