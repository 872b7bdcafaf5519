"""Commands that look into databases: what they tell of those SlateDB wrote, and no write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest
from watching import digest

from cenote.cli.db import COMMANDS
from cenote.objstore import AroundStore, Call, LocalStore, ObjectStore, ReadOnlyStore

T = TypeVar("T")
Run = Callable[..., Any]
Golden = Callable[[str], Path]


def lines(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = import_module(f"cenote.cli.db.{name}").command
    assert isinstance(command, click.Command)
    assert (command.help or "").splitlines()[0] == COMMANDS[name]
    assert command.name == name


def test_ls_finds_databases_and_nothing_else(run: Run, golden: Golden, tmp_path: Path) -> None:
    root = golden("0.17.0-checkpoints")
    (root / "other" / "manifest").mkdir(parents=True)
    (root / "other" / "manifest" / "notes.txt").write_text("no manifest")
    found = run("db", "ls", root).out.split()
    assert found == ["clone", "high", "low", "parent", "union"]
    assert run("db", "ls", root / "parent").out == ".\n"
    assert lines(run("db", "ls", "--json", tmp_path).out)[0] == {"path": "0.17.0-checkpoints/clone"}
    assert run("db", "ls", "--depth", "0", root, code=1).err.startswith(
        "cenote: there is no database"
    )


def test_ls_long_reads_the_manifests(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-checkpoints")
    facts = {line["path"]: line for line in lines(run("db", "ls", "-l", "--json", root).out)}
    assert facts["clone"]["tables"] == 3
    assert facts["clone"]["tables_size"] > facts["parent"]["tables_size"]


def test_manifests(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    listed = lines(run("db", "manifest", "list", "--json", root).out)
    numbers = [line["id"] for line in listed]
    assert numbers == list(range(1, 27))
    assert listed[0]["size"] == (root / "manifest" / f"{1:020}.manifest").stat().st_size
    shown = json.loads(run("db", "manifest", "show", "--json", root).out)
    assert shown["number"] == 26
    assert shown["format_version"] == 2
    assert shown["writer_epoch"] == 7
    named = {view["sst_id"] for view in shown["tree"]["l0"]}
    named |= {view["sst_id"] for each in shown["tree"]["runs"] for view in each["views"]}
    assert named == {sst["id"] for sst in shown["ssts"]}
    assert named <= {path.stem for path in (root / "compacted").iterdir()}
    first = json.loads(run("db", "manifest", "show", "--number", "1", "--json", root).out)
    assert (first["number"], first["writer_epoch"], first["ssts"]) == (1, 0, [])
    assert f"run {shown['tree']['runs'][0]['id']}" in run("db", "manifest", "show", root).out


def test_old_manifests_are_read(run: Run, golden: Golden) -> None:
    shown = json.loads(run("db", "manifest", "show", "--json", golden("0.10.0-plain")).out)
    assert shown["format_version"] == 1
    assert shown["ssts"][0]["format_version"] == 1


def test_the_log(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-segments")
    listed = lines(run("db", "wal", "list", "--json", root).out)
    sizes = {line["id"]: line["size"] for line in listed}
    assert sizes == {int(path.stem): path.stat().st_size for path in (root / "wal").iterdir()}
    assert [line["is_fence"] for line in listed] == [True, False, False]
    rows = lines(run("db", "wal", "dump", "--json", root).out)
    seqs = [row["seq"] for row in rows]
    assert seqs == sorted(seqs)
    assert {row["key"][:3] for row in rows} == {"aaa", "bbb", "ccc"}
    assert lines(run("db", "wal", "dump", "--json", root, 1).out) == []
    second, third = (lines(run("db", "wal", "dump", "--json", root, n).out) for n in (2, 3))
    assert second + third == rows
    assert lines(run("db", "wal", "dump", "--json", "--from", 3, root).out) == third
    assert lines(run("db", "wal", "dump", "--json", "--to", 2, root).out) == second
    assert "there is no log file 9" in run("db", "wal", "dump", root, 9, code=1).err


@pytest.mark.parametrize("name", ["0.10.0-plain", "0.12.1-codec-zstd", "0.17.0-codec-lz4"])
def test_dumped_tables_hold_what_was_flushed(run: Run, golden: Golden, name: str) -> None:
    root = golden(name)
    shown = json.loads(run("db", "manifest", "show", "--json", root).out)
    for sst in shown["ssts"]:
        rows = lines(run("db", "sst", "dump", "--json", root, sst["id"]).out)
        keys = [row["key"] for row in rows]
        assert keys == sorted(keys)
        assert keys[0] == sst["first_entry"]
        said = json.loads(run("db", "sst", "show", root, sst["id"]).out)
        stats = said["stats"]
        if stats is not None:
            assert stats["puts"] + stats["deletes"] + stats["merges"] == len(rows)
        plain = run("db", "sst", "dump", root, sst["id"]).out.splitlines()
        assert len(plain) == len(rows)
        assert plain[0].split("\t")[:3] == [str(rows[0]["seq"]), rows[0]["kind"], rows[0]["key"]]


def test_sst_verify_tells_damage_and_goes_on(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    whole = lines(run("db", "sst", "verify", "--json", root).out)
    assert all(line["error"] is None and line["rows"] > 0 for line in whole)
    harmed, gone = whole[1]["id"], whole[2]["id"]
    path = root / "compacted" / f"{harmed}.sst"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    (root / "compacted" / f"{gone}.sst").unlink()
    told = run("db", "sst", "verify", "--json", root, code=1)
    assert [line["error"] is None for line in lines(told.out)] == [True, False, False, True, True]
    assert "2 table files" in told.err
    assert run("db", "sst", "verify", root, whole[0]["id"]).out.endswith(" rows\n")


def test_a_clone_reads_its_parents_tables(run: Run, golden: Golden, tmp_path: Path) -> None:
    root = golden("0.17.0-checkpoints")
    shown = json.loads(run("db", "manifest", "show", "--json", root / "clone").out)
    (external,) = shown["external_dbs"]
    assert f"tables of      {external['path']}" in run("db", "manifest", "show", root / "clone").out
    # A parent's path is one in the whole store, so the store has to be laid out as it was.
    store = tmp_path / "store"
    parent = store / external["path"]
    shutil.copytree(root, parent.parent)
    words = ("--path", str((parent.parent / "clone").relative_to(store)), store)
    rows = lines(run("db", "sst", "dump", "--json", *words, external["sst_ids"][0]).out)
    assert rows
    assert run("db", "sst", "verify", *words).out.count("rows") == 3
    assert run("db", "sst", "verify", root / "clone", code=1).out.count("no table file") == 2


def test_info(run: Run, golden: Golden) -> None:
    told = json.loads(run("db", "info", "--json", golden("0.17.0-runs")).out)
    assert (told["l0"], told["runs"], told["tables"]) == (1, 2, 5)
    assert (told["log_first"], told["log_last"]) == (1, 12)
    assert told["compactions"][0]["status"] == "completed"
    assert "writer_epoch" in run("db", "info", golden("0.10.0-plain")).out


@pytest.mark.parametrize(
    "words", [["info"], ["manifest", "list"], ["manifest", "show"], ["wal", "list"]]
)
def test_where_no_database_is(run: Run, tmp_path: Path, words: list[str]) -> None:
    told = run("db", *words, tmp_path / "nothing", code=1)
    assert told.err.startswith("cenote: there is no database at file://")
    assert not (tmp_path / "nothing").exists()


def test_damage_is_a_line_and_no_traceback(run: Run, golden: Golden) -> None:
    root = golden("0.17.0-runs")
    (root / "manifest" / f"{26:020}.manifest").write_bytes(b"\0\2 nonsense")
    told = run("db", "manifest", "show", root, code=1).err
    assert told.startswith("cenote: ")
    assert told.count("\n") == 1


class Watched(AroundStore):
    """Fails the test when anything is written, and notes what was fetched."""

    fetched: list[tuple[str, int]] = []

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        assert not call.is_write, call
        result = run()
        if isinstance(result, bytes):
            self.fetched.append((call.path, len(result)))
        return result

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()


INSPECTION = [
    ["ls"],
    ["ls", "-l"],
    ["info"],
    ["manifest", "list"],
    ["manifest", "show"],
    ["wal", "list"],
    ["wal", "dump"],
    ["sst", "verify"],
    ["gc", "--age-min-ms", "0"],
    ["checkpoints", "list"],
    ["get", "key:000003"],
    ["scan", "--prefix", "key:"],
    ["changes"],
    ["compactions"],
]


@pytest.mark.parametrize("words", INSPECTION, ids=" ".join)
def test_who_looks_writes_nothing(
    run: Run, golden: Golden, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    root = golden("0.17.0-runs")
    before = digest(root)
    asked: list[bool] = []

    def opened(uri: str, *, read_only: bool = False, **rest: Any) -> ObjectStore:
        asked.append(read_only)
        return ReadOnlyStore(Watched(LocalStore(uri.removeprefix("file://"))))

    monkeypatch.setattr("cenote.lsm.place.open_store", opened)
    monkeypatch.setattr("cenote.cli.db.ls.open_store", opened)
    command, *rest = words
    run("db", command, *([root, *rest] if command == "get" else [*rest, root]))
    assert asked == [True]
    assert digest(root) == before
