"""A long body is hashed and written by two threads, and comes out as it went in."""

from __future__ import annotations

import hashlib
import threading

import pytest
from acts import get, patterned, put, putting

from cenote.base import failpoint
from cenote.errors import UnavailableError
from cenote.sqldb import BucketFile

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize("piece", [1 * KIB, 100 * KIB + 1, MIB, 3 * MIB])
def test_pieces_of_any_size_make_one_body(bucket: BucketFile, piece: int) -> None:
    data = patterned(4 * MIB + 123, 5)
    writer = bucket.bodies.writer(len(data), ("CRC64NVME",))
    for at in range(0, len(data), piece):
        writer.write(data[at : at + piece])
    staged = writer.finish()
    assert staged.md5 == hashlib.md5(data, usedforsecurity=False).digest()
    bucket.index.commit(putting("k", staged))
    assert get(bucket, "k") == data


def test_a_buffer_may_be_used_again_at_once(bucket: BucketFile) -> None:
    data = patterned(4 * MIB, 6)
    writer = bucket.bodies.writer(len(data), ("CRC64NVME",))
    buffer = bytearray(512 * KIB)
    for at in range(0, len(data), len(buffer)):
        buffer[:] = data[at : at + len(buffer)]
        writer.write(memoryview(buffer))
        buffer[:] = bytes(len(buffer))
    bucket.index.commit(putting("k", writer.finish()))
    assert get(bucket, "k") == data


def test_more_writers_than_hands(bucket: BucketFile) -> None:
    bodies = [patterned(5 * MIB + number, number) for number in range(6)]
    threads = [
        threading.Thread(target=put, args=(bucket, str(number), data))
        for number, data in enumerate(bodies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [get(bucket, str(number)) for number in range(6)] == bodies


@pytest.mark.parametrize("action", ["error@1", "error@2", "error@3", "full@2"])
def test_a_write_that_fails_is_told_and_leaves_nothing(bucket: BucketFile, action: str) -> None:
    data = patterned(2 * MIB + 5, 8)
    put(bucket, "before", data)
    writer = bucket.bodies.writer(len(data), ("CRC64NVME",))
    with failpoint.armed("pack.write", action), pytest.raises(UnavailableError):
        for at in range(0, len(data), 256 * KIB):
            writer.write(data[at : at + 256 * KIB])
        writer.finish()
    writer.abort()
    put(bucket, "after", data)
    assert get(bucket, "before") == data
    assert get(bucket, "after") == data


def test_giving_up_waits_for_what_is_being_written(bucket: BucketFile) -> None:
    """Else a late write could land in a region that was given to another body."""
    with failpoint.armed("pack.write", "sleep(0.2)"):
        writer = bucket.bodies.writer(8 * MIB)
        writer.write(b"a" * MIB)
        writer.abort()
    data = patterned(8 * MIB, 9)
    put(bucket, "k", data)
    assert get(bucket, "k") == data


def test_a_bucket_that_rested_writes_again(bucket: BucketFile) -> None:
    data = patterned(3 * MIB, 10)
    put(bucket, "one", data)
    bucket.rest()
    put(bucket, "two", data)
    assert get(bucket, "one") == get(bucket, "two") == data
