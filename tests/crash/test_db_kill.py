"""A database on our server, and `kill -9` of either: the writer's process, or the server.

What was acknowledged is there, whole; what a fenced writer wrote is not; nothing comes back.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from survey import check_directory
from teller import Add, last_write

from cenote.errors import UnavailableError
from cenote.lsm import DbReader, Place, open_place, verify
from cenote.testing import Endpoint, ServerProcess, WireClient

BUCKET = "/bank"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Teller:
    """The writer's process, and what it said."""

    def __init__(self, uri: str, log: Path, must: int) -> None:
        self.must = must  # what was acknowledged before it was started
        self.opened: int | None = None
        self.tried = -1
        self.acknowledged = -1
        self.end: str | None = None
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("teller.py")), uri],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith("\n"):
                continue  # it died in the middle of a word
            word, _, number = line.strip().partition(" ")
            if word == "open":
                self.opened = int(number)
            elif word == "try":
                self.tried = int(number)
            elif word == "ack":
                self.acknowledged = int(number)
            else:
                self.end = word

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_opened(self, log: Path, limit: float = 60.0) -> int:
        deadline = time.monotonic() + limit
        while self.opened is None:
            assert self.is_alive, f"{self.end}: {log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, "the teller does not open"
            time.sleep(0.01)
        assert self.opened >= self.must, f"{self.must} was acknowledged, {self.opened} is there"
        return self.opened

    def wait_fenced(self, limit: float = 60.0) -> None:
        self._process.wait(limit)
        self._listener.join()
        assert self.end == "fenced", self.end

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def look(uri: str) -> int:
    """Read it as somebody else; return the last write there is. Raises when it is not whole."""
    while True:
        try:
            with DbReader.open(uri, merge_operator=Add(), background=False) as reader:
                return last_write(dict(reader.scan()))
        except UnavailableError:
            time.sleep(0.05)


def place_of(uri: str) -> Place:
    return open_place(uri, read_only=True)


def kill_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    log = tmp_path / "teller.log"
    flags = ("--port", str(free_port()))
    with ServerProcess(tmp_path / "data", tmp_path, flags=flags) as server:
        endpoint = server.start()
        set_keys(monkeypatch, endpoint)
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        uri = (
            f"s3:/{BUCKET}/db?endpoint=http://{endpoint.host}:{endpoint.port}"
            f"&region={endpoint.region}&allow_http=true"
        )
        must = -1  # the greatest write that was acknowledged
        teller = Teller(uri, log, must)
        try:
            for number, what in enumerate(kills):
                teller.wait_opened(log)
                time.sleep(rng.uniform(0.2, 1.0))
                if what == "server":
                    server.kill()
                    time.sleep(rng.uniform(0.0, 0.3))
                    server.start()
                    assert teller.is_alive or teller.end == "fenced", log.read_text()[-3000:]
                    must = max(must, teller.acknowledged)
                    continue
                if what == "takeover":
                    old, teller = teller, Teller(uri, log, must)
                    found = teller.wait_opened(log)
                    old.wait_fenced()
                    assert old.acknowledged <= found, f"kill {number}: a fenced writer acknowledged"
                    must = max(must, old.acknowledged)
                    old.kill()
                    continue
                teller.kill()
                must = max(must, teller.acknowledged)
                found = look(uri)
                assert must <= found <= teller.tried, f"kill {number}: {found}, not {must}"
                teller = Teller(uri, log, must)
            teller.wait_opened(log)
        finally:
            teller.kill()
        found = look(uri)
        assert found >= max(must, teller.acknowledged)
        report = verify(place_of(uri))
        assert report.is_sound, report
        assert server.stop() == 0
        check_directory(server.data)
    assert must > len(kills)


def set_keys(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", endpoint.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", endpoint.secret_key)


def test_kill_either_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_again_and_again(tmp_path, monkeypatch, ["writer", "server"], random.randrange(1 << 30))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_either_side_many_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    kills = [rng.choice(["writer", "writer", "server", "server", "takeover"]) for _ in range(40)]
    try:
        kill_again_and_again(tmp_path, monkeypatch, kills, seed)
    except AssertionError as error:
        error.add_note(f"seed {seed}")
        raise
