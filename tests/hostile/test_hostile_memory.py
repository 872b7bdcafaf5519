"""Many large things at once: the server's memory stays flat, whatever clients send or ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from forge import md5
from lab import Lab

from cenote.testing import ServerProcess, WireClient

CLIENTS = 8
LARGE = 24 << 20
GROWTH_MAX = 64 << 20  # bytes, for 192 MiB under way


@contextmanager
def growth_watched(server: ServerProcess) -> Iterator[None]:
    """Demand that the resident set grows by less than GROWTH_MAX at any time in the block."""
    before = peak = server.memory()
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.is_set():
            peak = max(peak, server.memory())
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert peak - before < GROWTH_MAX, f"grew by {(peak - before) >> 20} MiB"


def all_at_once(lab: Lab, work: Callable[[WireClient, int], None]) -> None:
    faults: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with lab.client() as client:
                work(client, number)
        except BaseException as fault:  # noqa: BLE001 - raised again below
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def test_large_objects_at_once(lab: Lab, victim: ServerProcess):
    body = bytes(LARGE)

    def upload(client: WireClient, number: int) -> None:
        path = f"/{lab.bucket}/large-{number}"
        length = {"content-length": str(LARGE)}
        client.send(client.head("PUT", path, length, payload="UNSIGNED-PAYLOAD"))
        client.send(body)
        assert client.reply("PUT").status == 200

    def download(client: WireClient, number: int) -> None:
        client.send(client.head("GET", f"/{lab.bucket}/large-{number}"))
        left = LARGE
        while left > 0:
            left -= len(client.connect().recv(1 << 20))

    def remove(client: WireClient, number: int) -> None:
        assert client.request("DELETE", f"/{lab.bucket}/large-{number}").status == 204

    with growth_watched(victim):
        all_at_once(lab, upload)
        all_at_once(lab, download)
    all_at_once(lab, remove)


def test_large_documents_sent_ahead(lab: Lab, victim: ServerProcess):
    """Each client sends ten lists of 1000 long keys before it reads an answer."""
    keys = "".join(f"<Object><Key>{'k' * 900}{n}</Key></Object>" for n in range(1000))
    body = f"<Delete>{keys}</Delete>".encode()

    def work(client: WireClient, number: int) -> None:
        headers = {"content-md5": md5(body)}
        request = client.head("POST", f"/{lab.bucket}?delete", headers, body) + body
        sender = threading.Thread(target=client.connect().sendall, args=(request * 10,))
        sender.start()
        for _ in range(10):
            assert client.reply("POST").status == 200
        sender.join()

    with growth_watched(victim):
        all_at_once(lab, work)
