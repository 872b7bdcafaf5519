"""Clients that are slow, leave too early, come in crowds, or never finish what they began.

Each server here runs with limits of a second or two, so that the waiting is short.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forge import Forge
from lab import Lab

from cenote.testing import ConnectionLost, ServerProcess, WireClient

CONNECTIONS = 40
LIMITS = {
    "CENOTE_LIMITS__HEAD_TIMEOUT": "1",
    "CENOTE_LIMITS__IDLE_TIMEOUT": "1",
    "CENOTE_LIMITS__BODY_WINDOW": "1",
    "CENOTE_LIMITS__BODY_RATE_MIN": "1000",
    "CENOTE_LIMITS__SEND_TIMEOUT": "1",
    "CENOTE_LIMITS__CONNECTIONS_MAX": str(CONNECTIONS),
}
PATIENCE = 8.0  # seconds: the limits and a busy machine
BIG = 32 << 20


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    scratch = tmp_path_factory.mktemp("strict")
    with ServerProcess(scratch / "data", scratch, environment=LIMITS) as server:
        server.start()
        yield server
        assert server.stop() == 0, server.log_end()
    check(server.data)


def check(data: Path) -> None:
    command = [sys.executable, "-m", "cenote", "check", "--deep", str(data)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def arena(strict: ServerProcess) -> Lab:
    lab = Lab(strict.endpoint, Forge(strict.endpoint), "hostile-bucket", b"stored")
    with lab.client() as client:
        assert client.request("PUT", f"/{lab.bucket}").status == 200
        assert client.request("PUT", lab.seed, body=lab.stored).status == 200
        assert client.request("PUT", f"/{lab.bucket}/big", body=bytes(BIG)).status == 200
    return lab


@pytest.fixture(autouse=True)
def still_well(strict: ServerProcess, arena: Lab) -> Iterator[None]:
    yield
    assert strict.is_alive(), strict.log_end()
    reply = arena.get(arena.seed)
    assert (reply.status, reply.body) == (200, arena.stored)


def until_ended(client: WireClient) -> None:
    """Demand that the server ends the connection; a reply before that is welcome."""
    with contextlib.suppress(ConnectionLost, ConnectionResetError):
        reply = client.reply()
        assert (reply.status, reply.code) == (400, "RequestTimeout")
    assert client.ended(PATIENCE)


def test_a_head_that_trickles(arena: Lab):
    with arena.client() as client:
        client.connect()
        for byte in b"GET / HTTP/1.1\r\nx-a: " + b"a" * 40:
            try:
                client.send(bytes([byte]))
            except OSError:
                return
            if client.ended(0.1):
                return
        until_ended(client)


def test_a_connection_that_says_nothing(arena: Lab):
    with arena.client() as client:
        client.connect()
        assert client.ended(PATIENCE)


def test_a_connection_kept_and_not_used(arena: Lab):
    with arena.client() as client:
        assert client.request("GET", arena.seed).status == 200
        assert client.ended(PATIENCE)


@pytest.mark.parametrize("size", [1000, 1 << 20], ids=["small", "large"])
def test_a_body_that_stops(arena: Lab, size: int):
    path = arena.fresh
    with arena.client() as client:
        client.send(arena.forge.request("PUT", path, body=bytes(size))[: -size // 2])
        until_ended(client)
    assert arena.get(path).status == 404


def test_a_body_that_trickles(arena: Lab):
    path = arena.fresh
    with arena.client() as client:
        data = arena.forge.request("PUT", path, body=bytes(2000))
        client.send(data[:-1990])
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                client.send(b"\0")
            if client.ended(0.2):
                break
        until_ended(client)
    assert arena.get(path).status == 404


def test_a_download_nobody_reads(arena: Lab, strict: ServerProcess):
    """The client asks for 32 MiB and does not read: it is let go, and its memory too."""
    before = strict.memory()
    clients = []
    for _ in range(8):
        client = arena.client()
        client.connect().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(client.head("GET", f"/{arena.bucket}/big"))
        clients.append(client)
    time.sleep(1.0)
    assert strict.memory() - before < 48 << 20
    settled(strict)
    for client in clients:
        client.close()


def test_disconnects_mid_body(arena: Lab, strict: ServerProcess):
    for size in (10, 5000, 200_000, 3 << 20):
        for part in (0.0, 0.5, 0.99):
            path = arena.fresh
            with arena.client() as client:
                data = arena.forge.request("PUT", path, body=bytes(size))
                client.send(data[: len(data) - size + int(size * part)])
            assert arena.get(path).status == 404
    settled(strict)


def test_disconnects_mid_download(arena: Lab, strict: ServerProcess):
    for _ in range(10):
        with arena.client() as client:
            client.send(client.head("GET", f"/{arena.bucket}/big"))
            client.connect().recv(1000)
    settled(strict)


def test_resets_mid_download(arena: Lab, strict: ServerProcess):
    linger = (1).to_bytes(4, sys.byteorder) + bytes(4)
    for _ in range(10):
        with arena.client() as client:
            client.connect().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            client.send(client.head("GET", f"/{arena.bucket}/big"))
            client.connect().recv(1000)
    settled(strict)


def test_disconnects_during_complete(arena: Lab):
    """Whether the answer is heard or not: the object is whole or the upload is still there."""
    for number in range(6):
        path = arena.fresh
        begun = arena.send(arena.forge.request("POST", path + "?uploads"), "POST")
        upload = begun.body.decode().partition("<UploadId>")[2].partition("<")[0]
        target = f"{path}?partNumber=1&uploadId={upload}"
        etag = arena.send(arena.forge.request("PUT", target, body=b"part"), "PUT").etag
        body = (
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
            f"<ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        ).encode()
        data = arena.forge.request("POST", f"{path}?uploadId={upload}", body=body)
        with arena.client() as client:
            client.send(data if number % 2 else data[:-10])
        deadline = time.monotonic() + PATIENCE
        while (found := arena.get(path)).status == 404 and number % 2:
            assert time.monotonic() < deadline
        listed = arena.get(f"{path}?uploadId={upload}").status
        assert (found.status, listed) == ((200, 404) if number % 2 else (404, 200))


def test_half_close_after_the_request(arena: Lab):
    with arena.client() as client:
        client.send(client.head("GET", arena.seed))
        client.finish_sending()
        assert client.reply().body == arena.stored
        assert client.ended(PATIENCE)


def test_half_close_before_the_request(arena: Lab):
    with arena.client() as client:
        client.connect()
        client.finish_sending()
        assert client.ended(PATIENCE)


def test_a_crowd_up_to_the_limit_and_beyond(arena: Lab, strict: ServerProcess):
    """Those beyond the limit are told 503 and closed; those within it are served."""
    time.sleep(0.2)
    crowd = [arena.client() for _ in range(CONNECTIONS + 20)]
    served = refused = 0
    try:
        for client in crowd:
            client.connect()
        for client in crowd:
            try:
                reply = client.request("GET", arena.seed)
            except ConnectionError:
                refused += 1
                continue
            if reply.status == 200:
                served += 1
            else:
                assert (reply.status, reply.code) == (503, "SlowDown")
                assert reply.closes
                refused += 1
    finally:
        for client in crowd:
            client.close()
    assert served + refused == len(crowd)
    assert served >= CONNECTIONS // 2
    assert refused >= 1
    settled(strict)


def test_a_thousand_short_connections(arena: Lab, strict: ServerProcess):
    """Connections that come and go leave nothing behind."""
    settled(strict)
    before = strict.open_files()
    for number in range(1000):
        with arena.client() as client:
            client.connect()
            if number % 3 == 0:
                client.send(b"GET / HT")
    settled(strict)
    assert strict.open_files() <= before + 5


def settled(server: ServerProcess) -> None:
    """Wait until every connection is forgotten: few descriptors are left."""
    deadline = time.monotonic() + PATIENCE
    while (sockets := count_sockets(server)) > 3:
        assert time.monotonic() < deadline, f"{sockets} sockets stay open"
        time.sleep(0.05)


def count_sockets(server: ServerProcess) -> int:
    """Return how many sockets the process holds; its loop and its listener are among them."""
    found = 0
    folder = f"/proc/{server.pid}/fd"
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
    return found
