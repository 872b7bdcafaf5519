"""DynamoDB as boto3 speaks it, here and on moto: the same requests, the same answers.

Random requests of a seed go to both. What an answer is compared by: its code and members; an
error's code, since messages are nobody's contract. `mototells` has the differences where the
service's documents side with us.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from mototells import DIFFERENCES, EVERYWHERE, difference

import emulators
from cenote.server import BackgroundServer

STEPS = 300
NAMES = ("a", "b", "c", "l", "m")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulators.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def both(moto: str, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    quiet = Config(retries={"max_attempts": 1}, parameter_validation=False)
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    with BackgroundServer(root=tmp_path) as server:
        ours = boto3.client("dynamodb", config=quiet, **server.client_arguments())
        theirs = boto3.client("dynamodb", config=quiet, endpoint_url=moto, **keys)
        for client in (ours, theirs):
            client.create_table(**TABLE)
        yield ours, theirs
        theirs.delete_table(TableName="things")
        ours.close()
        theirs.close()


TABLE: dict[str, Any] = {
    "TableName": "things",
    "KeySchema": [
        {"AttributeName": "p", "KeyType": "HASH"},
        {"AttributeName": "s", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "p", "AttributeType": "S"},
        {"AttributeName": "s", "AttributeType": "N"},
        {"AttributeName": "g", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-g",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


class Maker:
    """Makes requests; all that is random comes from one seed."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def scalar(self) -> dict[str, Any]:
        kind = self.rng.choice("SNNB")
        if kind == "S":
            return {"S": self.rng.choice(["", "x", "xy", "é", "10"])}
        if kind == "N":
            return {"N": self.rng.choice(["0", "-1", "2", "10", "0.5", "123456789012345678"])}
        return {"B": self.rng.choice([b"x", b"xy", b"\0\xff"])}

    def value(self, depth: int = 0) -> dict[str, Any]:
        kind = self.rng.choice(["one", "one", "one", "BOOL", "NULL", "SS", "NS", "L", "M"])
        if kind == "BOOL":
            return {"BOOL": self.rng.random() < 0.5}
        if kind == "NULL":
            return {"NULL": True}
        if kind == "SS":
            return {"SS": self.rng.sample(["x", "y", "z"], self.rng.randint(1, 3))}
        if kind == "NS":
            return {"NS": self.rng.sample(["1", "2", "3"], self.rng.randint(1, 3))}
        if kind == "L" and depth < 2:
            return {"L": [self.value(depth + 1) for _ in range(self.rng.randint(0, 3))]}
        if kind == "M" and depth < 2:
            names = self.rng.sample(NAMES, self.rng.randint(0, 3))
            return {"M": {name: self.value(depth + 1) for name in names}}
        return self.scalar()

    def key(self) -> dict[str, Any]:
        return {
            "p": {"S": self.rng.choice(["p1", "p2"])},
            "s": {"N": self.rng.choice(["1", "2", "10", "-3"])},
        }

    def item(self) -> dict[str, Any]:
        found = self.key()
        for name in self.rng.sample(NAMES, self.rng.randint(0, 4)):
            found[name] = self.value()
        if self.rng.random() < 0.5:
            found["g"] = {"S": self.rng.choice(["g1", "g2"])}
        return found

    def path(self) -> str:
        name = self.rng.choice(NAMES)
        tail = self.rng.choice(["", "", "", ".a", "[0]"])
        return f"#{name}{tail}"

    def condition(self, values: dict[str, Any], depth: int = 0) -> str:
        def fresh(value: dict[str, Any]) -> str:
            values[f":v{len(values)}"] = value
            return f":v{len(values) - 1}"

        rng, path = self.rng, self.path()
        choice = rng.randrange(10 if depth < 2 else 7)
        if choice == 0:
            return f"{rng.choice(['attribute_exists', 'attribute_not_exists'])}({path})"
        if choice == 1:
            return f"{path} {rng.choice(['=', '<>'])} {fresh(self.value())}"
        if choice == 2:
            return f"{path} {rng.choice(['<', '<=', '>', '>='])} {fresh(self.scalar())}"
        if choice == 3:
            return f"begins_with({path}, {fresh({'S': rng.choice(['', 'x', '1'])})})"
        if choice == 4:
            return f"contains({path}, {fresh(self.scalar())})"
        if choice == 5:
            return f"{path} IN ({fresh(self.value())}, {fresh(self.value())})"
        if choice == 6:
            kind = rng.choice(["S", "N", "B", "L", "M", "SS", "BOOL", "NULL"])
            return f"attribute_type({path}, {fresh({'S': kind})})"
        if choice == 7:
            return f"NOT {self.condition(values, depth + 1)}"
        left, right = self.condition(values, depth + 1), self.condition(values, depth + 1)
        return f"({left}) {rng.choice(['AND', 'OR'])} ({right})"

    def update(self, values: dict[str, Any]) -> str:
        rng = self.rng
        name = f"#{rng.choice(NAMES)}"

        def fresh(value: dict[str, Any]) -> str:
            values[f":u{len(values)}"] = value
            return f":u{len(values) - 1}"

        other = f"#{rng.choice(NAMES)}"
        number = {"N": rng.choice(["1", "-2", "0.25"])}
        return [
            lambda: f"SET {self.path()} = {fresh(self.value())}",
            lambda: f"SET {name} = {other} + {fresh(number)}",
            lambda: f"SET {name} = if_not_exists({other}, {fresh(self.value())})",
            lambda: f"SET {name} = list_append({other}, {fresh({'L': [self.scalar()]})})",
            lambda: f"REMOVE {self.path()}",
            lambda: f"ADD {name} {fresh(number)}",
            lambda: f"ADD {name} {fresh({'SS': ['x', 'w']})}",
            lambda: f"DELETE {name} {fresh({'SS': ['x', 'y']})}",
        ][rng.randrange(8)]()

    def named(self, request: dict[str, Any], *texts: str) -> dict[str, Any]:
        used = {name for name in NAMES if any(f"#{name}" in text for text in texts)}
        if used:
            request["ExpressionAttributeNames"] = {f"#{name}": name for name in used}
        return request

    def guarded(self, request: dict[str, Any], *, returns: bool = True) -> dict[str, Any]:
        values: dict[str, Any] = {}
        texts = []
        if "Update" in request:
            del request["Update"]
            texts.append(self.update(values))
            request["UpdateExpression"] = texts[-1]
        if self.rng.random() < 0.5:
            texts.append(self.condition(values))
            request["ConditionExpression"] = texts[-1]
            if returns:
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if values:
            request["ExpressionAttributeValues"] = values
        return self.named(request, *texts)

    def step(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        table = {"TableName": "things"}
        choice = rng.randrange(8)
        if choice <= 1:
            return "put_item", self.guarded(
                {**table, "Item": self.item(), "ReturnValues": rng.choice(["NONE", "ALL_OLD"])}
            )
        if choice <= 3:
            returns = rng.choice(["NONE", "ALL_OLD", "ALL_NEW"])
            return "update_item", self.guarded(
                {**table, "Key": self.key(), "Update": True, "ReturnValues": returns}
            )
        if choice == 4:
            return "delete_item", self.guarded(
                {**table, "Key": self.key(), "ReturnValues": "ALL_OLD"}
            )
        if choice == 5:
            return "get_item", {**table, "Key": self.key()}
        values: dict[str, Any] = {}
        text = self.condition(values)
        if choice == 6:
            request = {**table, "FilterExpression": text}
            if values:
                request["ExpressionAttributeValues"] = values
            return "scan", self.named(request, text)
        values[":p"] = {"S": rng.choice(["p1", "p2"])}
        keys = "p = :p"
        if rng.random() < 0.5:
            keys += f" AND s {rng.choice(['=', '<', '<=', '>', '>='])} :s"
            values[":s"] = {"N": rng.choice(["1", "2"])}
        request = {**table, "KeyConditionExpression": keys, "FilterExpression": text}
        request |= {"ExpressionAttributeValues": values, "ScanIndexForward": rng.random() < 0.5}
        return "query", self.named(request, text)

    def transaction(self) -> tuple[str, dict[str, Any]]:
        table = {"TableName": "things"}
        keys = [{"p": {"S": p}, "s": {"N": "1"}} for p in ("p1", "p2")]
        actions: list[dict[str, Any]] = []
        for key in keys:
            kind = self.rng.choice(["Put", "Update", "Delete"])
            body: dict[str, Any] = {**table, "Key": key}
            if kind == "Put":
                body = {**table, "Item": {**self.item(), **key}}
            if kind == "Update":
                body["Update"] = True
            actions.append({kind: self.guarded(body, returns=False)})
        return "transact_write_items", {"TransactItems": actions}


UNTOLD = ("ResponseMetadata", "ConsumedCapacity", "ItemCollectionMetrics")


def canonical(value: Any) -> Any:
    """Return an answer without what is no promise: the order of sets, metadata."""
    if isinstance(value, dict) and isinstance(value.get("N"), str):
        return {"N": Decimal(value["N"]).normalize()}
    if isinstance(value, dict):
        return {
            name: sorted(each) if name in ("SS", "NS", "BS") else canonical(each)
            for name, each in value.items()
            if name not in UNTOLD
        }
    return [canonical(each) for each in value] if isinstance(value, list) else value


def answer(client: Any, operation: str, request: dict[str, Any]) -> Any:
    try:
        found = canonical(getattr(client, operation)(**request))
    except ClientError as error:
        response = error.response
        reasons = [each["Code"] for each in response.get("CancellationReasons", ())]
        return response["Error"]["Code"], canonical(response.get("Item")), reasons
    if operation == "scan":
        found["Items"].sort(key=lambda item: (item["p"]["S"], item["s"]["N"]))
    return found


def contents(client: Any) -> Any:
    return answer(client, "scan", {"TableName": "things"})


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(3))
def test_the_same_answers(both: tuple[Any, Any], seed: int) -> None:
    ours, theirs = both
    maker = Maker(random.Random(seed))
    for number in range(STEPS):
        operation, request = maker.transaction() if number % 10 == 9 else maker.step()
        one, two = (answer(client, operation, request) for client in both)
        if one != two:
            where = f"seed {seed}, step {number}: {operation} {request}\nours {one}\nmoto {two}"
            assert difference(request, one, two) is not None, where
            put_right(ours, theirs)
        elif operation not in ("get_item", "query", "scan"):
            assert contents(ours) == contents(theirs), f"seed {seed}, step {number}: {request}"


def put_right(ours: Any, theirs: Any) -> None:
    """Give moto's table our items."""
    have = ours.scan(TableName="things")["Items"]
    for item in theirs.scan(TableName="things")["Items"]:
        theirs.delete_item(TableName="things", Key={"p": item["p"], "s": item["s"]})
    for item in have:
        theirs.put_item(TableName="things", Item=item)


def test_every_known_difference_is_documented() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "dynamodb-moto.md"
    listed = page.read_text("utf-8")
    for words, source in [*((each.moto, each.page) for each in DIFFERENCES), *EVERYWHERE]:
        assert f"| {words} | {source} |" in listed
