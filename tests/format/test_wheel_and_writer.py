"""Our writer and the installed `slatedb` package take turns at one database."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cenote.base import SystemClock, SystemRand
from cenote.errors import ClosedError, InvalidError
from cenote.lsm import (
    MERGE,
    PUT,
    TOMBSTONE,
    CompactorSettings,
    DbSettings,
    KeyRange,
    open_place,
)
from cenote.lsm.opening import open_writer
from cenote.lsm.options import Reading
from cenote.lsm.plan import run
from cenote.lsm.writer import Writer
from cenote.objstore import LocalStore

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
CODECS = ("none", "snappy", "zlib", "lz4", "zstd")


class Concat:
    """As the driver's: operands joined by commas."""

    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


class FirstThree:
    """As the driver's: the first three bytes of a key."""

    name = "first3"

    def prefix_of(self, key: bytes) -> bytes | None:
        return key[:3] if len(key) >= 3 else None


class Wheel:
    """The package in its own process; a call is a command."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "wheel_session.py"), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        return reply

    def __call__(self, *command: Any) -> Any:
        reply = self.ask(*command)
        assert "ok" in reply, reply
        return reply["ok"]

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def wheel(tmp_path: Path) -> Iterator[Wheel]:
    pytest.importorskip("slatedb", reason="slatedb is not installed")
    made = Wheel(tmp_path / "db")
    yield made
    made.end()


def opened(folder: Path, *, wal: Path | None = None, **given: Any) -> Writer:
    """Open the database `db` in a folder, without threads."""
    parts = {
        name: given.pop(name) for name in ("segment_extractor", "filter_policies") if name in given
    }
    settings = DbSettings(compactor=CompactorSettings(enabled=False), **given)
    place = open_place(LocalStore(folder), "db", wal=None if wal is None else LocalStore(wal))
    return open_writer(
        place,
        settings,
        merge_operator=Concat(),
        clock=SystemClock(),
        rand=SystemRand(),
        background=False,
        **parts,
    )


def op(key: str, value: str = "", kind: int = PUT) -> Any:
    return key.encode(), value.encode(), kind, None, None


def put(writer: Writer, key: str, value: str) -> None:
    writer.commit(writer.write([op(key, value)]).seq)


def contents(writer: Writer) -> dict[str, str]:
    reading = Reading(now_ms=writer.clock.now_ms, operator=writer.merge_operator)
    scan = writer.view.scan(KeyRange(), reading)
    found: dict[str, str] = {}
    while rows := run(writer.place.store, scan.next_batch()):
        found.update((row[0].decode(), row[1].decode()) for row in rows)
    return found


def fill(writer: Writer, turn: int, expected: dict[str, str]) -> None:
    """Write rows of every kind, as batches and one by one; note what must be there."""
    for start in range(0, 1200, 300):
        keys = [f"key:{n * 7 % 1200:05d}" for n in range(start, start + 300)]
        writer.write([op(key, f"value {turn}" * (turn + 1)) for key in keys])
        expected.update((key, f"value {turn}" * (turn + 1)) for key in keys)
    for n in range(turn, 1200, 11):
        writer.write_one(b"key:%05d" % n, b"", TOMBSTONE)
        expected.pop(f"key:{n:05d}", None)
    for n in range(20):
        key = f"sum:{n % 5}"
        writer.write([op(key, f"{turn}.{n}", MERGE)])
        expected[key] = f"{expected[key]},{turn}.{n}" if key in expected else f"{turn}.{n}"
    writer.write([(b"ttl:long", b"t", PUT, 10**10, None), op("k" * 300, "long key")])
    expected["ttl:long"], expected["k" * 300] = "t", "long key"
    put(writer, f"long:{turn}", "v" * 100_000)
    expected[f"long:{turn}"] = "v" * 100_000


@pytest.mark.parametrize("codec", CODECS)
def test_it_reads_and_goes_on_with_what_our_writer_left(
    wheel: Wheel, tmp_path: Path, codec: str
) -> None:
    """A log alone; level 0 and a log; several of both. Then it writes, and we go on with that."""
    expected: dict[str, str] = {}
    writer = opened(tmp_path, codec=codec)
    fill(writer, 0, expected)
    assert wheel("read") == expected  # a log alone, its writer alive
    writer.flush_memtable()
    assert wheel("read") == expected
    fill(writer, 1, expected)
    assert wheel("read") == expected
    writer.flush_memtable()
    fill(writer, 2, expected)
    last = writer.last_seq
    wheel("open", {"compression_codec": None if codec == "none" else codec.title()})
    assert wheel("scan") == expected
    assert wheel("durable_put", "from the wheel", "yes") == last + 1
    expected["from the wheel"] = "yes"
    wheel("merge", "sum:1", "w")
    expected["sum:1"] += ",w"
    wheel("delete", "long:0")
    del expected["long:0"]
    wheel("flush_memtable")
    wheel("durable_put", "in its log", "yes")
    expected["in its log"] = "yes"
    assert wheel("scan") == expected
    wheel("close")
    again = opened(tmp_path, codec=codec)
    assert contents(again) == expected
    assert again.last_seq == last + 4
    again.write([op("sum:1", "u", MERGE)])
    expected["sum:1"] += ",u"
    again.flush_memtable()
    again.close()
    assert wheel("read") == expected


def test_it_compacts_what_our_writer_left(
    run_wheel: Callable[..., str], wheel: Wheel, tmp_path: Path
) -> None:
    expected: dict[str, str] = {}
    writer = opened(tmp_path)
    for turn in range(3):
        fill(writer, turn, expected)
        writer.flush_memtable()
    fill(writer, 3, expected)
    writer.close()
    used = json.loads(run_wheel("use", tmp_path / "db"))[""]
    expected["written by the package"] = "yes"
    assert {bytes.fromhex(k).decode(): bytes.fromhex(v).decode() for k, v in used.items()} == (
        expected
    )
    again = opened(tmp_path)
    assert again.view.manifest.tree.l0 == ()
    assert len(again.view.manifest.tree.runs) == 1
    assert contents(again) == expected
    fill(again, 4, expected)
    again.flush_memtable()
    assert wheel("read") == contents(again) == expected


def test_segments_of_either_side(wheel: Wheel, tmp_path: Path) -> None:
    writer = opened(tmp_path, segment_extractor=FirstThree())
    writer.write([op("bbb1", "1"), op("aaa1", "2"), op("aaa2", "3")])
    writer.flush_memtable()
    put(writer, "ccc1", "4")
    expected = {"aaa1": "2", "aaa2": "3", "bbb1": "1", "ccc1": "4"}
    assert wheel("read", {"segments": True}) == expected
    wheel("open", {"segments": True})
    assert wheel("scan") == expected
    wheel("durable_put", "ddd1", "5")
    wheel("flush_memtable")
    wheel("durable_put", "aaa1", "6")
    wheel("close")
    again = opened(tmp_path, segment_extractor=FirstThree())
    expected |= {"ddd1": "5", "aaa1": "6"}
    assert contents(again) == expected
    again.flush_memtable()
    assert [(s.prefix, len(s.tree.l0)) for s in again.view.manifest.segments] == [
        (b"aaa", 2),
        (b"bbb", 1),
        (b"ccc", 1),
        (b"ddd", 1),
    ]
    assert wheel("read", {"segments": True}) == expected


def test_each_fences_the_other(wheel: Wheel, tmp_path: Path) -> None:
    """Our writer learns of it at the next put, and for good; the package when it flushes."""
    wheel("open")
    wheel("durable_put", "a", "1")
    ours = opened(tmp_path)
    assert contents(ours) == {"a": "1"}
    wheel.ask("put", "b", "2")
    assert wheel.ask("flush")["reason"] == "FENCED"
    put(ours, "c", "3")
    other = Wheel(tmp_path / "db")
    try:
        other("open")
        assert other("scan") == {"a": "1", "c": "3"}
        with pytest.raises(ClosedError) as failed:
            put(ours, "d", "4")
        assert failed.value.reason == "fenced"
        with pytest.raises(ClosedError):
            ours.write([op("e")])
        other("durable_put", "f", "6")
        assert other("scan") == {"a": "1", "c": "3", "f": "6"}
    finally:
        other.end()
    again = opened(tmp_path)
    assert contents(again) == {"a": "1", "c": "3", "f": "6"}


def test_a_flush_fences_as_well(wheel: Wheel, tmp_path: Path) -> None:
    ours = opened(tmp_path, wal_enabled=False)
    ours.write([op("a", "1")])
    wheel("open", {"wal_enabled": False})
    with pytest.raises(ClosedError) as failed:
        ours.flush_memtable()
    assert failed.value.reason == "fenced"
    wheel("put", "b", "2")
    wheel("flush_memtable")
    again = opened(tmp_path, wal_enabled=False)
    assert contents(again) == {"b": "2"}
    wheel.ask("put", "c", "3")
    assert wheel.ask("flush_memtable")["reason"] == "FENCED"


def test_without_a_log(wheel: Wheel, tmp_path: Path) -> None:
    ours = opened(tmp_path, wal_enabled=False)
    put(ours, "a", "1")
    ours.close()
    wheel("open", {"wal_enabled": False})
    assert wheel("scan") == {"a": "1"}
    wheel("put", "b", "2")
    wheel("flush_memtable")
    wheel("close")
    assert contents(opened(tmp_path)) == {"a": "1", "b": "2"}


def test_a_log_in_a_store_of_its_own(wheel: Wheel, tmp_path: Path) -> None:
    """What the package keeps nowhere, we notice: without the log's store nothing is opened."""
    apart = tmp_path / "apart"
    folder = apart / str(tmp_path).lstrip("/")
    folder.mkdir(parents=True)
    wheel("open_apart", str(apart))
    wheel("durable_put", "a", "1")
    wheel("flush_memtable")
    wheel("durable_put", "b", "2")
    with pytest.raises(InvalidError) as failed:
        opened(tmp_path)
    assert failed.value.kind == "wal_store"
    ours = opened(tmp_path, wal=folder)
    assert contents(ours) == {"a": "1", "b": "2"}
    put(ours, "c", "3")
    assert wheel.ask("durable_put", "d", "4")["reason"] == "FENCED"
    with pytest.raises(InvalidError):
        opened(tmp_path)
    wheel("open_apart", str(apart))
    assert wheel("scan") == {"a": "1", "b": "2", "c": "3"}


@pytest.fixture(scope="module")
def written(run_wheel: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario, as the installed package writes it now."""
    base = tmp_path_factory.mktemp("left")
    run_wheel("write", base, 1100)
    return base


SCENARIOS = ("runs", "segments", "filters", "blocks", *(f"codec-{codec}" for codec in CODECS))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_we_open_what_it_left(written: Path, tmp_path: Path, scenario: str) -> None:
    root = written / scenario
    expected = json.loads((root / "expected.json").read_text())
    for name, rows in expected.items():
        folder = tmp_path / f"copy-{name or 'root'}"
        shutil.copytree(root / name if name else root, folder / "db")
        given = {"segment_extractor": FirstThree()} if scenario == "segments" else {}
        writer = opened(folder, **given)
        found = {bytes.fromhex(k): bytes.fromhex(v) for k, v in rows.items()}
        reading = Reading(now_ms=writer.clock.now_ms, operator=writer.merge_operator)
        scan = writer.view.scan(KeyRange(), reading)
        seen: dict[bytes, bytes] = {}
        while batch := run(writer.place.store, scan.next_batch()):
            seen.update((row[0], row[1]) for row in batch)
        assert seen == found
        writer.write([op("key:ours", "yes")])
        writer.flush_memtable()
