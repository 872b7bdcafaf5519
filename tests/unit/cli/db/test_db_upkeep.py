"""`cenote db compact` and `verify`: what they leave, and what they find."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watching import digest, golden_names

from cenote import Db

Run = Callable[..., Any]
Golden = Callable[[str], Path]

OPERATOR = """\
class Concat:
    name = "concat"

    def merge(self, key, existing, operands):
        return b",".join(operands if existing is None else (existing, *operands))
"""
MERGING = ("--merge-operator", "concat_operator:Concat")
APART = {"compactor": {"enabled": False}, "gc": {"enabled": False}}


@pytest.fixture(autouse=True)
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "concat_operator.py").write_text(OPERATOR)
    monkeypatch.chdir(tmp_path)


def info(run: Run, root: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run("db", "info", "--json", root).out)
    return told


@pytest.mark.parametrize("name", [name for name in golden_names() if "checkpoints" not in name])
def test_what_slatedb_wrote_is_sound_and_stays_so(run: Run, golden: Golden, name: str) -> None:
    root = golden(name)
    for below in run("db", "ls", root).out.split():
        place = root / below
        before = digest(place)
        told = json.loads(run("db", "verify", "--json", place).out)
        assert told["problems"] == []
        assert told["rows"] > 0
        assert digest(place) == before
        rows = run("db", "scan", *MERGING, place).out
        run("db", "compact", "--full", *MERGING, place)
        after = info(run, place)
        assert (after["l0"], after["runs"]) == (0, max(1, after["segments"]))
        assert run("db", "scan", *MERGING, place).out == rows
        assert "nothing found" in run("db", "verify", place).out


def test_compact_does_what_is_due_and_no_more(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    with Db.open(f"file://{root}", settings=APART) as db:
        for number in range(5):
            db.put(b"k%d" % number, b"v")
            db.flush_memtable()
            if number == 0:
                run("db", "compact", root)
                assert info(run, root)["l0"] == 1
    run("db", "compact", root)
    after = info(run, root)
    assert (after["l0"], after["runs"]) == (0, 1)
    run("db", "compact", root)
    assert info(run, root)["manifest"] <= after["manifest"] + 1  # the epoch's, and nothing else
    assert run("db", "scan", "-k", root).out.split() == [f"k{n}" for n in range(5)]


def test_settings_of_a_compaction(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    with Db.open(f"file://{root}", settings=APART) as db:
        for number in range(2):
            db.put(b"k%d" % number, b"v" * 1000)
            db.flush_memtable()
    run("db", "compact", root)
    assert info(run, root)["l0"] == 2
    run("db", "compact", "--set", "compactor.sources_min=2", "--set", "codec=zlib", root)
    assert info(run, root)["l0"] == 0
    (table,) = json.loads(run("db", "manifest", "show", "--json", root).out)["ssts"]
    assert table["codec"] == "zlib"
    for wrong in ("nothing=1", "codec", "codec=rar", "compactor.sources_min=many"):
        assert run("db", "compact", "--set", wrong, root, code=1).err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [("--worker", "--full"), ("--rewrite",), ("--schedule-only",), ("--worker", "--schedule-only")],
)
def test_flags_that_do_not_go_together(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "goes with" in run("db", "compact", *words, tmp_path / "db", code=2).err


def test_compact_where_no_database_is(run: Run, tmp_path: Path) -> None:
    run("db", "compact", tmp_path / "typo", code=1)
    assert not list(tmp_path.rglob("*.manifest"))


def test_a_scheduler_and_a_worker_share_the_work(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    with Db.open(f"file://{root}", settings=APART) as db:
        for number in range(6):
            db.put(b"k%d" % number, b"v")
            db.flush_memtable()
    command = [sys.executable, "-m", "cenote", "db", "compact", "--watch", str(root)]
    quick = ["--set", "compactor.poll_ms=20"]
    scheduler = subprocess.Popen([*command, "--schedule-only", *quick])
    worker = subprocess.Popen([*command, "--worker", *quick])
    try:
        for _ in range(400):
            if info(run, root)["runs"]:
                break
            assert scheduler.poll() is None
            assert worker.poll() is None
            time.sleep(0.05)
        assert info(run, root)["runs"] == 1
    finally:
        for process in (scheduler, worker):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(30) for process in (scheduler, worker)]
    assert codes == [130, 130]
    assert run("db", "scan", "-k", root).out.split() == [f"k{n}" for n in range(6)]


def test_verify_tells_of_damage(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    tables = sorted((root / "compacted").iterdir())
    data = bytearray(tables[0].read_bytes())
    data[20] ^= 0x40
    tables[0].write_bytes(data)
    told = run("db", "verify", "--json", root, code=1)
    (problem,) = json.loads(told.out)["problems"]
    assert problem["path"] == f"{root.name}/compacted/{tables[0].name}"
    plain = run("db", "verify", root, code=1).out
    assert plain.endswith("1 problem\n")
    assert tables[0].name in plain
    tables[0].unlink()
    assert "missing_file" in run("db", "verify", root, code=1).out
    assert run("db", "verify", "-v", root, code=1).err.count("reading ") >= 5


def test_a_later_compactor_ends_the_one_that_watches(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    run("db", "put", "--create", root, "k", "v")
    command = [sys.executable, "-m", "cenote", "db", "compact", "--watch", str(root)]
    command += ["--set", "compactor.poll_ms=20"]
    watching = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(400):
            if info(run, root)["compactor_epoch"] == 1:
                break
            time.sleep(0.05)
        run("db", "compact", root)
        _, err = watching.communicate(timeout=30)
    finally:
        watching.kill()
    assert watching.returncode == 1
    assert err.startswith("cenote: another compactor claimed epoch 2")
    assert err.count("\n") == 1
