"""A store against a plain dictionary: the same calls, the same answers, whatever their order.

The model knows S3's rules as AWS states them and nothing of how anything is stored. Bodies above
64 bytes go to packs, packs are small, and a part may be small too (5 MiB shrunk to 8 bytes), so
that short runs reach what long ones do in life.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cenote.base import ManualClock, SeededRand
from cenote.buckets import (
    Claims,
    CompletedPart,
    Conditions,
    CopyObject,
    CopyPart,
    CreateUpload,
    DeleteKey,
    ListObjects,
    ListUploads,
    PutPart,
    Store,
    uploads,
)
from cenote.errors import Error

BUCKETS = ("left", "right")
PART_SIZE_MIN = 8

keys = st.sampled_from(["a", "a/b", "a/b/c", "a/c", "a0", "b", "b//", "é", "\ue000", "\U00010000"])
prefixes = st.sampled_from(["", "a", "a/", "a/b", "b", "é", "z"])
delimiters = st.sampled_from(["", "/", "b", "//", "a/b"])
buckets = st.sampled_from(BUCKETS)
bodies = st.one_of(
    st.binary(max_size=40), st.integers(65, 20_000).map(lambda n: bytes(i % 251 for i in range(n)))
)
numbers = st.sampled_from([1, 2, 3, 9999])
matches = st.sampled_from(["none", "right", "wrong", "any", "absent"])


@dataclass(frozen=True)
class Thing:
    body: bytes
    etag: str
    metadata: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[int, int], ...] = ()  # number, size
    made_by: str | None = None


@dataclass
class Pending:
    bucket: str
    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def multipart_etag(parts: list[bytes]) -> str:
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{md5(joined)}-{len(parts)}"


class StoreMachine(RuleBasedStateMachine):
    """The calls of a program, and what they must answer."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cenote-model-"))
        self.clock = ManualClock()
        self.things: dict[str, dict[str, Thing]] = {name: {} for name in BUCKETS}
        self.pending: dict[str, Pending] = {}
        self.ended: list[str] = []
        self.store = self.open()

    def open(self) -> Store:
        return Store(
            self.folder,
            clock=self.clock,
            rand=SeededRand(self.clock.now_ms()),
            inline_max=64,
            pack_size=32 << 10,
            background=False,
        )

    def teardown(self) -> None:
        try:
            self.store.maintain()
            assert self.store.check(deep=True) == []
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    @initialize()
    def make_buckets(self) -> None:
        for name in BUCKETS:
            self.store.create_bucket(name)

    def answer(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        """The result, or the kind of the error."""
        try:
            return call(*args, **kwargs)
        except Error as error:
            return error.kind

    def conditions(self, bucket: str, key: str, match: str) -> tuple[Conditions, str | None]:
        """Conditions of the kind named, and the error they must bring."""
        thing = self.things[bucket].get(key)
        if match == "none":
            return Conditions(), None
        if match == "absent":
            return Conditions(if_none_match="*"), thing and "precondition_failed"
        if match == "any":
            return Conditions(if_match="*"), None if thing else "no_such_key"
        if match == "wrong":
            return Conditions(if_match="0" * 32), "precondition_failed" if thing else "no_such_key"
        etag = thing.etag if thing else md5(b"")
        return Conditions(if_match=f'"{etag}"'), None if thing else "no_such_key"

    # Objects.

    @rule(bucket=buckets, key=keys, body=bodies, match=matches, tag=st.booleans())
    def put(self, bucket: str, key: str, body: bytes, match: str, tag: bool) -> None:
        conditions, refusal = self.conditions(bucket, key, match)
        tags = (("t", "1"),) if tag else ()
        answer = self.answer(
            self.store.put_object,
            bucket,
            key,
            body,
            metadata={"size": str(len(body))},
            tags=tags,
            if_match=conditions.if_match,
            if_none_match=conditions.if_none_match,
        )
        if refusal:
            assert answer == refusal
            return
        assert answer.etag == md5(body)
        self.things[bucket][key] = Thing(body, md5(body), (("size", str(len(body))),), tags)

    @rule(bucket=buckets, key=keys, body=bodies)
    def put_damaged(self, bucket: str, key: str, body: bytes) -> None:
        claims = Claims(checksums={"CRC32": zlib.crc32(body + b"x").to_bytes(4, "big")})
        assert self.answer(self.store.put_object, bucket, key, body, claims=claims) == "bad_digest"

    @rule(bucket=buckets, key=keys, match=matches.filter(lambda match: match != "absent"))
    def delete(self, bucket: str, key: str, match: str) -> None:
        conditions, refusal = self.conditions(bucket, key, match)
        answer = self.answer(self.store.delete_object, bucket, key, if_match=conditions.if_match)
        if refusal:
            assert answer == refusal
            return
        assert answer.existed == (self.things[bucket].pop(key, None) is not None)

    @rule(bucket=buckets, chosen=st.lists(st.tuples(keys, st.booleans()), max_size=4))
    def delete_many(self, bucket: str, chosen: list[tuple[str, bool]]) -> None:
        outcomes = self.store.delete_objects(
            bucket, [DeleteKey(key, "0" * 32 if wrong else None) for key, wrong in chosen]
        )
        for outcome, (key, wrong) in zip(outcomes, chosen, strict=True):
            thing = self.things[bucket].get(key)
            if wrong:
                assert outcome.error_kind == ("precondition_failed" if thing else "no_such_key")
            else:
                assert (outcome.existed, outcome.error_kind) == (thing is not None, None)
                self.things[bucket].pop(key, None)

    @rule(
        source=buckets,
        source_key=keys,
        bucket=buckets,
        key=keys,
        match=matches,
        replace=st.booleans(),
        algorithm=st.sampled_from([None, "SHA256"]),
    )
    def copy(
        self,
        source: str,
        source_key: str,
        bucket: str,
        key: str,
        match: str,
        replace: bool,
        algorithm: str | None,
    ) -> None:
        conditions, refusal = self.conditions(bucket, key, match)
        request = CopyObject(
            key,
            source_key,
            metadata={"copied": "1"} if replace else None,
            checksum_algorithm=algorithm,
            conditions=conditions,
        )
        answer = self.answer(self.store.copy_object, source, bucket, request)
        thing = self.things[source].get(source_key)
        if thing is None:
            assert answer == "no_such_key"
        elif (source, source_key) == (bucket, key) and not replace and algorithm is None:
            assert answer == "invalid_request"
        elif refusal:
            assert answer == refusal
        else:
            assert answer.etag == thing.etag
            metadata = (("copied", "1"),) if replace else thing.metadata
            self.things[bucket][key] = Thing(
                thing.body, thing.etag, metadata, thing.tags, thing.parts
            )

    @rule(bucket=buckets, key=keys, value=st.sampled_from(["", "x"]))
    def tag(self, bucket: str, key: str, value: str) -> None:
        thing = self.things[bucket].get(key)
        answer = self.answer(self.store.put_object_tagging, bucket, key, [("k", value)])
        if thing is None:
            assert answer == "no_such_key"
            return
        self.things[bucket][key] = Thing(
            thing.body, thing.etag, thing.metadata, (("k", value),), thing.parts, thing.made_by
        )

    @rule(bucket=buckets, key=keys, start=st.integers(-50, 30_000), size=st.integers(1, 9000))
    def read_range(self, bucket: str, key: str, start: int, size: int) -> None:
        thing = self.things[bucket].get(key)
        end = None if start < 0 else start + size
        answer = self.answer(self.store.get_object, bucket, key, start=start, end=end)
        if thing is None:
            assert answer == "no_such_key"
            return
        expected = thing.body[start:end]
        if not expected:
            assert answer == "invalid_range"
            return
        with answer as reader:
            assert b"".join(reader) == expected

    @rule(bucket=buckets, key=keys, number=st.sampled_from([1, 2, 3, 9999]))
    def read_part(self, bucket: str, key: str, number: int) -> None:
        thing = self.things[bucket].get(key)
        answer = self.answer(self.store.get_object, bucket, key, part_number=number)
        if thing is None:
            assert answer == "no_such_key"
            return
        at, expected = 0, None
        for part, size in thing.parts or ((1, len(thing.body)),):
            if part == number:
                expected = thing.body[at : at + size]
            at += size
        if expected is None:
            assert answer == "invalid_part_number"
            return
        with answer as reader:
            assert reader.read() == expected

    # Multipart uploads.

    @rule(bucket=buckets, key=keys)
    def begin(self, bucket: str, key: str) -> None:
        self.clock.advance(0.001)
        request = CreateUpload(key, metadata={"by": "parts"})
        record = self.store.create_multipart_upload(bucket, request)
        self.pending[record.upload_id] = Pending(bucket, key, {"by": "parts"})

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), number=numbers, body=bodies)
    def upload_part(self, data: st.DataObject, number: int, body: bytes) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.pending)))
        pending = self.pending[upload_id]
        part = self.store.upload_part(pending.bucket, PutPart(pending.key, upload_id, number), body)
        assert part.etag == md5(body)
        pending.parts[number] = body

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), number=numbers, source=buckets, source_key=keys, whole=st.booleans())
    def copy_part(
        self, data: st.DataObject, number: int, source: str, source_key: str, whole: bool
    ) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.pending)))
        pending = self.pending[upload_id]
        thing = self.things[source].get(source_key)
        start, end = (None, None) if whole else (1, 30)
        request = CopyPart(pending.key, upload_id, number, source_key, start, end)
        answer = self.answer(self.store.upload_part_copy, source, pending.bucket, request)
        if thing is None:
            assert answer == "no_such_key"
        elif not whole and len(thing.body) < 30:
            assert answer == "invalid_range"
        else:
            assert answer.etag == md5(thing.body[start:end])
            pending.parts[number] = thing.body[start:end]

    @precondition(lambda self: self.pending)
    @rule(data=st.data(), match=matches, wrong=st.booleans(), drop=st.booleans())
    def complete(self, data: st.DataObject, match: str, wrong: bool, drop: bool) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.pending)))
        pending = self.pending[upload_id]
        chosen = sorted(pending.parts.items())[1 if drop else 0 :]
        named = [CompletedPart(n, md5(b"wrong" if wrong else body)) for n, body in chosen]
        conditions, refusal = self.conditions(pending.bucket, pending.key, match)
        answer = self.answer(
            self.store.complete_multipart_upload,
            pending.bucket,
            pending.key,
            upload_id,
            named,
            if_match=conditions.if_match,
            if_none_match=conditions.if_none_match,
        )
        if not chosen:
            assert answer == "invalid_request"
        elif wrong:
            assert answer == "invalid_part"
        elif any(len(body) < PART_SIZE_MIN for _, body in chosen[:-1]):
            assert answer == "entity_too_small"
        elif refusal:
            assert answer == refusal
        else:
            assert answer.etag == multipart_etag([body for _, body in chosen])
            self.things[pending.bucket][pending.key] = Thing(
                b"".join(body for _, body in chosen),
                answer.etag,
                tuple(pending.metadata.items()),
                parts=tuple((number, len(body)) for number, body in chosen),
                made_by=upload_id,
            )
            self.check_again(pending, upload_id, named, answer)
            del self.pending[upload_id]
            self.ended.append(upload_id)

    def check_again(
        self, pending: Pending, upload_id: str, named: list[CompletedPart], answer: Any
    ) -> None:
        """The same completion again is answered the same."""
        again = self.answer(
            self.store.complete_multipart_upload, pending.bucket, pending.key, upload_id, named
        )
        assert again == answer

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        upload_id = data.draw(st.sampled_from(sorted(self.pending)))
        pending = self.pending.pop(upload_id)
        self.store.abort_multipart_upload(pending.bucket, pending.key, upload_id)
        self.ended.append(upload_id)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), bucket=buckets, key=keys)
    def use_an_ended_upload(self, data: st.DataObject, bucket: str, key: str) -> None:
        upload_id = data.draw(st.sampled_from(self.ended))
        call = self.store.upload_part
        assert self.answer(call, bucket, PutPart(key, upload_id, 1), b"x") == "no_such_upload"

    @rule(bucket=buckets, prefix=prefixes, delimiter=delimiters, size=st.integers(1, 4))
    def list_uploads(self, bucket: str, prefix: str, delimiter: str, size: int) -> None:
        expected = []
        for upload_id, pending in sorted(
            self.pending.items(), key=lambda item: (item[1].key.encode(), item[0])
        ):
            if pending.bucket != bucket or not pending.key.startswith(prefix):
                continue
            rest = pending.key[len(prefix) :]
            if delimiter and delimiter in rest:
                entry = (prefix + rest.split(delimiter)[0] + delimiter, "")
                if entry in expected:
                    continue
            else:
                entry = (pending.key, upload_id)
            expected.append(entry)
        told: list[tuple[str, str]] = []
        request = ListUploads(prefix=prefix, delimiter=delimiter, max_uploads=size)
        while True:
            page = self.store.list_multipart_uploads(bucket, request)
            entries = [(u.key, u.upload_id) for u in page.uploads]
            entries += [(text, "") for text in page.prefixes]
            told += sorted(entries, key=lambda entry: (entry[0].encode(), entry[1]))
            if not page.truncated:
                break
            request = ListUploads(
                prefix=prefix,
                delimiter=delimiter,
                max_uploads=size,
                key_marker=page.next_key_marker or "",
                upload_id_marker=page.next_upload_id_marker or "",
            )
        assert told == expected

    # Listings.

    @rule(
        bucket=buckets,
        prefix=prefixes,
        delimiter=delimiters,
        size=st.integers(1, 5),
        by_marker=st.booleans(),
    )
    def list_objects(
        self, bucket: str, prefix: str, delimiter: str, size: int, by_marker: bool
    ) -> None:
        expected: list[tuple[str, str | None]] = []
        for key in sorted(self.things[bucket], key=str.encode):
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            entry: tuple[str, str | None] = (key, self.things[bucket][key].etag)
            if delimiter and delimiter in rest:
                entry = (prefix + rest.split(delimiter)[0] + delimiter, None)
            if entry not in expected:
                expected.append(entry)
        told: list[tuple[str, str | None]] = []
        request = ListObjects(prefix=prefix, delimiter=delimiter, max_keys=size)
        while True:
            page = self.store.list_objects(bucket, request)
            entries: list[tuple[str, str | None]] = [(i.key, i.etag) for i in page.contents]
            entries += [(text, None) for text in page.prefixes]
            told += sorted(entries, key=lambda entry: entry[0].encode())
            if not page.truncated:
                break
            request = ListObjects(
                prefix=prefix,
                delimiter=delimiter,
                max_keys=size,
                marker=(page.next_marker or "") if by_marker else "",
                token=None if by_marker else page.next_token,
            )
        assert told == expected

    # The store.

    @rule()
    def reopen(self) -> None:
        self.clock.advance(1)
        self.store.close()
        self.store = self.open()

    @rule()
    def maintain(self) -> None:
        self.store.maintain()

    @rule(bucket=buckets)
    def delete_bucket(self, bucket: str) -> None:
        answer = self.answer(self.store.delete_bucket, bucket)
        if self.things[bucket]:
            assert answer == "bucket_not_empty"
            return
        assert answer is None
        self.store.create_bucket(bucket)
        for upload_id in [i for i, p in self.pending.items() if p.bucket == bucket]:
            del self.pending[upload_id]
            self.ended.append(upload_id)

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        for bucket, things in self.things.items():
            if not self.store.has_bucket(bucket):
                continue
            for key, thing in things.items():
                with self.store.get_object(bucket, key) as reader:
                    record = reader.record
                    assert reader.read() == thing.body
                assert (record.etag, record.size) == (thing.etag, len(thing.body))
                assert (record.metadata, record.tags) == (dict(thing.metadata), thing.tags)
                assert record.part_count == len(thing.parts)
                checksum = record.checksum
                if checksum is not None and checksum.algorithm == "SHA256":
                    digest = hashlib.sha256(thing.body).digest()
                    assert checksum.value == b64encode(digest).decode()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_SIZE_MIN", PART_SIZE_MIN)


def _run(examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_store_behaves_as_a_dictionary() -> None:
    _run(15, 30)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_store_behaves_as_a_dictionary_for_long() -> None:
    _run(400, 60)
