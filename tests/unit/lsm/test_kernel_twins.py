"""The compiled kernels against the plain ones: same bytes, same values, same errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import DataError, InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row, row_order
from cenote.lsm.format import (
    blocks_plain,
    flat_plain,
    kernels_plain,
    merger_plain,
    scanner_plain,
)

fast: Any = pytest.importorskip("cenote.lsm.format._kernels", reason="not compiled")
slow: Any = SimpleNamespace(
    **{
        name: getattr(module, name)
        for module in (kernels_plain, flat_plain, blocks_plain, merger_plain, scanner_plain)
        for name in module.__all__
    }
)

times = st.one_of(st.none(), st.integers(0, 9), st.integers(-(2**63), 2**63 - 1))
few_keys = st.sampled_from([b"a", b"ab", b"abc", b"abcdefgh", b"abcdefghi", b"b", b"b\0", b"ba"])
keys = st.one_of(few_keys, st.binary(min_size=1, max_size=6), st.binary(min_size=120, max_size=140))
values = st.one_of(st.binary(max_size=10), st.binary(min_size=120, max_size=300))
seqs = st.one_of(st.integers(0, 12), st.integers(0, 2**64 - 1))
rows = st.one_of(
    st.tuples(keys, values, seqs, st.sampled_from([PUT, MERGE]), times, times),
    st.tuples(keys, st.just(b""), seqs, st.just(TOMBSTONE), times, times),
)
sizes = st.sampled_from([1, 64, 300, 4096, 65536])
tables = st.lists(rows, max_size=60, unique_by=lambda row: (row[0], row[2])).map(
    lambda table: sorted(table, key=row_order)
)


def outcome(call: Callable[[], Any]) -> Any:
    """Return what a call gives, or what it raises, told fully."""
    try:
        return call()
    except (DataError, InvalidError) as error:
        return type(error), error.message, error.kind, error.context


def agree(name: str, *arguments: Any) -> Any:
    """Call both twins, compare, and return what they gave."""
    given_ = outcome(lambda: getattr(fast, name)(*arguments))
    assert given_ == outcome(lambda: getattr(slow, name)(*arguments))
    return given_


@pytest.mark.parametrize("name", sorted(vars(slow)))
def test_every_kernel_has_a_twin(name: str) -> None:
    assert hasattr(fast, name)


@given(st.binary(max_size=40))
def test_hashes(data: bytes) -> None:
    agree("siphash13", data)


@pytest.mark.parametrize("size", [0, 1, 7, 15, 16, 63, 64, 127, 128, 129, 200, 4096, 70001])
def test_checksums(size: int) -> None:
    import zlib

    data = bytes(i * i * 7 % 251 for i in range(size))
    assert fast.crc32(data) == zlib.crc32(data)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 60), st.integers(0, 30))
def test_blooms(hashes: list[int], size: int, probes: int) -> None:
    if hashes and not size:
        return
    made = agree("bloom_build", hashes, size, probes)
    for number in (*hashes[:3], 5, 2**63):
        agree("bloom_contains", made, probes, number)


@given(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 2**32 - 1))
def test_small_ones(a: bytes, b: bytes, number: int) -> None:
    agree("shared_prefix", a, b)
    agree("shared_prefix", a, a + b)
    agree("varint", number)


@given(st.lists(rows, max_size=60), sizes)
@settings(deadline=None)
def test_rows_in_any_order_to_blocks_and_back(table: list[Row], size: int) -> None:
    for payload, *_ in agree("encode_blocks", table, size):
        assert agree("decode_block", payload)
    for row in table:
        whole = agree("encode_row", row, 0)
        agree("encode_row", row, len(row[0]) // 2)
        agree("decode_rows", whole, 0, len(whole), b"ab")


@given(st.lists(rows, max_size=200), st.booleans(), sizes)
@settings(deadline=None)
def test_logs(table: list[Row], ordered: bool, size: int) -> None:
    if ordered:
        table.sort(key=lambda row: row[2])
    agree("encode_log", table, size)


@given(tables, sizes, keys, st.one_of(seqs, st.sampled_from([-1, 2**70])))
@settings(deadline=None)
def test_searches(table: list[Row], size: int, key: bytes, seq_max: int) -> None:
    for payload, *_ in slow.encode_blocks(table, size):
        agree("find_in_block", payload, key, seq_max)
        for row in table[:8]:
            agree("find_in_block", payload, row[0], seq_max)
            agree("find_in_block", payload, row[0], row[2])
            agree("find_in_block", payload, row[0][:-1] + b"\x7f", seq_max)


@given(tables, st.sampled_from([64, 300]), keys, st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_blocks(table: list[Row], size: int, key: bytes, data: st.DataObject) -> None:
    for payload, *_ in slow.encode_blocks(table, size)[:2]:
        bad = bytearray(payload)
        for _ in range(data.draw(st.integers(1, 3))):
            bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(bad[: data.draw(st.integers(0, len(bad)))])
        for damaged in (bytes(bad), cut):
            agree("decode_block", damaged)
            agree("decode_rows", damaged, 0, len(damaged), b"")
            for wanted in (key, *(row[0] for row in table[:3])):
                agree("find_in_block", damaged, wanted, 2**64 - 1)


def old_block(table: list[Row]) -> bytes:
    """Return a version 1 block of some rows, which nobody writes any more."""
    data, offsets = b"", []
    for key, value, seq, kind, created, expires in table:
        shared = slow.shared_prefix(table[0][0], key) if offsets else 0
        offsets.append(len(data))
        flags = kind | 2 * (expires is not None) | 4 * (created is not None)
        data += shared.to_bytes(2, "big") + (len(key) - shared).to_bytes(2, "big") + key[shared:]
        data += seq.to_bytes(8, "big") + bytes((flags,))
        for time in (expires, created):
            data += b"" if time is None else time.to_bytes(8, "big", signed=True)
        data += b"" if kind == TOMBSTONE else len(value).to_bytes(4, "big") + value
    return data + b"".join(at.to_bytes(2, "big") for at in (*offsets, len(offsets)))


@given(st.lists(rows, max_size=12), st.data())
@settings(deadline=None, max_examples=200)
def test_old_blocks(table: list[Row], data: st.DataObject) -> None:
    block = old_block(table)
    assert agree("decode_block_v1", block) == table
    bad = bytearray(block)
    for _ in range(data.draw(st.integers(0, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    agree("decode_block_v1", bytes(bad[: data.draw(st.integers(0, len(bad)))]))
    agree("decode_block_v1", bytes(bad))


@given(st.binary(max_size=80), keys)
@settings(max_examples=300)
def test_noise(noise: bytes, key: bytes) -> None:
    agree("decode_block_v1", noise)
    agree("decode_block", noise)
    agree("decode_rows", noise, 0, len(noise), key)
    agree("find_in_block", noise + b"\0\0\0\1", key, 5)
    agree("decode_index", noise)


@given(
    st.lists(st.binary(max_size=9), max_size=20),
    st.integers(0, 3),
    st.data(),
)
def test_indexes(first_keys: list[bytes], step: int, data: st.DataObject) -> None:
    offsets = [at * step * 1000 for at in range(len(first_keys))]
    payload = agree("encode_index", offsets, first_keys)
    agree("decode_index", payload)
    bad = bytearray(payload)
    bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    agree("decode_index", bytes(bad))
    agree("decode_index", payload[: data.draw(st.integers(0, len(payload)))])


counts = st.tuples(*[st.sampled_from([0, 0, 1, 300, 65535])] * 3)


@given(st.lists(st.sampled_from([0, 1, 2**40]), min_size=5, max_size=5), st.lists(counts))
def test_stats(totals: list[int], blocks: list[tuple[int, int, int]]) -> None:
    agree("encode_stats", totals, blocks)


def written(
    kernels: Any, parts: Iterable[list[Row]], size: int, *, framed: bool, takes: bool
) -> Any:
    """Return all that a block writer tells of some rows."""
    writer = kernels.BlockWriter(size, framed=framed, hashed=True)
    told = []
    for part in parts:
        writer.add(part)
        told.append((writer.rows, writer.size, writer.ready, writer.last_key))
        if takes:
            told.append(writer.take())
    return told, finished(writer)


def finished(writer: Any) -> Any:
    writer.close()
    return (
        writer.take(b"tail"),
        writer.ends(),
        writer.ends(1),
        writer.first_keys(),
        writer.counts(),
        writer.entries(),
        writer.bloom(50, 6),
        writer.size,
    )


@given(tables, sizes, st.booleans(), st.booleans(), st.integers(1, 20))
@settings(deadline=None)
def test_tables(table: list[Row], size: int, framed: bool, takes: bool, step: int) -> None:
    parts = [table[at : at + step] for at in range(0, len(table), step)]
    told = written(fast, parts, size, framed=framed, takes=takes)
    assert told == written(slow, parts, size, framed=framed, takes=takes)
    if not framed and not takes:
        assert (
            told[1][0]
            == b"".join(payload for payload, *_ in slow.encode_blocks(table, size)) + b"tail"
        )


@pytest.mark.parametrize(
    "table",
    [
        [(b"b", b"", 1, PUT, None, None), (b"a", b"", 1, PUT, None, None)],
        [(b"a", b"", 1, PUT, None, None), (b"a", b"", 1, PUT, None, None)],
        [(b"a", b"", 1, PUT, None, None), (b"a", b"", 2, PUT, None, None)],
        [(b"", b"", 1, PUT, None, None)],
        [(b"k", b"v", 1, TOMBSTONE, None, None)],
        [(b"k", b"v", 1, 2, None, None)],
        [(b"k", b"v", -1, PUT, None, None)],
        [(b"k", b"v", 2**64, PUT, 1, None)],
        [(b"k", b"v", 1, PUT, 2**63, None)],
        [(b"k", b"v", 1, PUT, 0, -(2**63) - 1)],
    ],
)
def test_rows_that_no_table_can_hold(table: list[Row]) -> None:
    given_ = [
        outcome(lambda: kernels.BlockWriter(64, framed=True, hashed=False).add(table))  # noqa: B023
        for kernels in (fast, slow)
    ]
    assert given_[0] == given_[1]
    assert given_[0][0] is InvalidError


@given(st.lists(rows, max_size=200), sizes)
@settings(deadline=None)
def test_chains(table: list[Row], size: int) -> None:
    chains: dict[bytes, Any] = {}
    for key, value, _, kind, created, expires in table:
        seq = len(chains) * 1000 + (0 if key not in chains else chains[key][0] + 1)
        chains[key] = (seq, kind, value, created, expires, chains.get(key))
    told = []
    for kernels in (fast, slow):
        writer = kernels.BlockWriter(size, framed=True, hashed=True)
        writer.add_chains(chains)
        told.append(finished(writer))
    assert told[0] == told[1]


def many_chains() -> dict[bytes, Any]:
    return {
        b"user%07d" % (number * 7919 % 20000): (number, PUT, b"v" * (number % 50), 5, None, None)
        for number in range(20000)
    }


def test_many_chains() -> None:
    told = []
    for kernels in (fast, slow):
        writer = kernels.BlockWriter(4096, framed=True, hashed=True)
        writer.add_chains(many_chains())
        told.append(finished(writer))
    assert told[0] == told[1]


def chunked(table: list[Row], size: int, framed: bool) -> list[tuple[bytes, list[int]]]:
    """Return a table's blocks, two and two."""
    writer = slow.BlockWriter(size, framed=framed, hashed=False)
    writer.add(table)
    writer.close()
    data, ends = writer.take(), writer.ends()
    found = []
    for at in range(0, len(ends), 2):
        start = ends[at - 1] if at else 0
        pair = ends[at : at + 2]
        found.append((data[start : pair[-1]], [end - start for end in pair]))
    return found


def merged(kernels: Any, sources: list[Any], framed: bool, spans: Any, options: Any) -> Any:
    """Return everything a merge gives."""
    merger = kernels.Merger(
        spans, writer=kernels.BlockWriter(300, framed=True, hashed=True), **options
    )
    left = [iter(source) for source in sources]
    told: list[Any] = []
    while True:
        code = merger.run()
        told.append(code)
        if code >= 0:
            chunk = next(left[code], None)
            if chunk is None:
                merger.end(code)
            else:
                merger.feed(code, *chunk, framed)
            continue
        if code == kernels.PIECE_READY:
            told.append(merger.writer.take())
            continue
        told.append(finished(merger.writer))
        if code == kernels.DONE:
            return told
        merger.writer = kernels.BlockWriter(300, framed=True, hashed=True)


spans_of = st.tuples(st.sampled_from([b"", b"", b"ab"]), st.sampled_from([None, None, b"b"]))


@given(
    st.lists(tables, min_size=1, max_size=4),
    st.booleans(),
    st.lists(spans_of, min_size=4, max_size=4),
    st.fixed_dictionaries(
        {
            "table_size_max": st.sampled_from([1, 500, 10**9]),
            "piece_size": st.sampled_from([1, 400, 10**9]),
            "seq_min": st.sampled_from([0, 5, 2**64 - 1]),
            "now_ms": st.sampled_from([-(2**63), 4, 2**63 - 1]),
            "drop_tombstones": st.booleans(),
        }
    ),
)
@settings(deadline=None, max_examples=300)
def test_merges(many: list[list[Row]], framed: bool, spans: Any, options: dict[str, Any]) -> None:
    sources = [chunked(table, 100, framed) for table in many]
    given_ = [
        outcome(lambda: merged(each, sources, framed, spans[: len(many)], options))  # noqa: B023
        for each in (fast, slow)
    ]
    assert given_[0] == given_[1]


@given(st.lists(tables, min_size=1, max_size=3), st.booleans(), st.data())
@settings(deadline=None, max_examples=300)
def test_damaged_merges(many: list[list[Row]], framed: bool, data: st.DataObject) -> None:
    sources = [chunked(table, 100, framed) for table in many]
    full = [source for source in sources if source]
    if not full:
        return
    source = data.draw(st.sampled_from(full))
    at = data.draw(st.integers(0, len(source) - 1))
    bad = bytearray(source[at][0])
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    source[at] = bytes(bad), source[at][1]
    options = {
        "table_size_max": 10**9,
        "piece_size": 10**9,
        "seq_min": 5,
        "now_ms": 4,
        "drop_tombstones": False,
    }
    spans = [(b"", None)] * len(many)
    given_ = [
        outcome(lambda: merged(each, sources, framed, spans, options))  # noqa: B023
        for each in (fast, slow)
    ]
    if framed:
        assert given_[0] == given_[1]
        assert given_[0][0] is not int
    elif isinstance(given_[0], list) or isinstance(given_[1], list):
        assert given_[0] == given_[1]


def seen(kernels: Any, sources: list[Any], framed: bool, limit: int, **options: Any) -> Any:
    """Return everything a scan gives, the first source being rows."""
    scanner = kernels.Scanner([(b"", None)] * len(sources), **options)
    left = [iter(source) for source in sources]
    told: list[Any] = []
    while True:
        found, code = scanner.run(limit)
        told += found
        assert len(found) <= limit + 1
        if code == kernels.DONE:
            return told
        if code == kernels.MORE:
            continue
        chunk = next(left[code], None)
        if chunk is None:
            scanner.end(code)
        elif code == 0:
            scanner.feed_rows(0, chunk)
        else:
            scanner.feed(code, *chunk, framed)


def folded(versions: list[Row]) -> Row | None:
    value = b"|".join(row[1] for row in versions)
    return None if value.startswith(b"\0") else (versions[0][0], value, *versions[0][2:])


@given(
    tables,
    st.lists(tables, max_size=3),
    st.booleans(),
    st.sampled_from([1, 3, 1000]),
    st.fixed_dictionaries(
        {
            "seq_max": st.sampled_from([0, 5, 2**64 - 1]),
            "now_ms": st.sampled_from([-(2**63), 4, 2**63 - 1]),
            "pairs": st.booleans(),
        }
    ),
)
@settings(deadline=None, max_examples=300)
def test_scans(
    memory: list[Row], many: list[list[Row]], framed: bool, limit: int, options: dict[str, Any]
) -> None:
    first = [memory[at : at + 7] for at in range(0, len(memory), 7)]
    sources = [first, *(chunked(table, 100, framed) for table in many)]
    given_ = [
        outcome(lambda: seen(each, sources, framed, limit, fold=folded, **options))  # noqa: B023
        for each in (fast, slow)
    ]
    assert given_[0] == given_[1]
