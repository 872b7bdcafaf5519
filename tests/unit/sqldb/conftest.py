"""A directory and a bucket for every test, checked when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
