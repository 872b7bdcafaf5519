"""An object and items in one commit: all of it, or none, and one winner of a race."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cenote.server import BackgroundServer

HEADER = "x-cenote-transact-items"


def locks(name: str = "locks", bucket: str = "data") -> dict[str, Any]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "LockID", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "LockID", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
        "Tags": [{"Key": "cenote:bucket", "Value": bucket}],
    }


class Both:
    """Clients of objects and tables of one server."""

    def __init__(self, server: BackgroundServer) -> None:
        self.s3 = boto3.client("s3", **server.client_arguments())
        self.tables = boto3.client("dynamodb", **server.client_arguments())
        self.s3.meta.events.register("before-call.s3", self._extend)
        self.actions: Any = None

    def _extend(self, params: dict[str, Any], **_: Any) -> None:
        if self.actions is not None:
            raw = json.dumps(self.actions).encode()
            params["headers"][HEADER] = base64.b64encode(raw).decode()

    def put(self, key: str, body: bytes, actions: Any, **members: Any) -> Any:
        self.actions = actions
        try:
            return self.s3.put_object(Bucket="data", Key=key, Body=body, **members)
        finally:
            self.actions = None

    def item(self, name: str) -> Any:
        found = self.tables.get_item(TableName="locks", Key={"LockID": {"S": name}})
        return found.get("Item")

    def keys(self) -> list[str]:
        found = self.s3.list_objects_v2(Bucket="data").get("Contents", [])
        return [each["Key"] for each in found]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    with BackgroundServer(root=tmp_path) as running:
        yield running


@pytest.fixture
def both(server: BackgroundServer) -> Both:
    made = Both(server)
    made.s3.create_bucket(Bucket="data")
    made.tables.create_table(**locks())
    return made


def bump(version: int) -> list[Any]:
    return [
        {
            "Update": {
                "TableName": "locks",
                "Key": {"LockID": {"S": "head"}},
                "UpdateExpression": "SET version = :new",
                "ConditionExpression": "version = :old OR attribute_not_exists(LockID)",
                "ExpressionAttributeValues": {
                    ":old": {"N": str(version)},
                    ":new": {"N": str(version + 1)},
                },
            }
        }
    ]


def test_both_happen_or_neither(both: Both) -> None:
    both.put("v1", b"one", bump(0))
    assert both.item("head")["version"] == {"N": "1"}
    with pytest.raises(ClientError) as stale:
        both.put("v1-again", b"other", bump(0))
    assert stale.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert both.keys() == ["v1"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        both.put("v1", b"two", bump(1), IfNoneMatch="*")  # the object's condition, not the item's
    assert both.item("head")["version"] == {"N": "1"}
    both.put("v2", b"x" * 300_000, bump(1))  # a long body, beside the file
    assert both.s3.get_object(Bucket="data", Key="v2")["Body"].read() == b"x" * 300_000
    assert both.item("head")["version"] == {"N": "2"}


def test_one_of_many_racers_moves_the_head(server: BackgroundServer, both: Both) -> None:
    both.put("v", b"", bump(0))
    won: list[str] = []

    def race(name: str) -> None:
        mine = Both(server)
        for version in range(1, 8):
            try:
                mine.put(f"v{version}", name.encode(), bump(version))
            except ClientError:
                continue
            won.append(f"v{version}={name}")

    threads = [threading.Thread(target=race, args=(str(n),)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = [
        f"{key}={both.s3.get_object(Bucket='data', Key=key)['Body'].read().decode()}"
        for key in list(both.keys())
        if key != "v"
    ]
    assert sorted(won) == sorted(stored)
    assert both.item("head")["version"] == {"N": str(len(won) + 1)}


def test_a_table_in_a_bucket_is_a_table_like_any(both: Both, server: BackgroundServer) -> None:
    other = locks("plain")
    del other["Tags"]
    both.tables.create_table(**other)
    assert both.tables.list_tables()["TableNames"] == ["locks", "plain"]
    assert both.tables.list_tables(Limit=1)["LastEvaluatedTableName"] == "locks"
    both.tables.put_item(TableName="locks", Item={"LockID": {"S": "a"}})
    assert both.tables.scan(TableName="locks")["Count"] == 1
    assert both.tables.describe_table(TableName="locks")["Table"]["ItemCount"] == 1
    with pytest.raises(both.tables.exceptions.ResourceInUseException):
        both.tables.create_table(**locks())
    with pytest.raises(both.tables.exceptions.ResourceInUseException):
        both.tables.create_table(**(other | {"TableName": "locks"}))
    with pytest.raises(ClientError, match="must all live in one bucket"):
        both.tables.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": name, "Item": {"LockID": {"S": "x"}}}}
                for name in ("locks", "plain")
            ]
        )
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        both.s3.delete_bucket(Bucket="data")
    both.tables.delete_table(TableName="locks")
    assert both.tables.list_tables()["TableNames"] == ["plain"]
    both.tables.create_table(**(other | {"TableName": "locks"}))
    both.s3.delete_bucket(Bucket="data")


def test_what_cannot_be_is_refused(both: Both) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        both.tables.create_table(**locks("more", "no-such-bucket"))
    plain = locks("elsewhere")
    del plain["Tags"]
    both.tables.create_table(**plain)
    elsewhere = [{"Put": {"TableName": "elsewhere", "Item": {"LockID": {"S": "x"}}}}]
    for actions in (elsewhere, "no list", [{"Put": {}}], []):
        with pytest.raises(ClientError, match="InvalidArgument"):
            both.put("key", b"", actions)
    both.actions = bump(0)
    for refused in (both.s3.list_objects_v2, both.s3.create_multipart_upload):
        with pytest.raises(ClientError, match="NotImplemented"):
            refused(Bucket="data", **({} if refused == both.s3.list_objects_v2 else {"Key": "k"}))
    both.actions = None
    assert both.keys() == []


def test_a_header_that_was_not_signed_is_refused(both: Both) -> None:
    def add(request: Any, **_: Any) -> None:
        request.headers[HEADER] = base64.b64encode(json.dumps(bump(0)).encode()).decode()

    both.s3.meta.events.register("before-send.s3.PutObject", add)
    with pytest.raises(ClientError, match="AccessDenied"):
        both.s3.put_object(Bucket="data", Key="key", Body=b"")
    assert both.keys() == []
    assert both.item("head") is None
