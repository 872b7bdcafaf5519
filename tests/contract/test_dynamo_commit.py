"""Conditional puts by a table of locks, against a table in the test and moto's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from locktable import ACCESS_KEY, REGION, SECRET_KEY, LockTable

from cenote.base import ManualClock, SystemClock
from cenote.errors import (
    AlreadyExistsError,
    ConflictError,
    DataError,
    DeniedError,
    InvalidError,
    PreconditionError,
    UnavailableError,
)
from cenote.objstore import (
    AwsKeys,
    DynamoCommitStore,
    DynamoTable,
    Fault,
    FaultyStore,
    JsonService,
    MemoryStore,
    ObjectStore,
    RetryingStore,
    scripted,
)


@pytest.fixture
def table() -> Iterator[LockTable]:
    with LockTable() as table:
        yield table


class NoConditions(MemoryStore):
    """A store that has no conditional puts."""

    def put_if_absent(self, path, data, *, write_id=None):  # type: ignore[no-untyped-def]
        raise AssertionError("not to be used")

    def put_if_match(self, path, data, etag, *, write_id=None):  # type: ignore[no-untyped-def]
        raise AssertionError("not to be used")


def store_of(
    table: LockTable,
    inner: ObjectStore | None = None,
    *,
    clock: Any = None,
    timeout_ms: int = 20_000,
    name: str = "locks",
    secret: str = SECRET_KEY,
) -> DynamoCommitStore:
    clock = clock or ManualClock()
    service = JsonService(
        table.endpoint,
        keys=AwsKeys(ACCESS_KEY, secret),
        region=REGION,
        service="dynamodb",
        clock=SystemClock(),
        timeout_seconds=10,
    )
    locks = DynamoTable(service, name, timeout_ms=timeout_ms, clock=clock)
    return DynamoCommitStore(inner or NoConditions(), locks, clock=clock)


def test_an_item_has_the_shape_other_clients_know(table: LockTable) -> None:
    clock = ManualClock(1_700_000_000_000)
    store = store_of(table, clock=clock)
    first = store.put_if_absent("db/manifest/1", b"x", write_id="me")
    store.put_if_match("db/manifest/1", b"y", first.etag)
    assert set(table.items) == {("db/manifest/1", "*"), ("db/manifest/1", first.etag)}
    assert table.items["db/manifest/1", "*"] == {
        "path": {"S": "db/manifest/1"},
        "etag": {"S": "*"},
        "generation": {"N": "0"},
        "timeout": {"N": "20000"},
        "ttl": {"N": str(1_700_000_000 + 3600)},
        "owner": {"S": "me"},
    }


def test_refusals_cost_no_lock(table: LockTable) -> None:
    store = store_of(table)
    store.inner.put("a", b"x")
    with pytest.raises(AlreadyExistsError):
        store.put_if_absent("a", b"y")
    with pytest.raises(PreconditionError):
        store.put_if_match("a", b"y", "other")
    with pytest.raises(PreconditionError):
        store.put_if_match("absent", b"y", "other")
    assert table.requests == []


@pytest.mark.parametrize("lost", [1, 3])
def test_a_lost_lock_reply_is_made_up_for(table: LockTable, lost: int) -> None:
    store = store_of(table)
    table.lose = lost
    store.put_if_absent("a", b"x")
    assert store.inner.get("a").data == b"x"
    assert table.items["a", "*"]["generation"] == {"N": "1"}  # taken over from ourselves


def test_a_lost_put_reply_is_recognised(table: LockTable) -> None:
    memory = MemoryStore()
    store = store_of(table, FaultyStore(memory, scripted([Fault.AFTER], ops=["put"])))
    made = store.put_if_absent("a", b"x")
    assert made.etag == memory.head("a").etag


def test_a_put_that_failed_may_be_tried_again_at_once(table: LockTable) -> None:
    faulty = FaultyStore(MemoryStore(), scripted([Fault.BEFORE] * 2, ops=["put"]))
    clock = ManualClock()
    store = RetryingStore(store_of(table, faulty, clock=clock), clock=clock)
    store.put_if_absent("a", b"x")
    assert clock.monotonic() < 5


def test_a_dead_holders_lock_is_taken_over_after_three_timeouts(table: LockTable) -> None:
    clock = ManualClock()
    memory = MemoryStore()
    dead = FaultyStore(memory, scripted([Fault.BEFORE], ops=["put"]))
    with pytest.raises(UnavailableError):
        store_of(table, dead, clock=clock).put_if_absent("a", b"x")
    started = clock.monotonic()
    store_of(table, memory, clock=clock).put_if_absent("a", b"y")
    assert 60 <= clock.monotonic() - started < 62
    assert table.items["a", "*"]["generation"] == {"N": "1"}


def test_who_waits_sees_the_holder_finish(table: LockTable) -> None:
    memory = MemoryStore()
    table.items["a", "*"] = {  # as object_store writes it: no owner
        "path": {"S": "a"},
        "etag": {"S": "*"},
        "generation": {"N": "4"},
        "timeout": {"N": "20000"},
        "ttl": {"N": "1"},
    }

    class Finishing(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.monotonic() > 1:
                memory.put("a", b"theirs")

    clock = Finishing()
    with pytest.raises(AlreadyExistsError):
        store_of(table, memory, clock=clock).put_if_absent("a", b"mine")
    assert clock.monotonic() < 2
    assert memory.get("a").data == b"theirs"


def test_a_holder_that_was_held_up_does_not_put(table: LockTable) -> None:
    class Sleepy(ManualClock):
        looks = 0

        def monotonic(self) -> float:
            self.looks += 1
            if self.looks == 2:  # between the lock and the put
                self.advance(21)
            return super().monotonic()

    store = store_of(table, clock=Sleepy())
    with pytest.raises(UnavailableError) as caught:
        store.put_if_absent("a", b"x")
    assert caught.value.kind == "lock_timeout"
    assert not caught.value.effect_unknown
    assert list(store.inner.list()) == []


def test_one_of_32_racers_wins(table: LockTable) -> None:
    memory = NoConditions()
    gate = threading.Barrier(32)

    def race(number: int) -> bool:
        store = store_of(table, memory, clock=SystemClock())
        gate.wait()
        try:
            store.put_if_absent("a", b"%d" % number)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(race, range(32))) == 1


def test_what_a_table_refuses(table: LockTable) -> None:
    with pytest.raises(DeniedError):
        store_of(table, secret="wrong").put_if_absent("a", b"x")
    with pytest.raises(InvalidError) as caught:
        store_of(table, name="other").put_if_absent("a", b"x")
    assert "ResourceNotFoundException" in caught.value.message
    table.throttle = 2
    store_of(table).put_if_absent("a", b"x")
    table.items["b", "*"] = {"path": {"S": "b"}, "generation": {"N": "many"}}
    with pytest.raises(DataError):
        store_of(table).put_if_absent("b", b"x")


def test_no_table_means_no_effect() -> None:
    with LockTable() as table:
        store = store_of(table)
    with pytest.raises(UnavailableError) as caught:
        store.put_if_absent("a", b"x")
    assert not caught.value.effect_unknown
    assert list(store.inner.list()) == []


@pytest.mark.e2e
def test_moto_keeps_such_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    from cenote.objstore import open_store, torture

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    moto = ThreadedMotoServer("127.0.0.1", 0)
    moto.start()
    try:
        host, port = moto.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        arguments = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        boto3.client("s3", **arguments).create_bucket(Bucket="slatedb")
        boto3.client("dynamodb", **arguments).create_table(
            TableName="slatedb",
            KeySchema=[
                {"AttributeName": "path", "KeyType": "HASH"},
                {"AttributeName": "etag", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "path", "AttributeType": "S"},
                {"AttributeName": "etag", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        uri = f"s3://slatedb/test?endpoint={endpoint}&allow_http=true&region=us-east-1"
        with open_store(f"{uri}&conditional_put=dynamo:slatedb:1000") as store:
            store.put_if_absent("a", b"x")
            with pytest.raises(AlreadyExistsError):
                store.put_if_absent("a", b"y")
            store.put_if_match("a", b"z", store.head("a").etag)
            assert store.get("a").data == b"z"
            bad = {
                line.name: line.trial
                for line in torture(store, racers=4, rounds=1)
                if line.trial.verdict.value != "honoured"
            }
            assert bad == {}
    finally:
        moto.stop()
