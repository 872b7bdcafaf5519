"""Commands that write: what they write is there for the next one, and nothing is made by a slip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cenote import ClosedError, Db

Run = Callable[..., Any]
Golden = Callable[[str], Path]


def test_put_get_delete(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    run("db", "put", "--create", root, "greeting", "hello")
    run("db", "put", root, "tab\\there", "\\x00\\xff")
    assert run("db", "get", root, "greeting").out == "hello\n"
    assert run("db", "get", "--hex", root, b"tab\\there".hex(), code=1).err
    assert run("db", "get", "--hex", root, b"tab\there".hex()).out == "00ff\n"
    assert run("db", "scan", root).out == "greeting\thello\ntab\\there\t\\x00\\xff\n"
    run("db", "delete", root, "greeting", "never there")
    assert run("db", "scan", "-k", root).out == "tab\\there\n"


def test_a_value_comes_from_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(bytes(range(256)) * 100)
    run("db", "put", "--create", tmp_path / "db", "k", "--file", tmp_path / "value")
    printed = run("db", "get", "--hex", tmp_path / "db", b"k".hex()).out
    assert bytes.fromhex(printed) == bytes(range(256)) * 100
    assert "one of them" in run("db", "put", tmp_path / "db", "k", code=2).err
    both = run("db", "put", tmp_path / "db", "k", "v", "--file", tmp_path / "value", code=2)
    assert "one of them" in both.err


@pytest.mark.parametrize("words", [("put", "k", "v"), ("delete", "k")])
def test_no_database_is_made_by_a_slip(run: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    name, *rest = words
    told = run("db", name, tmp_path / "typo", *rest, code=1).err
    assert "there is no database at file://" in told
    assert not (tmp_path / "typo").exists()


def test_what_expires(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    run("db", "put", "--create", "--ttl-ms", "100000000", root, "k", "v")
    row = json.loads(run("db", "get", "--json", root, "k").out)
    assert row["expire_ts_ms"] - row["create_ts_ms"] == 100_000_000


def test_merge(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "add_operator.py").write_text(
        "class Add:\n"
        "    name = 'add'\n"
        "    def merge(self, key, existing, operands):\n"
        "        return b'%d' % (int(existing or 0) + sum(map(int, operands)))\n"
    )
    monkeypatch.chdir(tmp_path)
    adding = ("--merge-operator", "add_operator:Add")
    for number in ("1", "20", "300"):
        run("db", "put", "--create", "--merge", *adding, "db", "sum", number)
    assert run("db", "get", *adding, "db", "sum").out == "321\n"
    assert "merge operator" in run("db", "put", "--merge", "db", "sum", "1", code=1).err


def test_a_writer_at_work_is_shut_out(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "db"
    db = Db.open(f"file://{root}")
    db.put(b"k", b"first")
    run("db", "put", root, "k", "second")
    with pytest.raises(ClosedError) as caught:
        db.put(b"k", b"third")
    assert caught.value.reason == "fenced"
    assert run("db", "get", root, "k").out == "second\n"


def test_databases_of_slatedb_are_written(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-codec-zstd")
    run("db", "put", root, "key:000003", "mine")
    run("db", "delete", root, "key:000004")
    out = run("db", "scan", "--prefix", "key:00000", root).out.splitlines()
    assert out[3] == "key:000003\tmine"
    assert not any(line.startswith("key:000004") for line in out)
    assert run("db", "sst", "verify", root).out.count("rows") >= 2


def test_bench_measures_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    words = ("--rows", "50", "--durable", "3", "--threads", "2", "--json")
    lines = [json.loads(line) for line in run("db", "bench", tmp_path, *words).out.splitlines()]
    by_name = {line["name"]: line for line in lines}
    assert by_name["durable puts"]["requests"] == 3
    assert by_name["durable puts, 2 threads"]["count"] == 6
    assert by_name["gets"]["requests"] == 0
    assert by_name["scan"]["count"] == 50
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == [".cenote"]  # the directory's lock
    assert "scan" in run("db", "bench", "--rows", "10", "--durable", "1").out
