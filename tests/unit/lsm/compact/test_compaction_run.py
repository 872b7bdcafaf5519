"""The merge of tables into tables: all rows, once, in order, whatever the sizes; and going on."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import MINT, NOW_MS, Commas, operand, put, rows_at, seen, table, tombstone

from cenote.base import SystemClock
from cenote.errors import DataError, NotFoundError, UnavailableError
from cenote.lsm import Bound, BoundKind, KeyRange, Row, row_order
from cenote.lsm.compact.ranges import plan_ranges
from cenote.lsm.compact.retention import Retention
from cenote.lsm.compact.run import CompactionRun, Work
from cenote.lsm.compact.source import InputTable
from cenote.lsm.format import (
    Codec,
    OutputSst,
    SstLayout,
    Subcompaction,
    TieredContext,
    open_sst,
)
from cenote.objstore import (
    AroundStore,
    Call,
    FaultyStore,
    MemoryStore,
    ObjectStore,
    RecordingStore,
    scripted,
)
from cenote.objstore.faulty import Fault


def work(store: ObjectStore, sources: list[list[InputTable]], **values: object) -> Work:
    given: dict[str, object] = {
        "retention": Retention(0, NOW_MS, False),
        "layout": SstLayout(block_size=256, filter_rows_min=10),
        "sst_size": 2**20,
        "new_id": MINT.mint,
        "path_of": lambda ulid: f"t/{ulid}.sst",
    }
    given.update(values)
    return Work(store, tuple(map(tuple, sources)), **given)  # type: ignore[arg-type]


def finish(run: CompactionRun) -> list[InputTable]:
    while run.step():
        pass
    return [InputTable(f"t/{each.handle.id}.sst", each.handle) for each in run.outputs()]


def contents(store: ObjectStore, tables: list[InputTable]) -> list[Row]:
    """Return the rows of tables that follow each other, after a look at each of them."""
    rows: list[Row] = []
    for each in tables:
        sst = open_sst(store.get(each.path).data)
        sst.check()
        assert sst.info == each.handle.info
        rows += sst.rows()
    assert rows == sorted(rows, key=row_order)
    return rows


@st.composite
def trees(draw: st.DrawFn) -> list[list[list[Row]]]:
    """Sources, newest first, each of tables that follow each other; numbers fall by source."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 5))
    spread = draw(st.sampled_from([3, 30, 400]))
    sources = []
    for number in range(count, 0, -1):
        rows = {}
        for _ in range(rng.randrange(1, 150)):
            key, seq = b"%05d" % rng.randrange(spread), number * 100 + rng.randrange(100)
            expire = NOW_MS + rng.choice([-1, 5]) if rng.random() < 0.2 else None
            kind = rng.random()
            value = b"%d" % seq * rng.choice([1, 1, 30])
            if kind < 0.6:
                rows[key, seq] = put(key, value, seq, expire)
            elif kind < 0.8:
                rows[key, seq] = operand(key, value, seq, expire)
            else:
                rows[key, seq] = tombstone(key, seq)
        ordered = sorted(rows.values(), key=row_order)
        cuts = sorted(rng.sample(range(len(ordered) + 1), min(len(ordered), rng.randrange(3))))
        tables = [ordered[a:b] for a, b in zip([0, *cuts], [*cuts, len(ordered)], strict=True)]
        sources.append([each for each in tables if each])
    return sources


@settings(max_examples=80, deadline=None)
@given(
    trees(),
    st.sampled_from([0, 150, 320, 1000]),
    st.booleans(),
    st.sampled_from([1, 300, 5000]),
    st.sampled_from([200, 3000, 2**20]),
    st.sampled_from([1, 3]),
    st.sampled_from(Codec),
    st.booleans(),
    st.booleans(),
)
def test_a_compaction_changes_nothing_that_may_be_seen(
    sources: list[list[list[Row]]],
    seq_min: int,
    bottom: bool,
    window: int,
    sst_size: int,
    parts: int,
    codec: Codec,
    merging: bool,
    ahead: bool,
) -> None:
    """By windows of rows, and without an operator by the kernels, where they are compiled."""
    store = MemoryStore()
    layout = SstLayout(block_size=200, codec=codec, filter_rows_min=10)
    tables = [[table(store, rows, layout) for rows in source] for source in sources]
    rule = Retention(seq_min, NOW_MS, bottom, Commas() if merging else None)
    run = CompactionRun(
        work(
            store,
            tables,
            retention=rule,
            sst_size=sst_size,
            subcompactions=parts,
            chunk=window * 2,
            window=window,
            layout=layout,
            ahead=ahead,
        )
    )
    made = finish(run)
    kept = contents(store, made)
    before = [row for source in sources for rows in source for row in rows]
    for seq in sorted({row[2] for row in before} | {seq_min, 10_000}):
        if seq >= seq_min:
            assert seen(kept, seq) == seen(before, seq)
    expected = rule.retain(sorted(before, key=row_order))
    assert [row for row in kept if row not in expected] == []
    assert [row for row in expected if row not in kept] == []
    for one, two in pairwise(made):
        assert one.handle.info.last_entry < two.handle.info.first_entry  # type: ignore[operator]


def many(count: int, seq: int, step: int = 1) -> list[Row]:
    return [put(b"%07d" % n, b"value %d" % seq * 5, seq) for n in range(0, count, step)]


def test_files_end_at_the_size_wanted_and_all_versions_of_a_key_go_into_one() -> None:
    store = MemoryStore()
    hot = [put(b"0000500", b"x" * 100, seq) for seq in range(900, 400, -1)]
    sources = [
        [table(store, many(3000, 950, 3))],
        [table(store, hot)],
        [table(store, many(999, 9))],
    ]
    made = finish(CompactionRun(work(store, sources, sst_size=20_000, window=1000)))
    rows = contents(store, made)
    assert len(rows) == 1000 + 500 + 999
    sizes = [each.size for each in made]
    holders = [each for each in made if any(r[0] == hot[0][0] for r in rows_at(store, each.path))]
    assert len(holders) == 1
    assert max(size for each, size in zip(made, sizes, strict=True) if each not in holders) < 22_000
    # All but the one that the long key did not fit, and the last.
    assert sorted(sizes)[2] > 10_000


@pytest.mark.parametrize("merged", [False, True])
def test_an_operator_is_left_out_where_no_large_table_holds_an_operand(
    merged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cenote.lsm.compact.bulk._ASKED_FROM", 1000)
    store = MemoryStore()
    rows = many(2000, 9) + ([operand(b"zz", b"1", 8)] if merged else [])
    sources = [[table(store, rows)], [table(store, [*many(2000, 3, 3), put(b"zz", b"0", 2)])]]
    rule = Retention(100, NOW_MS, True, Commas())
    made = contents(store, finish(CompactionRun(work(store, sources, retention=rule))))
    assert {row[0]: row[1] for row in made}[b"zz"] == (b"0,1" if merged else b"0")
    assert len(made) == 2001


def test_a_table_is_read_by_few_large_ranges() -> None:
    inner = MemoryStore()
    source = table(inner, many(30_000, 5))
    store = RecordingStore(inner)
    finish(CompactionRun(work(store, [[source]], chunk=2**19)))
    reads = [each for each in store.requests if each.op.startswith("get")]
    assert source.size > 2**20
    assert len(reads) == 1 + -(-source.size // (2**19 - 4096))


class Slow(AroundStore):
    """Notes how many reads are under way at once."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.now = self.most = 0
        self._lock = threading.Lock()

    def _around(self, call: Call, run: Callable[[], Any]) -> Any:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            SystemClock().sleep(0.005)
            return run()
        finally:
            with self._lock:
                self.now -= 1

    async def _around_async(self, call: Call, run: Callable[[], Any]) -> Any:
        return await run()


@pytest.mark.parametrize("merging", [False, True])
def test_over_a_network_ranges_are_fetched_ahead_and_none_twice(merging: bool) -> None:
    inner = MemoryStore()
    sources = [[table(inner, many(8000, seq, seq))] for seq in (3, 2, 1)]
    rule = Retention(0, NOW_MS, False, Commas() if merging else None)
    counted, kept, slow = [], [], []
    for ahead in (False, True):
        store = RecordingStore(inner)
        slow.append(Slow(store))
        given = {"retention": rule, "ahead": ahead, "chunk": 50_000, "window": 20_000}
        kept.append(contents(inner, finish(CompactionRun(work(slow[-1], sources, **given)))))
        counted.append(sorted(each.op + each.path for each in store.requests if "get" in each.op))
    assert kept[0] == kept[1]
    assert counted[0] == counted[1]
    assert slow[0].most == 1
    assert slow[1].most >= 2


def test_a_small_table_takes_one_request() -> None:
    inner = MemoryStore()
    sources = [[table(inner, many(100, seq))] for seq in (9, 8, 7)]
    store = RecordingStore(inner)
    finish(CompactionRun(work(store, sources)))
    assert [each.op for each in store.requests] == ["get_range"] * 3 + ["put"]


def test_ranges_and_views_clip() -> None:
    store = MemoryStore()
    whole = table(store, many(2000, 5))
    visible = KeyRange(Bound(BoundKind.INCLUDED, b"0000500"), Bound(BoundKind.EXCLUDED, b"0000600"))
    clipped = InputTable(whole.path, whole.handle, visible)
    other = table(store, many(50, 3))
    rows = contents(store, finish(CompactionRun(work(store, [[clipped], [other]], window=300))))
    assert [row[0] for row in rows] == [b"%07d" % n for n in (*range(50), *range(500, 600))]


def test_ranges_hold_every_key_once_and_none_is_small() -> None:
    store = MemoryStore()
    run = [
        table(store, [put(b"%d%04d" % (n, m), b"v" * 50, 1) for m in range(400)]) for n in range(9)
    ]
    size = sum(each.size for each in run)
    assert len(plan_ranges([run], 4, size)) == 1
    ranges = plan_ranges([run], 4, 1000)
    assert len(ranges) == 4
    assert all(sum(span.contains(each.low) for span in ranges) == 1 for each in run)
    assert [span.span()[1] for span in ranges[:-1]] == [span.span()[0] for span in ranges[1:]]


def interrupted(context_after: int) -> tuple[MemoryStore, Work, TieredContext]:
    store = MemoryStore()
    sources = [[table(store, many(2000, 9, 2))], [table(store, many(2000, 3))]]
    job = work(
        store,
        sources,
        sst_size=9_000,
        window=2000,
        subcompactions=1,
        retention=Retention(100, NOW_MS, True),
    )
    run = CompactionRun(job)
    while sum(len(part.outputs) for part in run.context.subcompactions) < context_after:
        assert run.step()
    run.abandon()
    return store, job, run.context


@pytest.mark.parametrize("files", [1, 3, 8])
def test_another_worker_goes_on_after_the_last_finished_file(files: int) -> None:
    store, job, context = interrupted(files)
    done = context.subcompactions[0].outputs
    run = CompactionRun(job, context)
    made = finish(run)
    assert run.outputs()[: len(done)] == done
    rows = contents(store, made)
    assert [(row[0], row[2]) for row in rows] == [
        (b"%07d" % n, 3 if n % 2 else 9) for n in range(2000)
    ]


def test_a_context_keeps_its_number_and_its_ranges() -> None:
    _, job, context = interrupted(2)
    lower = TieredContext(context.subcompactions, 5)
    run = CompactionRun(job, lower)
    assert run.context == lower


def test_what_a_context_promised_to_keep_is_kept_by_who_goes_on() -> None:
    """Whatever the manifest says by then: some files may have been made by the first number."""
    store, job, _ = interrupted(1)
    context = TieredContext((Subcompaction(KeyRange()),), 5)
    rows = contents(store, finish(CompactionRun(job, context)))
    assert len(rows) == 1000 + 2000


def test_a_finished_file_that_is_gone_is_told() -> None:
    store, job, context = interrupted(3)
    store.delete(f"t/{context.subcompactions[0].outputs[0].handle.id}.sst")
    with pytest.raises(NotFoundError):
        CompactionRun(job, context).step()


def test_files_of_others_may_end_between_versions_of_a_key() -> None:
    store = MemoryStore()
    versions = [put(b"k", b"%d" % seq, seq) for seq in range(20, 0, -1)]
    sources = [[table(store, [put(b"a", b"", 3), *versions, put(b"z", b"", 5)])]]
    job = work(store, sources)
    fresh = CompactionRun(job)
    part = fresh.context.subcompactions[0]
    half = table(store, [put(b"a", b"", 3), *versions[:8]])
    context = TieredContext((Subcompaction(part.range, (OutputSst(half.handle),)),), 0)
    made = finish(CompactionRun(job, context))
    rows = [row for each in made for row in rows_at(store, each.path)]
    assert rows == [put(b"a", b"", 3), *versions, put(b"z", b"", 5)]


@pytest.mark.parametrize("ahead", [False, True])
def test_it_goes_on_after_every_fault_of_the_store(ahead: bool) -> None:
    inner = MemoryStore()
    sources = [[table(inner, many(900, 9, 2))], [table(inner, many(900, 3))]]

    def build(plan: Callable[..., Fault | None]) -> CompactionRun:
        rule = Retention(50, 0, True)
        given = {"sst_size": 9_000, "window": 2000, "retention": rule, "ahead": ahead}
        return CompactionRun(work(FaultyStore(inner, plan), sources, **given))

    expected = contents(inner, finish(build(lambda call: None)))
    for fault in (Fault.BEFORE, Fault.AFTER):
        number = 0
        while True:
            run = build(scripted([None] * number + [fault]))
            failed = False
            while not run.done:
                try:
                    run.step()
                except UnavailableError:
                    failed = True
            outputs = run.outputs()
            made = [InputTable(f"t/{each.handle.id}.sst", each.handle) for each in outputs]
            assert contents(inner, made) == expected
            if not failed:
                break
            number += 1
        assert number > 5


def test_a_file_that_is_not_what_the_manifest_says_is_damage() -> None:
    store = MemoryStore()
    source = table(store, many(100, 5))
    data = store.get(source.path).data
    store.put(source.path, data[: len(data) // 2])
    with pytest.raises(DataError):
        CompactionRun(work(store, [[source]])).step()
    flipped = bytearray(data)
    flipped[100] ^= 1
    store.put(source.path, bytes(flipped))
    with pytest.raises(DataError):
        CompactionRun(work(store, [[source]])).step()


def test_nothing_left_makes_no_file() -> None:
    store = MemoryStore()
    source = table(store, [tombstone(b"%d" % n, n) for n in range(1, 9)])
    run = CompactionRun(work(store, [[source]], retention=Retention(100, 0, True)))
    assert finish(run) == []
