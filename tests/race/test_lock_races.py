"""Many who want one lock item: one gets it, whoever is asked and whenever the server dies."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cenote.base import SystemRand
from cenote.buckets import Store
from cenote.dynamo import DynamoError
from cenote.server import BackgroundServer
from cenote.tables import LockTables
from cenote.testing import ServerProcess, ShiftedClock

LOCKS: dict[str, Any] = {
    "TableName": "locks",
    "KeySchema": [{"AttributeName": "LockID", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "LockID", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
FREE = "attribute_not_exists(LockID)"
ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=20)


def client(arguments: dict[str, Any]) -> Any:
    return boto3.client("dynamodb", config=ONCE, **arguments)


def race(arguments: dict[str, Any], racers: int, rounds: int) -> None:
    """Let all go at the same moment in each round; the lock is given back between rounds."""
    start = threading.Barrier(racers)
    wins: list[list[int]] = [[] for _ in range(rounds)]
    failures: list[BaseException] = []

    def run(number: int) -> None:
        ours = client(arguments)
        try:
            for place in range(rounds):
                start.wait(60)
                item = {"LockID": {"S": "one"}, "Owner": {"N": str(number)}}
                try:
                    ours.put_item(TableName="locks", Item=item, ConditionExpression=FREE)
                    wins[place].append(number)
                except ours.exceptions.ConditionalCheckFailedException:
                    pass
                start.wait(60)
                if wins[place] == [number]:
                    gone = ours.delete_item(
                        TableName="locks",
                        Key={"LockID": {"S": "one"}},
                        ConditionExpression="#o = :me",
                        ExpressionAttributeNames={"#o": "Owner"},
                        ExpressionAttributeValues={":me": {"N": str(number)}},
                        ReturnValues="ALL_OLD",
                    )
                    assert gone["Attributes"] == item
        except (ClientError, BotoCoreError, AssertionError, threading.BrokenBarrierError) as error:
            failures.append(error)
            start.abort()
        finally:
            ours.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert [len(each) for each in wins] == [1] * rounds


def test_one_of_eight_gets_the_lock(tmp_path: Path) -> None:
    with BackgroundServer(root=tmp_path) as server:
        client(server.client_arguments()).create_table(**LOCKS)
        race(server.client_arguments(), racers=8, rounds=10)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_one_of_thirty_two_gets_the_lock_in_each_of_500_rounds(tmp_path: Path) -> None:
    with BackgroundServer(root=tmp_path) as server:
        client(server.client_arguments()).create_table(**LOCKS)
        race(server.client_arguments(), racers=32, rounds=500)


def arguments_of(server: ServerProcess) -> dict[str, Any]:
    at = server.endpoint
    return {
        "endpoint_url": f"http://{at.host}:{at.port}",
        "aws_access_key_id": at.access_key,
        "aws_secret_access_key": at.secret_key,
        "region_name": at.region,
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_a_lock_that_was_granted_is_never_granted_again(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Kill the server while locks are taken. Who was told yes is the owner after it; who was told
    nothing may be; nobody else is."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    granted: Counter[str] = Counter()
    owners: dict[str, str] = {}
    unsure: dict[str, set[str]] = {}
    guard = threading.Lock()

    def run(name: str, arguments: dict[str, Any], first: int, dead: threading.Event) -> None:
        ours = client(arguments)
        number = first
        while not dead.is_set():
            number += 1
            lock = str(number)
            try:
                ours.put_item(
                    TableName="locks",
                    Item={"LockID": {"S": lock}, "Owner": {"S": name}},
                    ConditionExpression=FREE,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    continue
                with guard:
                    unsure.setdefault(lock, set()).add(name)
            except BotoCoreError:
                with guard:
                    unsure.setdefault(lock, set()).add(name)
                break
            else:
                with guard:
                    granted[lock] += 1
                    owners[lock] = name
        ours.close()

    with ServerProcess(tmp_path / "data", tmp_path, flags=flags) as server:
        server.start()
        client(arguments_of(server)).create_table(**LOCKS)
        for kill in range(8):
            dead = threading.Event()
            threads = [
                threading.Thread(
                    target=run, args=(f"{kill}-{n}", arguments_of(server), kill * 100, dead)
                )
                for n in range(6)
            ]
            for thread in threads:
                thread.start()
            dead.wait(rng.uniform(0.2, 1.0))
            server.kill()
            dead.set()
            for thread in threads:
                thread.join()
            server.start()
            ours = client(arguments_of(server))
            for lock in owners.keys() | unsure.keys():
                found = ours.get_item(TableName="locks", Key={"LockID": {"S": lock}}).get("Item")
                owner = None if found is None else found["Owner"]["S"]
                if lock in owners:
                    assert owner == owners[lock], f"seed {seed}, kill {kill}, lock {lock}"
                else:
                    assert owner is None or owner in unsure[lock], f"seed {seed}, lock {lock}"
            ours.close()
        assert server.stop() == 0
    assert granted
    assert set(granted.values()) == {1}, f"seed {seed}"


def test_a_lock_is_free_when_its_time_is_over(tmp_path: Path) -> None:
    """An item counts until it is removed, which is some time after it expired.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
    """
    clock = ShiftedClock()
    with Store(tmp_path) as store:
        tables = LockTables(store.buckets, clock=clock, rand=SystemRand())
        tables.call("CreateTable", LOCKS)
        spec = {"Enabled": True, "AttributeName": "ttl"}
        tables.call("UpdateTimeToLive", {"TableName": "locks", "TimeToLiveSpecification": spec})
        until = {"N": str(clock.now_ms() // 1000 + 60)}
        lock = {
            "TableName": "locks",
            "Item": {"LockID": {"S": "a"}, "ttl": until},
            "ConditionExpression": FREE,
        }
        tables.call("PutItem", lock)
        assert tables.expire() == 0
        clock.advance(61)
        with pytest.raises(DynamoError, match="conditional request failed"):
            tables.call("PutItem", lock)
        assert tables.expire() == 1
        tables.call("PutItem", lock)
