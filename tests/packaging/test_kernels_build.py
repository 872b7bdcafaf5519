"""The package with and without its compiled kernels: built both ways, and chosen at import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CHOOSE = """
import sys
if "absent" in sys.argv:
    sys.modules["cenote.lsm.format._kernels"] = None
from cenote.errors import Error
try:
    from cenote.lsm.format import kernels_in_use
    print(kernels_in_use())
except Error as error:
    print(error.kind)
"""


def chosen(setting: str | None, *words: str) -> str:
    """Return what a new interpreter says of its kernels."""
    environment = {name: text for name, text in os.environ.items() if name != "CENOTE_KERNELS"}
    if setting is not None:
        environment["CENOTE_KERNELS"] = setting
    done = subprocess.run(
        [sys.executable, "-c", CHOOSE, *words],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_environment_chooses_the_kernels() -> None:
    assert chosen("plain") == "plain"
    assert chosen("fast") == "invalid_setting"
    assert chosen("compiled", "absent") == "kernels_missing"
    assert chosen(None, "absent") == "plain"
    if chosen(None) == "compiled":
        assert chosen("compiled") == "compiled"


def wheel(folder: Path, **variables: str) -> Path:
    """Build a wheel of the tree as pip does."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True, env={**os.environ, **variables})
    (made,) = folder.glob("cenote-*.whl")
    return made


def kernels_in(made: Path) -> list[str]:
    with zipfile.ZipFile(made) as archive:
        assert not [name for name in archive.namelist() if name.endswith((".pyx", ".pxi", ".c"))]
        names = [name for name in archive.namelist() if "/_kernels." in name]
    return [name for name in names if not name.endswith(".pyi")]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("compiler", ["/bin/false", "/nonexistent/cc"])
def test_it_is_built_without_a_compiler(tmp_path: Path, compiler: str) -> None:
    made = wheel(tmp_path, CC=compiler)
    assert made.name.endswith("-none-any.whl")
    assert kernels_in(made) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_is_built_with_a_compiler(tmp_path: Path) -> None:
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if shutil.which("cc") is None or not header.exists():
        pytest.skip("there is no C compiler, or no headers of Python")
    made = wheel(tmp_path, CENOTE_BUILD_KERNELS="require")
    (name,) = kernels_in(made)
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "unpacked")
    code = "import cenote.lsm.format as f; print(f.__file__, f.kernels_in_use())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "unpacked")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in done.stdout
    assert done.stdout.strip().endswith("compiled"), name
