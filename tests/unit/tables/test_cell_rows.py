"""Tables in a bucket file do what tables in dictionaries do, in the same order."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plainrows import PlainRows

from cenote.base import ManualClock, SeededRand
from cenote.dynamo import DynamoError
from cenote.sqldb import Directory
from cenote.tables import LockTables

TABLE: dict[str, Any] = {
    "TableName": "table",
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "B"},
        {"AttributeName": "sk", "AttributeType": "B"},
        {"AttributeName": "other", "AttributeType": "B"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-other",
            "KeySchema": [
                {"AttributeName": "other", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tables(tmp_path: Path, clock: ManualClock) -> Iterator[LockTables]:
    with Directory(tmp_path, create=True, background=False) as directory:
        yield LockTables(directory, clock=clock, rand=SeededRand(1))


class Moves:
    """Random operations over few keys, whose bytes are the awkward ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bytes(self) -> dict[str, str]:
        raw = bytes(self.random.choice([0, 1, 2, 255]) for _ in range(self.random.randint(1, 3)))
        return {"B": base64.b64encode(raw).decode()}

    def partition(self) -> dict[str, str]:
        return {"B": self.random.choice(["AA==", "AAE=", "AP8=", "AQ=="])}

    def next(self) -> tuple[str, dict[str, Any]]:
        kind = self.random.randrange(6)
        if kind < 2:
            item = {"pk": self.partition(), "sk": self.bytes()}
            if self.random.random() < 0.7:
                item["other"] = self.partition()
            return "PutItem", {"TableName": "table", "Item": item}
        if kind == 2:
            key = {"pk": self.partition(), "sk": self.bytes()}
            return "DeleteItem", {"TableName": "table", "Key": key, "ReturnValues": "ALL_OLD"}
        if kind == 3:
            return "Scan", {"TableName": "table", "Limit": self.random.randint(1, 9)}
        return "Query", self.query()

    def query(self) -> dict[str, Any]:
        by_index = self.random.random() < 0.5
        values = {":p": self.partition(), ":s": self.bytes()}
        operator = self.random.choice(["=", "<", "<=", ">", ">=", "begins_with", "BETWEEN"])
        if operator == "begins_with":
            test = "begins_with(sk, :s)"
        elif operator == "BETWEEN":
            low, high = sorted(
                [self.bytes(), self.bytes()], key=lambda each: base64.b64decode(each["B"])
            )
            values |= {":s": low, ":t": high}
            test = "sk BETWEEN :s AND :t"
        else:
            test = f"sk {operator} :s"
        request: dict[str, Any] = {
            "TableName": "table",
            "KeyConditionExpression": f"{'other' if by_index else 'pk'} = :p AND {test}",
            "ExpressionAttributeValues": values,
            "ScanIndexForward": self.random.random() < 0.5,
            "Limit": self.random.randint(1, 4),
        }
        return request | ({"IndexName": "by-other"} if by_index else {})


def answer(call: Any) -> Any:
    try:
        return json.loads(json.dumps(call()))
    except DynamoError as error:
        return error.code, error.message


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))]
)
def test_cells_keep_what_dictionaries_keep(tables: LockTables, seed: int) -> None:
    plain = PlainRows()
    tables.call("CreateTable", TABLE)
    plain.call("CreateTable", **TABLE)
    moves = Moves(seed)
    for _ in range(300):
        name, request = moves.next()
        while True:
            ours = answer(lambda: tables.call(name, request))  # noqa: B023 - called at once
            theirs = answer(lambda: plain.call(name, **request))  # noqa: B023 - called at once
            assert ours == theirs, (seed, name, request)
            if not isinstance(ours, dict) or "LastEvaluatedKey" not in ours:
                break
            request = request | {"ExclusiveStartKey": ours["LastEvaluatedKey"]}


def test_tables_outlive_their_process(tmp_path: Path, clock: ManualClock) -> None:
    item = {"pk": {"B": "AA=="}, "sk": {"B": "AA=="}}
    with Directory(tmp_path, create=True, background=False) as directory:
        made = LockTables(directory, clock=clock, rand=SeededRand(1))
        assert made.call("ListTables", {})["TableNames"] == []
        assert not (tmp_path / ".cenote" / "tables.sqlite3").exists()
        made.call("CreateTable", TABLE)
        made.call("PutItem", {"TableName": "table", "Item": item})
        assert directory.names() == []  # it is no bucket
    with Directory(tmp_path, background=False) as directory:
        again = LockTables(directory, clock=clock, rand=SeededRand(2))
        assert again.call("ListTables", {})["TableNames"] == ["table"]
        assert again.call("GetItem", {"TableName": "table", "Key": item})["Item"] == item
        again.call("DeleteTable", {"TableName": "table"})
        again.call("CreateTable", TABLE)
        assert again.call("Scan", {"TableName": "table"})["Count"] == 0
    with Directory(tmp_path, read_only=True) as directory:
        read = LockTables(directory, clock=clock, rand=SeededRand(3))
        assert read.call("DescribeTable", {"TableName": "table"})["Table"]["ItemCount"] == 0


def test_time_to_live_deletes_when_the_clock_says(tables: LockTables, clock: ManualClock) -> None:
    tables.call("CreateTable", TABLE)
    key = {"pk": {"B": "AA=="}, "sk": {"B": "AA=="}}
    now_s = clock.now_ms() // 1000

    def put(number: int, ttl: dict[str, str]) -> None:
        item = {**key, "sk": {"B": base64.b64encode(bytes([number])).decode()}, "ttl": ttl}
        tables.call("PutItem", {"TableName": "table", "Item": item})

    put(1, {"N": str(now_s + 60)})
    specification = {"Enabled": True, "AttributeName": "ttl"}
    request = {"TableName": "table", "TimeToLiveSpecification": specification}
    tables.call("UpdateTimeToLive", request)
    put(2, {"N": str(now_s + 120)})
    put(3, {"S": str(now_s - 60)})  # no number: no time
    put(4, {"N": str(now_s - 6 * 365 * 24 * 3600)})  # too long ago to be one
    put(5, {"N": "1e50"})
    assert tables.expire() == 0
    clock.advance(61)
    assert tables.expire() == 1
    put(2, {"N": str(now_s + 600)})  # put off
    clock.advance(120)
    assert tables.expire() == 0
    assert tables.call("Scan", {"TableName": "table", "Select": "COUNT"})["Count"] == 4
    with pytest.raises(DynamoError, match="TimeToLive is already enabled"):
        tables.call("UpdateTimeToLive", request)
    specification["Enabled"] = False
    tables.call("UpdateTimeToLive", request)
    clock.advance(10**6)
    assert tables.expire() == 0


def test_a_transaction_is_all_or_nothing(tables: LockTables, clock: ManualClock) -> None:
    tables.call("CreateTable", TABLE)

    def item(number: int) -> dict[str, Any]:
        return {"pk": {"B": "AA=="}, "sk": {"B": base64.b64encode(bytes([number])).decode()}}

    def put(number: int, condition: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"TableName": "table", "Item": item(number)}
        return {"Put": found | ({"ConditionExpression": condition} if condition else {})}

    tables.call("TransactWriteItems", {"TransactItems": [put(1), put(2)]})
    with pytest.raises(DynamoError) as cancelled:
        tables.call(
            "TransactWriteItems",
            {"TransactItems": [put(3), put(1, "attribute_not_exists(pk)")]},
        )
    reasons = cancelled.value.members["CancellationReasons"]
    assert [reason["Code"] for reason in reasons] == ["None", "ConditionalCheckFailed"]
    assert tables.call("Scan", {"TableName": "table", "Select": "COUNT"})["Count"] == 2

    update = {
        "Update": {
            "TableName": "table",
            "Key": item(1),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    once = {"TransactItems": [update], "ClientRequestToken": "token"}
    tables.call("TransactWriteItems", once)
    tables.call("TransactWriteItems", once)
    found = tables.call("GetItem", {"TableName": "table", "Key": item(1)})["Item"]
    assert found["n"] == {"N": "1"}
    with pytest.raises(DynamoError) as mismatch:
        tables.call(
            "TransactWriteItems", {"TransactItems": [put(9)], "ClientRequestToken": "token"}
        )
    assert mismatch.value.code == "IdempotentParameterMismatchException"
    clock.advance(601)
    tables.call("TransactWriteItems", once)
    found = tables.call("GetItem", {"TableName": "table", "Key": item(1)})["Item"]
    assert found["n"] == {"N": "2"}
