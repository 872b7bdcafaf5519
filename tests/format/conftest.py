"""Databases of the `slatedb` package: the golden ones, and those the installed one writes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function from a golden file's name to the directory it was unpacked to."""
    base = tmp_path_factory.mktemp("golden")

    def unpack(name: str) -> Path:
        root = base / name
        if not root.exists():
            with zipfile.ZipFile(GOLDEN / f"{name}.zip") as archive:
                archive.extractall(root)
        return root

    return unpack


@pytest.fixture(scope="session")
def run_wheel() -> Callable[..., str]:
    """A function that runs `wheel.py` in its own process, since the package has threads."""
    pytest.importorskip("slatedb", reason="slatedb is not installed")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, str(HERE / "wheel.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run
