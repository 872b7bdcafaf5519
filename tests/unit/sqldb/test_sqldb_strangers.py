"""Readers the writer does not know of, and packs somebody damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from acts import delete, get, patterned, put, putting, stage

from cenote.errors import DataError, UnavailableError
from cenote.ports import BucketRecord, ObjectRecord, PartMark
from cenote.sqldb import Directory

BIG = 3_000_000


@pytest.mark.parametrize("how", ["chunks", "slices"])
def test_reader_that_is_not_known_gets_no_bytes_given_back(tmp_path: Path, how: str) -> None:
    with (
        Directory(tmp_path, background=False) as directory,
        Directory(tmp_path, read_only=True) as stranger,
    ):
        bucket = directory.create(BucketRecord("shared", 1))
        put(bucket, "k", patterned(BIG, 1))
        found = stranger.open("shared").bodies.lease("k")
        assert found is not None
        with found[1] as lease:
            pieces = iter(
                lease.chunks(0, BIG, 1 << 20) if how == "chunks" else lease.slices(0, BIG)
            )
            assert next(pieces) == patterned(BIG, 1)[: 1 << 20]
            delete(bucket, "k")
            bucket.maintain()
            with pytest.raises(UnavailableError) as caught:
                list(pieces)
            assert caught.value.kind == "busy"
        assert stranger.open("shared").bodies.lease("k") is None


def test_reader_that_is_not_known_follows_bytes_that_were_moved(tmp_path: Path) -> None:
    size = 1 << 20
    with (
        Directory(tmp_path, background=False, pack_size=size) as directory,
        Directory(tmp_path, read_only=True) as stranger,
    ):
        bucket = directory.create(BucketRecord("shared", 1))
        parts = [patterned(60_000, n) for n in range(10)]
        bodies = [stage(bucket, part) for part in parts]

        def joining(txn) -> None:  # type: ignore[no-untyped-def]
            marks = [PartMark(n + 1, n * 60_000, 60_000) for n in range(10)]
            whole = txn.join_bodies([txn.add_body(body) for body in bodies], marks)
            txn.put_object(ObjectRecord("rope", 600_000, "e-10", 1, whole, part_count=10))

        put(bucket, "ballast", patterned(300_000, 99))
        bucket.index.commit(joining)
        for number in range(12):
            put(bucket, f"{number}", patterned(300_000, number))
        assert get(stranger.open("shared"), "rope") == b"".join(parts)
        reclaim = bucket._reclaim
        reclaim._seal()
        for number in {run.pack for run in _runs(bucket, "rope")}:
            reclaim._move(number)
        bucket.maintain()
        assert get(stranger.open("shared"), "rope") == b"".join(parts)


def _runs(bucket, key: str):  # type: ignore[no-untyped-def]
    with bucket.index.read() as view:
        return view.runs(view.object(key).body)


def test_pack_with_a_damaged_head_does_not_close_the_bucket(tmp_path: Path) -> None:
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("hurt", 1))
        put(bucket, "large", patterned(BIG, 1))
        put(bucket, "small", b"1")
    pack = tmp_path / "hurt.packs" / "00000001.pack"
    with pack.open("r+b") as file:
        file.write(b"\xff" * 64)
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.open("hurt")
        assert get(bucket, "small") == b"1"
        with pytest.raises(DataError):
            get(bucket, "large")
        put(bucket, "new", patterned(BIG, 2))
        assert get(bucket, "new") == patterned(BIG, 2)
        directory.maintain()
        assert {finding.kind for finding in bucket.check(deep=True)} == {"pack_file"}
        delete(bucket, "large")
        directory.maintain()
        assert bucket.check(deep=True) == []
        assert pack.exists()


def test_pack_with_a_torn_tail_is_gone_on_with(tmp_path: Path) -> None:
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.create(BucketRecord("torn", 1))
        put(bucket, "kept", patterned(BIG, 1))
    pack = tmp_path / "torn.packs" / "00000001.pack"
    with pack.open("ab") as file:
        file.write(b"cenotefr" + b"\xee" * 12_345)
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.open("torn")
        for number in range(3):
            bucket.index.commit(putting(str(number), stage(bucket, patterned(50_000, number))))
        assert get(bucket, "kept") == patterned(BIG, 1)
        assert get(bucket, "2") == patterned(50_000, 2)
        assert bucket.check(deep=True) == []
