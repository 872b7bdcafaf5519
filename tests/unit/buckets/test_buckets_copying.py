"""Copies of objects and parts, by AWS's pages CopyObject and UploadPartCopy."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

import pytest

from cenote.base import ManualClock
from cenote.buckets import CopyObject, CopyPart, CreateUpload, PutPart, ReadConditions, Store
from cenote.errors import Error
from cenote.ports import Content

MIB = 1 << 20
SMALL = b"day 3, glacier hike, batteries dead"
LARGE = bytes(range(256)) * (5 * MIB // 256)


def kind_of(call, *args, **kwargs) -> str | None:
    try:
        call(*args, **kwargs)
    except Error as error:
        return error.kind
    return None


@pytest.fixture(params=["photos", "elsewhere"])
def target(store: Store, bucket: str, request: pytest.FixtureRequest) -> str:
    store.create_bucket("elsewhere")
    return request.param


@pytest.mark.parametrize("body", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
def test_a_copy_is_the_same(
    store: Store, bucket: str, target: str, body: bytes, clock: ManualClock
):
    store.put_object(
        bucket, "a", body, content_type="text/plain", metadata={"m": "1"}, tags=[("t", "1")]
    )
    clock.advance(5)
    result = store.copy_object(bucket, target, CopyObject("b", "a"))
    source, copy = store.head_object(bucket, "a"), store.head_object(target, "b")
    assert store.read_object(target, "b") == body
    assert result.etag == copy.etag == source.etag
    assert (copy.content, copy.metadata, copy.tags, copy.checksum) == (
        source.content,
        source.metadata,
        source.tags,
        source.checksum,
    )
    assert copy.modified_ms == source.modified_ms + 5000
    store.delete_object(bucket, "a")
    assert store.read_object(target, "b") == body


def test_directives_replace(store: Store, bucket: str, target: str):
    store.put_object(bucket, "a", SMALL, metadata={"m": "1"}, tags=[("t", "1")])
    request = CopyObject("b", "a", content=Content(content_type="x/y"), tags=(("u", "2"),))
    store.copy_object(bucket, target, request)
    copy = store.head_object(target, "b")
    assert (copy.content.content_type, copy.metadata, copy.tags) == ("x/y", {}, (("u", "2"),))
    store.copy_object(bucket, target, CopyObject("c", "a", metadata={"n": "2"}))
    copy = store.head_object(target, "c")
    assert (copy.content.content_type, copy.metadata, copy.tags) == (
        "binary/octet-stream",
        {"n": "2"},
        (("t", "1"),),
    )


def test_class_and_redirect_are_never_the_sources(store: Store, bucket: str, target: str):
    store.put_object(
        bucket,
        "a",
        SMALL,
        content=Content(website_redirect_location="/x"),
        storage_class="STANDARD_IA",
    )
    store.copy_object(bucket, target, CopyObject("b", "a"))
    copy = store.head_object(target, "b")
    assert (copy.storage_class, copy.content.website_redirect_location) == ("STANDARD", None)
    request = CopyObject("c", "a", website_redirect_location="/y", storage_class="ONEZONE_IA")
    store.copy_object(bucket, target, request)
    copy = store.head_object(target, "c")
    assert (copy.storage_class, copy.content.website_redirect_location) == ("ONEZONE_IA", "/y")


def test_a_copy_onto_itself_must_change_something(store: Store, bucket: str):
    store.put_object(bucket, "a", SMALL, metadata={"m": "1"})
    copy = store.copy_object
    assert kind_of(copy, bucket, bucket, CopyObject("a", "a")) == "invalid_request"
    for change in (
        {"metadata": {"m": "2"}},
        {"content": Content(content_type="x/y")},
        {"storage_class": "STANDARD_IA"},
        {"website_redirect_location": "/x"},
        {"checksum_algorithm": "SHA256"},
    ):
        copy(bucket, bucket, CopyObject("a", "a", **change))
        assert store.read_object(bucket, "a") == SMALL
    assert store.head_object(bucket, "a").checksum.algorithm == "SHA256"


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_another_checksum_is_computed(store: Store, bucket: str, target: str, body: bytes):
    store.put_object(bucket, "a", body)
    store.copy_object(bucket, target, CopyObject("b", "a", checksum_algorithm="SHA1"))
    checksum = store.head_object(target, "b").checksum
    assert (checksum.algorithm, checksum.type, checksum.value) == (
        "SHA1",
        "FULL_OBJECT",
        b64encode(hashlib.sha1(body).digest()).decode(),
    )


def test_source_conditions(store: Store, bucket: str, target: str):
    record = store.put_object(bucket, "a", SMALL)
    good = ReadConditions(if_match=record.etag, if_unmodified_since_ms=0)
    store.copy_object(bucket, target, CopyObject("b", "a", source_conditions=good))
    for bad in (
        ReadConditions(if_match="0" * 32),
        ReadConditions(if_none_match=record.etag),
        ReadConditions(if_unmodified_since_ms=0),
        ReadConditions(if_modified_since_ms=record.modified_ms),
    ):
        request = CopyObject("c", "a", source_conditions=bad)
        assert kind_of(store.copy_object, bucket, target, request) == "precondition_failed"
    assert kind_of(store.head_object, target, "c") == "no_such_key"


def test_target_conditions(store: Store, bucket: str, target: str):
    from cenote.buckets import ABSENT, Conditions

    store.put_object(bucket, "a", LARGE)
    first = store.copy_object(bucket, target, CopyObject("b", "a", conditions=ABSENT))
    request = CopyObject("b", "a", conditions=ABSENT)
    assert kind_of(store.copy_object, bucket, target, request) == "precondition_failed"
    request = CopyObject("b", "a", conditions=Conditions(if_match=first.etag))
    store.copy_object(bucket, target, request)
    request = CopyObject("c", "a", conditions=Conditions(if_match=first.etag))
    assert kind_of(store.copy_object, bucket, target, request) == "no_such_key"


def test_what_cannot_be_copied(store: Store, bucket: str, target: str):
    store.put_object(bucket, "ice", SMALL, storage_class="GLACIER")
    for request, kind in (
        (CopyObject("b", "absent"), "no_such_key"),
        (CopyObject("b", "ice"), "invalid_object_state"),
        (CopyObject("b", "ice", storage_class="X"), "invalid_storage_class"),
        (CopyObject("b", "ice", checksum_algorithm="X"), "invalid_request"),
        (CopyObject("x" * 1025, "ice"), "key_too_long"),
    ):
        assert kind_of(store.copy_object, bucket, target, request) == kind


def start(store: Store, bucket: str, key: str = "big", **asked) -> str:
    return store.create_multipart_upload(bucket, CreateUpload(key, **asked)).upload_id


def test_a_copy_of_a_multipart_object_keeps_its_parts(store: Store, bucket: str, target: str):
    upload_id = start(store, bucket)
    parts = [
        store.upload_part(bucket, PutPart("big", upload_id, 1), LARGE),
        store.upload_part(bucket, PutPart("big", upload_id, 2), SMALL),
    ]
    source = store.complete_multipart_upload(bucket, "big", upload_id, parts)
    copy = store.copy_object(bucket, target, CopyObject("copy", "big"))
    assert copy.etag == source.etag
    assert store.read_object(target, "copy") == LARGE + SMALL
    with store.get_object(target, "copy", part_number=2) as reader:
        assert reader.read() == SMALL
    # The copy is no upload's completion.
    assert store.head_object(target, "copy").upload_id is None


@pytest.mark.parametrize("algorithm", [None, "CRC32", "SHA256"])
@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
def test_parts_by_copy(store: Store, bucket: str, target: str, body: bytes, algorithm: str | None):
    store.put_object(bucket, "a", body)
    upload_id = start(store, target, checksum_algorithm=algorithm)
    whole = store.upload_part_copy(bucket, target, CopyPart("big", upload_id, 1, "a"))
    assert (whole.etag, whole.size) == (hashlib.md5(body).hexdigest(), len(body))
    piece = store.upload_part_copy(bucket, target, CopyPart("big", upload_id, 2, "a", 3, 20))
    assert piece.etag == hashlib.md5(body[3:20]).hexdigest()
    if algorithm == "CRC32":
        crc = zlib.crc32(body[3:20]).to_bytes(4, "big")
        assert piece.checksum.value == b64encode(crc).decode()
    if len(body) >= 5 * MIB:
        store.complete_multipart_upload(target, "big", upload_id, [whole, piece])
        assert store.read_object(target, "big") == body + body[3:20]
    store.complete_multipart_upload(target, "big", upload_id, [piece]) if len(
        body
    ) < 5 * MIB else None
    store.delete_object(bucket, "a")


def test_a_part_of_a_multipart_object(store: Store, bucket: str, target: str):
    upload_id = start(store, bucket, "a")
    part = store.upload_part(bucket, PutPart("a", upload_id, 1), SMALL)
    store.complete_multipart_upload(bucket, "a", upload_id, [part])
    other = start(store, target)
    copied = store.upload_part_copy(bucket, target, CopyPart("big", other, 1, "a"))
    assert copied.etag == hashlib.md5(SMALL).hexdigest()
    store.abort_multipart_upload(target, "big", other)


@pytest.mark.parametrize(
    ("start_at", "end", "kind"),
    [
        (0, 36, "invalid_range"),
        (35, 36, "invalid_range"),
        (5, 5, "invalid_range"),
        (9, 5, "invalid_range"),
        (-1, 5, "invalid_range"),
        (0, 35, None),
    ],
)
def test_part_ranges(store: Store, bucket: str, target: str, start_at, end, kind):
    store.put_object(bucket, "a", SMALL)
    upload_id = start(store, target)
    request = CopyPart("big", upload_id, 1, "a", start_at, end)
    assert kind_of(store.upload_part_copy, bucket, target, request) == kind


def test_part_copies_that_are_refused(store: Store, bucket: str, target: str):
    store.put_object(bucket, "ice", SMALL, storage_class="DEEP_ARCHIVE")
    etag = store.put_object(bucket, "a", SMALL).etag
    upload_id = start(store, target)
    never = ReadConditions(if_none_match=etag)
    for request, kind in (
        (CopyPart("big", upload_id, 1, "absent"), "no_such_key"),
        (CopyPart("big", upload_id, 1, "ice"), "invalid_object_state"),
        (CopyPart("big", upload_id, 0, "a"), "invalid_argument"),
        (CopyPart("big", "nope", 1, "a"), "no_such_upload"),
        (CopyPart("other", upload_id, 1, "a"), "no_such_upload"),
        (CopyPart("big", upload_id, 1, "a", source_conditions=never), "precondition_failed"),
    ):
        assert kind_of(store.upload_part_copy, bucket, target, request) == kind
    assert store.list_parts(target, "big", upload_id).parts == []
