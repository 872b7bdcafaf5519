"""A disk whose sync fails: nothing is acknowledged, what was is kept, and the service recovers.

The kernel tells of a failed sync once, and may forget the bytes it could not write
(https://wiki.postgresql.org/wiki/Fsync_Errors): trying again and believing the success loses data.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from survey import check_directory
from workload import BUCKET

from cenote.testing import Reply, ServerProcess, WireClient

BIG = 300_000


@contextmanager
def failing(server: ServerProcess, calls: str) -> Iterator[None]:
    """Let these system calls of a running server fail with EIO, by strace."""
    pids = [server.pid, *server.children()]
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace: apt-get install strace")
    tracer = subprocess.Popen(
        [
            strace,
            "-f",
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={calls}:error=EIO",
            *[part for pid in pids for part in ("-p", str(pid))],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    try:
        for _ in pids:
            line = tracer.stderr.readline()
            if "attached" not in line:
                pytest.skip(f"strace cannot attach: {line.strip()}")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.stderr.read()
        tracer.stderr.close()
        tracer.wait()


def refused(reply: Reply) -> bool:
    return (reply.status, reply.code) in ((500, "InternalError"), (503, "ServiceUnavailable"))


def body_of(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


@pytest.mark.parametrize("flags", [(), ("--workers", "2")], ids=["one process", "family"])
def test_refused_while_syncs_fail(tmp_path: Path, flags: tuple[str, ...]):
    with ServerProcess(tmp_path / "data", tmp_path, flags=flags) as server:
        endpoint = server.start()
        with WireClient(endpoint) as client:
            assert client.request("PUT", BUCKET).status == 200
            for number, size in enumerate([10, 3000, BIG]):
                path = f"{BUCKET}/{number}"
                assert client.request("PUT", path, body=body_of(number, size)).status == 200
            with failing(server, "fsync,fdatasync"):
                attempts = [
                    ("PUT", f"{BUCKET}/small", body_of(7, 100)),
                    ("PUT", f"{BUCKET}/large", body_of(8, BIG)),
                    ("PUT", f"{BUCKET}/0", body_of(9, 100)),
                    ("DELETE", f"{BUCKET}/1", b""),
                    ("PUT", "/another-bucket", b""),
                ]
                for method, path, body in attempts:
                    reply = client.request(method, path, (), body)
                    assert refused(reply), (method, path, reply.status, reply.body)
                for number, size in enumerate([10, 3000, BIG]):
                    found = client.request("GET", f"{BUCKET}/{number}")
                    assert (found.status, found.body) == (200, body_of(number, size))
                for path in (f"{BUCKET}/small", f"{BUCKET}/large", "/another-bucket"):
                    assert client.request("HEAD", path).status == 404
            until_stored(client, f"{BUCKET}/after", body_of(10, BIG))
            until_stored(client, f"{BUCKET}/after-small", body_of(11, 10))
        server.kill()
        endpoint = server.start()
        with WireClient(endpoint) as client:
            held = [("0", 0, 10), ("1", 1, 3000), ("2", 2, BIG)]
            held += [("after", 10, BIG), ("after-small", 11, 10)]
            for key, number, size in held:
                found = client.request("GET", f"{BUCKET}/{key}")
                assert (found.status, found.body) == (200, body_of(number, size)), key
            for key in ("small", "large"):
                assert client.request("HEAD", f"{BUCKET}/{key}").status == 404
        assert server.stop() == 0
        check_directory(server.data)


def test_reads_that_fail(tmp_path: Path):
    """A disk that cannot be read: an error or a cut connection, never other bytes."""
    with ServerProcess(tmp_path / "data", tmp_path) as server:
        endpoint = server.start()
        with WireClient(endpoint, timeout=20.0) as client:
            assert client.request("PUT", BUCKET).status == 200
            for number, size in enumerate([10, 40_000, BIG]):
                path = f"{BUCKET}/{number}"
                assert client.request("PUT", path, body=body_of(number, size)).status == 200
            with failing(server, "pread64,sendfile"):
                for number, size in enumerate([10, 40_000, BIG]):
                    try:
                        reply = client.request("GET", f"{BUCKET}/{number}")
                    except ConnectionError:
                        client.close()
                        continue
                    assert refused(reply) or reply.body == body_of(number, size)
            for number, size in enumerate([10, 40_000, BIG]):
                reply = client.request("GET", f"{BUCKET}/{number}")
                assert (reply.status, reply.body) == (200, body_of(number, size))
            until_stored(client, f"{BUCKET}/after", b"x")
        assert server.stop() == 0
        check_directory(server.data)


def until_stored(client: WireClient, path: str, body: bytes, limit: float = 10.0) -> None:
    deadline = time.monotonic() + limit
    while True:
        reply = client.request("PUT", path, body=body)
        if reply.status == 200:
            return
        assert refused(reply), reply.body
        assert time.monotonic() < deadline, "writes do not recover"
        time.sleep(0.1)
