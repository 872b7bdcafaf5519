"""What goes from a memtable into a file: every version somebody may read, and no other."""

from __future__ import annotations

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st
from writing import FirstThree, opened, put

from cenote.errors import InvalidError
from cenote.lsm import MERGE, PUT, TOMBSTONE, Row
from cenote.lsm.flush import needed_chains, needed_rows
from cenote.lsm.memtable import Chain, Memtable, let_go
from cenote.lsm.segments import split_rows
from cenote.objstore import MemoryStore

OPS = st.lists(
    st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.sampled_from([PUT, PUT, MERGE, TOMBSTONE])),
    max_size=40,
)


def rows_of(chains: dict[bytes, Chain]) -> list[Row]:
    rows: list[Row] = []
    for key in sorted(chains):
        chain: Chain | None = chains[key]
        while chain is not None:
            seq, kind, value, create_ts, expire_ts, chain = chain
            rows.append((key, value, seq, kind, create_ts, expire_ts))
    return rows


@given(OPS, st.integers(0, 41))
def test_chains_and_rows_are_the_same_and_all_that_is_read(
    ops: list[tuple[bytes, int]], keep_from: int
) -> None:
    memtable = Memtable()
    for seq, (key, kind) in enumerate(ops, 1):
        memtable.insert(key, b"%d" % seq, seq, kind, seq, None, 0)
    kept = needed_rows(memtable, keep_from)
    assert rows_of(needed_chains(memtable, keep_from)) == kept
    every = memtable.rows()
    for key in (b"a", b"b", b"c"):
        for at in range(keep_from, len(ops) + 1):
            for rows in (every, kept):
                seen = [row for row in rows if row[0] == key and row[2] <= at]
                cut = next((n for n, row in enumerate(seen) if row[3] != MERGE), len(seen))
                if rows is every:
                    expected = seen[: cut + 1]
                else:
                    assert seen[: cut + 1] == expected
        old = [row for row in kept if row[0] == key and row[2] <= keep_from and row[3] != MERGE]
        assert len(old) <= 1


def test_a_flushed_memtable_is_freed_unless_somebody_reads_it() -> None:
    writer = opened(MemoryStore())
    for n in range(10_000):
        writer.write_one(b"%05d" % n, b"", PUT)
    gone = weakref.ref(writer.view.memtables[0])
    writer.flush_memtable()
    assert gone() is None
    put(writer, b"k", b"v")
    view = writer.view
    writer.flush_memtable()
    assert view.memtables[0].find(b"k") is not None


def test_chains_are_let_go_in_slices() -> None:
    memtable = Memtable()
    for n in range(10_000):
        memtable.insert(b"%d" % n, b"", n + 1, PUT, None, None, 0)
    chains = memtable.chains
    let_go(chains)
    assert chains == {}


class Overlapping:
    """Prefixes that begin with one another."""

    name = "overlapping"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:1] if len(key) % 2 else key[:2]


def test_prefixes_must_not_begin_with_one_another() -> None:
    rows: list[Row] = [(key, b"", 1, PUT, None, None) for key in (b"ab", b"abc")]
    with pytest.raises(InvalidError) as failed:
        list(split_rows(Overlapping(), rows))
    assert failed.value.kind == "segment_overlap"
    rows = [(key, b"", 1, PUT, None, None) for key in (b"a", b"ab")]
    with pytest.raises(InvalidError):
        list(split_rows(Overlapping(), rows))
    rows = [(key, b"", 1, PUT, None, None) for key in (b"aaa1", b"aaa2", b"bbb1")]
    assert [(prefix, len(part)) for prefix, part in split_rows(FirstThree(), rows)] == [
        (b"aaa", 2),
        (b"bbb", 1),
    ]
    assert list(split_rows(FirstThree(), [])) == list(split_rows(None, [])) == []
