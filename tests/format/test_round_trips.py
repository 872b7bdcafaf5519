"""What is encoded is decoded to the same value, whatever the value."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cenote.errors import (
    DataError,
    FormatVersionError,
    InvalidError,
    UnsupportedError,
)
from cenote.lsm import MERGE, PUT, TOMBSTONE, Bound, BoundKind, KeyRange, Row, row_order
from cenote.lsm.format import (
    FOOTER_SIZE,
    BloomPolicy,
    Checkpoint,
    Codec,
    Compaction,
    Compactions,
    CompactionStatus,
    DrainSpec,
    ExternalDb,
    Manifest,
    OutputSst,
    Segment,
    SortedRun,
    SstHandle,
    SstInfo,
    SstKind,
    SstLayout,
    SstView,
    Subcompaction,
    TieredContext,
    TieredSpec,
    Tree,
    Worker,
    compress,
    decode_block,
    decode_compactions,
    decode_footer,
    decode_info,
    decode_manifest,
    decode_tracker,
    decode_wal,
    decompress,
    encode_compactions,
    encode_manifest,
    encode_sst,
    encode_tracker,
    encode_wal,
    format_ulid,
    open_sst,
)

u64 = st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
u32 = st.integers(0, 2**32 - 1)
few = {"max_size": 3}
blobs = st.binary(max_size=9)
ulids = st.integers(0, 2**128 - 1).map(format_ulid)
uuids = st.uuids().map(str)
texts = st.text(max_size=9)
codecs = st.sampled_from(Codec)

bounds = st.one_of(
    st.just(Bound()),
    st.builds(Bound, st.sampled_from([BoundKind.INCLUDED, BoundKind.EXCLUDED]), blobs),
)
ranges = st.builds(KeyRange, bounds, bounds)
infos = st.builds(
    SstInfo,
    first_entry=st.none() | blobs,
    last_entry=st.none() | blobs,
    **dict.fromkeys(("index_offset", "index_size", "filter_offset", "filter_size"), u64),
    stats_offset=u64,
    stats_size=u64,
    codec=codecs,
    kind=st.sampled_from(SstKind),
)
handles = st.builds(SstHandle, ulids, infos, st.integers(0, 2**16 - 1))
specs = st.one_of(
    st.builds(
        TieredSpec, st.lists(ulids, **few).map(tuple), st.lists(u32, **few).map(tuple), u32, blobs
    ),
    st.builds(DrainSpec, blobs, st.lists(ulids, **few).map(tuple), st.lists(u32, **few).map(tuple)),
)
outputs = st.lists(st.builds(OutputSst, handles, st.none() | ranges), **few).map(tuple)
contexts = st.builds(
    TieredContext, st.lists(st.builds(Subcompaction, ranges, outputs), **few).map(tuple), u64
)
compactions = st.builds(
    Compactions,
    u64,
    st.lists(
        st.builds(
            Compaction,
            ulids,
            specs,
            st.sampled_from(CompactionStatus),
            outputs,
            st.none() | st.builds(Worker, st.none() | texts, u64),
            st.none() | contexts,
        ),
        **few,
    ).map(tuple),
)


@st.composite
def trees(draw: st.DrawFn, ids: list[str]) -> Tree:
    """Return a tree of views of the files `ids`."""
    views = st.lists(
        st.builds(SstView, ulids, st.sampled_from(ids), st.none() | ranges),
        max_size=3 if ids else 0,
    ).map(tuple)
    numbers = draw(st.lists(u32, unique=True, **few))
    runs = [SortedRun(number, draw(views)) for number in sorted(numbers, reverse=True)]
    return Tree(draw(views), tuple(runs), draw(st.none() | ulids))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Return any manifest that holds together."""
    ssts = draw(st.lists(handles, min_size=1, max_size=4, unique_by=lambda handle: handle.id))
    ids = [handle.id for handle in ssts]
    prefixes = draw(st.sets(st.sampled_from([b"aa", b"ab", b"b", b"cc"])))
    external = st.builds(ExternalDb, texts, uuids, st.none() | uuids, st.just(tuple(ids)))
    checkpoint = st.builds(
        Checkpoint, uuids, u64, u32, st.none() | st.integers(1, 2**32 - 1), st.none() | texts
    )
    return Manifest(
        initialized=draw(st.booleans()),
        writer_epoch=draw(u64),
        compactor_epoch=draw(u64),
        replay_after_wal_id=draw(u64),
        wal_id_last_seen=draw(u64),
        last_l0_clock_tick=draw(i64),
        last_l0_seq=draw(u64),
        recent_snapshot_min_seq=draw(u64),
        sequence_tracker=draw(st.none() | blobs),
        tree=draw(trees(ids)),
        segments=tuple([Segment(prefix, draw(trees(ids))) for prefix in sorted(prefixes)]),
        segment_extractor=draw(st.none() | texts),
        ssts=tuple(ssts),
        external_dbs=tuple(draw(st.lists(external, **few))),
        checkpoints=tuple(draw(st.lists(checkpoint, **few))),
    )


@given(manifests())
@settings(deadline=None, max_examples=25)
def test_manifests(manifest: Manifest) -> None:
    assert decode_manifest(encode_manifest(manifest)) == manifest


@given(compactions)
@settings(deadline=None, max_examples=25)
def test_compactions(value: Compactions) -> None:
    assert decode_compactions(encode_compactions(value)) == value


times = st.none() | i64
keys = st.binary(min_size=1, max_size=4)
rows = st.one_of(
    st.tuples(keys, st.binary(max_size=200), u64, st.sampled_from([PUT, MERGE]), times, times),
    st.tuples(keys, st.just(b""), u64, st.just(TOMBSTONE), times, times),
)
tables = st.lists(rows, min_size=1, max_size=80, unique_by=lambda row: (row[0], row[2]))


@given(tables, codecs, st.sampled_from([64, 256, 4096]), st.sampled_from([0, 1000]))
@settings(deadline=None, max_examples=40)
def test_tables(table: list[Row], codec: Codec, size: int, filtered: int) -> None:
    table.sort(key=row_order)
    layout = SstLayout(size, codec, (BloomPolicy(),), filtered)
    made = encode_sst(table, layout)
    sst = open_sst(made.data)
    assert list(sst.rows()) == table
    assert sst.info == made.info
    assert sst.check() == len(table)
    for row in table:
        assert sst.find(row[0], row[2]) == row
        newest = next(each for each in table if each[0] == row[0])
        assert sst.find(row[0]) == newest
    # The parts a reader fetches by range say the same.
    footer = decode_footer(made.data[-FOOTER_SIZE:], len(made.data))
    assert decode_info(made.data[footer.start : footer.end]) == made.info


@given(tables, codecs)
@settings(deadline=None, max_examples=25)
def test_logs(table: list[Row], codec: Codec) -> None:
    table.sort(key=lambda row: row[2])
    assert decode_wal(encode_wal(table, codec).data) == table
    assert decode_wal(encode_wal(table, codec, 64).data) == table


@given(tables, keys, keys)
@settings(deadline=None, max_examples=25)
def test_an_index_leads_to_every_row_of_a_range(table: list[Row], one: bytes, other: bytes) -> None:
    table.sort(key=row_order)
    sst = open_sst(encode_sst(table, SstLayout(64)).data)
    start, end = sorted((one, other))
    found = [
        row for number in sst.index.blocks(start, end) for row in decode_block(sst.block(number))
    ]
    assert [row for row in table if start <= row[0] < end] == [
        row for row in found if start <= row[0] < end
    ]


@given(st.binary(max_size=3000), codecs)
def test_codecs(data: bytes, codec: Codec) -> None:
    assert decompress(codec, compress(codec, data)) == data


def test_a_zstd_frame_without_its_size_is_read() -> None:
    import zstandard

    data = bytes(range(256)) * 900
    packed = zstandard.ZstdCompressor(level=3, write_content_size=False).compress(data)
    assert decompress(Codec.ZSTD, packed) == data
    for damaged in (packed[:-1], packed + b"\0", packed[: len(packed) // 2]):
        with pytest.raises(DataError):
            decompress(Codec.ZSTD, damaged)


@given(
    st.lists(st.tuples(st.integers(1, 2**31), st.integers(0, 2**30)), max_size=40),
    st.integers(0, 2**63),
)
def test_trackers(steps: list[tuple[int, int]], seq: int) -> None:
    samples: list[tuple[int, int]] = []
    second = 1_700_000_000
    for seq_step, second_step in steps:
        seq, second = seq + seq_step, second + second_step
        samples.append((seq, second))
    try:
        encoded = encode_tracker(samples)
    except InvalidError:
        return
    assert decode_tracker(encoded) == samples


HANDLE = SstHandle(format_ulid(1), SstInfo(b"a", b"b", 1, 2, 1, 0))
VIEW = SstView(HANDLE.id, HANDLE.id)


@pytest.mark.parametrize(
    "manifest",
    [
        Manifest(tree=Tree((VIEW,))),
        Manifest(ssts=(HANDLE, HANDLE)),
        Manifest(tree=Tree(runs=(SortedRun(1, ()), SortedRun(2, ())))),
        Manifest(segments=(Segment(b"a", Tree()), Segment(b"ab", Tree()))),
        Manifest(segments=(Segment(b"b", Tree()), Segment(b"a", Tree()))),
    ],
)
def test_a_manifest_that_does_not_hold_together_is_not_written(manifest: Manifest) -> None:
    with pytest.raises(DataError):
        encode_manifest(manifest)


@pytest.mark.parametrize(
    "change",
    [{"unknown_fields": ("ManifestV2.18",)}, {"wal_store_uri": "s3://elsewhere"}],
)
def test_what_a_manifest_cannot_say_is_not_written(change: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError):
        encode_manifest(replace(Manifest(), **change))


def test_fields_of_a_newer_program_are_read_over_and_forbid_writing() -> None:
    from cenote.lsm.format.flatbuffer import FlatTable, finish
    from cenote.lsm.format.manifest import _manifest_table

    data = b"\0\2" + finish(_manifest_table(Manifest(last_l0_seq=5)).u64(18, 1).text(21, "new"))
    read = decode_manifest(data)
    assert read.last_l0_seq == 5
    assert read.unknown_fields == ("ManifestV2.18", "ManifestV2.21")
    with pytest.raises(UnsupportedError):
        encode_manifest(read)
    table = FlatTable().u64(0, 1).tables(1, []).u32(2, 3)
    state = decode_compactions(b"\0\2" + finish(table))
    assert state.unknown_fields == ("Compactions.2",)
    with pytest.raises(UnsupportedError):
        encode_compactions(state)


@pytest.mark.parametrize("version", [0, 3, 513])
def test_newer_versions_are_refused(version: int) -> None:
    raw = version.to_bytes(2, "big")
    for decode, data in (
        (decode_manifest, encode_manifest(Manifest())),
        (decode_compactions, encode_compactions(Compactions())),
    ):
        with pytest.raises(FormatVersionError):
            decode(raw + data[2:])
    table = encode_sst([(b"k", b"v", 1, PUT, None, None)]).data
    with pytest.raises(FormatVersionError):
        open_sst(table[:-2] + raw)


@pytest.mark.parametrize(
    "table",
    [
        [],
        [(b"", b"", 1, PUT, None, None)],
        [(b"b", b"", 1, PUT, None, None), (b"a", b"", 2, PUT, None, None)],
        [(b"a", b"", 1, PUT, None, None), (b"a", b"", 2, PUT, None, None)],
        [(b"a", b"", 1, PUT, None, None), (b"a", b"", 1, PUT, None, None)],
    ],
)
def test_rows_out_of_order_make_no_table(table: list[Row]) -> None:
    with pytest.raises(InvalidError):
        encode_sst(table)


@pytest.mark.parametrize(
    ("codec", "module"),
    [(Codec.SNAPPY, "cramjam"), (Codec.LZ4, "lz4.block"), (Codec.ZSTD, "zstandard")],
)
def test_a_codec_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, codec: Codec, module: str
) -> None:
    packed = compress(codec, b"data")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnsupportedError, match=r"pip install 'cenote\[db\]'"):
        decompress(codec, packed)
    assert decompress(Codec.ZLIB, compress(Codec.ZLIB, b"data")) == b"data"
