"""A store in a temporary directory, checked after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cenote.base import ManualClock, SeededRand
from cenote.buckets import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    with Store(tmp_path / "data", clock=clock, rand=SeededRand(1)) as store:
        yield store
        assert store.check(deep=True) == []


@pytest.fixture
def bucket(store: Store) -> str:
    store.create_bucket("photos")
    return "photos"
