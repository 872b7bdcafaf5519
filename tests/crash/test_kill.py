"""`kill -9` under load, again and again on one directory: what was acknowledged is there, whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ledger import Ledger
from survey import SharedKeys, check_directory, survey
from workload import BUCKET, Load

from cenote.testing import ServerProcess, WireClient


def kill_again_and_again(tmp_path: Path, times: int) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ledger, shared = Ledger(), SharedKeys()
    with ServerProcess(tmp_path / "data", tmp_path) as server:
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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kill_under_load_50_times(tmp_path: Path):
    kill_again_and_again(tmp_path, 50)
