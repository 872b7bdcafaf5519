"""Older releases of the `slatedb` package and our writer use the same databases in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import cenote
from installing import install, missing

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
CODECS = ("none", "snappy", "zlib", "lz4", "zstd")
# What can be asked of each of these releases: `wheel.py` as a whole needs a later one.
PROGRAM = """\
import sys
from pathlib import Path
import wheel

root = Path(sys.argv[2]).resolve()
if sys.argv[1] == "write":
    wheel.write(root.name, root.parent, 300)
print(wheel.as_hex(wheel.scan_all(root)))
"""


class Concat:
    name = "concat"

    def merge(self, key: bytes, existing: bytes | None, operands: Sequence[bytes]) -> bytes:
        return b",".join(([] if existing is None else [existing]) + list(operands))


Rows = dict[bytes, bytes]
Older = Callable[[str, Path], Rows]


@pytest.fixture(scope="module", params=["0.12.1", "0.14.1", "0.15.0", "0.16.0"])
def older(request: pytest.FixtureRequest) -> Older:
    """Run a release in a process of its own: `write` or `scan`, and what it finds then."""
    folder = Path(request.config.cache.mkdir(f"slatedb-{request.param}")).resolve()
    what = ("--no-deps", "--target", ".", f"slatedb=={request.param}")
    failed = install(folder, (sys.executable, "-m", "pip", "install", "-q", *what))
    if failed:
        missing(failed)

    def run(command: str, root: Path) -> Rows:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, command, str(root)],
            capture_output=True,
            text=True,
            timeout=100,
            env={"PYTHONPATH": f"{folder}:{HERE}"},
        )
        assert done.returncode == 0, done.stderr[-2000:]
        rows = json.loads(done.stdout)[""]
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in rows.items()}

    return run


def go_on(root: Path, codec: str, *, compacts: bool) -> Rows:
    """Write with our writer to what is at `root`; return all that is there then."""
    settings = {"codec": codec, "gc": {"enabled": False}}
    with cenote.Db.open(f"file://{root}", settings=settings, merge_operator=Concat()) as db:
        for n in range(300):
            db.put(b"ours:%04d" % n, b"%d" % n * 9, durable=False)
        db.delete(b"ours:0007", durable=False)
        db.delete(b"key:000010", durable=False)
        db.put(b"ours:lasting", b"v", ttl_ms=3_600_000, durable=False)
        db.merge(b"ours:sum", b"1", durable=False)
        db.flush_memtable()
        db.merge(b"ours:sum", b"2", durable=False)
        if compacts:
            db.compact()
        db.put(b"ours:log", b"only in the log")
        rows = dict(db.scan())
    assert (rows[b"ours:sum"], b"ours:0007" in rows) == (b"1,2", False)
    return rows


@pytest.mark.parametrize("codec", CODECS)
def test_it_reads_what_we_write(older: Older, tmp_path: Path, codec: str) -> None:
    for compacts in (False, True):
        root = tmp_path / f"compacted-{compacts}"
        rows = go_on(root, codec, compacts=compacts)
        assert older("scan", root) == rows


@pytest.mark.parametrize("codec", CODECS)
def test_we_go_on_with_what_it_wrote(older: Older, tmp_path: Path, codec: str) -> None:
    root = tmp_path / f"codec-{codec}"
    wrote = older("write", root)
    with cenote.DbReader.open(f"file://{root}", merge_operator=Concat()) as reader:
        assert dict(reader.scan()) == wrote
    rows = go_on(root, codec, compacts=True)
    assert wrote.items() - rows.items() <= {(b"key:000010", wrote.get(b"key:000010"))}
    assert older("scan", root) == rows
