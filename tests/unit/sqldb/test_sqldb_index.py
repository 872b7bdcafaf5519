"""Records come back as they went in, in order, and changes are all or nothing."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest
from acts import delete, get, keys, patterned, put, putting, stage

from cenote.errors import InvalidError, NotFoundError
from cenote.ports import (
    BucketRecord,
    Checksum,
    Content,
    IndexTxn,
    ObjectRecord,
    ObjectSummary,
    PartMark,
    PartRecord,
    UploadRecord,
)
from cenote.sqldb import BucketFile, Directory


def test_object_keeps_every_field(bucket: BucketFile) -> None:
    staged = stage(bucket, b"bytes")
    record = ObjectRecord(
        "a/ключ\x01",
        size=5,
        etag="5" * 32 + "-3",
        modified_ms=1_700_000_000_123,
        storage_class="GLACIER",
        content=Content("text/plain", expires="soon", website_redirect_location="/x"),
        metadata={"a": "é", "b": ""},
        tags=(("k", "v"), ("other", "")),
        checksum=Checksum("SHA256", "COMPOSITE", "abc=-3"),
        part_count=3,
        upload_id="up",
    )

    def change(txn: IndexTxn) -> ObjectRecord:
        from msgspec.structs import replace

        kept = replace(record, body=txn.add_body(staged))
        txn.put_object(kept)
        assert txn.object(kept.key) == kept
        return kept

    kept = bucket.index.commit(change)
    with bucket.index.read() as view:
        assert view.object(kept.key) == kept
        assert view.object_value(kept.key, 5) == (kept, b"bytes")
        assert view.object_value(kept.key, 4) == (kept, None)
        assert view.object("absent") is None
        assert view.objects("", None, 1) == [
            ObjectSummary(
                kept.key, 5, kept.etag, kept.modified_ms, "GLACIER", "SHA256", "COMPOSITE"
            )
        ]
    assert bucket.index.object_value(kept.key, 5) == (kept, b"bytes")


def test_listing_is_in_byte_order_and_half_open(bucket: BucketFile) -> None:
    # U+FFFD sorts after U+10000 in UTF-16 and before it in UTF-8.
    names = ["", "A", "a", "a\x00", "a/", "a/b", "b", "é", "\ufffd", "\U00010000"][1:]
    for name in reversed(names):
        put(bucket, name, b"")
    assert keys(bucket) == sorted(names, key=lambda name: name.encode())
    with bucket.index.read() as view:

        def found(start: str, end: str | None, limit: int = 99, after: bool = False) -> list[str]:
            return [s.key for s in view.objects(start, end, limit, after=after)]

        assert found("a", "b") == ["a", "a\x00", "a/", "a/b"]
        assert found("a", "b", after=True) == ["a\x00", "a/", "a/b"]
        assert found("a/", None, 2) == ["a/", "a/b"]
        assert found("zz", "zz") == []
        assert not view.is_empty()


def test_view_sees_one_commit(bucket: BucketFile) -> None:
    put(bucket, "one", b"1")
    with bucket.index.read() as view:
        assert view.object("one") is not None
        put(bucket, "two", b"2")
        delete(bucket, "one")
        assert view.object("one") is not None
        assert view.object("two") is None
    assert keys(bucket) == ["two"]


def test_change_that_raises_leaves_nothing_and_spares_its_group(bucket: BucketFile) -> None:
    staged = stage(bucket, b"x")

    def careless(txn: IndexTxn) -> None:
        txn.put_object(ObjectRecord("bad", 1, "e", 1, txn.add_body(staged)))
        raise InvalidError("after writing")

    results: list[object] = []
    done = threading.Event()

    def noting(result: object, error: BaseException | None) -> None:
        results.append(error or result)
        if len(results) == 3:
            done.set()

    held = threading.Event()
    holding = threading.Thread(target=lambda: bucket.index.commit(lambda txn: held.wait(10)))
    holding.start()
    bucket.index.submit(putting("good", staged), noting)
    bucket.index.submit(careless, noting)
    bucket.index.submit(putting("also good", staged), noting)
    held.set()
    holding.join()
    assert done.wait(10)
    assert [type(result) for result in results] == [int, InvalidError, int]
    assert keys(bucket) == ["also good", "good"]


def test_replaced_and_deleted_bodies_go(bucket: BucketFile, directory: Directory) -> None:
    put(bucket, "k", b"1" * 1000)
    put(bucket, "k", b"2" * 1000)
    put(bucket, "k", b"3" * 100_000)
    put(bucket, "k", b"")
    delete(bucket, "k")
    delete(bucket, "k")
    directory.maintain()
    with sqlite3.connect(bucket.path) as reader:
        for table in ("body", "extent", "share", "freed"):
            assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    reader.close()


def test_body_nobody_names_is_released(bucket: BucketFile, directory: Directory) -> None:
    inline, packed = stage(bucket, b"x"), stage(bucket, b"y" * 100_000)
    bucket.index.commit(lambda txn: (txn.add_body(inline), txn.add_body(packed)))
    directory.maintain()
    assert bucket.check() == []


def test_copies_share_a_body(bucket: BucketFile, directory: Directory) -> None:
    for size in (10, 100_000):
        data = patterned(size, size)
        body = put(bucket, "a", data)

        def copy(txn: IndexTxn) -> None:
            record = txn.object("a")
            assert record is not None
            for key in ("b", "c"):
                txn.put_object(ObjectRecord(key, record.size, record.etag, 2, record.body))
            assert record.body == body  # noqa: B023

        bucket.index.commit(copy)
        delete(bucket, "a")
        delete(bucket, "b")
        directory.maintain()
        assert get(bucket, "c") == data
        delete(bucket, "c")


def test_parts_join_without_moving_bytes(bucket: BucketFile, directory: Directory) -> None:
    pieces = [patterned(size, size) for size in (100_000, 50_000, 7)]
    upload = UploadRecord("u1", "big", 5, content=Content("a/b"), metadata={"m": "1"})
    bucket.index.commit(lambda txn: txn.put_upload(upload))
    for number, piece in enumerate(pieces, 1):
        staged = stage(bucket, piece)

        def add(txn: IndexTxn) -> None:
            body = txn.add_body(staged)  # noqa: B023
            txn.put_part("u1", PartRecord(number, staged.size, "e", 1, body))  # noqa: B023

        bucket.index.commit(add)
    with bucket.index.read() as view:
        assert view.upload("u1") == upload
        assert [part.number for part in view.parts("u1", 1, None)] == [2, 3]
        assert view.uploads(("", ""), None, 9) == [upload]
        assert view.uploads(("big", "u1"), None, 9) == []
        assert view.uploads(("", ""), "big", 9) == []
    before = sum(p.stat().st_size for p in bucket.path.parent.glob("*.packs/*"))
    marks = [PartMark(1, 0, 100_000, "c1"), PartMark(2, 100_000, 50_000), PartMark(3, 150_000, 7)]

    def complete(txn: IndexTxn) -> int:
        body = txn.join_bodies([part.body for part in txn.parts("u1", 0, None)], marks)
        txn.put_object(ObjectRecord("big", 150_007, "e-3", 1, body, part_count=3))
        txn.delete_upload("u1")
        return body

    body = bucket.index.commit(complete)
    assert sum(p.stat().st_size for p in bucket.path.parent.glob("*.packs/*")) == before
    assert get(bucket, "big") == b"".join(pieces)
    with bucket.index.read() as view:
        assert view.marks(body, 1, 9) == marks[1:]
        assert view.upload("u1") is None
        assert view.parts("u1", 0, None) == []
        assert sum(extent.size for extent in view.extents(body)) == 150_007

    # A joined body is joined again: of runs, not of ropes.
    def again(txn: IndexTxn) -> None:
        joined = txn.join_bodies([body, body], [])
        txn.put_object(ObjectRecord("twice", 300_014, "e-2", 1, joined, part_count=2))
        txn.delete_object("big")

    bucket.index.commit(again)
    directory.maintain()
    assert get(bucket, "twice") == b"".join(pieces) * 2
    delete(bucket, "twice")
    directory.maintain()


def test_part_is_replaced(bucket: BucketFile) -> None:
    bucket.index.commit(lambda txn: txn.put_upload(UploadRecord("u", "k", 1)))
    for data in (b"first" * 9999, b"second"):
        staged = stage(bucket, data)

        def add(txn: IndexTxn) -> None:
            body = txn.add_body(staged)  # noqa: B023
            txn.put_part("u", PartRecord(1, staged.size, "e", 1, body))  # noqa: B023

        bucket.index.commit(add)
    with bucket.index.read() as view:
        part = view.part("u", 1)
        assert part is not None
        assert part.size == 6
    bucket.index.commit(lambda txn: txn.delete_upload("u"))
    with bucket.index.read() as view:
        assert view.part("u", 1) is None


def test_closed_bucket_lets_nothing_in(bucket: BucketFile, directory: Directory) -> None:
    bucket.index.commit(lambda txn: txn.close_bucket())
    with pytest.raises(NotFoundError) as caught:
        put(bucket, "late", b"x")
    assert caught.value.kind == "no_such_bucket"
    directory.drop("first")


def test_bucket_settings_change(bucket: BucketFile) -> None:
    put(bucket, "packed", b"x" * 40_000)
    record = BucketRecord("first", 1, "eu-north-1", "me", inline_max=100_000)
    bucket.index.commit(lambda txn: txn.put_bucket(record))
    put(bucket, "inline", b"x" * 40_000)
    with bucket.index.read() as view:
        assert view.bucket() == record
        assert view.object_value("packed", 1 << 20)[1] is None  # type: ignore[index]
        assert view.object_value("inline", 1 << 20)[1] == b"x" * 40_000  # type: ignore[index]


def test_view_data_reads_like_the_documentation(bucket: BucketFile) -> None:
    data = b"hello"
    staged = stage(bucket, data)

    def change(txn: IndexTxn) -> None:
        body = txn.add_body(staged)
        etag = staged.md5.hex()
        txn.put_object(ObjectRecord("k", 5, etag, 1_700_000_000_123, body, metadata={"a": "b"}))

    bucket.index.commit(change)
    put(bucket, "large", b"x" * 100_000)
    put(bucket, "none", b"")
    reader = sqlite3.connect(bucket.path)
    try:
        rows = reader.execute(
            "SELECT key, value, size, metadata, last_modified, md5 FROM data ORDER BY key"
        ).fetchall()
    finally:
        reader.close()
    assert rows[0][:3] == ("k", b"hello", 5)
    assert json.loads(rows[0][3]) == {"a": "b"}
    assert rows[0][4:] == ("2023-11-14T22:13:20.123Z", "5d41402abc4b2a76b9719d911017c592")
    assert rows[1][:3] == ("large", None, 100_000)
    assert rows[2][:3] == ("none", b"", 0)
