"""Servers for the races; their directories must be sound afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cenote.testing import Endpoint, ServerProcess


def serving(scratch: Path, *flags: str) -> Iterator[Endpoint]:
    with ServerProcess(scratch / "data", scratch, flags=flags) as server:
        yield server.start()
        assert server.stop() == 0, server.log_end()
    checked = subprocess.run(
        [sys.executable, "-m", "cenote", "check", str(server.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One process."""
    yield from serving(tmp_path_factory.mktemp("arena"))


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """Three workers and their writer."""
    yield from serving(tmp_path_factory.mktemp("family"), "--workers", "3")
