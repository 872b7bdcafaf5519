"""Put, delete and tags through a store, by AWS's API pages."""

from __future__ import annotations

import hashlib
import io
import zlib
from base64 import b64encode

import pytest

from cenote.base import ManualClock
from cenote.buckets import Claims, DeleteKey, ReadConditions, Store
from cenote.errors import DeniedError, Error, InvalidError, NotFoundError, PreconditionError
from cenote.ports import Content

BODY = b"day 3, glacier hike, batteries dead"
LARGE = bytes(range(256)) * 4096  # 1 MiB: packed, not inline


def kind_of(call, *args, **kwargs) -> str | None:
    try:
        call(*args, **kwargs)
    except Error as error:
        return error.kind
    return None


@pytest.mark.parametrize("body", [b"", BODY, LARGE], ids=["empty", "small", "large"])
def test_what_is_put_is_got(store: Store, bucket: str, body: bytes):
    result = store.put_object(bucket, "trips/a.txt", body, content_type="text/plain")
    assert result.etag == hashlib.md5(body).hexdigest()
    assert result.size == len(body)
    assert store.read_object(bucket, "trips/a.txt") == body
    record = store.head_object(bucket, "trips/a.txt")
    assert (record.etag, record.size, record.content.content_type) == (
        result.etag,
        len(body),
        "text/plain",
    )


def test_everything_that_is_stored_comes_back(store: Store, bucket: str):
    content = Content("text/html", "no-cache", "inline", "gzip", "de", "never", "/elsewhere")
    store.put_object(
        bucket,
        "k",
        BODY,
        content=content,
        metadata={"camera": "x100", "ort": "Höfn"},
        tags=[("year", "2024")],
        storage_class="STANDARD_IA",
    )
    record = store.head_object(bucket, "k")
    assert record.content == content
    assert record.metadata == {"camera": "x100", "ort": "Höfn"}
    assert record.tags == (("year", "2024"),)
    assert record.storage_class == "STANDARD_IA"


def test_the_default_checksum_is_crc64nvme(store: Store, bucket: str):
    checksum = store.put_object(bucket, "k", b"123456789").checksum
    assert checksum is not None
    assert (checksum.algorithm, checksum.type) == ("CRC64NVME", "FULL_OBJECT")
    assert checksum.value == b64encode(bytes.fromhex("ae8b14860a799888")).decode()


def test_a_claimed_checksum_is_verified_and_stored(store: Store, bucket: str):
    crc = zlib.crc32(BODY).to_bytes(4, "big")
    result = store.put_object(bucket, "k", BODY, claims=Claims(checksums={"CRC32": crc}))
    assert result.checksum is not None
    assert (result.checksum.algorithm, result.checksum.value) == ("CRC32", b64encode(crc).decode())
    assert store.head_object(bucket, "k").checksum == result.checksum


@pytest.mark.parametrize(
    "claims",
    [
        Claims(md5=bytes(16)),
        Claims(checksums={"CRC32": bytes(4)}),
        Claims(checksums={"CRC32C": bytes(4)}),
        Claims(checksums={"CRC64NVME": bytes(8)}),
        Claims(checksums={"SHA1": bytes(20)}),
        Claims(checksums={"SHA256": bytes(32)}),
    ],
)
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_a_wrong_digest_stores_nothing(store: Store, bucket: str, claims: Claims, body: bytes):
    store.put_object(bucket, "k", b"before")
    assert kind_of(store.put_object, bucket, "k", body, claims=claims) == "bad_digest"
    assert store.read_object(bucket, "k") == b"before"


def test_bodies_from_files_and_iterables(store: Store, bucket: str):
    file = io.BytesIO(b"head" + LARGE)
    file.seek(4)
    store.put_object(bucket, "file", file)
    store.put_object(bucket, "pieces", (LARGE[i : i + 1000] for i in range(0, len(LARGE), 1000)))
    store.put_object(bucket, "sized", iter([BODY[:5], BODY[5:]]), size=len(BODY))
    assert store.read_object(bucket, "file") == store.read_object(bucket, "pieces") == LARGE
    assert store.read_object(bucket, "sized") == BODY


@pytest.mark.parametrize(
    ("body", "size", "kind"),
    [
        (BODY, len(BODY) + 1, "incomplete_body"),
        (BODY, len(BODY) - 1, "incomplete_body"),
        (LARGE, len(LARGE) + 1, "incomplete_body"),
        (LARGE, len(LARGE) - 1, "incomplete_body"),
        (b"", (5 << 30) + 1, "entity_too_large"),
    ],
)
def test_a_body_of_another_size_stores_nothing(store: Store, bucket: str, body, size, kind):
    assert kind_of(store.put_object, bucket, "k", iter([body]), size=size) == kind
    assert kind_of(store.head_object, bucket, "k") == "no_such_key"


def test_text_is_not_a_body(store: Store, bucket: str):
    assert kind_of(store.put_object, bucket, "k", io.StringIO("abc")) == "invalid_argument"
    assert kind_of(store.put_object, bucket, "k", "abc") == "invalid_argument"


def test_a_failing_source_stores_nothing(store: Store, bucket: str):
    def pieces():
        yield LARGE
        raise OSError("source broke")

    with pytest.raises(OSError, match="source broke"):
        store.put_object(bucket, "k", pieces(), size=2 * len(LARGE))
    assert kind_of(store.head_object, bucket, "k") == "no_such_key"


def test_conditional_puts(store: Store, bucket: str):
    first = store.put_object(bucket, "k", b"1", if_none_match="*")
    assert kind_of(store.put_object, bucket, "k", b"2", if_none_match="*") == "precondition_failed"
    second = store.put_object(bucket, "k", b"2", if_match=first.etag)
    assert kind_of(store.put_object, bucket, "k", b"3", if_match=first.etag) == (
        "precondition_failed"
    )
    store.put_object(bucket, "k", b"3", if_match=f'"{second.etag}"')
    assert kind_of(store.put_object, bucket, "absent", b"", if_match=first.etag) == "no_such_key"
    assert kind_of(store.put_object, bucket, "k", b"", if_none_match=first.etag) == (
        "not_implemented"
    )
    assert store.read_object(bucket, "k") == b"3"


def test_deletes_are_idempotent_unless_conditional(store: Store, bucket: str):
    etag = store.put_object(bucket, "k", b"1").etag
    assert kind_of(store.delete_object, bucket, "k", if_match="0" * 32) == "precondition_failed"
    assert store.delete_object(bucket, "k", if_match=etag).existed
    assert not store.delete_object(bucket, "k").existed
    # What AWS answers for an absent key under a condition, measured by several: NoSuchKey.
    assert kind_of(store.delete_object, bucket, "k", if_match=etag) == "no_such_key"
    assert kind_of(store.delete_object, bucket, "k", if_match="*") == "no_such_key"


def test_deleting_many_answers_for_each_key(store: Store, bucket: str):
    etag = store.put_object(bucket, "a", b"1").etag
    store.put_object(bucket, "b", b"2")
    store.put_object(bucket, "c/d", LARGE)
    outcomes = store.delete_objects(
        bucket,
        ["c/d", "absent", DeleteKey("a", etag), DeleteKey("b", etag), "x" * 1025, "c/d"],
    )
    assert [(o.existed, o.error_kind) for o in outcomes] == [
        (True, None),
        (False, None),
        (True, None),
        (False, "precondition_failed"),
        (False, "key_too_long"),
        (False, None),
    ]
    assert [item.key for item in store.iterate_objects(bucket)] == ["b"]
    assert kind_of(store.delete_objects, bucket, ["k"] * 1001) == "invalid_request"
    assert store.delete_objects(bucket, []) == []


def test_modified_time_never_goes_back(store: Store, bucket: str, clock: ManualClock):
    before = store.put_object(bucket, "k", b"1").modified_ms
    clock.advance(-60)
    assert store.put_object(bucket, "k", b"2").modified_ms == before
    clock.advance(120)
    assert store.put_object(bucket, "k", b"3").modified_ms == before + 60_000


def test_reads_under_conditions(store: Store, bucket: str):
    etag = store.put_object(bucket, "k", BODY).etag
    with pytest.raises(PreconditionError) as caught:
        store.get_object(bucket, "k", conditions=ReadConditions(if_none_match=etag))
    assert caught.value.kind == "not_modified"
    assert caught.value.context["etag"] == etag
    with store.get_object(bucket, "k", conditions=ReadConditions(if_match=etag)) as reader:
        assert reader.read() == BODY


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("start", "end"), [(0, 5), (3, None), (-7, None), (None, 4), (5, 10**9), (-(10**9), None)]
)
def test_ranges(store: Store, bucket: str, body: bytes, start: int | None, end: int | None):
    store.put_object(bucket, "k", body)
    with store.get_object(bucket, "k", start=start, end=end) as reader:
        assert reader.read() == body[start:end]
        assert body[reader.start : reader.end] == body[start:end]


@pytest.mark.parametrize(("start", "end"), [(35, None), (5, 5), (7, 3), (None, 0)])
def test_ranges_without_a_byte(store: Store, bucket: str, start: int | None, end: int | None):
    store.put_object(bucket, "k", BODY)
    with pytest.raises(InvalidError) as caught:
        store.get_object(bucket, "k", start=start, end=end)
    assert (caught.value.kind, caught.value.context["size"]) == ("invalid_range", 35)


def test_a_reader_outlives_its_object(store: Store, bucket: str):
    store.put_object(bucket, "k", LARGE)
    with store.get_object(bucket, "k") as reader:
        first = reader.read(10)
        store.delete_object(bucket, "k")
        store.maintain()
        assert first + b"".join(reader) == LARGE
    assert kind_of(reader.read) is None  # at its end; a closed one with bytes left refuses
    store.put_object(bucket, "k", BODY)
    reader = store.get_object(bucket, "k")
    reader.close()
    reader.close()
    assert kind_of(reader.read) == "closed"


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_archived_objects_must_be_restored_to_be_read(
    store: Store, bucket: str, storage_class: str
):
    store.put_object(bucket, "k", BODY, storage_class=storage_class)
    with pytest.raises(DeniedError) as caught:
        store.get_object(bucket, "k")
    assert caught.value.kind == "invalid_object_state"
    assert store.head_object(bucket, "k").storage_class == storage_class
    assert [i.storage_class for i in store.iterate_objects(bucket)] == [storage_class]
    assert store.get_object_attributes(bucket, "k").object.size == len(BODY)
    assert store.delete_object(bucket, "k").existed


def test_tags(store: Store, bucket: str):
    before = store.put_object(bucket, "k", BODY, tags=[("a", "1")])
    assert store.get_object_tagging(bucket, "k") == (("a", "1"),)
    store.put_object_tagging(bucket, "k", [("b", "2"), ("c", "")])
    assert store.get_object_tagging(bucket, "k") == (("b", "2"), ("c", ""))
    assert kind_of(store.put_object_tagging, bucket, "k", [("aws:x", "1")]) == "invalid_tag"
    store.delete_object_tagging(bucket, "k")
    store.delete_object_tagging(bucket, "k")
    assert store.get_object_tagging(bucket, "k") == ()
    after = store.head_object(bucket, "k")
    assert (after.etag, after.modified_ms) == (before.etag, before.modified_ms)
    assert store.read_object(bucket, "k") == BODY


def test_what_is_absent(store: Store, bucket: str):
    calls = [
        (store.get_object, "no_such_key"),
        (store.head_object, "no_such_key"),
        (store.get_object_attributes, "no_such_key"),
        (store.get_object_tagging, "no_such_key"),
        (store.delete_object_tagging, "no_such_key"),
    ]
    for call, kind in calls:
        with pytest.raises(NotFoundError) as caught:
            call(bucket, "nope")
        assert caught.value.kind == kind
        with pytest.raises(NotFoundError) as caught:
            call("nope", "nope")
        assert caught.value.kind == "no_such_bucket"
    assert kind_of(store.put_object, "nope", "k", BODY) == "no_such_bucket"
    assert kind_of(store.delete_object, "nope", "k") == "no_such_bucket"


@pytest.mark.parametrize(
    "key", ["a//b", "..", "../../etc/passwd", "/", "a/", "é", "🐈", "\x01", "%2F", "a b+c"]
)
def test_any_key_is_only_a_key(store: Store, bucket: str, key: str):
    store.put_object(bucket, key, BODY)
    assert store.read_object(bucket, key) == BODY
    assert [item.key for item in store.iterate_objects(bucket)] == [key]
