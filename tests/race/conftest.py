"""A server process for the races; its directory must be sound afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from cenote.testing import Endpoint, ServerProcess


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    scratch = tmp_path_factory.mktemp("arena")
    with ServerProcess(scratch / "data", scratch) as server:
        yield server.start()
        assert server.stop() == 0, server.log_end()
    checked = subprocess.run(
        [sys.executable, "-m", "cenote", "check", str(server.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
