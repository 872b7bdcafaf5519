"""A disk that is full: writes are refused clearly, reads go on, and the service recovers by itself.

S3 knows no such state; the code is StorageFull with 507 (RFC 4918 section 11.5), which clients
retry, as they should.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from survey import check_directory
from workload import BUCKET

from cenote.testing import Endpoint, Reply, ServerProcess, WireClient

SIZE = 32 << 20
MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs of 32 MiB")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "cenote-test", str(mount)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


class Filler:
    """Another program's file that takes all space there is."""

    def __init__(self, disk: Path) -> None:
        self.path = disk / "ballast"

    def fill(self) -> None:
        with self.path.open("ab", buffering=0) as file:
            for size in (MIB, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def empty(self) -> None:
        self.path.unlink()


def body_of(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


class Shelf:
    """Objects that were acknowledged, and the client that put them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.client = WireClient(endpoint, timeout=60.0)
        self.sizes: dict[int, int] = {}

    def put(self, number: int, size: int) -> Reply:
        path = f"{BUCKET}/{number}"
        reply = self.client.request("PUT", path, body=body_of(number, size))
        if reply.status == 200:
            self.sizes[number] = size
        else:
            assert (reply.status, reply.code) == (507, "StorageFull"), reply.body
        return reply

    def fill(self, first: int, size: int) -> None:
        """Put objects of `size` bytes until one is refused."""
        for number in range(first, first + SIZE // size + 1):
            if self.put(number, size).status != 200:
                return
        raise AssertionError("the disk was never full")

    def verify(self) -> None:
        for number, size in self.sizes.items():
            reply = self.client.request("GET", f"{BUCKET}/{number}")
            assert (reply.status, reply.body) == (200, body_of(number, size)), number
        listing = self.client.request("GET", f"{BUCKET}?list-type=2").body
        assert listing.count(b"<Key>") == len(self.sizes)

    def drop(self, numbers: list[int]) -> None:
        for number in numbers:
            reply = self.client.request("DELETE", f"{BUCKET}/{number}")
            assert reply.status == 204, reply.body
            del self.sizes[number]

    def until_stored(self, number: int, size: int, limit: float = 15.0) -> None:
        """Put again and again until space has come back."""
        deadline = time.monotonic() + limit
        while self.put(number, size).status != 200:
            assert time.monotonic() < deadline, "space did not come back"
            time.sleep(0.1)


@pytest.fixture
def shelf(disk: Path, tmp_path: Path) -> Iterator[tuple[ServerProcess, Shelf]]:
    with ServerProcess(disk / "data", tmp_path) as server:
        made = Shelf(server.start())
        assert made.client.request("PUT", BUCKET).status == 200
        yield server, made
        made.client.close()
        assert server.stop() == 0, server.log_end()
        check_directory(server.data)


def test_full_of_our_own_objects(shelf: tuple[ServerProcess, Shelf]):
    """Deleting makes room again, without a restart, for large objects and small."""
    _, objects = shelf
    for number in range(10):
        assert objects.put(number, 1000).status == 200
    objects.fill(100, MIB)
    objects.verify()
    large = [number for number in objects.sizes if number >= 100]
    assert len(large) > 20
    objects.drop(large[:10])
    objects.until_stored(1000, 8 * MIB)
    objects.verify()
    objects.drop([number for number in objects.sizes if number >= 100])
    objects.until_stored(1001, 20 * MIB)
    objects.verify()


def test_full_of_small_objects(shelf: tuple[ServerProcess, Shelf]):
    """Inline objects fill the SQLite file itself."""
    _, objects = shelf
    objects.fill(0, 30_000)
    objects.verify()
    objects.drop(list(objects.sizes)[:300])
    objects.until_stored(5000, 30_000)
    objects.verify()


def test_filled_by_others(shelf: tuple[ServerProcess, Shelf], disk: Path):
    """Not a byte is left: every write says so, every read works, and it passes with the cause."""
    _, objects = shelf
    for number, size in enumerate([0, 10, 3000, 40_000, 300_000, MIB]):
        assert objects.put(number, size).status == 200
    begun = objects.client.request("POST", f"{BUCKET}/multi?uploads")
    upload = begun.body.decode().partition("<UploadId>")[2].partition("<")[0]
    filler = Filler(disk)
    filler.fill()
    refused = [
        ("PUT", f"{BUCKET}/large", b"x" * (2 * MIB)),
        ("PUT", f"{BUCKET}/multi?partNumber=1&uploadId={upload}", b"x" * 100_000),
        ("PUT", "/another-bucket", b""),
    ]
    for method, path, body in refused:
        reply = objects.client.request(method, path, (), body)
        assert (reply.status, reply.code) == (507, "StorageFull"), (path, reply.body)
    attempts = 0
    while objects.put(1000 + attempts, 20_000).status == 200:  # what the log has room for already
        attempts += 1
        assert attempts < 1000
    objects.verify()
    assert objects.client.request("HEAD", "/another-bucket").status == 404
    filler.empty()
    objects.until_stored(5000, 20_000)
    objects.until_stored(5001, 2 * MIB)
    assert objects.client.request("PUT", "/another-bucket").status == 200
    objects.verify()


def test_killed_while_full(shelf: tuple[ServerProcess, Shelf], disk: Path):
    """A kill on a full disk loses nothing; the server starts again, and reads are answered."""
    server, objects = shelf
    for number, size in enumerate([10, 3000, 40_000, MIB]):
        assert objects.put(number, size).status == 200
    filler = Filler(disk)
    filler.fill()
    objects.put(100, 300_000)
    server.kill()
    filler.fill()
    again = Shelf(server.start())
    again.sizes = objects.sizes
    again.verify()
    filler.empty()
    again.until_stored(200, 300_000)
    again.verify()
    again.client.close()
