"""`kill -9` under load, again and again on one directory: what was acknowledged is there, whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from ledger import Ledger
from survey import SharedKeys, check_directory, survey
from workload import BUCKET, Load

from cenote.testing import Endpoint, ServerProcess, WireClient

FAMILY = ("--workers", "2")


def kill_again_and_again(tmp_path: Path, times: int, *flags: str) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ledger, shared = Ledger(), SharedKeys()
    with ServerProcess(tmp_path / "data", tmp_path, flags=flags) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        for number in range(times):
            try:
                load = Load(endpoint, ledger, shared.history, seed + number)
                load.run_for(rng.uniform(0.15, 1.2))
                server.kill()
                load.end()
                endpoint = server.start()
                survey(endpoint, ledger)
                shared.judge(endpoint)
                check_directory(server.data)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, kill {number}: {error}") from error
        assert server.stop() == 0
        check_directory(server.data)
    assert ledger.acknowledged > 20 * times


def test_kill_under_load(tmp_path: Path):
    kill_again_and_again(tmp_path, 2)


def test_kill_a_family_under_load(tmp_path: Path):
    """Two workers and their writer: all end with the parent."""
    kill_again_and_again(tmp_path, 2, *FAMILY)


def kill_children(tmp_path: Path, times: int) -> None:
    """Kill one process of the family after the other; the service goes on, or starts again."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ledger, shared = Ledger(), SharedKeys()
    with ServerProcess(tmp_path / "data", tmp_path, flags=FAMILY) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        for number in range(times):
            try:
                load = Load(endpoint, ledger, shared.history, seed + number)
                load.run_for(rng.uniform(0.15, 0.8))
                os.kill(rng.choice(server.children()), signal.SIGKILL)
                load.run_for(0.5)
                load.end()
                until_served(endpoint)
                survey(endpoint, ledger)
                shared.judge(endpoint)
                check_directory(server.data)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, kill {number}: {error}") from error
        assert server.stop() == 0
        check_directory(server.data)
    assert ledger.acknowledged > 20 * times


def until_served(endpoint: Endpoint, limit: float = 20.0) -> None:
    """Wait until writes are taken again."""
    deadline = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError), WireClient(endpoint) as client:
            if client.request("PUT", f"{BUCKET}/shared-probe", body=b"x").status == 200:
                assert client.request("DELETE", f"{BUCKET}/shared-probe").status == 204
                return
        assert time.monotonic() < deadline, "the service does not recover"
        time.sleep(0.05)


def test_kill_one_of_a_family(tmp_path: Path):
    kill_children(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_one_of_a_family_30_times(tmp_path: Path):
    kill_children(tmp_path, 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_a_family_under_load_20_times(tmp_path: Path):
    kill_again_and_again(tmp_path, 20, *FAMILY)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_under_load_50_times(tmp_path: Path):
    kill_again_and_again(tmp_path, 50)
