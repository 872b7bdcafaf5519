"""One server process that every hostile test attacks, and that must outlive them all.

It runs with small limits, so that the tests that wait for one are quick. After each test it must
be alive and hold no more memory than a bound; at the end its directory must be sound.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from forge import Forge
from lab import Lab

from cenote.testing import ServerProcess

MEMORY_MAX = 200 << 20
MEMORY_GROWTH_MAX = 64 << 20


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    scratch = tmp_path_factory.mktemp("victim")
    with ServerProcess(scratch / "data", scratch) as server:
        server.start()
        yield server
        assert server.is_alive(), server.log_end()
        assert server.stop() == 0, server.log_end()
    checked = subprocess.run(
        [sys.executable, "-m", "cenote", "check", str(server.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="session")
def lab(victim: ServerProcess) -> Lab:
    endpoint = victim.endpoint
    made = Lab(endpoint, Forge(endpoint), "hostile-bucket", bytes(range(256)) * 4)
    with made.client() as client:
        assert client.request("PUT", f"/{made.bucket}").status == 200
        assert client.request("PUT", made.seed, body=made.stored).status == 200
    return made


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest, victim: ServerProcess) -> Iterator[None]:
    """Demand that the server survives each test, answers, and has not grown much."""
    before = victim.memory()
    yield
    assert victim.is_alive(), victim.log_end()
    after = victim.memory()
    assert after < MEMORY_MAX, f"{after >> 20} MiB resident"
    assert after - before < MEMORY_GROWTH_MAX, f"grew by {(after - before) >> 20} MiB"
    if "lab" in request.fixturenames:
        lab: Lab = request.getfixturevalue("lab")
        reply = lab.get(lab.seed)
        assert (reply.status, reply.body) == (200, lab.stored)
