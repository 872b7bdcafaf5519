"""Lock clients of others: boto3's resources, python_dynamodb_lock, object_store's DynamoCommit."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def arguments_of(endpoint: Any) -> dict[str, Any]:
    return {
        "endpoint_url": endpoint.url,
        "aws_access_key_id": endpoint.access_key,
        "aws_secret_access_key": endpoint.secret_key,
        "region_name": endpoint.region,
    }


@pytest.fixture
def commits(endpoint: Any) -> Iterator[str]:
    """A table as DynamoCommit wants it."""
    import boto3

    client = boto3.client("dynamodb", **arguments_of(endpoint))
    name = f"commits-{os.getpid()}"
    keys = (("path", "HASH"), ("etag", "RANGE"))
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": role} for key, role in keys],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    client.delete_table(TableName=name)
    client.close()


def commit(endpoint: Any, table: str, generation: int | None) -> tuple[int, dict[str, Any], str]:
    """Send what object_store 0.12's DynamoCommit::try_lock sends, byte for byte in its shape."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    following = 0 if generation is None else generation + 1
    body = {
        "TableName": table,
        "ConditionExpression": "attribute_not_exists(#pk)"
        if generation is None
        else "attribute_exists(#pk) AND generation = :g",
        "ExpressionAttributeNames": {"#pk": "path"},
        "ExpressionAttributeValues": None if generation is None else {":g": {"N": str(generation)}},
        "Item": {
            "path": {"S": "test/manifest/00000000000000000001.manifest"},
            "etag": {"S": "*"},
            "generation": {"N": str(following)},
            "timeout": {"N": "20000"},
            "ttl": {"N": "1725476757"},
        },
        "ReturnValues": None,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    raw = json.dumps(body, separators=(",", ":")).encode()
    request = AWSRequest("POST", endpoint.url + "/", data=raw)
    request.headers["Content-Type"] = "application/json"
    request.headers["X-Amz-Target"] = "DynamoDB_20120810.PutItem"
    keys = Credentials(endpoint.access_key, endpoint.secret_key)
    SigV4Auth(keys, "dynamodb", endpoint.region).add_auth(request)
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=30)
    try:
        connection.request("POST", "/", raw, dict(request.headers))
        response = connection.getresponse()
        data = response.read()
        return response.status, json.loads(data), data.decode()
    finally:
        connection.close()


def test_dynamo_commit_locks_and_takes_over(endpoint: Any, commits: str) -> None:
    assert commit(endpoint, commits, None)[0] == 200
    status, held, raw = commit(endpoint, commits, None)
    assert status == 400
    assert held["__type"].endswith("ConditionalCheckFailedException")
    assert held["Item"]["generation"] == {"N": "0"}
    assert held["Item"]["timeout"] == {"N": "20000"}
    assert "\\" not in raw  # it borrows its strings from the answer: none may be escaped
    assert commit(endpoint, commits, 0)[0] == 200
    status, held, _ = commit(endpoint, commits, 0)
    assert (status, held["Item"]["generation"]) == (400, {"N": "1"})


def test_boto3_resources(endpoint: Any) -> None:
    import boto3
    from boto3.dynamodb.conditions import Attr, Key

    resource = boto3.resource("dynamodb", **arguments_of(endpoint))
    table = resource.create_table(
        TableName=f"resources-{os.getpid()}",
        KeySchema=[
            {"AttributeName": "who", "KeyType": "HASH"},
            {"AttributeName": "at", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "who", "AttributeType": "S"},
            {"AttributeName": "at", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    table.wait_until_exists()
    with table.batch_writer() as batch:
        for number in range(60):
            batch.put_item({"who": "a", "at": number, "tags": {"x", str(number)}, "b": b"\0"})
    found = table.query(
        KeyConditionExpression=Key("who").eq("a") & Key("at").between(10, 20),
        FilterExpression=Attr("tags").contains("15"),
        ProjectionExpression="tags, b",
    )
    assert found["Items"] == [{"tags": {"x", "15"}, "b": boto3.dynamodb.types.Binary(b"\0")}]
    changed = table.update_item(
        Key={"who": "a", "at": 1},
        UpdateExpression="SET n = if_not_exists(n, :zero) + :one",
        ExpressionAttributeValues={":zero": 0, ":one": Decimal("1.5")},
        ReturnValues="ALL_NEW",
    )
    assert changed["Attributes"]["n"] == Decimal("1.5")
    table.delete()
    table.wait_until_not_exists()
    resource.meta.client.close()


LOCK_CLIENT = """\
import datetime, sys, boto3
from python_dynamodb_lock.python_dynamodb_lock import DynamoDBLockClient, DynamoDBLockError

resource = boto3.resource("dynamodb", endpoint_url=sys.argv[1])
DynamoDBLockClient.create_dynamodb_table(resource.meta.client)
short = dict(
    heartbeat_period=datetime.timedelta(seconds=0.2),
    safe_period=datetime.timedelta(seconds=1),
    lease_duration=datetime.timedelta(seconds=2),
)
one, two = (DynamoDBLockClient(resource, owner_name=name, **short) for name in ("one", "two"))
lock = one.acquire_lock("key")
try:
    two.acquire_lock(
        "key",
        retry_period=datetime.timedelta(seconds=0.1),
        retry_timeout=datetime.timedelta(seconds=1),
    )
    print("both")
except DynamoDBLockError as error:
    print(error.code)
lock.release()
with two.acquire_lock("key") as held:
    print(held.owner_name)
one.close()
two.close()
"""


def test_python_dynamodb_lock(
    endpoint: Any, installed: Callable[..., Path], tmp_path: Path
) -> None:
    pip = ("bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    packages = ("python_dynamodb_lock==0.9.1", "boto3")
    python = installed("dynamodb-lock", (sys.executable, "-m", "venv", "."), (*pip, *packages))
    said = subprocess.run(
        [python / "bin" / "python", "-c", LOCK_CLIENT, endpoint.url],
        env=endpoint.environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert said.stdout.split() == ["ACQUIRE_TIMEOUT", "two"], said.stderr[-2000:]
