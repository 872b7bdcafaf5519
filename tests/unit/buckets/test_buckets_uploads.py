"""Multipart uploads, by AWS's pages on them."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.buckets import (
    Claims,
    CompletedPart,
    CompleteUpload,
    CreateUpload,
    ListUploads,
    PutPart,
    Store,
    uploads,
)
from cenote.errors import Error, InvalidError
from cenote.ports import Content, PartRecord

MIB = 1 << 20
PART = bytes(range(256)) * (5 * MIB // 256)
LAST = b"the last part may be small"


def kind_of(call, *args, **kwargs) -> str | None:
    try:
        call(*args, **kwargs)
    except Error as error:
        return error.kind
    return None


class Upload:
    """An upload under way, shorter to write."""

    def __init__(self, store: Store, bucket: str, key: str = "video", **asked) -> None:
        self.store, self.bucket, self.key = store, bucket, key
        self.record = store.create_multipart_upload(bucket, CreateUpload(key, **asked))
        self.id = self.record.upload_id

    def put(self, number: int, body: bytes, claims: Claims | None = None) -> PartRecord:
        request = PutPart(self.key, self.id, number, claims or Claims())
        return self.store.upload_part(self.bucket, request, body)

    def complete(self, parts, **asked):
        return self.store.complete_multipart_upload(self.bucket, self.key, self.id, parts, **asked)

    def request(self, parts, **asked) -> CompleteUpload:
        named = tuple(CompletedPart(part.number, part.etag) for part in parts)
        return CompleteUpload(self.key, self.id, named, **asked)

    def commit(self, request: CompleteUpload):
        return self.store.bucket(self.bucket).index.commit(uploads.complete(request, 1))


@pytest.fixture
def upload(store: Store, bucket: str) -> Upload:
    return Upload(store, bucket)


def etag_of(*bodies: bytes) -> str:
    md5s = b"".join(hashlib.md5(body).digest() for body in bodies)
    return f"{hashlib.md5(md5s).hexdigest()}-{len(bodies)}"


def test_parts_become_one_object(store: Store, bucket: str):
    upload = Upload(
        store,
        bucket,
        content=Content(content_type="video/mp4"),
        metadata={"a": "b"},
        tags=(("t", "1"),),
        storage_class="STANDARD_IA",
    )
    # Sent in any order, with gaps in the numbers.
    parts = [upload.put(7, LAST), upload.put(2, PART)]
    assert kind_of(store.head_object, bucket, "video") == "no_such_key"
    result = upload.complete(reversed(parts), size=len(PART) + len(LAST))
    assert result.etag == etag_of(PART, LAST)
    assert store.read_object(bucket, "video") == PART + LAST
    record = store.head_object(bucket, "video")
    assert (record.content.content_type, record.metadata, record.tags, record.storage_class) == (
        "video/mp4",
        {"a": "b"},
        (("t", "1"),),
        "STANDARD_IA",
    )
    assert record.part_count == 2
    assert store.list_multipart_uploads(bucket).uploads == []


def test_one_empty_part_makes_an_empty_object(upload: Upload):
    result = upload.complete([upload.put(1, b"")])
    assert (result.size, result.etag) == (0, etag_of(b""))
    assert upload.store.read_object(upload.bucket, upload.key) == b""
    with upload.store.get_object(upload.bucket, upload.key, part_number=1) as reader:
        assert reader.read() == b""


def test_an_empty_last_part(upload: Upload):
    parts = [upload.put(1, PART), upload.put(2, b"")]
    assert upload.complete(parts).size == len(PART)
    with upload.store.get_object(upload.bucket, upload.key, part_number=2) as reader:
        assert reader.read() == b""


def test_a_part_sent_again_replaces_the_first(upload: Upload):
    old = upload.put(1, b"old")
    new = upload.put(1, b"new")
    page = upload.store.list_parts(upload.bucket, upload.key, upload.id)
    assert [(p.number, p.etag, p.size) for p in page.parts] == [(1, new.etag, 3)]
    assert kind_of(upload.complete, [old]) == "invalid_part"
    upload.complete([new])
    assert upload.store.read_object(upload.bucket, upload.key) == b"new"


def test_parts_not_named_are_dropped(upload: Upload):
    upload.put(1, b"unused")
    upload.complete([upload.put(2, b"used")])
    assert upload.store.read_object(upload.bucket, upload.key) == b"used"


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([], "invalid_request"),
        ([(2, LAST), (1, PART)], "invalid_part_order"),
        ([(1, PART), (1, PART)], "invalid_part_order"),
        ([(1, PART), (3, LAST)], "invalid_part"),
        ([(1, LAST)], "invalid_part"),
        ([(0, LAST)], "invalid_argument"),
        ([(10_001, LAST)], "invalid_part"),
    ],
)
def test_wrong_lists_of_parts(upload: Upload, parts, kind: str):
    upload.put(1, PART)
    upload.put(2, LAST)
    named = [CompletedPart(number, hashlib.md5(body).hexdigest()) for number, body in parts]
    assert kind_of(upload.complete, named) == kind
    # Nothing happened: the upload is still there.
    assert len(upload.store.list_parts(upload.bucket, upload.key, upload.id).parts) == 2


def test_only_the_last_part_may_be_small(upload: Upload):
    parts = [upload.put(1, PART[:-1]), upload.put(2, PART)]
    with pytest.raises(InvalidError) as caught:
        upload.complete(parts)
    assert caught.value.kind == "entity_too_small"
    assert caught.value.context["part_number"] == 1
    upload.complete([upload.put(1, PART), parts[1]])


def test_etags_with_or_without_quotes(upload: Upload):
    part = upload.put(1, LAST)
    upload.complete([CompletedPart(1, f'"{part.etag}"')])


def test_the_size_announced_must_be_right(upload: Upload):
    part = upload.put(1, LAST)
    assert kind_of(upload.complete, [part], size=1) == "invalid_request"
    upload.complete([part], size=len(LAST))


def test_completing_twice_answers_the_same(upload: Upload, clock: ManualClock):
    parts = [upload.put(1, PART), upload.put(2, LAST)]
    first = upload.complete(parts)
    clock.advance(60)
    assert upload.complete(parts) == first
    assert kind_of(upload.complete, parts[:1]) == "no_such_upload"
    upload.store.put_object(upload.bucket, upload.key, b"newer")
    assert kind_of(upload.complete, parts) == "no_such_upload"
    assert upload.store.read_object(upload.bucket, upload.key) == b"newer"


def test_an_ended_upload_is_gone(upload: Upload):
    part = upload.put(1, LAST)
    upload.store.abort_multipart_upload(upload.bucket, upload.key, upload.id)
    assert kind_of(upload.put, 2, LAST) == "no_such_upload"
    assert kind_of(upload.complete, [part]) == "no_such_upload"
    assert kind_of(upload.store.list_parts, upload.bucket, upload.key, upload.id) == (
        "no_such_upload"
    )
    assert kind_of(upload.store.abort_multipart_upload, upload.bucket, upload.key, upload.id) == (
        "no_such_upload"
    )


def test_an_upload_belongs_to_its_key(upload: Upload):
    upload.put(1, LAST)
    request = PutPart("other", upload.id, 1)
    assert kind_of(upload.store.upload_part, upload.bucket, request, LAST) == "no_such_upload"
    assert kind_of(upload.store.abort_multipart_upload, upload.bucket, "other", upload.id) == (
        "no_such_upload"
    )


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_numbers(upload: Upload, number: int):
    assert kind_of(upload.put, number, LAST) == "invalid_argument"


def test_conditions_at_completion(upload: Upload):
    part = upload.put(1, LAST)
    assert kind_of(upload.complete, [part], if_match="*") == "no_such_key"
    there = upload.store.put_object(upload.bucket, upload.key, b"there")
    assert kind_of(upload.complete, [part], if_none_match="*") == "precondition_failed"
    assert kind_of(upload.complete, [part], if_match="0" * 32) == "precondition_failed"
    assert kind_of(upload.complete, [part], if_none_match=there.etag) == "not_implemented"
    upload.complete([part], if_match=there.etag)
    assert upload.store.read_object(upload.bucket, upload.key) == LAST


@pytest.mark.parametrize(
    ("algorithm", "asked", "kind"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC32C", None, "COMPOSITE"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("SHA1", None, "COMPOSITE"),
        ("SHA256", "COMPOSITE", "COMPOSITE"),
        (None, None, None),
    ],
)
def test_checksum_types_aws_allows(store: Store, bucket: str, algorithm, asked, kind):
    upload = Upload(store, bucket, checksum_algorithm=algorithm, checksum_type=asked)
    assert upload.record.checksum_type == kind
    result = upload.complete([upload.put(1, PART), upload.put(2, LAST)])
    assert result.checksum is not None
    assert (result.checksum.algorithm, result.checksum.type) == (
        algorithm or "CRC64NVME",
        kind or "FULL_OBJECT",
    )
    assert result.checksum.value.endswith("-2") == (kind == "COMPOSITE")


@pytest.mark.parametrize(
    ("algorithm", "asked"),
    [
        ("CRC64NVME", "COMPOSITE"),
        ("SHA1", "FULL_OBJECT"),
        ("SHA256", "FULL_OBJECT"),
        ("MD5", None),
        ("crc32", None),
        ("CRC32", "WHOLE"),
        (None, "COMPOSITE"),
    ],
)
def test_checksum_types_aws_refuses(store: Store, bucket: str, algorithm, asked):
    assert (
        kind_of(Upload, store, bucket, checksum_algorithm=algorithm, checksum_type=asked)
        == "invalid_request"
    )


def test_a_full_object_crc_is_that_of_the_bytes(store: Store, bucket: str):
    upload = Upload(store, bucket, checksum_algorithm="CRC32", checksum_type="FULL_OBJECT")
    result = upload.complete([upload.put(1, PART), upload.put(2, LAST)])
    crc = zlib.crc32(PART + LAST).to_bytes(4, "big")
    assert result.checksum is not None
    assert result.checksum.value == b64encode(crc).decode()


def test_a_composite_is_the_checksum_of_checksums(store: Store, bucket: str):
    upload = Upload(store, bucket, checksum_algorithm="SHA256")
    result = upload.complete([upload.put(1, PART), upload.put(2, LAST)])
    joined = hashlib.sha256(PART).digest() + hashlib.sha256(LAST).digest()
    value = b64encode(hashlib.sha256(joined).digest()).decode()
    assert result.checksum is not None
    assert result.checksum.value == f"{value}-2"
    marks = store.get_object_attributes(bucket, "video").parts
    assert [mark.checksum for mark in marks] == [
        b64encode(hashlib.sha256(body).digest()).decode() for body in (PART, LAST)
    ]


def test_part_checksums_are_verified(store: Store, bucket: str):
    upload = Upload(store, bucket, checksum_algorithm="CRC32")
    wrong = Claims(checksums={"CRC32": bytes(4)})
    assert kind_of(upload.put, 1, LAST, wrong) == "bad_digest"
    other = Claims(checksums={"SHA1": hashlib.sha1(LAST).digest()})
    assert kind_of(upload.put, 1, LAST, other) == "invalid_request"
    crc = zlib.crc32(LAST).to_bytes(4, "big")
    part = upload.put(1, LAST, Claims(checksums={"CRC32": crc}))
    assert part.checksum is not None
    assert part.checksum.value == b64encode(crc).decode()
    text = b64encode(crc).decode()
    named = CompletedPart(1, part.etag, {"CRC32": b64encode(bytes(4)).decode()})
    assert kind_of(upload.complete, [named]) == "invalid_part"
    upload.complete([CompletedPart(1, part.etag, {"CRC32": text})])


def test_an_upload_without_algorithm_takes_any_claim(upload: Upload):
    sha1 = hashlib.sha1(LAST).digest()
    part = upload.put(1, LAST, Claims(checksums={"SHA1": sha1}))
    assert part.checksum is not None
    assert (part.checksum.algorithm, part.checksum.value) == ("SHA1", b64encode(sha1).decode())
    named = CompletedPart(1, part.etag, {"SHA1": b64encode(sha1).decode()})
    result = upload.complete([named])
    assert result.checksum is not None
    assert result.checksum.algorithm == "CRC64NVME"


def test_the_whole_objects_checksum_is_verified(store: Store, bucket: str):
    upload = Upload(store, bucket, checksum_algorithm="CRC32", checksum_type="FULL_OBJECT")
    parts = [upload.put(1, PART), upload.put(2, LAST)]
    crc = b64encode(zlib.crc32(PART + LAST).to_bytes(4, "big")).decode()
    wrong = b64encode(bytes(4)).decode()
    assert kind_of(upload.commit, upload.request(parts, checksums={"CRC32": wrong})) == (
        "bad_digest"
    )
    assert kind_of(upload.commit, upload.request(parts, checksum_type="COMPOSITE")) == (
        "invalid_request"
    )
    upload.commit(upload.request(parts, checksums={"CRC32": crc}, checksum_type="FULL_OBJECT"))


def test_parts_can_be_read_and_paged(upload: Upload):
    bodies = [PART, PART[::-1], LAST]
    upload.complete([upload.put(number, body) for number, body in enumerate(bodies, 1)])
    for number, body in enumerate(bodies, 1):
        with upload.store.get_object(upload.bucket, upload.key, part_number=number) as reader:
            assert reader.read() == body
    for number in (0, 4, -1):
        assert (
            kind_of(upload.store.get_object, upload.bucket, upload.key, part_number=number)
            == "invalid_part_number"
        )
    page = upload.store.get_object_attributes(upload.bucket, upload.key, max_parts=2)
    assert [(mark.number, mark.size) for mark in page.parts] == [(1, len(PART)), (2, len(PART))]
    assert (page.truncated, page.next_part, page.object.part_count) == (True, 2, 3)
    rest = upload.store.get_object_attributes(upload.bucket, upload.key, after_part=2)
    assert [mark.number for mark in rest.parts] == [3]
    assert not rest.truncated


def test_listing_parts_in_pages(upload: Upload):
    for number in (1, 2, 10_000):
        upload.put(number, LAST)
    list_parts = upload.store.list_parts
    page = list_parts(upload.bucket, upload.key, upload.id, limit=2)
    assert ([p.number for p in page.parts], page.truncated, page.next_part) == ([1, 2], True, 2)
    page = list_parts(upload.bucket, upload.key, upload.id, after=2, limit=2)
    assert ([p.number for p in page.parts], page.truncated) == ([10_000], False)
    page = list_parts(upload.bucket, upload.key, upload.id, limit=0)
    assert (page.parts, page.truncated) == ([], False)


def test_uploads_are_listed_by_key_and_age(store: Store, bucket: str, clock: ManualClock):
    begun = []
    for key in ("b", "a/2", "b", "a/1", "b"):
        begun.append((key, Upload(store, bucket, key).id))
        clock.advance(1)
    expected = sorted(begun, key=lambda pair: (pair[0], begun.index(pair)))
    everything = store.list_multipart_uploads(bucket)
    assert [(u.key, u.upload_id) for u in everything.uploads] == expected
    told: list[tuple[str, str]] = []
    request = ListUploads(max_uploads=2)
    while True:
        page = store.list_multipart_uploads(bucket, request)
        told += [(u.key, u.upload_id) for u in page.uploads]
        if not page.truncated:
            break
        request = ListUploads(
            max_uploads=2,
            key_marker=page.next_key_marker or "",
            upload_id_marker=page.next_upload_id_marker or "",
        )
    assert told == expected
    behind = store.list_multipart_uploads(bucket, ListUploads(key_marker="a/2"))
    assert {u.key for u in behind.uploads} == {"b"}
    folded = store.list_multipart_uploads(bucket, ListUploads(delimiter="/"))
    assert (folded.prefixes, [u.key for u in folded.uploads]) == (["a/"], ["b", "b", "b"])
    first = store.list_multipart_uploads(bucket, ListUploads(delimiter="/", max_uploads=1))
    assert (first.prefixes, first.uploads, first.truncated) == (["a/"], [], True)
    assert first.next_key_marker == "a/"
    second = store.list_multipart_uploads(bucket, ListUploads(delimiter="/", key_marker="a/"))
    assert (second.prefixes, len(second.uploads)) == ([], 3)
    inside = store.list_multipart_uploads(bucket, ListUploads(prefix="a/", delimiter="/"))
    assert [u.key for u in inside.uploads] == ["a/1", "a/2"]


def test_upload_ids_keep_order_and_differ():
    rand = SeededRand(7)
    ids = [uploads.new_upload_id(rand, 1_700_000_000_000 + i // 2) for i in range(1000)]
    assert len(set(ids)) == 1000
    assert [i[:9] for i in ids] == sorted(i[:9] for i in ids)
    assert all(i.isascii() and i.isalnum() and i == i.lower() for i in ids)
