"""SIGTERM under load: every request that is answered is answered well, and nothing is lost."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

import pytest
from ledger import Ledger
from survey import SharedKeys, check_directory, survey
from workload import BUCKET, Load

from cenote.testing import ServerProcess, WireClient


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGTERM, id="SIGTERM"),
        pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.slow),
    ],
)
def test_stop_under_load(tmp_path: Path, number: signal.Signals):
    seed = random.randrange(1 << 30)
    ledger, shared = Ledger(), SharedKeys()
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        load = Load(endpoint, ledger, shared.history, seed)
        load.run_for(0.7)
        assert server.stop(signal_number=number) == 0, server.log_end()
        statuses = load.end()
        assert not [status for status in statuses if status >= 500], (seed, statuses)
        endpoint = server.start()
        survey(endpoint, ledger)
        shared.judge(endpoint)
        check_directory(server.data)
        assert server.stop() == 0


def test_a_long_request_is_finished(tmp_path: Path):
    """An upload and a download that are under way when the signal comes end well."""
    body = random.Random(1).randbytes(8 << 20)
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client, WireClient(endpoint) as reader:
            assert client.request("PUT", BUCKET).status == 200
            assert client.request("PUT", f"{BUCKET}/down", body=body).status == 200
            reader.send(reader.head("GET", f"{BUCKET}/down"))
            client.send(client.head("PUT", f"{BUCKET}/up", body=body) + body[: 4 << 20])
            time.sleep(0.2)
            stopped: list[int] = []
            stopper = threading.Thread(target=lambda: stopped.append(server.stop()))
            stopper.start()
            time.sleep(0.2)
            client.send(body[4 << 20 :])
            assert client.reply("PUT").status == 200
            assert reader.reply().body == body
            stopper.join()
        assert stopped == [0]
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("GET", f"{BUCKET}/up").body == body


def test_a_stuck_client_does_not_hold_the_stop_up(tmp_path: Path):
    environment = {"CENOTE_LIMITS__STOP_TIMEOUT": "1"}
    with ServerProcess(tmp_path / "data", tmp_path, environment=environment) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
            client.send(client.head("PUT", f"{BUCKET}/never", {"content-length": "1000000"}))
            assert server.stop(limit=15.0) == 0
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("HEAD", f"{BUCKET}/never").status == 404
