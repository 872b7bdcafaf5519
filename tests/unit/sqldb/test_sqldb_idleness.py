"""Memory does not follow how many buckets were ever used."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from cenote import Store
from cenote.base import ManualClock
from cenote.sqldb.idleness import IDLE_S, Idleness

BUCKETS = 30


def fill(store: Store) -> None:
    """Leave every bucket with warm caches."""
    for number in range(BUCKETS):
        name = f"bucket-{number}"
        store.create_bucket(name)
        for key in range(10):
            store.put_object(name, f"k{key}", os.urandom(30_000))
        assert all(len(store.read_object(name, f"k{key}")) == 30_000 for key in range(10))


def watched(store: Store, clock: ManualClock, **bounds: int) -> Idleness:
    directory = store.directory
    return Idleness(lambda: list(directory._open.values()), clock=clock, **bounds)


def descriptors(folder: Path) -> int:
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return sum(str(folder) in str(link.readlink()) for link in links if link.is_symlink())


def test_buckets_nobody_asks_for_rest_and_one_in_use_does_not(tmp_path: Path):
    before = apsw.memory_used()
    clock = ManualClock()
    with Store(tmp_path, background=False) as store:
        fill(store)
        full = apsw.memory_used() - before
        idleness = watched(store, clock)
        for _ in range(IDLE_S - 1):
            clock.advance(1)
            assert idleness.tend()
            store.read_object("bucket-3", "k3")
        assert apsw.memory_used() - before == full
        clock.advance(1)
        assert idleness.tend()
        assert store.bucket("bucket-3")._pool._idle
        assert apsw.memory_used() - before < 2 * full / BUCKETS
        assert descriptors(tmp_path) < 12
        # All of it is still there.
        for number in range(BUCKETS):
            assert len(store.read_object(f"bucket-{number}", "k7")) == 30_000
            store.put_object(f"bucket-{number}", "new", b"")


def test_above_the_bound_the_least_used_rest_first(tmp_path: Path):
    before = apsw.memory_used()
    clock = ManualClock()
    with Store(tmp_path, background=False) as store:
        fill(store)
        full = apsw.memory_used() - before
        bound = before + full // 2
        idleness = watched(store, clock, used_max=bound, used_kept=before + full // 3)
        idleness.tend()
        assert apsw.memory_used() - before == full  # within the same second: nothing
        clock.advance(1)
        idleness.tend()
        assert apsw.memory_used() <= before + full // 3
        awake = [name for name, bucket in store.directory._open.items() if bucket._pool._idle]
        assert awake == [f"bucket-{n}" for n in range(BUCKETS - len(awake), BUCKETS)]
        tiny = watched(store, clock, used_max=0, used_kept=0)
        clock.advance(1)
        tiny.tend()
        assert store.directory._open[f"bucket-{BUCKETS - 1}"]._pool._idle
