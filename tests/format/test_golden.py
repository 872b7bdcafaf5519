"""Every golden file is read in full, and written again the same where the format says how."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import agreement
import pytest

from cenote.lsm.format import BLOCK_SIZE, WAL_BLOCK_SIZE

NAMES = sorted(path.stem for path in (Path(__file__).parent / "golden").glob("*.zip"))


def test_there_are_golden_files_of_each_layout() -> None:
    assert {name.partition("-")[0] for name in NAMES} >= {"0.10.0", "0.12.1", "0.15.0", "0.17.0"}


@pytest.mark.parametrize("name", NAMES)
def test_golden(golden: Callable[[str], Path], name: str) -> None:
    wal_block_size = WAL_BLOCK_SIZE if name.startswith("0.17") else BLOCK_SIZE
    agreement.check_all(golden(name), wal_block_size)
