"""Bodies of every size and way of keeping come back, and their space goes back to the disk."""

from __future__ import annotations

import os
import threading
import tracemalloc
from pathlib import Path

import pytest
from acts import delete, get, keys, patterned, put, putting, stage

from cenote.errors import InvalidError
from cenote.ports import BucketRecord, FileSlice, IndexTxn, ObjectRecord
from cenote.sqldb import BucketFile, Directory, frames

KIB, MIB = 1 << 10, 1 << 20


def disk_usage(folder: Path) -> int:
    """Bytes of disk under `folder`, but for the space kept back for deleting on a full disk."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "reserve"]
    return sum(path.stat().st_blocks * 512 for path in files)


@pytest.mark.parametrize("size", [0, 1, 32 * KIB, 32 * KIB + 1, 300 * KIB, 5 * MIB])
@pytest.mark.parametrize("inline_max", [0, 32 * KIB, 100 * MIB])
def test_bodies_come_back(directory: Directory, size: int, inline_max: int) -> None:
    bucket = directory.create(BucketRecord("sized", 1, inline_max=inline_max))
    data = patterned(size, size)
    put(bucket, "k", data)
    assert get(bucket, "k") == data
    found = bucket.bodies.lease("k")
    assert found is not None
    with found[1] as lease:
        for start, end in (
            (0, size),
            (size // 3, size // 2),
            (size, size),
            (max(size - 1, 0), size),
        ):
            pieces = b"".join(
                os.pread(piece.fd, piece.size, piece.offset)
                if isinstance(piece, FileSlice)
                else piece
                for piece in lease.slices(start, end)
            )
            assert pieces == data[start:end]
            assert b"".join(lease.chunks(start, end, 1000)) == data[start:end]
        with pytest.raises(InvalidError):
            lease.slices(0, size + 1)


def test_announced_size_is_kept(bucket: BucketFile) -> None:
    for size in (10, 100_000):
        writer = bucket.bodies.writer(size)
        writer.write(b"x" * (size - 1))
        with pytest.raises(InvalidError) as short:
            writer.finish()
        assert short.value.kind == "incomplete_body"
        with pytest.raises(InvalidError) as long:
            writer.write(b"xx")
        assert long.value.kind == "incomplete_body"
        writer.abort()
        writer.abort()


def test_digests_are_those_of_the_algorithms(bucket: BucketFile) -> None:
    # "123456789" is the check value of every CRC catalogue; padded here to reach a pack.
    for padding in (0, 100_000):
        writer = bucket.bodies.writer(9 + padding, ("CRC32", "SHA256"))
        writer.write(b"123456789" + bytes(padding))
        staged = writer.finish()
        if not padding:
            assert staged.checksums["CRC32"].hex() == "cbf43926"
            assert staged.md5.hex() == "25f9e794323b453885f5181f1b624d0b"
        assert set(staged.checksums) == {"CRC32", "SHA256"}
        bucket.bodies.discard(staged)


def test_space_comes_back_after_deletes(bucket: BucketFile, directory: Directory) -> None:
    root = bucket.path.parent
    directory.maintain()
    empty = disk_usage(root)
    for number in range(40):
        put(bucket, f"packed {number}", patterned(500 * KIB, number))
        put(bucket, f"inline {number}", patterned(30 * KIB, number))
    directory.maintain()
    full = disk_usage(root)
    assert full > empty + 20 * MIB
    for number in range(40):
        if number % 10:
            delete(bucket, f"packed {number}")
            delete(bucket, f"inline {number}")
    directory.maintain()
    assert disk_usage(root) < empty + (full - empty) * 0.2
    for number in range(0, 40, 10):
        assert get(bucket, f"packed {number}") == patterned(500 * KIB, number)
        delete(bucket, f"packed {number}")
        delete(bucket, f"inline {number}")
    directory.maintain()
    assert disk_usage(root) < empty + MIB


def test_full_packs_are_unlinked_or_rewritten(tmp_path: Path) -> None:
    with Directory(tmp_path, background=False, pack_size=4 * MIB) as directory:
        bucket = directory.create(BucketRecord("small-packs", 1))
        for number in range(30):
            put(bucket, f"{number:02}", patterned(500 * KIB, number))
        packs = tmp_path / "small-packs.packs"
        before = {path.name for path in packs.iterdir()}
        assert len(before) >= 4
        for number in range(28):
            if number != 3:
                delete(bucket, f"{number:02}")
        directory.maintain()
        after = {path.name for path in packs.iterdir()}
        assert not before & after - {max(before)}, "old packs are gone, what lived was moved"
        assert bucket.check(deep=True) == []
        assert get(bucket, "03") == patterned(500 * KIB, 3)
    with Directory(tmp_path, background=False) as directory:
        bucket = directory.open("small-packs")
        assert bucket.check(deep=True) == []
        assert keys(bucket) == ["03", "28", "29"]


def test_aborted_and_discarded_bodies_leave_no_blocks(bucket: BucketFile) -> None:
    put(bucket, "first", b"x" * 100_000)  # makes the pack
    packs = bucket.path.with_name("first.packs")
    before = disk_usage(packs)
    writer = bucket.bodies.writer(3 * MIB)
    writer.write(b"y" * 2 * MIB)
    writer.abort()
    bucket.bodies.discard(stage(bucket, b"z" * 2 * MIB))
    assert disk_usage(packs) <= before + 64 * KIB


@pytest.mark.parametrize("inline_max", [0, 100 * MIB])
def test_lease_outlives_delete(directory: Directory, inline_max: int) -> None:
    bucket = directory.create(BucketRecord("leased", 1, inline_max=inline_max))
    data = patterned(3 * MIB, 7)
    put(bucket, "k", data)
    found = bucket.bodies.lease("k")
    assert found is not None
    with found[1] as lease:
        delete(bucket, "k")
        directory.maintain()
        assert b"".join(lease.chunks(0, lease.size)) == data
    directory.maintain()
    assert disk_usage(bucket.path.parent) < 2 * MIB


def test_leases_race_deletes_and_maintenance(directory: Directory) -> None:
    bucket = directory.create(BucketRecord("raced", 1, inline_max=300 * KIB))
    sizes = (40 * KIB, 290 * KIB, 400 * KIB)
    stop = threading.Event()
    failures: list[str] = []

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            put(bucket, f"k{number % 3}", patterned(sizes[number % 3], number))

    def read() -> None:
        for number in range(150):
            found = bucket.bodies.lease(f"k{number % 3}")
            if found is None:
                continue
            record, lease = found
            with lease:
                import hashlib

                digest = hashlib.md5()
                for chunk in lease.chunks(0, lease.size, 64 * KIB):
                    digest.update(chunk)
                if digest.hexdigest() != record.etag:
                    failures.append(record.key)

    def maintain() -> None:
        while not stop.is_set():
            bucket.tend()

    helpers = [threading.Thread(target=target) for target in (rewrite, maintain)]
    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in (*helpers, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in helpers:
        thread.join()
    assert failures == []


def test_large_inline_body_takes_little_memory(directory: Directory) -> None:
    bucket = directory.create(BucketRecord("onefile", 1, inline_max=1 << 30))
    size = 24 * MIB
    piece = patterned(MIB, 1)
    tracemalloc.start()
    try:
        writer = bucket.bodies.writer(size)
        for _ in range(size // MIB):
            writer.write(piece)
        bucket.index.commit(putting_plain("k", writer.finish()))
        found = bucket.bodies.lease("k")
        assert found is not None
        with found[1] as lease:
            total = sum(len(piece) for piece in lease.slices(0, size) if isinstance(piece, bytes))
        assert total == size
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
    assert list((directory.root / ".cenote" / "spool").iterdir()) == []


def putting_plain(key: str, staged: object) -> object:
    def change(txn: IndexTxn) -> None:
        txn.put_object(
            ObjectRecord(key, staged.size, staged.md5.hex(), 1, txn.add_body(staged))  # type: ignore
        )

    return change


def test_pack_is_read_without_the_index(bucket: BucketFile) -> None:
    bodies = [patterned(size, size) for size in (40_000, 100_000, 1_000_000)]
    for number, data in enumerate(bodies):
        put(bucket, str(number), data)
    writer = bucket.bodies.writer(500_000)
    writer.write(b"unfinished" * 100)
    (pack,) = bucket.path.with_name("first.packs").iterdir()
    content = pack.read_bytes()
    assert [content[f.offset : f.offset + f.size] for f in frames(pack)] == bodies
    # A pack stored as an object deceives nobody: its frames name another place.
    put(bucket, "copy", content)
    delete(bucket, "1")
    bucket.maintain()
    found = [f.size for f in frames(pack)]
    assert found == [40_000, 1_000_000, len(content)]
    writer.abort()


def test_staged_twice_is_one_place_each(bucket: BucketFile) -> None:
    writers = [bucket.bodies.writer(200_000) for _ in range(5)]
    datas = [patterned(200_000, number) for number in range(5)]
    for at in range(0, 200_000, 50_000):
        for writer, data in zip(writers, datas, strict=True):
            writer.write(data[at : at + 50_000])
    for number, writer in enumerate(writers):
        bucket.index.commit(putting_plain(str(number), writer.finish()))
    assert [get(bucket, str(n)) for n in range(5)] == datas


def test_putting_helper_is_checked(bucket: BucketFile) -> None:
    staged = stage(bucket, b"y" * 50_000)
    bucket.index.commit(putting("k", staged))
    assert get(bucket, "k") == b"y" * 50_000
