"""Damaged databases: every command ends with a line, none with a traceback or a wrong answer."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cenote.cli import main

Golden = Callable[[str], Path]

LOOKING = [
    ["info"],
    ["manifest", "show"],
    ["wal", "list"],
    ["wal", "dump"],
    ["sst", "verify"],
    ["verify"],
    ["scan", "--prefix", "key:"],
    ["changes"],
    ["checkpoints", "list"],
    ["gc"],
]


def harm(root: Path, chance: random.Random) -> str:
    """Do one thing to one file, and tell what."""
    path = chance.choice(sorted(path for path in root.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    act = chance.choice(["flip", "cut", "empty", "noise", "gone"])
    if act == "flip" and data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif act == "cut" and data:
        del data[chance.randrange(len(data)) :]
    elif act == "empty":
        data.clear()
    elif act == "noise":
        data[:] = chance.randbytes(len(data))
    path.unlink()
    if act != "gone":
        path.write_bytes(data)
    return f"{act} of {path.relative_to(root)}"


@pytest.mark.parametrize("name", ["0.17.0-runs", "0.17.0-segments", "0.10.0-plain"])
def test_commands_end_with_a_line(
    golden: Golden, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = golden(name)
    (whole / "expected.json").unlink()
    seed = time.time_ns()
    chance = random.Random(seed)
    for turn in range(10):
        root = tmp_path / f"harmed-{turn}"
        shutil.copytree(whole, root)
        did = harm(root, chance)
        for words in chance.sample(LOOKING, 4):
            capfd.readouterr()
            code: Any = 0
            try:
                main(["db", *words, str(root)])
            except SystemExit as leave:
                code = leave.code
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {words} after {did}") from error
            err = capfd.readouterr().err
            where = f"seed {seed}: {words} after {did}: {err}"
            assert code in (0, 1), where
            assert err.count("\n") <= 1, where
            assert not err or err.startswith("cenote: "), where
        shutil.rmtree(root)


def test_a_scan_of_damage_is_no_scan(golden: Golden, capfd: pytest.CaptureFixture[str]) -> None:
    """What a scan prints of a database whose tables were harmed is right, or it ends with 1."""
    root = golden("0.17.0-runs")

    def scan() -> tuple[Any, str]:
        capfd.readouterr()
        code: Any = 0
        try:
            main(["db", "scan", "--prefix", "key:", str(root)])
        except SystemExit as leave:
            code = leave.code or 0
        return code, capfd.readouterr().out

    right = scan()
    assert right[0] == 0
    seed = time.time_ns()
    chance = random.Random(seed)
    for path in sorted((root / "compacted").iterdir()):
        data = path.read_bytes()
        for _ in range(10):
            at = chance.randrange(len(data))
            path.write_bytes(
                data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
            )
            code, out = scan()
            assert code == 1 or out == right[1], f"seed {seed}: {path.name} at {at}"
            assert right[1].startswith(out), f"seed {seed}: {path.name} at {at}"
        path.write_bytes(data)
