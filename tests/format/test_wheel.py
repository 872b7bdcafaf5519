"""The installed `slatedb` package and our codecs read each other's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import agreement
import pytest
from builder import build_database

import model
from cenote.lsm.format import Codec, open_sst

pytestmark = pytest.mark.e2e

SCENARIOS = (
    *("codec-none", "codec-snappy", "codec-zlib", "codec-lz4", "codec-zstd"),
    *("runs", "segments", "checkpoints", "filters"),
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
