"""One server process that every hostile test attacks, and that must outlive them all.

It runs with small limits, so that the tests that wait for one are quick. After each test it must
be alive and hold no more memory than a bound; at the end its directory must be sound.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from forge import Forge

from cenote.testing import Endpoint, Reply, ServerProcess, WireClient

MEMORY_MAX = 200 << 20
MEMORY_GROWTH_MAX = 64 << 20
_numbers = itertools.count()


@dataclass(repr=False)
class Lab:
    """A bucket with one object in it, and the means to attack them."""

    endpoint: Endpoint
    forge: Forge
    bucket: str
    stored: bytes

    @property
    def seed(self) -> str:
        """The path of the object that is there."""
        return f"/{self.bucket}/seed"

    @property
    def fresh(self) -> str:
        """The path of a key that nothing is at."""
        return f"/{self.bucket}/fresh-{next(_numbers)}"

    def client(self) -> WireClient:
        return WireClient(self.endpoint)

    def send(self, data: bytes, method: str = "GET") -> Reply:
        """Send bytes on a connection of their own and return the reply."""
        with self.client() as client:
            client.send(data)
            return client.reply(method)

    def get(self, path: str, method: str = "GET") -> Reply:
        """Read honestly."""
        with self.client() as client:
            return client.request(method, path)


@dataclass(frozen=True)
class Case:
    """An attack and what S3 answers: a status, or several where it is not documented which."""

    name: str
    attack: Callable[[Lab], bytes]
    status: int | tuple[int, ...]
    code: str | tuple[str, ...] | None = None
    method: str = "GET"

    def fits(self, reply: Reply) -> bool:
        statuses = self.status if isinstance(self.status, tuple) else (self.status,)
        codes = self.code if isinstance(self.code, tuple) else (self.code,)
        return reply.status in statuses and (self.code is None or reply.code in codes)


def named(cases: list[Case]) -> pytest.MarkDecorator:
    """Parametrise a test by cases, under their names."""
    assert len({case.name for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


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
