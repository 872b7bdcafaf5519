"""The power is cut under load: what was acknowledged was on the disk, names and bytes.

The server runs on a file system that forgets what was not synced (`powercut.py`), and in the
second mode lets a random part of the unsynced bytes survive, sector by sector.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ledger import Ledger
from survey import SharedKeys, check_directory, survey
from workload import BUCKET, Load

from cenote.testing import ServerProcess, WireClient

Disk = subprocess.Popen[bytes]


@contextmanager
def forgetful_disk(scratch: Path, seed: int, *flags: str) -> Iterator[tuple[Path, Disk]]:
    """Mount one; yield where, and the process that takes the signals."""
    if importlib.util.find_spec("mfusepy") is None or not ctypes.util.find_library("fuse"):
        pytest.skip("needs mfusepy and libfuse: pip install mfusepy; apt-get install libfuse2")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse")
    root, mount = scratch / "disk", scratch / "mount"
    root.mkdir()
    mount.mkdir()
    tool = Path(__file__).with_name("powercut.py")
    log = (scratch / "powercut.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, str(tool), str(root), str(mount), str(seed), *flags],
        stdout=log,
        stderr=log,
    )
    try:
        deadline = time.monotonic() + 10
        while not os.path.ismount(mount):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"cannot mount: {(scratch / 'powercut.log').read_text()[-300:]}")
            time.sleep(0.02)
        yield mount, process
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=False, stderr=subprocess.DEVNULL)
        process.terminate()
        process.wait()
        log.close()


def tell(process: Disk, mount: Path, number: signal.Signals) -> None:
    """Send a signal and wait until it has been acted upon: at the next call into the mount."""
    process.send_signal(number)
    os.listdir(mount)


def cut_again_and_again(tmp_path: Path, times: int, *flags: str) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ledger, shared = Ledger(), SharedKeys()
    with (
        forgetful_disk(tmp_path, seed, *flags) as (mount, disk),
        ServerProcess(mount / "data", tmp_path) as server,
    ):
        endpoint = server.start(limit=60)
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        for number in range(times):
            try:
                load = Load(endpoint, ledger, shared.history, seed + number, clients=4)
                load.run_for(rng.uniform(0.3, 1.5))
                server.kill()
                tell(disk, mount, signal.SIGUSR1)
                load.end()
                endpoint = server.start(limit=60)
                survey(endpoint, ledger)
                shared.judge(endpoint)
                check_directory(server.data)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, cut {number}: {error}") from error
        assert server.stop() == 0
        check_directory(server.data)
    assert ledger.acknowledged > 5 * times


MODES = pytest.mark.parametrize("flags", [(), ("keep",)], ids=["all lost", "some kept"])


def test_power_cut_under_load(tmp_path: Path):
    cut_again_and_again(tmp_path, 2, "keep")


@pytest.mark.slow
@pytest.mark.timeout(600)
@MODES
def test_power_cut_under_load_20_times(tmp_path: Path, flags: tuple[str, ...]):
    cut_again_and_again(tmp_path, 20, *flags)


def test_a_bucket_acknowledged_outlives_a_cut(tmp_path: Path):
    """The names of a new bucket and of its first pack are synced, not only their bytes."""
    body = random.Random(1).randbytes(200_000)
    with (
        forgetful_disk(tmp_path, 0) as (mount, disk),
        ServerProcess(mount / "data", tmp_path) as server,
    ):
        endpoint = server.start(limit=60)
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
            assert client.request("PUT", "/deleted").status == 200
            assert client.request("DELETE", "/deleted").status == 204
            assert client.request("PUT", f"{BUCKET}/first", body=body).status == 200
        server.kill()
        tell(disk, mount, signal.SIGUSR1)
        endpoint = server.start(limit=60)
        with WireClient(endpoint) as client:
            found = client.request("GET", f"{BUCKET}/first")
            assert (found.status, found.body) == (200, body)
            assert client.request("HEAD", "/deleted").status == 404
        assert server.stop() == 0
        check_directory(server.data)


def test_syncs_that_fail_and_then_lie(tmp_path: Path):
    """A failed sync drops its bytes, and the next one succeeds all the same."""
    ledger, shared = Ledger(), SharedKeys()
    with (
        forgetful_disk(tmp_path, 0) as (mount, disk),
        ServerProcess(mount / "data", tmp_path) as server,
    ):
        endpoint = server.start(limit=60)
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
        load = Load(endpoint, ledger, shared.history, 1, clients=4)
        for _ in range(4):
            load.run_for(0.3)
            tell(disk, mount, signal.SIGUSR2)
            load.run_for(0.1)
            tell(disk, mount, signal.SIGUSR2)
        load.run_for(0.5)
        server.kill()
        tell(disk, mount, signal.SIGUSR1)
        statuses = load.end()
        endpoint = server.start(limit=60)
        survey(endpoint, ledger)
        shared.judge(endpoint)
        assert server.stop() == 0
        check_directory(server.data)
    assert any(status >= 500 for status in statuses), statuses
