"""Scans: what they ask of the store, where they go, what happens beside them."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import layered
import pytest
from layered import Files, Layer

from cenote.errors import InvalidError, UnavailableError
from cenote.lsm import Bound, BoundKind, KeyRange, Row, prefix_successor
from cenote.lsm.format import BloomPolicy, Manifest, SstLayout
from cenote.lsm.memtable import Memtable
from cenote.lsm.options import READAHEAD_MAX, READAHEAD_MIN, Reading
from cenote.lsm.view import View

READ = layered.reading()


def counts(view: View) -> dict[str, int]:
    found = view.tables.store.counts  # type: ignore[attr-defined]
    view.tables.store.reset()  # type: ignore[attr-defined]
    return found


def keys(rows: list[Row]) -> list[bytes]:
    return [row[0] for row in rows]


def between(start: bytes, end: bytes | None = None) -> KeyRange:
    stop = Bound() if end is None else Bound(BoundKind.EXCLUDED, end)
    return KeyRange(Bound(BoundKind.INCLUDED, start), stop)


@pytest.mark.parametrize("reverse", [False, True])
def test_bounds_are_kept_as_they_were_said(reverse: bool) -> None:
    view = Files().view([Layer(layered.plain_rows(300), "run", (b"key000150",))])
    one, two = b"key000149", b"key000151"
    for start in BoundKind:
        for end in BoundKind:
            span = KeyRange(
                Bound(start, b"" if start is BoundKind.UNBOUNDED else one),
                Bound(end, b"" if end is BoundKind.UNBOUNDED else two),
            )
            wanted = [b"key%06d" % n for n in range(300) if span.contains(b"key%06d" % n)]
            found = keys(layered.scan_all(view, READ, span, reverse=reverse))
            assert found == (wanted[::-1] if reverse else wanted)


@pytest.mark.parametrize("span", [between(b"b", b"a"), between(b"b", b"b"), between(b"x", b"y")])
@pytest.mark.parametrize("reverse", [False, True])
def test_nothing_is_asked_for_a_range_with_nothing_in_it(span: KeyRange, reverse: bool) -> None:
    view = Files().view([Layer(layered.plain_rows(5000), "run", (b"key002000",))])
    assert layered.scan_all(view, READ, span, reverse=reverse) == []
    assert counts(view) == {}


@pytest.mark.parametrize("reverse", [False, True])
def test_the_read_ahead_doubles_and_adjacent_blocks_are_one_request(reverse: bool) -> None:
    files = Files()
    view = files.view([Layer(layered.plain_rows(20_000, size=80))], budget=2**20)
    size = files.handles[0].info.data_size
    assert len(layered.scan_all(view, READ, reverse=reverse)) == 20_000
    sizes = [each.received for each in view.tables.store.requests][1:]  # type: ignore[attr-defined]
    asked = READAHEAD_MIN
    for got in sizes[:-1]:
        assert asked - 4200 < got <= asked
        asked = min(asked * 2, READAHEAD_MAX)
    assert sum(sizes) == size
    counts(view)
    wanted = layered.reading(readahead=READAHEAD_MIN)
    layered.scan_all(view, wanted, between(b"key005000", b"key005010"), reverse=reverse)
    assert counts(view).get("get_range", 0) <= 1


def test_a_scan_asks_its_sources_together_and_for_nothing_twice() -> None:
    layers = [Layer(layered.plain_rows(20_000, seq, size=80)) for seq in (1, 2, 3)]
    view = Files().view(layers, budget=0)
    scan = view.scan(KeyRange(), READ)
    steps = []
    while True:
        plan = scan.next_batch()
        try:
            wanted = next(plan)
            while True:
                steps.append(len(wanted))
                found = [view.tables.store.get_ranges(each.path, each.ranges) for each in wanted]
                wanted = plan.send(found)
        except StopIteration as end:
            if not end.value:
                break
    assert steps[:2] == [3, 3]
    requests = view.tables.store.requests  # type: ignore[attr-defined]
    assert sum(each.received for each in requests) <= sum(
        table.info.index_offset + table.info.index_size for _, _, table in view.forest.root.l0
    )


def test_a_short_scan_asks_for_little() -> None:
    view = Files().view([Layer(layered.plain_rows(20_000, size=80))])
    found = layered.scan_all(view, READ, between(b"key010000"), limit=5)
    assert keys(found) == [b"key%06d" % n for n in range(10_000, 10_005)]
    requests = view.tables.store.requests  # type: ignore[attr-defined]
    assert len(requests) == 2
    assert requests[1].received <= READAHEAD_MIN


def test_a_scan_that_may_keep_its_blocks_is_free_the_second_time() -> None:
    view = Files().view([Layer(layered.plain_rows(5000)), Layer(layered.plain_rows(50, 2))])
    first = layered.scan_all(view, READ)
    counts(view)
    assert layered.scan_all(view, READ) == first
    assert layered.scan_all(view, READ, reverse=True) == first[::-1]
    assert counts(view) == {}
    view = Files().view([Layer(layered.plain_rows(5000))])
    layered.scan_all(view, layered.reading(cache_blocks=False))
    assert view.tables.cache.size == view.tables.cache.meta_size


@pytest.mark.parametrize("reverse", [False, True])
def test_seeks_go_ahead_only(reverse: bool) -> None:
    view = Files().view([Layer(layered.plain_rows(5000, size=80)), Layer(layered.plain_rows(9, 2))])
    scan = view.scan(KeyRange(), READ, reverse=reverse)
    scan.seek(b"key002500")
    first = view.tables.run(scan.next_batch())
    assert first[0][0] == b"key002500"
    for key in (first[0][0], first[-1][0], b"key002499" if not reverse else b"key002501"):
        with pytest.raises(InvalidError):
            scan.seek(key)
    ahead, between_keys = (
        (b"key000100x", b"key000100") if reverse else (b"key004000x", b"key004001")
    )
    scan.seek(ahead)
    assert view.tables.run(scan.next_batch())[0][0] == between_keys
    scan.seek(b"a" if reverse else b"z")
    assert view.tables.run(scan.next_batch()) == []
    assert view.tables.run(scan.next_batch()) == []


def test_a_seek_within_what_is_at_hand_fetches_nothing() -> None:
    view = Files().view([Layer(layered.plain_rows(20_000, size=80))], budget=0)
    scan = view.scan(KeyRange(), READ)
    view.tables.run(scan.next_batch())
    counts(view)
    scan.seek(b"key000150")  # blocks further, in the piece that was fetched
    assert view.tables.run(scan.next_batch())[0][0] == b"key000150"
    assert counts(view) == {}


def test_a_limit_is_a_limit() -> None:
    view = Files().view([Layer(layered.plain_rows(100))])
    for limit in (0, 1, 33, 34, 100, 200):
        assert len(layered.scan_all(view, READ, limit=limit)) == min(limit, 100)
    with pytest.raises(InvalidError):
        view.scan(KeyRange(), READ, limit=-1)


def test_a_scan_sees_one_moment_of_a_memtable_that_is_written() -> None:
    """A writer moves amounts between keys all the time; every scan sees the same sum."""
    memtable, count = Memtable(), 300
    for n in range(count):
        memtable.insert(b"k%04d" % n, b"100", n + 1, 0, None, None, 0)
    view = Files().view([]).with_memtables((memtable,))
    published = [count]
    stop = threading.Event()

    def write() -> None:
        rand = random.Random(3)
        balances = [100] * count
        seq = count
        while not stop.is_set() and seq < 200_000:
            one, two = rand.randrange(count), rand.randrange(count)
            balances[one] -= 1
            balances[two] += 1
            seq += 1
            for n in {one, two}:
                value = b"%d" % balances[n]
                memtable.insert(b"k%04d" % n, value, seq, 0, None, None, 0)
            memtable.insert(b"new%08d" % seq, b"0", seq, 0, None, None, 0)
            published[0] = seq

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(20):
            read = layered.reading(published[0])
            rows = layered.scan_all(view, read, reverse=bool(turn % 2))
            assert sum(int(row[1]) for row in rows) == 100 * count
            assert keys(rows) == sorted(keys(rows), reverse=bool(turn % 2))
            assert len(set(keys(rows))) == len(rows)
    finally:
        stop.set()
        thread.join()


def test_a_long_memtable_is_taken_in_pieces() -> None:
    rows = layered.plain_rows(10_000)
    memtable = layered.memtable(rows)
    memtable.order()
    late = [layered.put(b"key%06d+" % n, b"late", 2) for n in range(0, 10_000, 17)]
    for row in late:
        memtable.insert(*row, keep_from=0)
    view = Files().view([]).with_memtables((memtable,))
    wanted = sorted(keys(rows + late))
    assert keys(layered.scan_all(view, READ)) == wanted
    assert keys(layered.scan_all(view, READ, reverse=True)) == wanted[::-1]
    first = view.tables.run(view.scan(KeyRange(), READ).next_batch())
    assert len(first) < 100


def test_segments_come_in_order_with_what_lies_between() -> None:
    segments = [
        (prefix, [Layer([layered.put(prefix + b"%d" % n, prefix, 1) for n in range(3)])])
        for prefix in (b"b", b"d", b"\xff")
    ]
    memory = Layer(
        [layered.put(key, b"memory", 2) for key in (b"a", b"b1", b"b9", b"c", b"e", b"\xff\xff")],
        "memtable",
    )
    view = Files().view([memory], segments=segments)
    wanted = sorted(
        {*keys(memory.rows), *(row[0] for _, below in segments for row in below[0].rows)}
    )
    assert keys(layered.scan_all(view, READ)) == wanted
    assert keys(layered.scan_all(view, READ, reverse=True)) == wanted[::-1]
    inside = [key for key in wanted if b"b2" <= key < b"\xff1"]
    assert keys(layered.scan_all(view, READ, between(b"b2", b"\xff1"))) == inside
    scan = view.scan(KeyRange(), READ)
    view.tables.run(scan.next_batch())
    scan.seek(b"d1")
    assert view.tables.run(scan.next_batch())[0][0] == b"d1"
    assert layered.get(view, b"d1", READ) == b"d"
    assert layered.get(view, b"b1", READ) == b"memory"


def test_only_the_segments_in_the_range_are_opened() -> None:
    segments = [
        (b"%c" % letter, [Layer([layered.put(b"%c1" % letter, b"", 1)])]) for letter in b"abcdef"
    ]
    view = Files().view([], segments=segments)
    layered.scan_all(view, READ, between(b"c", b"d"))
    assert counts(view) == {"get_range": 1}


def test_a_view_of_part_of_a_file_shows_no_more() -> None:
    rows = layered.plain_rows(5000, size=80)
    clip = between(b"key001000", b"key001100")
    view = Files(SstLayout(filters=())).view([Layer(rows, visible=clip)])
    assert len(layered.scan_all(view, READ)) == 100
    assert layered.get(view, b"key000999", READ) is None
    assert layered.get(view, b"key001100", READ) is None
    assert layered.get(view, b"key001099", READ) is not None


@pytest.mark.parametrize("reverse", [False, True])
def test_files_of_a_run_that_are_wanted_whole_are_one_request_each(reverse: bool) -> None:
    cuts = tuple(b"key%06d" % n for n in range(2000, 40_000, 2000))
    view = Files().view([Layer(layered.plain_rows(40_000, size=60), "run", cuts)])
    rows = layered.scan_all(view, READ, reverse=reverse)
    assert keys(rows) == sorted(keys(rows), reverse=reverse)
    assert len(rows) == 40_000
    # The first files are fetched in pieces, while the read-ahead grows.
    assert counts(view)["get_range"] <= 20 + 6


@pytest.mark.parametrize("whole_keys", [False, True])
def test_filters_over_prefixes_are_asked(whole_keys: bool) -> None:
    def first_three(key: bytes) -> bytes | None:
        return key[:3] if len(key) >= 3 else None

    policy = BloomPolicy(20, whole_keys, "first3", first_three)
    files = Files(SstLayout(filters=(policy,)))
    rows = [layered.put(b"%03d:%04d" % (n % 100 * 2, n), b"v" * 90, 1) for n in range(4000)]
    manifest = Manifest(tree=files.tree([Layer(rows)]), ssts=tuple(files.handles))
    view = files.open(manifest, budget=2**20, policies=(policy,))
    inside = between(b"004:", b"004;")
    assert len(layered.scan_all(view, READ, inside)) == 40
    counts(view)
    for n in range(5, 199, 2):
        for reverse in (False, True):
            span = between(b"%03d" % n, prefix_successor(b"%03d" % n))
            assert layered.scan_all(view, READ, span, reverse=reverse) == []
        assert layered.get(view, b"%03d:0001" % n, READ) is None
    assert sum(counts(view).values()) <= 2  # a filter may be wrong one way
    assert len(layered.scan_all(view, READ, between(b"004", b"004;"))) == 40
    assert len(layered.scan_all(view, READ, between(b"00"))) == 4000
    unknown = files.open(manifest, budget=2**20)
    assert len(layered.scan_all(unknown, READ, inside)) == 40
    assert layered.get(unknown, rows[5][0], READ) == b"v" * 90


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("at", [0, 2000, 3999])
def test_a_scan_goes_on_after_an_error_without_losing_a_row(reverse: bool, at: int) -> None:
    class Moody(layered.Join):
        fails = True

        def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
            if self.fails:
                raise ArithmeticError
            return super().merge(key, existing, operands)

    rows = layered.plain_rows(4000, size=60)
    rows[at] = layered.merge(rows[at][0], b"operand", 1)
    view = Files().view([Layer(rows), Layer(layered.plain_rows(4000, 2, 100)[1:-1])])
    operator = Moody()
    scan = view.scan(KeyRange(), Reading(now_ms=lambda: 0, operator=operator), reverse=reverse)
    found: list[Row] = []
    failures = 0
    while True:
        try:
            batch = view.tables.run(scan.next_batch())
        except ArithmeticError:
            failures += 1
            operator.fails = failures < 3
            continue
        if not batch:
            break
        found += batch
    assert failures == (0 if at % 100 == 0 and at not in (0, 3900) else 3)
    assert keys(found) == sorted((row[0] for row in rows), reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_goes_on_after_a_fetch_that_failed(reverse: bool) -> None:
    view = Files().view([Layer(layered.plain_rows(9000, seq, size=60)) for seq in (1, 2)])
    scan = view.scan(KeyRange(), READ, reverse=reverse)
    store, found, fetches = view.tables.store, [], 0
    while True:
        plan = scan.next_batch()
        batch: list[Row] | None = None
        try:
            wanted = next(plan)
            while True:
                fetches += 1
                if fetches % 2:
                    plan.throw(UnavailableError("not now"))
                wanted = plan.send([store.get_ranges(each.path, each.ranges) for each in wanted])
        except UnavailableError:
            continue
        except StopIteration as end:
            batch = end.value
        if not batch:
            break
        found += batch
    assert fetches > 5
    assert [row[0] for row in found] == sorted(
        (b"key%06d" % n for n in range(9000)), reverse=reverse
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_rows_that_are_in_memory_and_in_a_file_count_once(reverse: bool) -> None:
    """So it is for a moment, when a flush has been written and its memtable is still there."""
    rows = [
        *(layered.merge(b"key%03d" % n, b"%d" % seq, seq) for n in range(200) for seq in (1, 2)),
        *(layered.put(b"key%03d" % n, b"p", 3) for n in range(0, 200, 3)),
        *(layered.tombstone(b"key%03d" % n, 4) for n in range(0, 200, 7)),
    ]
    view = Files().view([Layer(rows), Layer(rows, "memtable")])
    wanted = layered.seen([Layer(rows)])
    found = {row[0]: row[1] for row in layered.scan_all(view, READ, reverse=reverse)}
    assert found == wanted
    for n in range(200):
        key = b"key%03d" % n
        assert layered.get(view, key, READ) == wanted.get(key)
