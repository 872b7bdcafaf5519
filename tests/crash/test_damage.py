"""A directory that was damaged, is held by another, or may not be written: said clearly, no more.

What is whole is served; what is not is named by `cenote check`, and never a hang or a crash.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from survey import check_directory
from workload import BUCKET

from cenote.base import ManualClock, SystemClock
from cenote.testing import ConnectionLost, Endpoint, ServerProcess, WireClient

BIG = 300_000


def body_of(number: int) -> bytes:
    return random.Random(number).randbytes(BIG)


def fill(endpoint: Endpoint) -> None:
    with WireClient(endpoint) as client:
        for bucket in (BUCKET, "/whole"):
            assert client.request("PUT", bucket).status == 200
            for number in range(4):
                path = f"{bucket}/{number}"
                assert client.request("PUT", path, body=body_of(number)).status == 200


def intact(endpoint: Endpoint, bucket: str, numbers: list[int]) -> None:
    with WireClient(endpoint) as client:
        for number in numbers:
            reply = client.request("GET", f"{bucket}/{number}")
            assert (reply.status, reply.body) == (200, body_of(number)), number


def findings(data: Path) -> str:
    """Return what `cenote check --deep` finds; there must be something."""
    run = subprocess.run(
        [sys.executable, "-m", "cenote", "check", "--deep", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0, "the damage was not found"
    assert "Traceback" not in run.stderr, run.stderr
    return run.stdout + run.stderr


@pytest.fixture
def filled(tmp_path: Path) -> ServerProcess:
    """A directory with two buckets, whose server has stopped."""
    server = ServerProcess(tmp_path / "data", tmp_path)
    with server:
        fill(server.start())
        assert server.stop() == 0
    return server


def pack_of(server: ServerProcess) -> Path:
    (pack,) = sorted((server.data / "crash.packs").glob("*.pack"))
    return pack


def test_a_flipped_bit_in_a_pack(filled: ServerProcess):
    pack = pack_of(filled)
    data = bytearray(pack.read_bytes())
    where = data.index(body_of(1)) + 1000
    data[where] ^= 1
    pack.write_bytes(data)
    assert "crash" in findings(filled.data)
    with filled:
        endpoint = filled.start()
        intact(endpoint, BUCKET, [0, 2, 3])
        intact(endpoint, "/whole", [0, 1, 2, 3])
        assert filled.stop() == 0


def test_a_truncated_pack(filled: ServerProcess):
    pack = pack_of(filled)
    data = pack.read_bytes()
    os.truncate(pack, data.index(body_of(3)) + 1000)
    assert "crash" in findings(filled.data)
    with filled:
        endpoint = filled.start()
        intact(endpoint, BUCKET, [0, 1, 2])
        intact(endpoint, "/whole", [0, 1, 2, 3])
        with WireClient(endpoint, timeout=20.0) as client:
            try:
                reply = client.request("GET", f"{BUCKET}/3")
                assert reply.status >= 500
            except ConnectionLost as lost:
                assert len(lost.received) < BIG
        assert filled.stop() == 0


def test_a_missing_pack(filled: ServerProcess):
    pack_of(filled).unlink()
    assert "crash" in findings(filled.data)
    with filled:
        endpoint = filled.start()
        intact(endpoint, "/whole", [0, 1, 2, 3])
        with WireClient(endpoint, timeout=20.0) as client:
            with contextlib.suppress(ConnectionLost):
                assert client.request("GET", f"{BUCKET}/0").status >= 500
            assert client.request("PUT", f"{BUCKET}/new", body=b"small").status == 200
        assert filled.stop() == 0


@pytest.mark.parametrize("what", ["header", "zeros", "cut", "empty", "text"])
def test_a_damaged_index(filled: ServerProcess, what: str):
    """One bucket's file is damaged: it is refused by name, and the others are served."""
    path = filled.data / "crash.sqlite3"
    data = bytearray(path.read_bytes())
    if what == "header":
        data[0:16] = b"not an SQLite 3\0"
    elif what == "zeros":
        data[100:] = bytes(len(data) - 100)
    elif what == "cut":
        del data[len(data) // 2 :]
    elif what == "empty":
        data.clear()
    else:
        data[:] = b"my diary\n" * 100
    path.write_bytes(data)
    before = path.read_bytes()
    with filled:
        endpoint = filled.start()
        intact(endpoint, "/whole", [0, 1, 2, 3])
        with WireClient(endpoint, timeout=20.0) as client:
            for method, target in [("GET", f"{BUCKET}/0"), ("GET", BUCKET), ("HEAD", BUCKET)]:
                assert client.request(method, target).status >= 400
            assert client.request("GET", "/").status in (200, 500)
        assert filled.stop() == 0
    if what in ("header", "text", "empty"):
        assert path.read_bytes() == before, "a foreign file was written to"


def test_a_flipped_bit_in_the_log(tmp_path: Path):
    """What stands behind a damaged frame of the log is gone; what is before it is sound."""
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        fill(server.start())
        server.kill()
        log = server.data / "crash.sqlite3-wal"
        data = bytearray(log.read_bytes())
        assert len(data) > 32 + 8192
        data[len(data) * 3 // 4] ^= 1
        log.write_bytes(data)
        endpoint = server.start()
        intact(endpoint, "/whole", [0, 1, 2, 3])
        with WireClient(endpoint) as client:
            for number in range(4):
                reply = client.request("GET", f"{BUCKET}/{number}")
                assert reply.status == 404 or reply.body == body_of(number)
            assert client.request("PUT", f"{BUCKET}/new", body=body_of(9)).status == 200
            assert client.request("GET", f"{BUCKET}/new").body == body_of(9)
        assert server.stop() == 0
        check_directory(server.data)


def test_a_foreign_database(filled: ServerProcess):
    """Another program's SQLite file is neither served nor touched."""
    path = filled.data / "diary.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE day(text)")
    connection.close()
    before = path.read_bytes()
    with filled:
        endpoint = filled.start()
        with WireClient(endpoint) as client:
            assert b"<Name>diary</Name>" not in client.request("GET", "/").body
            assert client.request("PUT", "/diary").status in (400, 409, 500)
            assert client.request("GET", "/diary").status >= 400
        intact(endpoint, BUCKET, [0, 1, 2, 3])
        assert filled.stop() == 0
    assert path.read_bytes() == before


def test_a_second_server(tmp_path: Path):
    """Two processes never write to one directory; the second says why it will not."""
    with ServerProcess(tmp_path / "data", tmp_path) as first:
        endpoint = first.start()
        fill(endpoint)
        (tmp_path / "other").mkdir()
        second = ServerProcess(tmp_path / "data", tmp_path / "other")
        with pytest.raises(RuntimeError, match="in use"):
            second.start()
        assert "Traceback" not in second.log_end()
        intact(endpoint, BUCKET, [0, 1, 2, 3])
        assert first.stop() == 0


def test_a_reader_beside_a_writer(tmp_path: Path):
    with ServerProcess(tmp_path / "data", tmp_path) as first:
        endpoint = first.start()
        fill(endpoint)
        (tmp_path / "other").mkdir()
        with ServerProcess(tmp_path / "data", tmp_path / "other", flags=["--read-only"]) as second:
            reader = second.start()
            intact(reader, BUCKET, [0, 1, 2, 3])
            with WireClient(reader) as client, WireClient(endpoint) as writer:
                refused = client.request("PUT", f"{BUCKET}/new", body=b"x")
                assert (refused.status, refused.code) == (403, "AccessDenied")
                assert writer.request("PUT", f"{BUCKET}/new", body=b"x").status == 200
                assert client.request("GET", f"{BUCKET}/new").body == b"x"
            assert second.stop() == 0
        assert first.stop() == 0
        check_directory(first.data)


def test_few_descriptors(tmp_path: Path):
    """With all descriptors taken by idle connections the server goes on, and recovers."""
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        endpoint = server.start()
        fill(endpoint)
        held = sum(1 for _ in Path(f"/proc/{server.pid}/fd").iterdir())
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (held + 20, held + 20))
        crowd = []
        try:
            for _ in range(60):
                crowd.append(socket.create_connection((endpoint.host, endpoint.port), 5.0))
            time.sleep(0.5)
            used = cpu_seconds(server.pid)
            time.sleep(1.0)
            assert cpu_seconds(server.pid) - used < 0.7, "it spins while it cannot accept"
        finally:
            for connection in crowd:
                connection.close()
        deadline = time.monotonic() + 15
        while True:
            try:
                intact(endpoint, BUCKET, [0])
                break
            except (OSError, AssertionError):
                assert time.monotonic() < deadline, "it does not recover"
                time.sleep(0.1)
        assert server.is_alive()
        assert server.stop() == 0
        check_directory(server.data)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_clock_that_goes_back(tmp_path: Path):
    """The clock is a year behind after a restart: objects stay readable, and can be replaced."""
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("needs faketime: apt-get install faketime")
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        fill(server.start())
        assert server.stop() == 0
    library = subprocess.run(
        [faketime, "-f", "-365d", "printenv", "LD_PRELOAD"], capture_output=True, text=True
    ).stdout.strip()
    past = SystemClock().now_ms() - 365 * 86_400_000
    environment = {"LD_PRELOAD": library, "FAKETIME": "-365d"}
    with ServerProcess(tmp_path / "data", tmp_path, environment=environment) as server:
        endpoint = server.start()
        with WireClient(endpoint, clock=ManualClock(past)) as client:
            for number in range(4):
                reply = client.request("GET", f"{BUCKET}/{number}")
                assert (reply.status, reply.body) == (200, body_of(number))
            newer = client.request("PUT", f"{BUCKET}/0", body=b"newer")
            assert newer.status == 200
            guard = {"if-match": newer.etag}
            assert client.request("DELETE", f"{BUCKET}/0", guard).status == 204
        assert server.stop() == 0
    check_directory(server.data)
