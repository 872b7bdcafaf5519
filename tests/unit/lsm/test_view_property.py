"""Reads of random layered databases find what a plain dictionary says is there."""

from __future__ import annotations

from typing import Any
from unittest import mock

import layered
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layered import NOW_MS, Files, Layer

import cenote.lsm.scan
from cenote.lsm import Bound, BoundKind, KeyRange, Row
from cenote.lsm.format import BloomPolicy, Codec, SstLayout

KEYS = [bytes((a, b)) if b else bytes((a,)) for a in b"abc" for b in (0, 97, 98, 120, 255)]
KINDS = ("put", "put", "tombstone", "merge", "expired", "later", "expired merge")


@st.composite
def layered_rows(draw: st.DrawFn, keys: list[bytes]) -> list[Layer]:
    """Layers from the oldest to the newest: runs, level 0, memtables; seqs rise with them."""
    layers: list[Layer] = []
    seq = 0
    kinds = sorted(draw(st.lists(st.sampled_from("rlm"), min_size=1, max_size=6)))
    for name in sorted(kinds, key="rlm".index):
        rows: dict[tuple[bytes, int], Row] = {}
        for _ in range(draw(st.integers(1, 12))):
            seq += draw(st.integers(0, 1))
            key, kind = draw(st.sampled_from(keys)), draw(st.sampled_from(KINDS))
            value = b"%d" % len(rows) * draw(st.sampled_from((1, 1, 30)))
            rows[key, seq] = {
                "put": layered.put(key, value, seq),
                "tombstone": layered.tombstone(key, seq),
                "merge": layered.merge(key, value, seq),
                "expired": layered.put(key, value, seq, NOW_MS),
                "later": layered.put(key, value, seq, NOW_MS + 1),
                "expired merge": layered.merge(key, value, seq, NOW_MS - 1),
            }[kind]
        seq += 1
        layer = Layer(list(rows.values()), {"r": "run", "l": "l0", "m": "memtable"}[name])
        if name == "r":
            layer.cuts = tuple(sorted(draw(st.sets(st.sampled_from(keys), max_size=3))))
        if name != "m" and draw(st.booleans()):
            layer.visible = draw(spans(keys))
        layers.append(layer)
    return layers


@st.composite
def spans(draw: st.DrawFn, keys: list[bytes]) -> KeyRange:
    def bound() -> Bound:
        kind = draw(st.sampled_from(BoundKind))
        return Bound() if kind is BoundKind.UNBOUNDED else Bound(kind, draw(st.sampled_from(keys)))

    return KeyRange(bound(), bound())


LAYOUTS = st.builds(
    SstLayout,
    block_size=st.sampled_from((1, 40, 100, 4096)),
    codec=st.sampled_from((Codec.NONE, Codec.ZLIB)),
    filters=st.sampled_from(((), (BloomPolicy(),))),
    filter_rows_min=st.just(1),
)


def prefixed(layers: list[Layer], prefix: bytes) -> list[Layer]:
    """Return the files of some layers, with only the rows below a prefix."""
    found = []
    for layer in layers:
        rows = [row for row in layer.rows if row[0].startswith(prefix)]
        if rows and layer.kind != "memtable":
            found.append(Layer(rows, layer.kind, layer.cuts, layer.visible))
    return found


@pytest.mark.parametrize("fed", [False, True])
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_reads_agree_with_a_dictionary(fed: bool, data: Any) -> None:
    """In both ways to merge: by windows, and by the kernel or its plain twin."""
    with mock.patch.object(cenote.lsm.scan, "COMPILED", fed):
        check_reads(data)


def check_reads(data: Any) -> None:
    layers = data.draw(layered_rows(KEYS))
    files = Files(data.draw(LAYOUTS))
    budget = data.draw(st.sampled_from((0, 700, 2**20)))
    if data.draw(st.booleans()):
        segments = [(p, prefixed(layers, p)) for p in (b"a", b"b", b"c")]
        segments = [(p, below) for p, below in segments if below]
        memtables = [layer for layer in layers if layer.kind == "memtable"]
        view = files.view(memtables, budget=budget, segments=segments)
    else:
        view = files.view(layers, budget=budget)
    top = max(row[2] for layer in layers for row in layer.rows)
    for _ in range(3):
        seq_max = data.draw(st.one_of(st.none(), st.integers(0, top)))
        read = layered.reading(
            seq_max,
            cache_blocks=data.draw(st.booleans()),
            readahead=data.draw(st.sampled_from((1, 2**20))),
        )
        wanted = layered.seen(layers, seq_max)
        for key in [*KEYS, b"0", b"ab0", b"z"]:
            assert layered.get(view, key, read) == wanted.get(key), key
        rows = view.tables.run(view.get_many_plan(KEYS, read))
        assert [row and row[1] for row in rows] == [wanted.get(key) for key in KEYS]
        check_scans(data, view, read, wanted)
    assert view.tables.cache.size <= budget


def check_scans(data: Any, view: Any, read: Any, wanted: dict[bytes, bytes]) -> None:
    span = data.draw(spans(KEYS))
    inside = [(key, value) for key, value in wanted.items() if span.contains(key)]
    for reverse in (False, True):
        expected = inside[::-1] if reverse else inside
        limit = data.draw(st.one_of(st.none(), st.integers(0, 5)))
        found = layered.scan_all(view, read, span, reverse=reverse, limit=limit)
        assert [row[:2] for row in found] == expected[:limit]
        # With seeks: after each batch, perhaps go on at some key ahead.
        scan = view.scan(span, read, reverse=reverse)
        left, last = list(expected), None
        while True:
            if data.draw(st.booleans()):
                key = data.draw(st.sampled_from(KEYS))
                if last is None or (key < last if reverse else key > last):
                    scan.seek(key)
                    left = [row for row in left if (row[0] <= key if reverse else row[0] >= key)]
            rows = view.tables.run(scan.next_batch())
            assert [row[:2] for row in rows] == left[: len(rows)]
            left = left[len(rows) :]
            if not rows:
                break
            last = rows[-1][0]
        assert not left
