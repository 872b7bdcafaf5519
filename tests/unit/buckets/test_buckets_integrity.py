"""Damaged and restless sources, and which checksum is stored."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from cenote.base import ManualClock
from cenote.buckets import (
    Claims,
    CopyObject,
    CopyPart,
    CreateUpload,
    PutPart,
    Store,
    copying,
    reading,
)
from cenote.errors import ChecksumError, ConflictError, Error
from cenote.ports import Bodies, BodyLease, Bucket, Checksum, Index, ObjectRecord

BODY = b"day 3, glacier hike, batteries dead"
LARGE = bytes(range(256)) * 4096


def kind_of(call, *args, **kwargs) -> str | None:
    try:
        call(*args, **kwargs)
    except Error as error:
        return error.kind
    return None


def test_the_algorithm_named_is_stored(store: Store, bucket: str):
    result = store.put_object(bucket, "k", BODY, claims=Claims(algorithm="SHA1"))
    value = b64encode(hashlib.sha1(BODY).digest()).decode()
    assert result.checksum == Checksum("SHA1", "FULL_OBJECT", value)


def test_a_claim_of_another_algorithm_than_the_one_named(store: Store, bucket: str):
    claims = Claims(algorithm="SHA1", checksums={"CRC32": zlib.crc32(BODY).to_bytes(4, "big")})
    assert kind_of(store.put_object, bucket, "k", BODY, claims=claims) == "invalid_request"
    for name in ("MD5", "SHA512", "XXHASH64", "crc32", ""):
        claims = Claims(algorithm=name)
        assert kind_of(store.put_object, bucket, "k", BODY, claims=claims) == "invalid_request"
    assert kind_of(store.head_object, bucket, "k") == "no_such_key"


@contextmanager
def lying(bucket: Bucket, key: str, **changes: object) -> Iterator[None]:
    """Let a record say something else of its bytes for a while."""
    with bucket.index.read() as view:
        record = view.object(key)
    assert record is not None
    lie = msgspec.structs.replace(record, **changes)
    bucket.index.commit(lambda txn: txn.put_object(lie))
    yield
    bucket.index.commit(lambda txn: txn.put_object(record))


@pytest.mark.parametrize(
    "changes",
    [
        {"etag": "0" * 32},
        {"checksum": Checksum("CRC64NVME", "FULL_OBJECT", b64encode(bytes(8)).decode())},
    ],
    ids=["etag", "checksum"],
)
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_damaged_bytes_are_not_copied_on(store: Store, bucket: str, body: bytes, changes):
    store.create_bucket("elsewhere")
    store.put_object(bucket, "a", body)
    upload_id = store.create_multipart_upload("elsewhere", CreateUpload("b")).upload_id
    with lying(store.bucket(bucket), "a", **changes):
        for call, *arguments in (
            (store.copy_object, bucket, "elsewhere", CopyObject("b", "a")),
            (store.copy_object, bucket, bucket, CopyObject("b", "a", checksum_algorithm="SHA1")),
            (store.upload_part_copy, bucket, "elsewhere", CopyPart("b", upload_id, 1, "a")),
        ):
            with pytest.raises(ChecksumError):
                call(*arguments)
    assert kind_of(store.head_object, "elsewhere", "b") == "no_such_key"
    assert kind_of(store.head_object, bucket, "b") == "no_such_key"
    assert store.list_parts("elsewhere", "b", upload_id).parts == []


class RestlessBodies:
    """Bodies of a bucket whose object is rewritten whenever it is about to be read."""

    def __init__(self, store: Store, bucket: Bucket, times: int) -> None:
        self._store, self._bucket, self._times = store, bucket, times

    def lease(self, key: str) -> tuple[ObjectRecord, BodyLease] | None:
        if self._times > 0:
            self._times -= 1
            self._store.put_object(self._bucket.name, key, b"again " * (1 + self._times))
        return self._bucket.bodies.lease(key)

    def __getattr__(self, name: str) -> object:
        return getattr(self._bucket.bodies, name)


class RestlessIndex:
    """An index whose object is rewritten just before each commit."""

    def __init__(self, store: Store, bucket: Bucket, key: str, times: int) -> None:
        self._store, self._bucket, self._key, self._times = store, bucket, key, times

    def commit(self, change):
        if self._times > 0:
            self._times -= 1
            self._store.put_object(self._bucket.name, self._key, b"more " * (1 + self._times))
        return self._bucket.index.commit(change)

    def __getattr__(self, name: str) -> object:
        return getattr(self._bucket.index, name)


class Restless:
    def __init__(self, bucket: Bucket, bodies: object = None, index: object = None) -> None:
        self.name: str = bucket.name
        self.bodies: Bodies = bodies or bucket.bodies  # type: ignore[assignment]
        self.index: Index = index or bucket.index  # type: ignore[assignment]


@pytest.mark.parametrize(("times", "kind"), [(2, None), (99, "conditional_conflict")])
def test_a_source_rewritten_while_it_is_copied(
    store: Store, bucket: str, clock: ManualClock, times: int, kind: str | None
):
    store.create_bucket("elsewhere")
    store.put_object(bucket, "a", BODY)
    here, there = store.bucket(bucket), store.bucket("elsewhere")
    source = Restless(here, bodies=RestlessBodies(store, here, times))
    request = CopyObject("b", "a")
    assert kind_of(copying.copy_object, source, there, request, clock.now_ms) == kind
    source = Restless(here, index=RestlessIndex(store, here, "a", times))
    request = CopyObject("b", "a", checksum_algorithm="SHA1")
    assert kind_of(copying.copy_object, source, source, request, clock.now_ms) == kind
    if kind is None:
        assert store.read_object("elsewhere", "b") == b"again "
        body = store.read_object(bucket, "b")
        value = b64encode(hashlib.sha1(body).digest()).decode()
        assert store.head_object(bucket, "b").checksum.value == value


def test_a_part_read_while_its_object_is_rewritten(store: Store, bucket: str):
    store.put_object(bucket, "a", BODY)
    here = store.bucket(bucket)
    with reading.open_part(Restless(here, bodies=RestlessBodies(store, here, 2)), "a", 1) as reader:
        assert reader.read() == store.read_object(bucket, "a")
    with pytest.raises(ConflictError):
        reading.open_part(Restless(here, bodies=RestlessBodies(store, here, 99)), "a", 1)


def test_a_whole_part_copied_while_its_source_is_rewritten(
    store: Store, bucket: str, clock: ManualClock
):
    store.put_object(bucket, "a", BODY)
    upload_id = store.create_multipart_upload(bucket, CreateUpload("b")).upload_id
    here = store.bucket(bucket)
    source = Restless(here, index=RestlessIndex(store, here, "a", 1))
    part = copying.copy_part(source, source, CopyPart("b", upload_id, 1, "a"), clock.now_ms)
    assert part.etag == store.head_object(bucket, "a").etag


def test_refused_bodies_give_their_space_back(store: Store, bucket: str, tmp_path: Path):
    etag = store.put_object(bucket, "k", b"x").etag
    store.create_bucket("elsewhere")
    store.put_object("elsewhere", "source", LARGE)
    upload_id = store.create_multipart_upload(bucket, CreateUpload("k")).upload_id
    wrong = Claims(md5=bytes(16))
    for _ in range(3):
        assert kind_of(store.put_object, bucket, "k", LARGE, if_none_match="*")
        assert kind_of(store.put_object, bucket, "k", LARGE, claims=wrong) == "bad_digest"
        assert kind_of(store.put_object, bucket, "k", LARGE, metadata={"A": ""})
        assert kind_of(store.upload_part, bucket, PutPart("k", upload_id, 1, wrong), LARGE)
        request = CopyPart("k", upload_id, 10_001, "source")
        assert kind_of(store.upload_part_copy, "elsewhere", bucket, request)
    store.maintain()
    packs = (tmp_path / "data" / f"{bucket}.packs").glob("*.pack")
    assert sum(pack.stat().st_blocks * 512 for pack in packs) < len(LARGE) // 4
    assert store.head_object(bucket, "k").etag == etag


def test_parts_of_an_object_that_is_gone_are_not_called_wrong(store: Store, bucket: str):
    upload_id = store.create_multipart_upload(bucket, CreateUpload("a")).upload_id
    part = store.upload_part(bucket, PutPart("a", upload_id, 1), LARGE)
    store.complete_multipart_upload(bucket, "a", upload_id, [part])
    record = store.head_object(bucket, "a")
    store.put_object(bucket, "a", BODY)
    with store.bucket(bucket).index.read() as view, pytest.raises(ConflictError):
        reading.part_span(view, record, 1)
