"""Workers, the writer and their parent killed under load: the service goes on, nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger import Ledger, Value
from survey import check_directory, survey
from workload import BUCKET

from cenote.testing import Endpoint, Reply, ServerProcess, WireClient

MIB = 1 << 20


def processes(parent: int) -> dict[str, int]:
    """Return the children of a process by name."""
    found = {}
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
    return found


def wait_until(holds: Callable[[], object], limit: float = 20.0) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Three workers and a writer, with a bucket."""
    with ServerProcess(tmp_path / "data", tmp_path, flags=["--workers", "3"]) as server:
        with WireClient(server.start()) as client:
            assert client.request("PUT", BUCKET).status == 200
        yield server


class Writer(threading.Thread):
    """A client that goes on whatever breaks, and takes down what it was told."""

    def __init__(self, number: int, endpoint: Endpoint, ledger: Ledger, seed: int) -> None:
        super().__init__(name=f"writer-{number}")
        self.fault: BaseException | None = None
        self.done = 0
        self._number = number
        self._endpoint = endpoint
        self._ledger = ledger
        self._rng = random.Random(f"{seed}-{number}")
        self._made = 0
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    with WireClient(self._endpoint, timeout=30.0) as wire:
                        while not self._stopping.is_set():
                            self._step(wire)
                except (ConnectionError, TimeoutError):
                    time.sleep(0.01)
        except BaseException as fault:  # noqa: BLE001 - raised again by whoever joins
            self.fault = fault

    def _step(self, wire: WireClient) -> None:
        key = f"w{self._number}/{self._rng.randrange(8)}"
        path = f"{BUCKET}/{key}"
        if key in self._ledger.doubts:
            self._judge(key, wire.request("GET", path))
            return
        choice = self._rng.random()
        if choice < 0.2:
            self._judge(key, wire.request("GET", path))
        elif choice < 0.3:
            with self._ledger.attempt(key, None) as attempt:
                attempt.settle(wire.request("DELETE", path))
        else:
            self._made += 1
            size = self._rng.choice([0, 100, 5000, 50_000, 400_000])
            value = Value(((self._made * 1000 + self._number, size),), f"v{self._made}")
            with self._ledger.attempt(key, value) as attempt:
                reply = wire.request("PUT", path, value.headers(), value.body())
                attempt.settle(reply)
                assert reply.status in (200, 500, 503), (reply.status, reply.code)
        self.done += 1

    def _judge(self, key: str, reply: Reply) -> None:
        if reply.status < 500:
            assert not (wrong := self._ledger.judge(key, reply)), wrong


def kill_under_load(server: ServerProcess, victim: str, times: int) -> None:
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    ledger = Ledger()
    writers = [Writer(n, server.endpoint, ledger, seed) for n in range(8)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(times):
            time.sleep(rng.uniform(0.1, 0.6))
            before = sum(writer.done for writer in writers)
            os.kill(processes(server.pid)[victim], signal.SIGKILL)
            wait_until(lambda: sum(writer.done for writer in writers) > before + 100)  # noqa: B023
            wait_until(lambda: len(processes(server.pid)) == 4)
    finally:
        for writer in writers:
            writer.stop()
        for writer in writers:
            writer.join()
    assert [writer.fault for writer in writers if writer.fault] == [], f"seed {seed}"
    survey(server.endpoint, ledger)
    check_directory(server.data)
    assert server.stop() == 0, server.log_end()
    check_directory(server.data)
    assert ledger.acknowledged > 20 * times


@pytest.mark.parametrize("victim", ["cenote-worker-2", "cenote-writer"])
def test_a_killed_process_is_replaced_and_nothing_is_lost(server: ServerProcess, victim: str):
    kill_under_load(server, victim, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["cenote-worker-2", "cenote-writer"])
def test_processes_killed_25_times(server: ServerProcess, victim: str):
    kill_under_load(server, victim, 25)


def test_no_process_outlives_the_parent(server: ServerProcess):
    children = processes(server.pid)
    assert sorted(children) == [
        "cenote-worker-1",
        "cenote-worker-2",
        "cenote-worker-3",
        "cenote-writer",
    ]
    server.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in children.values()))
    with WireClient(server.start()) as client:
        assert client.request("GET", BUCKET).status == 200


def test_a_signal_to_all_processes_ends_them_in_order(server: ServerProcess):
    """A terminal's ^C, or a service manager, tells every process at once."""
    children = processes(server.pid)
    with WireClient(server.endpoint) as client:
        assert client.request("PUT", f"{BUCKET}/k", (), b"x" * 200_000).status == 200
    for pid in children.values():
        os.kill(pid, signal.SIGTERM)
    assert server.stop() == 0, server.log_end()
    assert not any(is_alive(pid) for pid in children.values())
    assert not list(server.data.glob("*-wal")), "the log was not copied back"
    check_directory(server.data)


def half_a_put(client: WireClient, path: str, body: bytes) -> None:
    data = client.head("PUT", path, (), body)
    client.send(data + body[: len(body) // 2])


def pack_blocks(data: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in data.glob("*.packs/*.pack"))


def test_space_of_a_body_whose_worker_died_is_given_back(server: ServerProcess):
    body = os.urandom(8 * MIB)
    with WireClient(server.endpoint) as client:
        half_a_put(client, f"{BUCKET}/half", body)
        wait_until(lambda: pack_blocks(server.data) > 2 * MIB)
        for name, pid in processes(server.pid).items():
            if "worker" in name:
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pack_blocks(server.data) < MIB)
    wait_until(lambda: len(processes(server.pid)) == 4)
    check_directory(server.data)


def test_a_body_begun_under_another_writer_is_refused(server: ServerProcess):
    body = os.urandom(8 * MIB)
    with WireClient(server.endpoint) as client, WireClient(server.endpoint) as other:
        assert client.request("PUT", f"{BUCKET}/before", (), body).status == 200
        half_a_put(client, f"{BUCKET}/half", body)
        wait_until(lambda: pack_blocks(server.data) > 10 * MIB)
        os.kill(processes(server.pid)["cenote-writer"], signal.SIGKILL)
        wait_until(lambda: other.request("PUT", f"{BUCKET}/next", (), body).status == 200)
        client.send(body[len(body) // 2 :])
        assert client.reply("PUT").status in (500, 503)
        assert client.request("GET", f"{BUCKET}/half").status == 404
        for key in ("before", "next"):
            assert client.request("GET", f"{BUCKET}/{key}").body == body
        assert client.request("PUT", f"{BUCKET}/half", (), body).status == 200
    check_directory(server.data)


def read_to_end(sock: socket.socket, so_far: bytes) -> bytes:
    pieces = [so_far]
    while piece := sock.recv(MIB):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("writer_dies", [False, True])
def test_a_download_outlives_its_object(server: ServerProcess, writer_dies: bool):
    """Space is given back only when no worker sends it, though another process gives it back."""
    body = os.urandom(48 * MIB)
    path = f"{BUCKET}/big"
    with WireClient(server.endpoint) as one, WireClient(server.endpoint) as two:
        assert one.request("PUT", path, (), body).status == 200
        head = one.head("GET", path, [("connection", "close")], b"")
        sock = socket.create_connection((server.endpoint.host, server.endpoint.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(head)
        begun = sock.recv(1024)
        assert two.request("DELETE", path).status == 204
        if writer_dies:
            os.kill(processes(server.pid)["cenote-writer"], signal.SIGKILL)
        # A body of the same pack that goes as well shows that space is being given back.
        small = f"{BUCKET}/small"
        wait_until(lambda: two.request("PUT", small, (), body[: 8 * MIB]).status == 200)
        before = pack_blocks(server.data)
        assert two.request("DELETE", small).status == 204
        wait_until(lambda: pack_blocks(server.data) < before - 7 * MIB)
        assert pack_blocks(server.data) > 40 * MIB
        answer = read_to_end(sock, begun)
        sock.close()
        assert answer.endswith(body)
        wait_until(lambda: pack_blocks(server.data) < 8 * MIB)
    check_directory(server.data)


def test_a_deleted_bucket_is_gone_for_every_worker(server: ServerProcess):
    clients = [WireClient(server.endpoint) for _ in range(12)]  # spread over the workers
    for number in range(10):
        bucket = "/comes-and-goes"
        text = f"round {number}".encode()
        assert clients[0].request("PUT", bucket).status == 200
        assert clients[1].request("PUT", f"{bucket}/k", (), text).status == 200
        for client in clients:
            assert client.request("GET", f"{bucket}/k").body == text
        assert clients[2].request("DELETE", f"{bucket}/k").status == 204
        for client in clients:
            assert client.request("HEAD", f"{bucket}/k").status == 404
        assert clients[3].request("DELETE", bucket).status == 204
        for client in clients:
            reply = client.request("GET", f"{bucket}/k")
            assert (reply.status, reply.code) == (404, "NoSuchBucket")
    for client in clients:
        client.close()
    assert server.stop() == 0
    check_directory(server.data)


def test_what_one_worker_acknowledged_all_show(server: ServerProcess):
    clients = [WireClient(server.endpoint) for _ in range(12)]
    for number in range(100):
        body = f"{number}".encode() * (1 if number % 5 else 20_000)
        writer = clients[number % 12]
        assert writer.request("PUT", f"{BUCKET}/k", (), body).status == 200
        for client in clients[:4]:
            assert client.request("GET", f"{BUCKET}/k").body == body
    for client in clients:
        client.close()


def test_metrics_are_of_all_workers_and_do_not_go_down(server: ServerProcess):
    def puts() -> int:
        with WireClient(server.endpoint) as client:
            client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            text = client.reply().body.decode()
        line = 'cenote_requests_total{operation="PutObject",status="200"} '
        return sum(int(row.removeprefix(line)) for row in text.splitlines() if row.startswith(line))

    for _ in range(30):
        with WireClient(server.endpoint) as client:
            assert client.request("PUT", f"{BUCKET}/k", (), b"x").status == 200
    assert puts() == 30
    os.kill(processes(server.pid)["cenote-worker-1"], signal.SIGKILL)
    wait_until(lambda: len(processes(server.pid)) == 4)
    assert puts() == 30


def test_a_second_server_gets_neither_port_nor_directory(server: ServerProcess, tmp_path: Path):
    def refused(data: Path, port: str) -> str:
        command = [sys.executable, "-m", "cenote", "serve", str(data), "--port", port]
        command += ["--workers", "2", "--access-key", "abc", "--secret-key", "12345678"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert run.returncode != 0
        return run.stderr

    assert "in use by another process" in refused(server.data, "0")
    assert "cannot listen" in refused(tmp_path / "other", str(server.endpoint.port))


def test_a_read_only_family(server: ServerProcess, tmp_path: Path):
    with WireClient(server.endpoint) as client:
        for key, size in (("small", 100), ("big", MIB)):
            assert client.request("PUT", f"{BUCKET}/{key}", (), b"x" * size).status == 200
    assert server.stop() == 0
    scratch = tmp_path / "reader"
    scratch.mkdir()
    with ServerProcess(server.data, scratch, flags=["--workers", "2", "--read-only"]) as reader:
        with WireClient(reader.start()) as client:
            assert client.request("GET", f"{BUCKET}/small").body == b"x" * 100
            assert client.request("GET", f"{BUCKET}/big").body == b"x" * MIB
            reply = client.request("PUT", f"{BUCKET}/k", (), b"x")
            assert (reply.status, reply.code) == (403, "AccessDenied")
            client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"cenote_workers 2" in client.reply().body
        assert reader.stop() == 0, reader.log_end()
