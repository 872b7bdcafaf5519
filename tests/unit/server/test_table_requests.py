"""DynamoDB's requests over HTTP, by boto3, and by hands that sign wrongly or not at all."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import boto3
import pytest
from botocore.exceptions import ClientError

from cenote.server import BackgroundServer

LOCKS: dict[str, Any] = {
    "TableName": "locks",
    "KeySchema": [{"AttributeName": "LockID", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "LockID", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    with BackgroundServer(root=tmp_path) as running:
        yield running


def client(server: BackgroundServer, **changes: Any) -> Any:
    return boto3.client("dynamodb", **(server.client_arguments() | changes))


def test_boto3_makes_waits_locks_and_drops(server: BackgroundServer) -> None:
    ours = client(server)
    assert ours.list_tables()["TableNames"] == []
    made = ours.create_table(**LOCKS)["TableDescription"]
    assert made["TableStatus"] == "CREATING"
    ours.get_waiter("table_exists").wait(TableName="locks")
    lock = {"LockID": {"S": "a"}, "Owner": {"S": "me"}}
    free = "attribute_not_exists(LockID)"
    ours.put_item(TableName="locks", Item=lock, ConditionExpression=free)
    with pytest.raises(ours.exceptions.ConditionalCheckFailedException) as held:
        ours.put_item(
            TableName="locks",
            Item=lock,
            ConditionExpression=free,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert held.value.response["Item"] == lock
    with pytest.raises(ours.exceptions.ResourceInUseException):
        ours.create_table(**LOCKS)
    ours.delete_table(TableName="locks")
    ours.get_waiter("table_not_exists").wait(TableName="locks")
    with pytest.raises(ours.exceptions.ResourceNotFoundException):
        ours.get_item(TableName="locks", Key={"LockID": {"S": "a"}})


def test_buckets_and_tables_share_a_port_and_know_nothing_of_each_other(
    server: BackgroundServer,
) -> None:
    s3 = boto3.client("s3", **server.client_arguments())
    client(server).create_table(**LOCKS)
    s3.create_bucket(Bucket="locks")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["locks"]
    assert client(server).list_tables()["TableNames"] == ["locks"]


def test_one_of_many_racers_wins_each_lock(server: BackgroundServer) -> None:
    client(server).create_table(**LOCKS)
    wins: list[int] = []

    def race(name: str) -> None:
        ours = client(server)
        for number in range(15):
            try:
                ours.put_item(
                    TableName="locks",
                    Item={"LockID": {"S": str(number)}, "Owner": {"S": name}},
                    ConditionExpression="attribute_not_exists(LockID)",
                )
            except ours.exceptions.ConditionalCheckFailedException:
                continue
            wins.append(number)

    threads = [threading.Thread(target=race, args=(str(n),)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(wins) == list(range(15))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "nobody"}, "UnrecognizedClientException"),
        ({"aws_session_token": "token"}, "UnrecognizedClientException"),
    ],
)
def test_who_signs_wrongly_is_refused(
    server: BackgroundServer, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        client(server, **changes).create_table(**LOCKS)
    assert refused.value.response["Error"]["Code"] == code
    assert client(server).list_tables()["TableNames"] == []


def send(server: BackgroundServer, body: bytes, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        data = response.read()
        assert int(response.headers["x-amz-crc32"]) == crc32(data)
        assert response.headers["content-type"] == "application/x-amz-json-1.0"
        return response.status, json.loads(data)
    finally:
        connection.close()


def test_who_does_not_sign_is_refused_also_where_anybody_may_write(tmp_path: Path) -> None:
    target = {"X-Amz-Target": "DynamoDB_20120810.ListTables"}
    with BackgroundServer(root=tmp_path, anonymous="write") as server:
        status, answer = send(server, b"{}", **target)
    assert status == 400
    assert answer["__type"].endswith("#MissingAuthenticationTokenException")


def test_a_signature_for_another_service_does_not_hold(server: BackgroundServer) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("POST", server.endpoint + "/", data=b"{}")
    request.headers["X-Amz-Target"] = "DynamoDB_20120810.ListTables"
    SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", "us-east-1").add_auth(
        request
    )
    status, answer = send(server, b"{}", **dict(request.headers))
    assert status == 400
    assert "IncompleteSignature" in answer["__type"] or "InvalidSignature" in answer["__type"]


def test_a_body_that_was_changed_on_the_way_is_refused(server: BackgroundServer) -> None:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("POST", server.endpoint + "/", data=b"{}")
    request.headers["X-Amz-Target"] = "DynamoDB_20120810.ListTables"
    keys = Credentials(server.access_key, server.secret_key)
    SigV4Auth(keys, "dynamodb", "us-east-1").add_auth(request)
    headers = dict(request.headers)
    assert send(server, b"{}", **headers) == (200, {"TableNames": []})
    status, answer = send(server, b'{"Limit":1}', **headers)
    assert (status, answer["__type"].partition("#")[2]) == (400, "InvalidSignatureException")


def test_what_is_not_there_is_refused_by_name(server: BackgroundServer) -> None:
    with pytest.raises(ClientError, match="CreateBackup is not supported"):
        client(server).create_backup(TableName="locks", BackupName="abc")


def test_a_read_only_server_reads_tables(tmp_path: Path) -> None:
    with BackgroundServer(root=tmp_path) as server:
        client(server).create_table(**LOCKS)
    with BackgroundServer(root=tmp_path, read_only=True) as server:
        assert client(server).list_tables()["TableNames"] == ["locks"]
        with pytest.raises(ClientError, match="read-only"):
            client(server).put_item(TableName="locks", Item={"LockID": {"S": "a"}})
