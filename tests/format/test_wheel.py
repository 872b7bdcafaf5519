"""The installed `slatedb` package and our codecs read each other's files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import agreement
import pytest
from builder import build_database

import model
from cenote.lsm import PUT, Bound, BoundKind, KeyRange, Row
from cenote.lsm.format import (
    BLOCK_SIZE,
    Codec,
    Compaction,
    Compactions,
    CompactionStatus,
    DrainSpec,
    OutputSst,
    SstInfo,
    SstLayout,
    Subcompaction,
    TieredContext,
    TieredSpec,
    Worker,
    compactions_name,
    decode_compactions,
    decode_manifest,
    decode_wal,
    encode_compactions,
    encode_manifest,
    encode_sst,
    encode_tracker,
    encode_wal,
    format_ulid,
    manifest_name,
    open_sst,
)

pytestmark = pytest.mark.e2e

SCENARIOS = (
    *("codec-none", "codec-snappy", "codec-zlib", "codec-lz4", "codec-zstd"),
    *("runs", "segments", "checkpoints", "filters", "blocks"),
)


@pytest.fixture(scope="module")
def written(run_wheel: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario, as the installed package writes it now."""
    base = tmp_path_factory.mktemp("wheel")
    run_wheel("write", base, 1100)
    return base


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_we_read_and_repeat_what_it_writes(written: Path, scenario: str) -> None:
    agreement.check_all(written / scenario)


def test_it_filters_tables_of_a_thousand_rows(written: Path) -> None:
    tables = [open_sst(path.read_bytes()) for path in model.table_paths(written / "runs")]
    for table in tables:
        assert bool(table.filters()) == (table.check() >= 1000)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_reads_its_own_databases_after_we_wrote_every_file_again(
    run_wheel: Callable[..., str], written: Path, tmp_path: Path, scenario: str
) -> None:
    """Segments, checkpoints, clones, ranges and unions in our encoding mean what they meant."""
    root = tmp_path / scenario
    shutil.copytree(written / scenario, root)
    move(root, str(written / scenario).lstrip("/"), str(root).lstrip("/"))
    assert json.loads(run_wheel("scan", root)) == json.loads((root / "expected.json").read_text())
    if scenario == "runs":
        used = json.loads(run_wheel("use", root))[""]
        expected = json.loads((root / "expected.json").read_text())[""]
        expected[b"written by the package".hex()] = b"yes".hex()
        assert used == expected


def move(root: Path, old: str, new: str) -> None:
    """Encode every file below `root` again, the newest state of each database moved to `new`."""
    infos: dict[str, SstInfo] = {}
    for path in model.table_paths(root):
        sst = open_sst(path.read_bytes())
        policies = tuple(agreement.policy_of(path, name) for name in sst.filters())
        layout = SstLayout(BLOCK_SIZE, sst.info.codec, policies, filter_rows_min=0)
        made = encode_sst(list(sst.rows()), layout)
        path.write_bytes(made.data)
        infos[path.stem] = made.info
    for path in root.rglob("wal/*.sst"):
        if rows := decode_wal(path.read_bytes()):
            path.write_bytes(encode_wal(rows, open_sst(path.read_bytes()).info.codec).data)
    for place in {path.parent.parent for path in root.rglob("*.manifest")}:
        last = max((place / "manifest").iterdir())
        manifest = decode_manifest(last.read_bytes())
        changed = replace(
            manifest,
            ssts=tuple(replace(handle, info=infos[handle.id]) for handle in manifest.ssts),
            external_dbs=tuple(
                replace(each, path=each.path.replace(old, new)) for each in manifest.external_dbs
            ),
        )
        (place / manifest_name(int(last.stem) + 1)).write_bytes(encode_manifest(changed))
        for last in sorted(place.glob("compactions/*"))[-1:]:
            again = encode_compactions(decode_compactions(last.read_bytes()))
            (place / compactions_name(int(last.stem) + 1)).write_bytes(again)


def test_it_reads_our_sequence_numbers_and_times(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    build_database(tmp_path, Codec.NONE)
    found = json.loads(run_wheel("stamps", tmp_path))
    newest: dict[bytes, Row] = {}
    for row in model.rows_of(tmp_path):
        if row[0] not in newest or newest[row[0]][2] < row[2]:
            newest[row[0]] = row
    puts = [row for row in newest.values() if row[3] == PUT and row[4] is not None]
    assert {row[5] is None for row in puts} == {True, False}
    assert [found[row[0].hex()] for row in puts] == [[row[2], row[4], row[5]] for row in puts]


def test_it_finds_times_in_the_sequence_tracker_we_write(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    """Steps of every width of the encoding, both ways."""
    samples = [(1, 1_700_000_000)]
    for n in range(200):
        seq, second = samples[-1]
        samples.append((seq + 1 + n % 7 * 10 ** (n % 6), second + 60 + n % 5 * 10 ** (n % 4)))
    build_database(tmp_path, Codec.NONE)
    manifest = replace(model.last_manifest(tmp_path), sequence_tracker=encode_tracker(samples))
    (tmp_path / manifest_name(2)).write_bytes(encode_manifest(manifest))
    found = json.loads(run_wheel("seconds", tmp_path, *[seq for seq, _ in samples]))
    assert found == [second for _, second in samples]


def test_it_reads_every_kind_of_compaction_we_write(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    build_database(tmp_path, Codec.NONE)
    handle = model.last_manifest(tmp_path).ssts[0]
    low = KeyRange(Bound(), Bound(BoundKind.EXCLUDED, b"m"))
    high = KeyRange(Bound(BoundKind.INCLUDED, b"m"), Bound())
    parts = (
        Subcompaction(low, (OutputSst(handle),)),
        Subcompaction(high),
    )
    seen = OutputSst(handle, high)
    ids = [format_ulid(n << 80) for n in (5, 6, 7)]
    tiered = TieredSpec((handle.id,), (3, 2), 2, b"seg")
    running = CompactionStatus.RUNNING
    state = Compactions(
        7,
        (
            Compaction(ids[0], tiered, running, (), Worker("me", 99), TieredContext(parts, 17)),
            Compaction(ids[1], DrainSpec(b"zz", (handle.id,), (1,))),
            Compaction(ids[2], TieredSpec((), (1, 0), 0), CompactionStatus.COMPACTED, (seen,)),
        ),
    )
    (tmp_path / compactions_name(2)).write_bytes(encode_compactions(state))
    found = json.loads(run_wheel("compactions", tmp_path))
    assert [(each["id"], each["status"], each["drain"]) for each in found] == [
        (ids[0], "RUNNING", False),
        (ids[1], "SUBMITTED", True),
        (ids[2], "COMPACTED", False),
    ]
    assert [each["sources"] for each in found] == [[handle.id, 3, 2], [handle.id, 1], [1, 0]]
    assert [each["segment"] for each in found] == [b"seg".hex(), b"zz".hex(), ""]
    assert [each["destination"] for each in found] == [2, None, 0]
    assert found[2]["outputs"] == [handle.id]


@pytest.mark.parametrize("codec", Codec)
def test_it_reads_writes_and_compacts_what_we_write(
    run_wheel: Callable[..., str], tmp_path: Path, codec: Codec
) -> None:
    """A manifest, a run of two tables, level 0, a fence and two logs, all of our making."""
    root = tmp_path / "ours"
    build_database(root, codec)
    expected = model.contents(root)
    found = json.loads(run_wheel("scan", root))[""]
    assert {bytes.fromhex(k): bytes.fromhex(v) for k, v in found.items()} == expected
    used = json.loads(run_wheel("use", root))[""]
    expected[b"written by the package"] = b"yes"
    assert {bytes.fromhex(k): bytes.fromhex(v) for k, v in used.items()} == expected
    assert model.contents(root) == expected
    manifest = model.last_manifest(root)
    assert [len(tree.l0) for tree in manifest.trees()] == [0]
    assert len(manifest.tree.runs) == 1
