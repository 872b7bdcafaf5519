"""Whatever workers and the writer say to each other arrives as it was meant, or not at all."""

from __future__ import annotations

import inspect
import random
from typing import Any

import msgspec
import pytest

from cenote import errors
from cenote.buckets import (
    ABSENT,
    Claims,
    CompletedPart,
    CompleteUpload,
    Conditions,
    CopyObject,
    CreateUpload,
    DeleteKey,
    PutObject,
    PutPart,
    changes,
    objects,
    tables,
    uploads,
)
from cenote.errors import DataError
from cenote.fleet.faults import fault_of
from cenote.fleet.messages import (
    Commit,
    Done,
    Failed,
    Frames,
    Result,
    decode_for_worker,
    decode_for_writer,
    frame_of,
)
from cenote.ports import Checksum, Content, Extent, ObjectRecord, PartMark, StagedBody

MD5 = bytes(range(16))
CRC = bytes(8)
STAGED = StagedBody(5, MD5, {"CRC64NVME": CRC, "SHA256": bytes(32)}, b"\0\xff\xfea\n")
IN_PACK = StagedBody(5, MD5, {"CRC64NVME": CRC}, None, (Extent(7, 4160, 5, 2**64 - 1),))
CONTENT = Content(content_type="text/ünï", cache_control="no-store")
PUT = PutObject(
    "k/ключ/\U0001f600",
    CONTENT,
    {"a": "b", "e": "é"},
    (("t", "v"), ("u", "")),
    "STANDARD_IA",
    Claims(MD5, {"SHA256": bytes(32)}, "SHA256"),
    Conditions('"x"', None),
)
SOURCE = ObjectRecord(
    "k", 5, MD5.hex(), 1, 3, checksum=Checksum("CRC64NVME", "FULL_OBJECT", "AA==")
)
COPY = CopyObject("k", "s", CONTENT, {}, (), None, "STANDARD", "CRC64NVME", conditions=ABSENT)
ID = "0123456789"

CHANGES = [
    objects.put(PUT, STAGED, 2**40),
    objects.put(PutObject("k"), IN_PACK, 1),
    objects.copy_within(COPY, 1, checksum=SOURCE.checksum, of_body=3),
    objects.copy_within(CopyObject("k", "s"), 1),
    objects.copy_across(CopyObject("k", "s"), SOURCE, [PartMark(1, 0, 5, "x")], STAGED, 1),
    objects.delete("k", Conditions("*")),
    objects.delete_many([DeleteKey("a"), DeleteKey("b", "etag")]),
    objects.put_tags("k", (("a", "b"),)),
    uploads.create(CreateUpload("k", CONTENT, {"a": "b"}, (("t", "v"),)), ID, 1),
    uploads.put_part(PutPart("k", ID, 3), STAGED, 1),
    uploads.put_part_of("k", ID, 3, "s", SOURCE, 1),
    uploads.complete(
        CompleteUpload("k", ID, (CompletedPart(1, "e", {"CRC32": "x"}),), {}, None, 5, ABSENT), 1
    ),
    uploads.abort("k", ID),
    tables.close_if_empty("bucket"),
]


def frames(data: bytes) -> list[bytes]:
    return [bytes(frame) for frame in Frames().feed(data)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_change_arrives_as_it_was_sent(change: Any):
    (frame,) = frames(frame_of(Commit(2**40, "bucket", change)))
    arrived = decode_for_writer(frame)
    assert arrived == Commit(2**40, "bucket", change)
    assert type(arrived.change) is type(change)
    assert changes.staged_of(arrived.change) == getattr(change, "staged", None)


def test_every_change_there_is_can_travel():
    made = {type(change) for change in CHANGES}
    found = {
        kind
        for module in (objects, uploads, tables)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__name__.endswith("Change")
    }
    assert found == made == set(changes.RESULTS)


def test_results_arrive_by_the_type_of_their_change():
    for kind, result in changes.RESULTS.items():
        if result is None:
            continue
        (frame,) = frames(frame_of(Result(1, None)))
        done = decode_for_worker(frame)
        assert isinstance(done, Done), kind
    outcome = [objects.DeleteOutcome("k", True), objects.DeleteOutcome("l", False, "kind", "words")]
    (frame,) = frames(frame_of(Result(1, outcome)))
    raw = decode_for_worker(frame).result
    assert msgspec.msgpack.decode(raw, type=changes.RESULTS[objects.DeleteManyChange]) == outcome


@pytest.mark.parametrize("name", list(errors.__all__))
def test_every_error_arrives_with_its_class_and_its_fields(name: str):
    kind = getattr(errors, name)
    fields: dict[str, Any] = {"key": "k", "size": 5, "path": None}
    if name == "ClosedError":
        error = kind("words", reason="failed", **fields)
    else:
        error = kind("words", kind="some_kind", hint="try", **fields)
    if hasattr(error, "effect_unknown"):
        error.effect_unknown = True
    (frame,) = frames(frame_of(Failed(3, fault_of(error))))
    arrived = decode_for_worker(frame).fault.error()
    assert type(arrived) is kind
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)


def test_an_unforeseen_error_tells_nothing_of_itself():
    arrived = fault_of(KeyError("secret")).error()
    assert type(arrived) is errors.Error
    assert "secret" not in str(arrived)


def test_frames_may_come_in_any_pieces():
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    messages = [Commit(n, "bucket", rng.choice(CHANGES)) for n in range(50)]
    data = b"".join(map(frame_of, messages))
    cutter, found, at = Frames(), [], 0
    while at < len(data):
        step = rng.choice([1, 2, 3, 100, 5000])
        found += [decode_for_writer(frame) for frame in cutter.feed(data[at : at + step])]
        at += step
    assert found == messages, f"seed {seed}"


def test_a_frame_beyond_all_measure_is_refused():
    with pytest.raises(DataError):
        Frames().feed(b"\xff\xff\xff\xff")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x93\x01\x01\xa1b", b"\x94\x01\x01\xa1b\x92\xa6system\xa2ls", b"\x92\x63\x01"],
)
def test_bytes_that_are_no_message_name_no_code(data: bytes):
    with pytest.raises(msgspec.MsgspecError):
        decode_for_writer(data)
