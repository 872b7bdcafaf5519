"""A copy taken while its source is overwritten, deleted or moved away is one version, whole."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from cenote.buckets import CopyObject, CopyPart, CreateUpload, Store
from cenote.errors import ConflictError, NotFoundError

SIZES = [100, 40_000, 300_000]


def version_of(number: int) -> bytes:
    return random.Random(number).randbytes(SIZES[number % len(SIZES)])


def run(copies: int, root: Path) -> None:
    known = {hashlib.md5(version_of(n)).hexdigest(): n for n in range(12)}
    with Store(root, create=True) as store:
        for bucket in ("source", "target"):
            store.create_bucket(bucket)
        store.put_object("source", "k", version_of(0))
        done = threading.Event()

        def overwrite() -> None:
            number = 0
            while not done.is_set():
                number += 1
                store.put_object("source", "k", version_of(number % 12))
                if number % 9 == 0:
                    store.delete_object("source", "k")

        writer = threading.Thread(target=overwrite)
        writer.start()
        made = 0
        try:
            for number in range(copies * 500):
                if made == copies:
                    break
                bucket = ("source", "target")[number % 2]
                request = CopyObject(key="copy", source_key="k")
                try:
                    result = store.copy_object("source", bucket, request)
                except (NotFoundError, ConflictError):
                    continue
                made += 1
                body = store.read_object(bucket, "copy")
                assert body == version_of(known[result.etag])
                assert store.head_object(bucket, "copy").etag == result.etag
                part_copy(store, bucket, known)
        finally:
            done.set()
            writer.join()
        assert made == copies
        assert store.check(deep=True) == []


def part_copy(store: Store, bucket: str, known: dict[str, int]) -> None:
    upload = store.create_multipart_upload(bucket, CreateUpload(key="parted")).upload_id
    request = CopyPart(key="parted", upload_id=upload, number=1, source_key="k")
    try:
        part = store.upload_part_copy("source", bucket, request)
    except (NotFoundError, ConflictError):
        store.abort_multipart_upload(bucket, "parted", upload)
        return
    store.complete_multipart_upload(bucket, "parted", upload, [part])
    assert store.read_object(bucket, "parted") == version_of(known[part.etag])


def test_copies_of_a_moving_source(tmp_path: Path):
    run(30, tmp_path / "data")


@pytest.mark.slow
def test_copies_of_a_moving_source_long(tmp_path: Path):
    run(500, tmp_path / "data")
