"""A directory and a bucket for every test, checked when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from disks import FailingSync

from cenote.base import failpoint
from cenote.ports import BucketRecord
from cenote.sqldb import BucketFile, Directory


@pytest.fixture(autouse=True)
def _disarm() -> Iterator[None]:
    yield
    failpoint.disarm()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Directory(tmp_path / "root", create=True, background=False) as directory:
        yield directory
        for name in directory.names():
            assert directory.open(name).check(deep=True) == []


@pytest.fixture
def bucket(directory: Directory) -> BucketFile:
    return directory.create(BucketRecord("first", created_ms=1))


@pytest.fixture
def failing_vfs() -> Iterator[None]:
    """Let SQLite's files lie on a `FailingSync`."""
    before = apsw.vfs_names()[0]
    vfs = FailingSync()
    apsw.set_default_vfs("failing-sync")
    yield
    FailingSync.failing = False
    apsw.set_default_vfs(before)
    vfs.unregister()
