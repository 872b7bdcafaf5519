"""Buckets are made, found, dropped; strangers and second writers are kept out."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from acts import get, keys, put

from cenote.errors import (
    AlreadyExistsError,
    ClosedError,
    ConflictError,
    DataError,
    DeniedError,
    FormatVersionError,
    InvalidError,
    NotFoundError,
)
from cenote.ports import BucketRecord
from cenote.sqldb import Directory


def test_buckets_persist(tmp_path: Path) -> None:
    with Directory(tmp_path / "new" / "root", create=True) as directory:
        put(directory.create(BucketRecord("b-one", 5, "eu", "me")), "k", b"x" * 50_000)
        directory.create(BucketRecord("a.two", 6))
        assert directory.names() == ["a.two", "b-one"]
        with pytest.raises(AlreadyExistsError) as caught:
            directory.create(BucketRecord("b-one", 7))
        assert caught.value.kind == "bucket_exists"
    with Directory(tmp_path / "new" / "root") as directory:
        bucket = directory.open("b-one")
        assert get(bucket, "k") == b"x" * 50_000
        with bucket.index.read() as view:
            assert view.bucket() == BucketRecord("b-one", 5, "eu", "me")
        directory.drop("b-one")
        directory.drop("a.two")
        with pytest.raises(NotFoundError):
            directory.open("b-one")
        directory.create(BucketRecord("b-one", 9))
        assert keys(directory.open("b-one")) == []
        directory.drop("b-one")
    assert [p.name for p in (tmp_path / "new" / "root").iterdir()] == [".cenote"]


@pytest.mark.parametrize(
    "name", ["", "ab", "A" * 5, "../up", "a/b/c", "a..b", ".cenote", "-ab", "ab-", "x" * 64, "a\0b"]
)
def test_names_never_leave_the_directory(tmp_path: Path, name: str) -> None:
    with Directory(tmp_path) as directory:
        with pytest.raises(InvalidError):
            directory.create(BucketRecord(name, 1))
        with pytest.raises(NotFoundError):
            directory.open(name)
        with pytest.raises(NotFoundError):
            directory.drop(name)
    assert [p.name for p in tmp_path.iterdir()] == [".cenote"]


def test_foreign_files_are_left_alone_and_told_of(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite3").write_text("no database")
    with sqlite3.connect(tmp_path / "other.sqlite3") as other:
        other.execute("CREATE TABLE mine(x)")
    other.close()
    (tmp_path / "Upper.sqlite3").write_text("")
    (tmp_path / "link.sqlite3").symlink_to("/etc/passwd")
    before = {p.name: p.lstat() for p in tmp_path.iterdir()}
    with Directory(tmp_path) as directory:
        assert directory.names() == []
        assert len(directory.notes()) == 4
        for name in ("text", "other"):
            with pytest.raises(DataError):
                directory.open(name)
        with pytest.raises(NotFoundError):
            directory.open("link")
        with pytest.raises(AlreadyExistsError):
            directory.create(BucketRecord("other", 1))
        with pytest.raises(AlreadyExistsError):
            directory.create(BucketRecord("link", 1))
        (tmp_path / "lost.packs").mkdir()
        with pytest.raises(DataError):
            directory.create(BucketRecord("lost", 1))
    for name, stat in before.items():
        after = (tmp_path / name).lstat()
        assert (after.st_mtime_ns, after.st_size) == (stat.st_mtime_ns, stat.st_size)


@pytest.mark.parametrize("again", [False, True])
def test_many_buckets_in_turn_take_few_descriptors(tmp_path: Path, again: bool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Directory(tmp_path, awake_max=4) as directory:
        names = [f"bucket-{number}" for number in range(40)]
        for name in names:
            put(directory.create(BucketRecord(name, 1)), "k", b"x" * 40_000)
        for _ in range(1 + again):
            for name in names:
                put(directory.open(name), "small", b"1")
                assert get(directory.open(name), "k") == b"x" * 40_000
        assert len(os.listdir("/proc/self/fd")) - before < 80


def test_newer_version_is_refused(tmp_path: Path) -> None:
    with Directory(tmp_path) as directory:
        directory.create(BucketRecord("future", 1))
    with sqlite3.connect(tmp_path / "future.sqlite3") as file:
        file.execute("PRAGMA user_version=99")
    file.close()
    with Directory(tmp_path) as directory, pytest.raises(FormatVersionError):
        directory.open("future")


def test_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with Directory(tmp_path) as directory:
        put(directory.create(BucketRecord("shared", 1)), "k", b"live")
        code = f"""
import sys
from cenote.sqldb import Directory
from cenote.errors import ConflictError
try:
    Directory({str(tmp_path)!r})
except ConflictError as error:
    print(error.kind)
with Directory({str(tmp_path)!r}, read_only=True) as directory:
    print(directory.names(), directory.open("shared").index.object_value("k", 99)[1])
"""
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.stdout.splitlines() == ["directory_locked", "['shared'] b'live'"], run.stderr
        with pytest.raises(ConflictError):
            Directory(tmp_path)
    Directory(tmp_path).close()


def test_read_only_changes_nothing(tmp_path: Path) -> None:
    with Directory(tmp_path) as directory:
        bucket = directory.create(BucketRecord("kept", 1))
        put(bucket, "inline", b"x")
        put(bucket, "packed", b"y" * 100_000)
    for folder in (tmp_path, tmp_path / "kept.packs"):
        folder.chmod(0o555)
    before = sorted((p, p.lstat().st_mtime_ns) for p in tmp_path.rglob("*.*"))
    try:
        with Directory(tmp_path, read_only=True) as directory:
            bucket = directory.open("kept")
            assert get(bucket, "inline") == b"x"
            assert get(bucket, "packed") == b"y" * 100_000
            assert bucket.check(deep=True) == []
            for act in (
                lambda: bucket.index.commit(lambda txn: txn.delete_object("inline")),
                lambda: bucket.index.submit(lambda txn: None, lambda result, error: None),
                lambda: bucket.bodies.writer(5),
                lambda: directory.create(BucketRecord("other", 1)),
                lambda: directory.drop("kept"),
            ):
                with pytest.raises(DeniedError) as caught:
                    act()
                assert caught.value.kind == "read_only"
            directory.maintain()
    finally:
        for folder in (tmp_path, tmp_path / "kept.packs"):
            folder.chmod(0o755)
    names = {p.name for p in tmp_path.iterdir()}
    assert sorted((p, p.lstat().st_mtime_ns) for p, _ in before) == before, names


def test_many_buckets_need_few_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Directory(tmp_path, awake_max=2) as directory:
        for number in range(16):
            bucket = directory.create(BucketRecord(f"bucket-{number:03}", number))
            put(bucket, "inline", b"x")
            put(bucket, "packed", b"x" * 40_000)
        handles = [directory.open(name) for name in directory.names()]
        # Awake, a bucket has up to eight: file and log of a reader and the writer, their shared
        # memory, a pack, the folder.
        assert len(os.listdir("/proc/self/fd")) - before < 8 * 4
        # A handle whose bucket was put to rest is as good as before.
        assert all(get(bucket, "packed") == b"x" * 40_000 for bucket in handles)
        put(handles[0], "more", b"y")
        assert get(handles[0], "more") == b"y"


def test_leftovers_of_a_crash_are_cleared(tmp_path: Path) -> None:
    for name in ("new", "trash", "spool"):
        (tmp_path / ".cenote" / name).mkdir(parents=True)
        (tmp_path / ".cenote" / name / "rest").write_text("x")
    (tmp_path / ".cenote" / "credentials").write_text("kept")
    with Directory(tmp_path):
        left = [p.name for p in (tmp_path / ".cenote").rglob("*") if p.is_file()]
        assert sorted(left) == ["credentials", "lock", "reserve"]


def test_orphan_packs_are_cleared_and_live_ones_kept(tmp_path: Path) -> None:
    with Directory(tmp_path, background=False) as directory:
        put(directory.create(BucketRecord("bucket", 1)), "k", b"x" * 100_000)
    (tmp_path / "bucket.packs" / "00000009.pack").write_bytes(b"unfinished")
    (tmp_path / "bucket.packs" / "notes.txt").write_text("mine")
    with Directory(tmp_path, background=False) as directory:
        assert get(directory.open("bucket"), "k") == b"x" * 100_000
        names = sorted(p.name for p in (tmp_path / "bucket.packs").iterdir())
        assert names == ["00000001.pack", "notes.txt"]


def test_closed_directory_says_so(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    bucket = directory.create(BucketRecord("bucket", 1))
    put(bucket, "k", b"x" * 100_000)
    found = bucket.bodies.lease("k")
    assert found is not None
    directory.close()
    directory.close()
    for act in (
        directory.names,
        lambda: directory.open("bucket"),
        lambda: put(bucket, "k", b"x"),
        lambda: bucket.bodies.writer(100_000),
        lambda: bucket.index.object_value("k", 9),
    ):
        with pytest.raises(ClosedError):
            act()
    found[1].close()


def test_missing_directory(tmp_path: Path) -> None:
    for read_only in (False, True):
        with pytest.raises(NotFoundError) as caught:
            Directory(tmp_path / "absent", read_only=read_only)
        assert caught.value.kind == "no_such_directory"
