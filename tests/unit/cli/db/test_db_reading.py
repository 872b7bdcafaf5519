"""`cenote db get` and `scan`: they print what SlateDB's wheel itself read, and write nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watching import digest, golden_names

Run = Callable[..., Any]
Golden = Callable[[str], Path]

OPERATOR = """\
class Concat:
    name = "concat"

    def merge(self, key, existing, operands):
        return b",".join(operands if existing is None else (existing, *operands))
"""
MERGING = ("--merge-operator", "concat_operator:Concat")


@pytest.fixture(autouse=True)
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "concat_operator.py").write_text(OPERATOR)
    monkeypatch.chdir(tmp_path)


def expected(root: Path) -> dict[str, dict[bytes, bytes]]:
    told = json.loads((root / "expected.json").read_text())
    return {
        name: {bytes.fromhex(key): bytes.fromhex(value) for key, value in rows.items()}
        for name, rows in told.items()
    }


# Clones name their parents by paths in the store they were made in: those are another test's.
@pytest.mark.parametrize("name", [name for name in golden_names() if "checkpoints" not in name])
def test_scan_prints_what_the_wheel_read(run: Run, golden: Golden, name: str) -> None:
    root = golden(name)
    for below, rows in expected(root).items():
        before = digest(root)
        out = run("db", "scan", "--hex", *MERGING, root / below).out
        pairs = [line.split("\t") for line in out.splitlines()]
        assert [bytes.fromhex(key) for key, _ in pairs] == sorted(rows)
        assert {bytes.fromhex(key): bytes.fromhex(value) for key, value in pairs} == rows
        back = run("db", "scan", "--hex", "--reverse", *MERGING, root / below).out.splitlines()
        assert back == out.splitlines()[::-1]
        assert digest(root) == before


def test_ranges_prefixes_and_limits(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    (rows,) = expected(root).values()
    keys = sorted(rows)

    def scan(*words: str) -> list[bytes]:
        return [line.encode() for line in run("db", "scan", "-k", *words, root).out.splitlines()]

    assert scan("--prefix", "key:00001") == [key for key in keys if key.startswith(b"key:00001")]
    inside = [key for key in keys if b"key:00001" <= key < b"key:00003"]
    assert scan("--start", "key:00001", "--end", "key:00003") == inside
    assert (
        scan("--prefix", "key:", "--start", "key:0001", "--limit", "2")
        == [key for key in keys if key >= b"key:0001"][:2]
    )
    assert (
        scan("--prefix", "key:", "--reverse", "-n", "3")
        == [key for key in keys if key.startswith(b"key:")][:-4:-1]
    )
    assert scan("--limit", "0") == []


def test_get_in_every_notation(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    (rows,) = expected(root).values()
    value = rows[b"long value"]
    assert run("db", "get", "--hex", root, b"long value".hex()).out == value.hex() + "\n"
    row = json.loads(run("db", "get", "--json", root, "key:000003").out)
    assert row["key"] == "key:000003"
    assert row["value"].encode() == rows[b"key:000003"]
    assert row["kind"] == "put"
    assert row["seq"] > 0
    assert (
        json.loads(run("db", "get", "--json", root, "long value").out)["value_hex"] == value.hex()
    )
    assert run("db", "get", "--raw", root, "key:000003").out.encode() == rows[b"key:000003"]


def test_get_of_no_key(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    assert run("db", "get", root, "no\\nkey", code=1).err == "cenote: there is no key no\\nkey\n"
    assert run("db", "get", root, "key:000011", code=1).err  # deleted
    assert "at least one byte" in run("db", "get", root, "", code=1).err


def test_operands_need_their_operator(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    assert "merge operator" in run("db", "scan", root, code=1).err
    assert "no such" not in run("db", "scan", *MERGING, "-k", root).err
    wrong = run("db", "scan", "--merge-operator", "concat_operator:Sum", root, code=1).err
    assert "'concat_operator:Sum'" in wrong
    assert "MODULE:NAME" in run("db", "scan", "--merge-operator", "Concat", root, code=1).err


def test_a_checkpoint_is_read_by_id_and_by_name(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-checkpoints") / "parent"
    listed = [
        json.loads(line)
        for line in run("db", "checkpoints", "list", "--json", root).out.splitlines()
    ]
    assert listed
    for each in listed:
        old = run("db", "scan", *MERGING, "-k", "--checkpoint", each["id"], root).out.splitlines()
        assert old
    made = json.loads(run("db", "checkpoints", "create", "--json", "--name", "now", root).out)
    latest = run("db", "scan", "--json", *MERGING, root).out
    assert run("db", "scan", "--json", *MERGING, "--checkpoint", "now", root).out == latest
    assert run("db", "scan", "--json", *MERGING, "--checkpoint", made["id"], root).out == latest
    run("db", "checkpoints", "delete", root, "now")
    told = run("db", "scan", "--checkpoint", "now", root, code=1).err
    assert "there is no checkpoint now" in told


def test_changes_are_the_log_in_order(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-codec-zstd")
    rows = [json.loads(line) for line in run("db", "changes", "--json", root).out.splitlines()]
    dumped = run("db", "wal", "dump", "--json", root).out.splitlines()
    assert [{k: v for k, v in row.items() if k != "wal"} for row in rows] == [
        json.loads(line) for line in dumped
    ]
    last = rows[-1]["seq"]
    after = run("db", "changes", "--json", "--after-seq", str(last - 1), root).out.splitlines()
    assert {json.loads(line)["seq"] for line in after} == {last}
    assert run("db", "changes", "--after-wal", str(rows[-1]["wal"]), root).out == ""
    assert len(run("db", "changes", "-n", "3", root).out.splitlines()) == 3
    told = run("db", "changes", "--after-wal", "99", root, code=1).err
    assert "there is no log file 99" in told


def test_changes_are_followed(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-codec-none")
    all_of_it = run("db", "changes", root).out
    assert run("db", "changes", "--follow", "--timeout-ms", "50", root).out == all_of_it
    assert "--follow" in run("db", "changes", "--timeout-ms", "1", root, code=2).err
