"""`cenote db` on databases the installed `slatedb` package wrote just now, and the reverse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cenote.cli import main
from cenote.lsm.format import decode_manifest, encode_manifest

pytestmark = pytest.mark.e2e

Wheel = Callable[..., str]
Command = Callable[..., str]
SCENARIOS = (
    *("codec-none", "codec-snappy", "codec-zlib", "codec-lz4", "codec-zstd"),
    *("runs", "segments", "checkpoints", "filters", "blocks"),
)
MERGING = ("--merge-operator", "concat_of_tests:Concat")


@pytest.fixture(scope="module")
def written(run_wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every scenario, as the installed package writes it now."""
    base = tmp_path_factory.mktemp("wheel")
    run_wheel("write", base, 1100)
    return base


@pytest.fixture
def command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Run `cenote db ...` and return what it printed."""
    (tmp_path / "concat_of_tests.py").write_text(
        "class Concat:\n"
        "    name = 'concat'\n"
        "    def merge(self, key, existing, operands):\n"
        "        return b','.join(operands if existing is None else (existing, *operands))\n"
    )
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> str:
        capfd.readouterr()
        code: object = 0
        try:
            main(["db", *map(str, words)])
        except SystemExit as leave:
            code = leave.code
        out, err = capfd.readouterr()
        assert not code, f"{words}:\n{out}{err}"
        return out

    return call


def scanned(command: Command, *words: object) -> dict[str, str]:
    rows = command("scan", "--hex", *MERGING, *words).splitlines()
    return dict(row.split("\t") for row in rows)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scan_and_verify_agree_with_the_package(
    command: Command, run_wheel: Wheel, written: Path, scenario: str
) -> None:
    expected = json.loads(run_wheel("scan", written / scenario))
    found = command("ls", written / scenario).split()
    assert {"" if name == "." else name for name in found} == set(expected)
    for name, rows in expected.items():
        # The package names clones' parents by their path from the root of the file system.
        words = ("--path", str(written / scenario / name).strip("/"), "file:///")
        assert scanned(command, *words) == rows
        assert "error" not in command("sst", "verify", *words)


def test_the_package_reads_what_put_and_delete_wrote(
    command: Command, run_wheel: Wheel, written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(written / "runs", root)
    before = json.loads(run_wheel("scan", root))[""]
    command("put", root, "key:000003", "from the command line")
    command("delete", root, "key:000006")
    command("put", "--merge", *MERGING, root, "sum:000000", "late")
    after = json.loads(run_wheel("scan", root))[""]
    assert after[b"key:000003".hex()] == b"from the command line".hex()
    assert b"key:000006".hex() not in after
    assert after[b"sum:000000".hex()] == before[b"sum:000000".hex()] + b",late".hex()
    assert scanned(command, root) == after


def test_the_package_reads_after_a_collection(
    command: Command, run_wheel: Wheel, written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(written / "runs", root)
    before = json.loads(run_wheel("scan", root))
    assert json.loads(command("gc", "--yes", "--age-min-ms", 0, "--json", root))["manifests"]
    assert json.loads(run_wheel("scan", root)) == before
    assert json.loads(run_wheel("use", root))[""][b"written by the package".hex()] == b"yes".hex()


def test_the_package_reads_a_clone(
    command: Command, run_wheel: Wheel, written: Path, tmp_path: Path
) -> None:
    root = tmp_path / "parent"
    shutil.copytree(written / "runs", root)
    rows = json.loads(run_wheel("scan", root))[""]
    command("clone", root, tmp_path / "clone")
    command("clone", "--start", "key:0001", "--end", "key:0002", root, tmp_path / "part")
    for clone in ("clone", "part"):
        from_the_root_of_files(tmp_path / clone)
    assert json.loads(run_wheel("scan", tmp_path / "clone"))[""] == rows
    low, high = b"key:0001".hex(), b"key:0002".hex()
    assert json.loads(run_wheel("scan", tmp_path / "part"))[""] == {
        key: value for key, value in rows.items() if low <= key < high
    }


def from_the_root_of_files(clone: Path) -> None:
    """Name a clone's parents as the package does, whose store is the whole file system.

    Ours was opened in the folder around it: a store leaves a lock in the folder it is.
    """
    for path in (clone / "manifest").iterdir():
        manifest = decode_manifest(path.read_bytes())
        parents = tuple(
            replace(each, path=str(clone.parent / each.path).strip("/"))
            for each in manifest.external_dbs
        )
        path.write_bytes(encode_manifest(replace(manifest, external_dbs=parents)))
