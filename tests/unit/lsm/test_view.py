"""Reads of one key: what is asked of the store, what damage does, what callbacks do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import layered
import pytest
from layered import Files, Layer

from cenote.errors import ChecksumError, DataError, InvalidError, NotFoundError
from cenote.lsm import Row
from cenote.lsm.format import (
    BloomPolicy,
    Codec,
    Manifest,
    SortedRun,
    SstLayout,
    Tree,
)
from cenote.lsm.plan import PENDING, run_async
from cenote.lsm.view import View

READ = layered.reading()


def counts(view: View) -> dict[str, int]:
    found = view.tables.store.counts  # type: ignore[attr-defined]
    view.tables.store.reset()  # type: ignore[attr-defined]
    return found


def large(seq: int = 1, step: int = 1) -> list[Row]:
    """Rows of a table that is too large to be fetched whole."""
    return layered.plain_rows(4000, seq, step, size=40)


def test_a_cold_read_is_the_index_with_the_filter_and_a_block() -> None:
    view = Files().view([Layer(large())])
    assert view.get(b"key000123", READ) is PENDING
    assert counts(view) == {}
    assert layered.get(view, b"key000123", READ).startswith(b"123/1 ")
    assert counts(view) == {"get_range": 2}
    assert layered.get(view, b"key003123", READ).startswith(b"3123/1 ")
    assert counts(view) == {"get_range": 1}
    assert layered.get(view, b"key003123", READ) is not None
    assert layered.get(view, b"key000123", READ) is not None
    assert counts(view) == {}


def test_a_small_file_is_one_request() -> None:
    view = Files().view([Layer(layered.plain_rows(500))])
    assert layered.get(view, b"key000123", READ) is not None
    assert counts(view) == {"get_range": 1}
    for n in range(500):
        assert view.get(b"key%06d" % n, READ) not in (None, PENDING)
    assert len(layered.scan_all(view, READ)) == 500
    assert counts(view) == {}


def test_a_miss_reads_no_block_where_there_is_a_filter() -> None:
    layout = SstLayout(filters=(BloomPolicy(30),))
    view = Files(layout).view([Layer(large())])
    assert layered.get(view, b"key000123x", READ) is None
    assert counts(view) == {"get_range": 1}
    assert layered.get(view, b"key003123x", READ) is None
    assert counts(view) == {}


def test_tables_whose_keys_lie_elsewhere_are_not_asked() -> None:
    low, high = large()[:2000], large()[2000:]
    view = Files().view([Layer(low), Layer(high), Layer(large(), "run", (b"key002000",))])
    assert layered.get(view, b"key003000", READ) is not None
    assert layered.get(view, b"zzz", READ) is None
    assert layered.get(view, b"a", READ) is None
    paths = {request.path for request in view.tables.store.requests}  # type: ignore[attr-defined]
    assert len(paths) == 2  # one of level 0, one of the run


def test_indexes_of_several_tables_are_asked_for_together() -> None:
    view = Files().view([Layer(large(1)), Layer(large(2)), Layer(large(3))])
    plan = view.get_plan(b"key000123", READ)
    assert [len(fetch.ranges) for fetch in next(plan)] == [1, 1, 1]
    plan.close()
    assert layered.get(view, b"key000123", READ).startswith(b"123/3")
    assert counts(view) == {"get_range": 4}  # and one block, of the newest


def test_nothing_is_asked_below_a_settled_version() -> None:
    layers = [Layer(large(1)), Layer([layered.tombstone(b"key000001", 2)], "memtable")]
    view = Files().view(layers)
    assert view.get(b"key000001", READ) is None
    assert view.get(b"key000002", READ) is PENDING


def test_without_a_cache_every_read_fetches_and_is_right() -> None:
    view = Files().view([Layer(large(1)), Layer(large(2, step=2))], budget=0)
    for n in (0, 1, 2, 3, 3999):
        assert layered.get(view, b"key%06d" % n, READ).startswith(b"%d/%d" % (n, 2 - n % 2))
    assert view.tables.cache.size == 0


def test_reads_that_ask_for_it_leave_no_blocks_behind() -> None:
    view = Files().view([Layer(large())])
    assert layered.get(view, b"key000123", layered.reading(cache_blocks=False)) is not None
    assert view.tables.cache.size == view.tables.cache.meta_size > 0


def test_many_keys_are_fetched_together() -> None:
    view = Files().view([Layer(large())])
    keys = [b"key%06d" % n for n in range(0, 4000, 100)]
    rows = view.tables.run(view.get_many_plan([*keys, b"absent"], READ))
    assert [row and row[1].split(b"/")[0] for row in rows] == [
        *(b"%d" % n for n in range(0, 4000, 100)),
        None,
    ]
    assert counts(view) == {"get_range": 1, "get_ranges": 1}


def test_an_event_loop_is_not_left_for_what_is_in_memory() -> None:
    view = Files().view([Layer(large())])
    layered.get(view, b"key000123", READ)
    awaited = run_async(view.tables.store, view.get_plan(b"key000123", READ))
    with pytest.raises(StopIteration) as end:
        awaited.send(None)
    assert end.value.value[0] == b"key000123"
    found = asyncio.run(run_async(view.tables.store, view.get_plan(b"key002123", READ)))
    assert found is not None


def test_a_file_that_is_gone_is_told_to_the_caller() -> None:
    view = Files().view([Layer(large())])
    layered.get(view, b"key000123", READ)
    view.tables.store.delete(view.forest.root.l0[0].table.path)
    assert layered.get(view, b"key000123", READ) is not None
    with pytest.raises(NotFoundError):
        layered.get(view, b"key003123", READ)
    with pytest.raises(NotFoundError):
        layered.scan_all(view, READ)


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.ZLIB])
@pytest.mark.parametrize("count", [300, 4000])
def test_damage_is_told_with_the_place_and_never_a_wrong_answer(codec: Codec, count: int) -> None:
    rows = layered.plain_rows(count, size=40)
    files = Files(SstLayout(codec=codec, filter_rows_min=100))
    tree = files.tree([Layer(rows)])
    info = files.handles[0].info
    path = files.place.table(files.handles[0].id)
    data = files.store.get(path).data
    manifest = Manifest(tree=tree, ssts=tuple(files.handles))
    ends = info.index_offset + info.index_size
    for at in [*range(0, ends, ends // 97), info.filter_offset, info.index_offset, ends - 1]:
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        files.store.put(path, damaged)
        view = files.open(manifest, budget=2**20)
        failed = 0
        for row in rows[:: count // 40]:
            try:
                assert layered.get(view, row[0], READ) == row[1]
            except ChecksumError as error:
                failed += 1
                assert error.context["path"] == path
                part = error.context["part"]
                assert part.startswith("block ") == (at < info.data_size)
                assert path in str(error)
        with pytest.raises(ChecksumError):
            layered.scan_all(view, READ)
        assert failed or at < info.data_size


def test_a_file_cut_short_is_damage() -> None:
    files = Files()
    tree = files.tree([Layer(large())])
    path = files.place.table(files.handles[0].id)
    data = files.store.get(path).data
    manifest = Manifest(tree=tree, ssts=tuple(files.handles))
    for size in (0, 10, files.handles[0].info.filter_offset + 5):
        files.store.put(path, data[:size])
        view = files.open(manifest, budget=0)
        for read in (
            lambda view=view: layered.get(view, b"key000001", READ),
            lambda view=view: layered.scan_all(view, READ),
        ):
            with pytest.raises(DataError, match="shorter"):
                read()


def test_blocks_that_changed_places_are_damage() -> None:
    """Each has a checksum that matches; only the index tells that they lie wrong."""
    files = Files(SstLayout(filters=()))
    rows = [layered.put(b"key%06d" % n, b"v" * 91, 1) for n in range(4000)]
    tree = files.tree([Layer(rows)])
    path = files.place.table(files.handles[0].id)
    data = files.store.get(path).data
    view = files.open(Manifest(tree=tree, ssts=tuple(files.handles)), budget=0)
    meta, _ = view.tables.run(view.forest.root.l0[0].table.meta_plan())
    sizes = [b - a for a, b in pairwise(meta.offsets)]
    later = sizes.index(sizes[2], 3)
    here, there = meta.offsets[2], meta.offsets[later]
    swapped = bytearray(data)
    swapped[here : here + sizes[2]] = data[there : there + sizes[2]]
    swapped[there : there + sizes[2]] = data[here : here + sizes[2]]
    files.store.put(path, swapped)
    with pytest.raises(DataError, match="index"):
        layered.scan_all(view, READ)
    with pytest.raises(DataError, match="index"):
        layered.get(view, meta.first_keys[2], READ)


class Refuses:
    name = "refuses"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        raise ArithmeticError("no")


class ReturnsText(Refuses):
    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return "text"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("operator", "error"),
    [(None, InvalidError), (Refuses(), ArithmeticError), (ReturnsText(), InvalidError)],
)
def test_an_operator_that_fails_fails_one_read(operator: object, error: type[Exception]) -> None:
    rows = [layered.put(b"a", b"1", 1), layered.merge(b"b", b"2", 2), layered.put(b"c", b"3", 3)]
    view = Files().view([Layer(rows, "memtable"), Layer(layered.plain_rows(3, 4))])
    read = layered.Reading(now_ms=lambda: 0, operator=operator)  # type: ignore[arg-type]
    with pytest.raises(error):
        layered.get(view, b"b", read)
    assert layered.get(view, b"a", read) == b"1"
    scan = view.scan(layered.KeyRange(), read)
    for _ in range(2):
        with pytest.raises(error):
            view.tables.run(scan.next_batch())
    scan.seek(b"c")
    assert view.tables.run(scan.next_batch())[0][:2] == (b"c", b"3")


def test_the_clock_is_asked_only_for_rows_that_expire() -> None:
    def never() -> int:
        raise AssertionError

    view = Files().view([Layer(layered.plain_rows(50)), Layer(layered.plain_rows(3), "memtable")])
    read = layered.Reading(now_ms=never)
    assert layered.get(view, b"key000001", read) is not None
    assert layered.get(view, b"key000031", read) is not None


def test_versions_of_one_key_may_fill_blocks_and_end_a_table() -> None:
    """Other writers may cut a run in the middle of a key: the newer part comes first."""
    files = Files(SstLayout(block_size=64, filters=()))
    rows = [layered.merge(b"k", b"%d" % seq, seq) for seq in range(60, 0, -1)]
    views = (
        files.table([layered.put(b"a", b"", 1), *rows[:30]]),
        files.table([*rows[30:], layered.put(b"z", b"", 1)]),
    )
    manifest = Manifest(tree=Tree(runs=(SortedRun(0, views),)), ssts=tuple(files.handles))
    view = files.open(manifest, budget=2**20)
    for seq_max in (None, 60, 45, 31, 30, 29, 1):
        read = layered.reading(seq_max)
        wanted = b",".join(b"%d" % n for n in range(1, (seq_max or 60) + 1))
        assert layered.get(view, b"k", read) == wanted
        row = view.get(b"k", read)
        assert row not in (None, PENDING)
        for reverse in (False, True):
            found = {row[0]: row[1] for row in layered.scan_all(view, read, reverse=reverse)}
            assert found == {b"a": b"", b"k": wanted, b"z": b""}


def test_views_share_what_is_open() -> None:
    files = Files()
    view = files.view([Layer(large())])
    other = view.with_memtables([layered.memtable([layered.put(b"key000001", b"new", 9)])])
    again = other.with_manifest(view.manifest)
    assert view.forest is other.forest
    assert again.forest.root.l0[0].table is view.forest.root.l0[0].table
    assert layered.get(view, b"key000001", READ) != b"new"
    assert other.get(b"key000001", READ)[1] == b"new"
    assert again.get(b"key000001", READ)[1] == b"new"


def test_runs_that_stay_are_not_laid_out_again() -> None:
    files = Files()
    view = files.view([Layer(large(1), "run", (b"key002000",)), Layer(large(2, 2))])
    manifest = view.manifest
    extra = files.table(layered.plain_rows(3, 9))
    tree = replace(manifest.tree, l0=(extra, *manifest.tree.l0))
    grown = replace(manifest, tree=tree, ssts=tuple(files.handles))
    later = view.with_manifest(grown)
    assert later.forest.root.runs[0] is view.forest.root.runs[0]
    assert len(later.forest.root.l0) == 2
    assert layered.get(later, b"key000001", READ).startswith(b"1/9")
    assert layered.get(later, b"key003999", READ).startswith(b"3999/1")
    with pytest.raises(DataError):
        view.with_manifest(replace(grown, ssts=grown.ssts[:-1]))
