"""What many clients see of a few keys could have happened one operation at a time.

Clients write, create, swap, delete and read at random; every operation's call, end and outcome is
taken down, and each key's history is judged by `cenote.testing.check`.
"""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path
from typing import Protocol

import pytest

from cenote.base import SystemClock
from cenote.buckets import Store
from cenote.errors import NotFoundError, PreconditionError
from cenote.testing import (
    Call,
    Create,
    Delete,
    DeleteIf,
    Endpoint,
    Get,
    History,
    Operation,
    Put,
    Swap,
    WireClient,
    check,
)

BUCKET = "histories"
BIG = 50_000  # characters: such a value does not fit inline


def body_of(value: str) -> bytes:
    """Return the bytes that stand for `value`; every fifth value is a large object."""
    number = int(value[1:])
    return (value + "|").encode() * (BIG // len(value) if number % 5 == 0 else 1)


def value_of(body: bytes) -> str:
    """Return the value, and demand that no byte of another is mixed in."""
    value = body.partition(b"|")[0].decode()
    assert body == body_of(value), f"a torn object at {value}"
    return value


def etag_of(value: str) -> str:
    return f'"{hashlib.md5(body_of(value)).hexdigest()}"'


class Client(Protocol):
    def perform(self, key: str, operation: Operation, call: Call) -> str | None:
        """Do it, settle the call, and return the value read, if it was a read."""
        ...

    def close(self) -> None: ...


class WireUser:
    """A client over HTTP."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = WireClient(endpoint, timeout=60.0)

    def perform(self, key: str, operation: Operation, call: Call) -> str | None:
        path = f"/{BUCKET}/{key}"
        match operation:
            case Get():
                reply = self._client.request("GET", path)
                assert reply.status in (200, 404)
                value = value_of(reply.body) if reply.status == 200 else None
                call.read(value)
                return value
            case Put(value):
                reply = self._client.request("PUT", path, body=body_of(value))
            case Create(value):
                guard = {"if-none-match": "*"}
                reply = self._client.request("PUT", path, guard, body_of(value))
            case Swap(expected, value):
                guard = {"if-match": etag_of(expected)}
                reply = self._client.request("PUT", path, guard, body_of(value))
            case Delete():
                reply = self._client.request("DELETE", path)
            case DeleteIf(expected):
                reply = self._client.request("DELETE", path, {"if-match": etag_of(expected)})
        if reply.status in (404, 412):
            call.refused()
        else:
            assert reply.status in (200, 204), (reply.status, reply.body)
            call.done()
        return None

    def close(self) -> None:
        self._client.close()


class StoreUser:
    """A client inside the process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def perform(self, key: str, operation: Operation, call: Call) -> str | None:
        store = self._store
        try:
            match operation:
                case Get():
                    try:
                        value = value_of(store.read_object(BUCKET, key))
                    except NotFoundError:
                        value = None
                    call.read(value)
                    return value
                case Put(value):
                    store.put_object(BUCKET, key, body_of(value))
                case Create(value):
                    store.put_object(BUCKET, key, body_of(value), if_none_match="*")
                case Swap(expected, value):
                    match_ = etag_of(expected)
                    store.put_object(BUCKET, key, body_of(value), if_match=match_)
                case Delete():
                    store.delete_object(BUCKET, key)
                case DeleteIf(expected):
                    store.delete_object(BUCKET, key, if_match=etag_of(expected))
        except (PreconditionError, NotFoundError):
            call.refused()
        else:
            call.done()
        return None

    def close(self) -> None:
        pass


def live(clients: list[Client], keys: int, operations: int, seed: int) -> History:
    """Let every client do `operations` things to random keys, all at once."""
    history = History(SystemClock())
    barrier = threading.Barrier(len(clients))
    faults: list[BaseException] = []

    def run(number: int, client: Client) -> None:
        rng = random.Random(seed * 1000 + number)
        last: dict[str, str | None] = {}
        barrier.wait()
        try:
            for step in range(operations):
                key = f"key-{seed}-{rng.randrange(keys)}"
                operation = choose(rng, f"v{(step * len(clients) + number) + 1}", last.get(key))
                with history.call(key, operation) as call:
                    read = client.perform(key, operation, call)
                if isinstance(operation, Get):
                    last[key] = read
        except BaseException as error:  # noqa: BLE001 - raised again below
            faults.append(error)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    if faults:
        raise faults[0]
    return history


def choose(rng: random.Random, value: str, last: str | None) -> Operation:
    """Pick an operation; those with an expectation expect what this client read last."""
    kind = rng.choice(["get", "get", "put", "create", "swap", "swap", "delete", "delete if"])
    if kind == "put":
        return Put(value)
    if kind == "create":
        return Create(value)
    if kind == "delete":
        return Delete()
    if kind == "swap" and last is not None:
        return Swap(last, value)
    if kind == "delete if" and last is not None:
        return DeleteIf(last)
    return Get()


def judge(history: History, seed: int) -> None:
    for key in history.keys():  # noqa: SIM118 - a method, not a mapping
        events = history.events(key)
        verdict = check(events)
        assert verdict.legal is True, (
            f"seed {seed}: {key}: {verdict.legal}, {len(verdict.order)} of {len(events)} in order; "
            f"the last: {verdict.order[-3:]}"
        )


def over_http(arena: Endpoint, clients: int, keys: int, operations: int) -> None:
    seed = random.randrange(1 << 32)
    with WireClient(arena) as client:
        assert client.request("PUT", f"/{BUCKET}").status in (200, 409)
    judge(live([WireUser(arena) for _ in range(clients)], keys, operations, seed), seed)


def in_process(root: Path, clients: int, keys: int, operations: int) -> None:
    seed = random.randrange(1 << 32)
    with Store(root) as store:
        store.create_bucket(BUCKET)
        judge(live([StoreUser(store) for _ in range(clients)], keys, operations, seed), seed)
        assert store.check(deep=True) == []


def test_over_http(arena: Endpoint):
    over_http(arena, clients=12, keys=3, operations=50)


def test_over_http_of_several_processes(family: Endpoint):
    """What one worker has acknowledged, every other one shows."""
    over_http(family, clients=12, keys=3, operations=50)


def test_in_process(tmp_path: Path):
    in_process(tmp_path / "data", clients=12, keys=3, operations=50)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["arena", "family"])
def test_over_http_long(request: pytest.FixtureRequest, server: str):
    endpoint: Endpoint = request.getfixturevalue(server)
    for _ in range(5):
        over_http(endpoint, clients=32, keys=6, operations=150)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_in_process_long(tmp_path: Path):
    for number in range(5):
        in_process(tmp_path / str(number), clients=32, keys=6, operations=150)
