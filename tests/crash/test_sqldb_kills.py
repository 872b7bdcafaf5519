"""A bucket is whole after the process was killed at any of the places where it might be.

A child works through a fixed list of acts and writes down each one it has been told is durable.
Killed at a fail point, everything it wrote down must be there, what it had begun may be, and
`check` finds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cenote.base import failpoint
from cenote.errors import UnavailableError
from cenote.ports import BucketRecord, Change, IndexTxn, ObjectRecord, StagedBody
from cenote.sqldb import BucketFile, Directory

PACK_SIZE = 1 << 20
SIZES = (100, 40_000, 300_000, 0, 450_000)
# Other packages' places, when something in this process imported them, have tests of their own.
ELSEWHERE = ("recover.", "local.", "lsm.")
PLACES = [place for place in failpoint.registered() if not place.startswith(ELSEWHERE)]


def data_of(number: int) -> bytes:
    size = SIZES[number % len(SIZES)]
    block = hashlib.sha256(str(number).encode()).digest()
    return (block * (size // 32 + 1))[:size]


def putting(key: str, staged: StagedBody) -> Change[None]:
    def change(txn: IndexTxn) -> None:
        txn.object(key)
        etag = staged.md5.hex()
        txn.put_object(ObjectRecord(key, staged.size, etag, 1, txn.add_body(staged)))

    return change


def put(bucket: BucketFile, number: int) -> None:
    data = data_of(number)
    writer = bucket.bodies.writer(len(data))
    writer.write(data)
    bucket.index.commit(putting(f"key-{number % 12}", writer.finish()))


def work(root: Path, diary: Path) -> None:
    """Act until killed, or to the end; runs in a child process."""
    with (
        diary.open("a", buffering=1) as notes,
        Directory(root, background=False, pack_size=PACK_SIZE) as directory,
    ):

        def durable(*act: object) -> None:
            notes.write(json.dumps(act) + "\n")

        directory.create(BucketRecord("brief", 1))
        durable("create", "brief")
        bucket = directory.create(BucketRecord("kept", 1))
        durable("create", "kept")
        for number in range(48):
            put(bucket, number)
            durable("put", f"key-{number % 12}", number)
            if number % 16 == 15:
                for key in (f"key-{number % 12}", f"key-{(number - 3) % 12}"):
                    bucket.index.commit(lambda txn, key=key: txn.delete_object(key))  # type: ignore[misc]
                    durable("delete", key)
                bucket.maintain()
        brief = directory.open("brief")
        put(brief, 2)
        brief.index.commit(lambda txn: [txn.delete_object("key-2"), txn.close_bucket()])
        directory.drop("brief")
        durable("drop", "brief")


def verify(root: Path, diary: Path) -> None:
    lines = diary.read_text().splitlines() if diary.exists() else []
    acts = [json.loads(line) for line in lines]
    made = {act[1] for act in acts if act[0] == "create"}
    dropped = {act[1] for act in acts if act[0] == "drop"}
    with Directory(root, background=False, pack_size=PACK_SIZE) as directory:
        assert made - dropped <= set(directory.names()) | {"brief"}
        assert "kept" in directory.names() or "kept" not in made
        for name in directory.names():
            directory.open(name).maintain()
            assert directory.open(name).check(deep=True) == []
        if "kept" not in directory.names():
            return
        expected: dict[str, int | None] = {}
        for act in acts:
            if act[0] == "put":
                expected[act[1]] = act[2]
            elif act[0] == "delete":
                expected[act[1]] = None
        bucket = directory.open("kept")
        wrong = []
        for key, number in expected.items():
            found = bucket.bodies.lease(key)
            data = None
            if found is not None:
                with found[1] as lease:
                    data = b"".join(lease.chunks(0, lease.size))
            if data != (None if number is None else data_of(number)):
                wrong.append(key)
        # The act that was under way may have become durable without anybody being told.
        assert len(wrong) <= 1, wrong
        put(bucket, 1)
        assert bucket.check(deep=True) == []


def run_killed(root: Path, diary: Path, points: str) -> int:
    environment = {**os.environ, "CENOTE_FAILPOINTS": points}
    command = [sys.executable, __file__, str(root), str(diary)]
    return subprocess.run(command, env=environment, timeout=60).returncode


@pytest.mark.parametrize("place", PLACES)
def test_killed_at(tmp_path: Path, place: str) -> None:
    root, diary = tmp_path / "root", tmp_path / "diary"
    root.mkdir()
    turn = 1 if place.startswith("drop.") else 2
    assert run_killed(root, diary, f"{place}=kill@{turn}") == -signal.SIGKILL, (
        f"{place} is not passed"
    )
    verify(root, diary)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 7, 20])
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_other_turns(tmp_path: Path, place: str, count: int) -> None:
    root, diary = tmp_path / "root", tmp_path / "diary"
    root.mkdir()
    run_killed(root, diary, f"{place}=kill@{count}")
    verify(root, diary)


@pytest.mark.parametrize("place", ["recover.orphan", "recover.punch"])
def test_killed_in_recovery(tmp_path: Path, place: str) -> None:
    root, diary = tmp_path / "root", tmp_path / "diary"
    root.mkdir()
    first = "pack.created" if place == "recover.orphan" else "pack.synced"
    assert run_killed(root, diary, f"{first}=kill@3") == -signal.SIGKILL
    code = f"from cenote.sqldb import Directory; Directory({str(root)!r}).open('kept')"
    environment = {**os.environ, "CENOTE_FAILPOINTS": f"{place}=kill"}
    run = subprocess.run([sys.executable, "-c", code], env=environment)
    assert run.returncode == -signal.SIGKILL
    verify(root, diary)


def test_whole_run_is_clean(tmp_path: Path) -> None:
    root, diary = tmp_path / "root", tmp_path / "diary"
    root.mkdir()
    assert run_killed(root, diary, "") == 0
    verify(root, diary)
    with Directory(root) as directory:
        assert directory.names() == ["kept"]


@pytest.fixture
def small_disk(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A file system of 32 MiB, where we may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("inline_max", [0, 1 << 20])
def test_full_disk(small_disk: Path, inline_max: int) -> None:
    with Directory(small_disk, background=False, inline_max=inline_max) as directory:
        bucket = directory.create(BucketRecord("full", 1))
        stored = 0
        with pytest.raises(UnavailableError) as caught:
            for number in range(200):
                data = bytes([number]) * 300_000
                writer = bucket.bodies.writer(len(data))
                try:
                    writer.write(data)
                    staged = writer.finish()
                except UnavailableError:
                    writer.abort()
                    raise
                try:
                    bucket.index.commit(putting(f"{number:03}", staged))
                except UnavailableError:
                    bucket.bodies.discard(staged)
                    raise
                stored += 1
        assert caught.value.kind == "disk_full"
        assert stored >= 10
        with bucket.index.read() as view:
            assert len(view.objects("", None, 999)) == stored
        assert bucket.check(deep=True) == []
        # Deleting needs a little space itself, and must work all the same.
        for number in range(0, stored, 2):
            bucket.index.commit(lambda txn, key=f"{number:03}": txn.delete_object(key))  # type: ignore[misc]
        directory.maintain()
        for number in range(3):
            put(bucket, 2 + number * 5)
        assert bucket.check(deep=True) == []


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]))
