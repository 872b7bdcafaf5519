"""`cenote db compactions` and `drop`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watching import digest

Run = Callable[..., Any]
Golden = Callable[[str], Path]


def test_compactions(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    told = run("db", "compactions", "--json", root).out.splitlines()
    (entry,) = [json.loads(line) for line in told]
    assert entry["status"] == "completed"
    made = json.loads(run("db", "manifest", "show", "--json", root).out)["tree"]["runs"]
    assert entry["destination"] in [each["id"] for each in made]
    assert entry["id"] in run("db", "compactions", root).out
    assert "completed" in run("db", "compactions", root).out
    first = run("db", "compactions", "--number", "1", root)
    assert first.out == ""
    assert run("db", "compactions", golden("0.17.0-codec-none")).out == ""


def test_compactions_of_nothing(run: Run, tmp_path: Path) -> None:
    assert run("db", "compactions", tmp_path / "nothing", code=1).err.count("\n") == 1


def test_drop_tells_first(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-codec-none")
    before = digest(root)
    told = run("db", "drop", root, code=1)
    assert "would delete" in told.out
    assert "--yes" in told.err
    assert digest(root) == before
    (root / "notes.txt").write_text("mine")
    assert "deleted" in run("db", "drop", "--yes", root).out
    assert "there is no database" in run("db", "info", root, code=1).err
    left = {path.name for path in root.rglob("*") if path.is_file()}
    assert left == {"notes.txt", "expected.json"}
    assert "there is no database" in run("db", "drop", "--yes", root, code=1).err


def test_drop_spares_what_clones_read(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    run("db", "put", "--create", root, "k", "v")
    run("db", "clone", root, tmp_path / "clone")
    told = run("db", "drop", "--yes", root, code=1).err
    assert "checkpoints that never expire" in told
    assert run("db", "get", tmp_path / "clone", "k").out == "v\n"
    run("db", "drop", "--yes", tmp_path / "clone")
    run("db", "drop", "--yes", root)
    assert not list(tmp_path.rglob("*.manifest"))
