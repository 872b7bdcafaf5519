"""Every operation is tested against one process, and against two workers and a writer."""

from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__ == "test_operations" and "server" in metafunc.fixturenames:
        metafunc.parametrize("server", ["thread", "family"], indirect=True, scope="session")
