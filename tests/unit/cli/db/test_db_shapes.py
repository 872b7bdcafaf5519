"""What is printed as JSON is what the table says: no field more, none less."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cenote.cli.db.shapes import SHAPES

Run = Callable[..., Any]
Golden = Callable[[str], Path]

COMMANDS = [
    (["scan", "--prefix", "key:"], "0.17.0-runs", "get, scan, sst dump, wal dump: a row"),
    (["wal", "dump"], "0.17.0-segments", "get, scan, sst dump, wal dump: a row"),
    (["changes"], "0.17.0-codec-none", "changes: a row and its file"),
    (["scan", "-k", "--prefix", "key:"], "0.17.0-runs", "scan --keys-only: a key"),
    (["ls"], "0.17.0-checkpoints", "ls: a database"),
    (["ls", "--long"], "0.17.0-checkpoints", "ls: a database"),
    (["manifest", "list"], "0.17.0-runs", "manifest list: a file"),
    (["wal", "list"], "0.17.0-runs", "wal list: a file"),
    (["sst", "verify"], "0.17.0-runs", "sst verify: a table"),
    (["checkpoints", "list"], "0.17.0-runs", "checkpoints: a checkpoint"),
    (["info"], "0.17.0-runs", "info: a database"),
    (["compactions"], "0.17.0-runs", "a compaction"),
    (["gc"], "0.17.0-runs", "gc: a collection"),
    (["verify"], "0.17.0-runs", "verify: a report"),
    (["manifest", "show"], "0.17.0-runs", "manifest show: a manifest"),
]


def agrees(document: dict[str, Any], shape: str) -> None:
    fields = SHAPES[shape]
    known = {name.rstrip("*") for name in fields}
    found = {name.removesuffix("_hex") for name in document}
    assert found <= known, shape
    assert {name for name in fields if not name.endswith("*")} <= found, shape


@pytest.mark.parametrize(("words", "name", "shape"), COMMANDS, ids=lambda each: str(each))
def test_commands(run: Run, golden: Golden, words: list[str], name: str, shape: str) -> None:
    out = run("db", *words, "--json", golden(name)).out
    several = not out.startswith("{\n")
    documents = [json.loads(line) for line in out.splitlines()] if several else [json.loads(out)]
    assert documents
    for document in documents:
        agrees(document, shape)


def test_what_lies_in_a_manifest(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-checkpoints")
    for name in run("db", "ls", root).out.split():
        manifest = json.loads(run("db", "manifest", "show", "--json", root / name).out)
        agrees(manifest["tree"], "a tree")
        for run_ in manifest["tree"]["runs"]:
            assert set(run_) == {"id", "views"}
        views = manifest["tree"]["l0"] + [v for r in manifest["tree"]["runs"] for v in r["views"]]
        for view in views:
            agrees(view, "a view")
            if view["visible"] is not None:
                agrees(view["visible"], "a range")
        for table in manifest["ssts"]:
            agrees(table, "a table of a manifest")
        for each in manifest["external_dbs"]:
            agrees(each, "an external database")
        for each in manifest["checkpoints"]:
            agrees(each, "checkpoints: a checkpoint")


def test_what_lies_elsewhere(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    info = json.loads(run("db", "info", "--json", root).out)
    for each in info["compactions"]:
        agrees(each, "a compaction")
    manifest = json.loads(run("db", "manifest", "show", "--json", root).out)
    for table in manifest["ssts"]:
        shown = json.loads(run("db", "sst", "show", root, table["id"]).out)
        agrees(shown, "sst show: a table")
    out = run("db", "bench", "--rows", "1", "--durable", "1", "--json").out
    for line in out.splitlines():
        agrees(json.loads(line), "bench: a workload")
