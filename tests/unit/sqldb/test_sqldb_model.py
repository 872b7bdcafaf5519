"""Whatever is done to a bucket, in whatever order, it reads like a dictionary, also reopened."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from acts import get, keys, patterned, put
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cenote.ports import BucketRecord, IndexTxn, ObjectRecord, PartRecord, UploadRecord
from cenote.sqldb import Directory

KEYS = st.sampled_from(["", "a", "a/", "a/b", "b", "é"][1:])
SIZES = st.sampled_from([0, 1, 5_000, 60_000, 300_000])
NUMBERS = st.integers(1, 4)


class BucketModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.leases: list[tuple[object, bytes]] = []
        self.seed = 0
        self.open()
        self.bucket = self.directory.create(BucketRecord("model", 1, inline_max=70_000))

    def open(self) -> None:
        self.directory = Directory(self.root, background=False, pack_size=1 << 20)

    def data(self, size: int) -> bytes:
        self.seed += 1
        return patterned(size, self.seed)

    @rule(key=KEYS, size=SIZES)
    def put(self, key: str, size: int) -> None:
        data = self.data(size)
        put(self.bucket, key, data)
        self.objects[key] = data

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.bucket.index.commit(lambda txn: txn.delete_object(key))
        self.objects.pop(key, None)

    @rule(source=KEYS, copied=KEYS)
    def copy(self, source: str, copied: str) -> None:
        def change(txn: IndexTxn) -> None:
            record = txn.object(source)
            if record is not None:
                txn.put_object(
                    ObjectRecord(copied, record.size, record.etag, 2, record.body, part_count=1)
                )

        self.bucket.index.commit(change)
        if source in self.objects:
            self.objects[copied] = self.objects[source]

    @rule(upload=st.sampled_from(["u1", "u2"]), number=NUMBERS, size=SIZES)
    def put_part(self, upload: str, number: int, size: int) -> None:
        data = self.data(size)
        writer = self.bucket.bodies.writer(size)
        writer.write(data)
        staged = writer.finish()

        def change(txn: IndexTxn) -> None:
            if txn.upload(upload) is None:
                txn.put_upload(UploadRecord(upload, "a", 1))
            txn.put_part(upload, PartRecord(number, size, "e", 1, txn.add_body(staged)))

        self.bucket.index.commit(change)
        self.uploads.setdefault(upload, {})[number] = data

    @rule(upload=st.sampled_from(["u1", "u2"]), key=KEYS, keep=st.booleans())
    def end_upload(self, upload: str, key: str, keep: bool) -> None:
        def change(txn: IndexTxn) -> None:
            parts = txn.parts(upload, 0, None)
            if keep and parts:
                body = txn.join_bodies([part.body for part in parts], [])
                size = sum(part.size for part in parts)
                txn.put_object(ObjectRecord(key, size, "e-1", 1, body, part_count=len(parts)))
            txn.delete_upload(upload)

        self.bucket.index.commit(change)
        parts = self.uploads.pop(upload, {})
        if keep and parts:
            self.objects[key] = b"".join(parts[number] for number in sorted(parts))

    @rule(key=KEYS)
    def lease(self, key: str) -> None:
        found = self.bucket.bodies.lease(key)
        assert (found is not None) == (key in self.objects)
        if found is not None:
            self.leases.append((found[1], self.objects[key]))

    @precondition(lambda self: self.leases)
    @rule()
    def end_leases(self) -> None:
        for lease, data in self.leases:
            with lease:  # type: ignore[attr-defined]
                assert b"".join(lease.chunks(0, lease.size)) == data  # type: ignore[attr-defined]
        self.leases.clear()

    @rule()
    def maintain(self) -> None:
        self.directory.maintain()

    @rule()
    def rest(self) -> None:
        self.bucket.rest()

    @rule()
    def reopen(self) -> None:
        self.end_leases()
        self.directory.close()
        self.open()
        self.bucket = self.directory.open("model")

    @invariant()
    def same(self) -> None:
        assert keys(self.bucket) == sorted(self.objects, key=str.encode)
        for key, data in self.objects.items():
            assert get(self.bucket, key) == data

    def teardown(self) -> None:
        self.end_leases()
        try:
            assert self.bucket.check(deep=True) == []
            self.directory.maintain()
            assert self.bucket.check(deep=True) == []
        finally:
            self.directory.close()
            shutil.rmtree(self.root)


BucketModel.TestCase.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestBucketModel = BucketModel.TestCase
