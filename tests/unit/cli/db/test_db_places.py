"""Databases in places of every kind, and how much of a large one is fetched."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cenote import Db, WriteBatch
from cenote.objstore import AroundStore, Call, LocalStore, ObjectStore

T = TypeVar("T")
Run = Callable[..., Any]
APART = {"compactor": {"enabled": False}, "gc": {"enabled": False}}


def test_a_bucket_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = "sqlite://data/bucket?prefix=deep/db"
    run("db", "put", "--create", uri, "k", "v")
    assert run("db", "get", uri, "k").out == "v\n"
    assert run("db", "ls", "sqlite://data/bucket").out == "deep/db\n"
    assert "nothing found" in run("db", "verify", uri).out
    keys = run("ls", "--dir", "data", "--recursive", "s3://bucket").out
    assert f"deep/db/manifest/{1:020}.manifest" in keys


def test_a_relative_path_and_a_path_in_a_store(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run("db", "put", "--create", "a b/dü", "k", "v")
    assert run("db", "get", tmp_path / "here" / "a b" / "dü", "k").out == "v\n"
    assert run("db", "get", "--path", "here/a b/dü", f"file://{tmp_path}", "k").out == "v\n"
    assert run("db", "ls", tmp_path).out == "here/a b/dü\n"


def test_a_log_in_a_store_of_its_own(run: Run, tmp_path: Path) -> None:
    root, wal = tmp_path / "db", tmp_path / "logs"
    run("db", "put", "--create", "--wal", wal, root, "k", "v")
    assert run("db", "get", "--wal", wal, root, "k").out == "v\n"
    numbers = [
        json.loads(line)
        for line in run("db", "wal", "list", "--json", "--wal", wal, root).out.splitlines()
    ]
    assert [line["id"] for line in numbers] == [1, 2]
    assert run("db", "changes", "--wal", wal, root).out.startswith("1\tput\tk\tv")
    for words in (["info"], ["wal", "list"], ["wal", "dump"], ["changes"], ["verify"], ["scan"]):
        assert "in another store" in run("db", *words, root, code=1).err
        run("db", *words, "--wal", wal, root)
    assert "a store of its own" in run("db", "put", root, "k", "v", code=1).err
    other = run("db", "put", "--wal", tmp_path / "other", root, "k", "v", code=1).err
    assert "not the one" in other


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://bucket/db?regoin=x", "'regoin' is no parameter of s3://"),
        ("ftp://host/db", "it must begin with one of"),
        ("file://relative/db", "absolute"),
        ("sqlite://bucket", "sqlite://DIR/BUCKET"),
    ],
)
def test_what_is_no_place_is_a_line(run: Run, uri: str, words: str) -> None:
    told = run("db", "get", uri, "k", code=1).err
    assert words in told
    assert told.count("\n") == 1


class Measured(AroundStore):
    """Notes how many bytes of tables and log files each fetch brought."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.sizes: list[int] = []

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        result = run()
        if call.path.endswith(".sst"):
            data = getattr(result, "data", result)
            if isinstance(data, bytes):
                self.sizes.append(len(data))
        return result

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()


def test_large_files_are_not_fetched_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "db"
    with Db.open(f"file://{root}", settings=APART) as db:
        batch = WriteBatch()
        for number in range(6000):
            batch.put(b"%06d" % number, bytes(1000))
        db.write(batch)
        db.flush_memtable()
        db.put(b"last", b"one")
    opened: list[Measured] = []

    def measured(uri: str, **rest: Any) -> ObjectStore:
        opened.append(Measured(LocalStore(uri.removeprefix("file://"))))
        return opened[-1]

    monkeypatch.setattr("cenote.lsm.place.open_store", measured)
    table = json.loads(run("db", "manifest", "show", "--json", root).out)["ssts"][0]
    assert table["data_size"] > 6_000_000
    for words, most in (
        (["sst", "show", root, table["id"]], 1 << 17),
        (["sst", "dump", root, table["id"]], 1 << 20),
        (["sst", "verify", root], 5 << 20),
        (["wal", "dump", root, "2"], 1 << 20),
        (["get", root, "003000"], 1 << 17),
        (["scan", "-n", "5", root], 1 << 18),
    ):
        run("db", *words)
        assert opened[-1].sizes, words
        assert max(opened[-1].sizes) <= most, words
