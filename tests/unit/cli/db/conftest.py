"""Databases that SlateDB's wheel wrote, as they lie in the tree for the tests of the format."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[3] / "format" / "golden"


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[str], Path]:
    """A function from a golden file's name to the folder it was unpacked to."""

    def unpack(name: str) -> Path:
        root = tmp_path / name
        with zipfile.ZipFile(GOLDEN / f"{name}.zip") as archive:
            archive.extractall(root)
        return root

    return unpack
