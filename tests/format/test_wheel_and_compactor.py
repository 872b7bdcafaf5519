"""Our compactor and the installed `slatedb` package at one database: by turns, and at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import model
from cenote.base import SystemClock, SystemRand
from cenote.lsm import CompactorSettings, DbSettings, open_place
from cenote.lsm.compact.compactor import Compactor
from cenote.lsm.compact.service import CompactionWorker
from cenote.lsm.entry import TOMBSTONE
from cenote.lsm.format import CompactionStatus, DrainSpec, decode_compactions
from cenote.objstore import LocalStore

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
CODECS = ("none", "snappy", "zlib", "lz4", "zstd")
SCENARIOS = ("runs", "segments", "filters", "blocks", *(f"codec-{codec}" for codec in CODECS))


class Concat:
    """As the driver's: operands joined by commas."""

    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


def settings(codec: str = "none", **given: Any) -> DbSettings:
    return DbSettings(codec=codec, compactor=CompactorSettings(**{"poll_ms": 20, **given}))


def compactor_of(root: Path, codec: str = "none", **given: Any) -> Compactor:
    """Open a stand-alone compactor of a database; the store is the whole disk, for clones."""
    return Compactor.open(
        open_place(LocalStore("/"), str(root).lstrip("/")),
        settings(codec, **given),
        merge_operator=Concat(),
        clock=SystemClock(),
        rand=SystemRand(),
        background=False,
    )


def hexed(rows: dict[bytes, bytes]) -> dict[str, str]:
    return {key.hex(): value.hex() for key, value in rows.items()}


def copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


class Program:
    """The driver at work beside us."""

    def __init__(self, *arguments: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "wheel_live.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def found(self) -> dict[str, str]:
        out, errors = self.process.communicate(timeout=90)
        assert self.process.returncode == 0, errors[-3000:]
        found: dict[str, str] = json.loads(out)[""]
        return found


@pytest.fixture(autouse=True)
def _package() -> None:
    pytest.importorskip("slatedb", reason="slatedb is not installed")


@pytest.fixture(scope="module")
def written(run_wheel: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario, as the installed package writes it now."""
    base = tmp_path_factory.mktemp("written")
    run_wheel("write", base, 1100)
    return base


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_reads_and_goes_on_with_what_we_compacted_of_its_database(
    run_wheel: Callable[..., str], written: Path, tmp_path: Path, scenario: str
) -> None:
    root = copied(written / scenario, tmp_path / scenario)
    expected = json.loads((root / "expected.json").read_text())
    places = sorted({path.parent.parent for path in root.rglob("manifest/*.manifest")})
    codec = scenario.removeprefix("codec-") if "codec" in scenario else "none"
    for place in places:
        with compactor_of(place, codec, sst_size=20_000) as compactor:
            compactor.compact()
        trees = [tree for tree in model.last_manifest(place).trees() if tree.l0 or tree.runs]
        assert {(len(tree.l0), len(tree.runs)) for tree in trees} == {(0, 1)}
    assert json.loads(run_wheel("scan", root)) == expected
    if scenario in ("runs", "codec-zstd"):
        used = json.loads(run_wheel("use", root))[""]
        assert used == {**expected[""], b"written by the package".hex(): b"yes".hex()}


def test_clones_are_compacted_apart_from_their_parents(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    """A clone, a part, a union: ours read the parents' files by ranges, and write none of them."""
    run_wheel("write", tmp_path, 300)
    root = tmp_path / "checkpoints"
    expected = json.loads((root / "expected.json").read_text())
    parents = set((root / "parent").rglob("*"))
    for name in ("clone", "low", "high", "union"):
        with compactor_of(root / name) as compactor:
            compactor.compact()
        manifest = model.last_manifest(root / name)
        assert not any(each.sst_ids for each in manifest.external_dbs)
        assert (len(manifest.tree.l0), len(manifest.tree.runs)) == (0, 1)
    assert set((root / "parent").rglob("*")) == parents
    assert json.loads(run_wheel("scan", root)) == expected


def test_at_the_bottom_neither_tombstones_nor_operands_stay(written: Path, tmp_path: Path) -> None:
    root = copied(written / "runs", tmp_path / "runs")
    before = model.contents(root)
    with compactor_of(root) as compactor:
        compactor.compact()
    manifest = model.last_manifest(root)
    rows = list(model.rows_of(root))
    flushed = [row for row in rows if row[2] <= manifest.last_l0_seq]
    assert not [row for row in flushed if row[3] == TOMBSTONE]
    assert model.contents(root) == before


def test_its_writer_goes_on_while_we_compact(tmp_path: Path) -> None:
    """It checks what it reads all along, and a reader of it at the end."""
    root = tmp_path / "db"
    program = Program("writes", root, 40)
    while program.alive and not list(root.glob("manifest/*")):
        SystemClock().sleep(0.02)
    compactor = compactor_of(root, sst_size=4_000, sources_min=2)
    while program.alive:
        if not compactor.run():
            SystemClock().sleep(0.01)
    found = program.found()
    assert hexed(model.contents(root)) == found
    for _ in range(200):
        if not compactor.run():
            break
    assert hexed(model.contents(root)) == found
    assert compactor.last_error is None
    runs = model.last_manifest(root).tree.runs
    assert runs
    assert len(list(root.glob("compactions/*"))) > 10
    compactor.close()


def statuses(root: Path) -> list[CompactionStatus]:
    last = max((root / "compactions").iterdir())
    return [each.status for each in decode_compactions(last.read_bytes()).recent]


def flushes(root: Path, turns: int) -> dict[str, str]:
    return Program("writes", root, turns).found()


def test_what_it_submits_we_do_and_what_would_lose_rows_we_refuse(tmp_path: Path) -> None:
    root = tmp_path / "db"
    expected = flushes(root, 3)
    with compactor_of(root, sources_min=9, sources_max=9) as compactor:
        compactor.compact()
    expected = flushes(root, 3)
    assert len(model.last_manifest(root).tree.l0) == 3
    assert Program("submits", root, 2).found() == expected
    compactor = compactor_of(root, sources_min=9, sources_max=9)
    while compactor.run():
        pass
    assert statuses(root) == [CompactionStatus.FAILED]
    assert len(model.last_manifest(root).tree.l0) == 3
    assert hexed(model.contents(root)) == expected
    assert Program("submits", root, 3).found() == expected
    while compactor.run():
        pass
    assert statuses(root) == [CompactionStatus.COMPLETED]
    assert len(model.last_manifest(root).tree.l0) == 0
    assert hexed(model.contents(root)) == expected
    compactor.close()


def test_our_worker_does_what_its_coordinator_schedules(tmp_path: Path) -> None:
    root = tmp_path / "db"
    expected = flushes(root, 5)
    program = Program("coordinates", root)
    worker = CompactionWorker.open(
        open_place(LocalStore("/"), str(root).lstrip("/")),
        settings(sst_size=4_000),
        merge_operator=Concat(),
        background=False,
    )
    while program.alive:
        if not worker.run():
            SystemClock().sleep(0.02)
    assert program.found() == expected
    assert worker.last_error is None
    assert not model.last_manifest(root).tree.l0
    assert hexed(model.contents(root)) == expected
    assert Program("writes", root, 2).found()
    worker.close()


def test_it_goes_on_where_our_compactor_died(tmp_path: Path) -> None:
    """Our progress is in the compactions file; it takes the claim back, and keeps our files."""
    root = tmp_path / "db"
    expected = flushes(root, 6)
    compactor = compactor_of(root, sst_size=2_000, heartbeat_ms=1)
    tools: Any = compactor._tools
    object.__setattr__(tools, "window", 500)
    worker: Any = compactor._worker
    worker._merge = lambda attempt: attempt.run.step()
    done: list[str] = []
    while len(done) < 2:
        assert compactor.run()
        SystemClock().sleep(0.002)
        last = sorted((root / "compactions").iterdir())[-1:]
        for each in decode_compactions(last[0].read_bytes()).recent if last else ():
            parts = each.context.subcompactions if each.context else ()
            done = [output.handle.id for part in parts for output in part.outputs]
    found = Program("resumes", root).found()
    assert found == expected
    manifest = model.last_manifest(root)
    assert done[0] in {handle.id for handle in manifest.ssts}
    assert hexed(model.contents(root)) == expected


def test_its_writer_follows_when_we_compact_and_drain_its_segments(
    run_wheel: Callable[..., str], tmp_path: Path
) -> None:
    """It remembers the drained files, and must not put them back."""
    root = tmp_path / "segments"
    program = Program("drained", root)
    while program.alive and not (root / "ready").exists():
        SystemClock().sleep(0.01)
    with compactor_of(root, sources_min=2) as compactor:
        while compactor.run():
            pass
        compactor.compact()
        trees = {each.prefix: each.tree for each in model.last_manifest(root).segments}
        assert [len(tree.l0) for tree in trees.values()] == [0, 0, 0]
        runs = tuple(run.id for run in trees[b"ccc"].runs)
        compactor.compact(DrainSpec(b"ccc", (), runs))
        (root / "go").touch()
        rows = program.found()
    expected = {
        b"%b%04d" % (prefix, n): b"1" if n >= 20 else b"0"
        for prefix in (b"aaa", b"bbb")
        for n in range(60)
    }
    expected |= {b"bbb0000": b"after", b"ddd0000": b"after"}
    assert rows == hexed(expected)
    assert hexed(model.contents(root)) == rows
    prefixes = [each.prefix for each in model.last_manifest(root).segments]
    assert prefixes == [b"aaa", b"bbb", b"ddd"]
    (root / "ready").unlink()
    assert json.loads(run_wheel("scan", root))[""] == rows


def test_what_has_expired_goes(tmp_path: Path) -> None:
    root = tmp_path / "db"
    before = Program("expires", root).found()
    assert len(before) == 101  # it shows what has expired until it is compacted
    with compactor_of(root) as compactor:
        compactor.compact()
    rows = list(model.rows_of(root))
    assert len(rows) == 51
    assert {row[0][:4] for row in rows} == {b"late", b"last"}
    found = Program("writes", root, 1).found()
    assert not [key for key in found if bytes.fromhex(key).startswith(b"soon")]
