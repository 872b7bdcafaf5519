"""Warming: what is read afterwards asks the store for nothing."""

from __future__ import annotations

import layered
import pytest
from layered import Files, Layer

from cenote.errors import ChecksumError, DataError
from cenote.lsm import Bound, BoundKind, KeyRange
from cenote.lsm.format import encode_sst
from cenote.lsm.warm import admit_file, evict, warm_plan

READ = layered.reading()
ALL = KeyRange()
LOW = KeyRange(end=Bound(BoundKind.EXCLUDED, b"key001000"))


def counts(view: object) -> dict[str, int]:
    found = view.tables.store.counts  # type: ignore[attr-defined]
    view.tables.store.reset()  # type: ignore[attr-defined]
    return found


def layers() -> list[Layer]:
    rows = layered.plain_rows(4000, size=120)
    return [
        Layer(rows, "run", (b"key001000", b"key002000")),
        Layer(layered.plain_rows(4000, 2, 3, 120)),
    ]


def test_what_is_warm_asks_for_nothing() -> None:
    view = Files().view(layers())
    added = view.tables.run(warm_plan(view, ALL))
    assert added == view.tables.cache.size > 0
    assert counts(view) == {"get_range": 8}  # index and blocks of each of four files
    assert len(layered.scan_all(view, READ)) == 4000
    assert layered.get(view, b"key003999", READ) is not None
    assert counts(view) == {}
    assert view.tables.run(warm_plan(view, ALL)) <= 0
    assert counts(view) == {}
    evict(view, ALL)
    assert view.tables.cache.size == 0


def test_a_part_may_be_warmed_and_evicted() -> None:
    view = Files().view(layers())
    view.tables.run(warm_plan(view, LOW))
    counts(view)
    layered.scan_all(view, READ, LOW)
    assert counts(view) == {}
    layered.get(view, b"key003999", READ)
    assert counts(view) != {}
    evict(view, LOW)
    layered.get(view, b"key000001", READ)
    assert counts(view) != {}


def test_indexes_alone_leave_one_request_for_a_cold_read() -> None:
    view = Files().view(layers())
    view.tables.run(warm_plan(view, ALL, blocks=False))
    assert view.tables.cache.size == view.tables.cache.meta_size
    counts(view)
    assert layered.get(view, b"key003998", READ) is not None
    assert counts(view) == {"get_range": 1}


@pytest.mark.parametrize("budget", [0, 40_000, 100_000])
def test_a_small_budget_is_filled_and_kept(budget: int) -> None:
    view = Files().view(layers(), budget=budget)
    view.tables.run(warm_plan(view, ALL))
    assert view.tables.cache.size <= budget
    assert view.tables.cache.size >= budget // 2
    assert view.tables.cache.counts.evictions <= 1


@pytest.mark.parametrize("count", [100, 4000])
def test_a_file_that_was_just_written_is_admitted_as_it_is(count: int) -> None:
    files = Files()
    rows = layered.plain_rows(count, size=60)
    view = files.view([Layer(rows)])
    table = view.forest.root.l0[0].table
    data = encode_sst(rows).data
    with pytest.raises(DataError):
        admit_file(table, data[:1000])
    with pytest.raises(ChecksumError):
        admit_file(table, b"\xff" + data[1:])
    evict(view, ALL)
    admit_file(table, data)
    assert layered.scan_all(view, READ) == rows
    assert layered.get(view, rows[3][0], READ) == rows[3][1]
    assert counts(view) == {}
    assert table.counts.meta_misses == 0
