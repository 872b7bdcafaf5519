"""Requests for tables that no client makes: each is refused with JSON and a code, none is a 500.

What a wrong request is answered with is in the developer guide's page on errors; which members
there are, and of which types, is botocore's model.
"""

from __future__ import annotations

import copy
import http.client
import json
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cenote.testing import ServerProcess

SERIAL, INVALID, ABSENT = (
    "SerializationException",
    "ValidationException",
    "ResourceNotFoundException",
)
REFUSALS = {SERIAL, INVALID, ABSENT, "ResourceInUseException", "TransactionCanceledException"}
REFUSALS |= {"ConditionalCheckFailedException", "IdempotentParameterMismatchException"}
KEY = {"k": {"S": "a"}}
ARN = "arn:aws:dynamodb:us-east-1:000000000000:table/hostile"


class Wire:
    """One connection, on which anything may be sent, rightly signed."""

    def __init__(self, server: ServerProcess) -> None:
        self._endpoint = server.endpoint
        self._address = f"{server.endpoint.host}:{server.endpoint.port}"
        self._connection = http.client.HTTPConnection(self._address, timeout=20)

    def send(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        request = AWSRequest("POST", f"http://{self._address}/", data=body)
        request.headers["X-Amz-Target"] = target
        keys = Credentials(self._endpoint.access_key, self._endpoint.secret_key)
        SigV4Auth(keys, "dynamodb", self._endpoint.region).add_auth(request)
        self._connection.request("POST", "/", body, dict(request.headers))
        response = self._connection.getresponse()
        data = response.read()
        assert int(response.headers["x-amz-crc32"]) == crc32(data)
        answer = json.loads(data)
        assert isinstance(answer, dict)
        return response.status, answer

    def close(self) -> None:
        self._connection.close()

    def code(self, operation: str, body: bytes | dict[str, Any]) -> str | None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer = self.send(f"DynamoDB_20120810.{operation}", raw)
        if status == 200:
            return None
        assert status == 400, (operation, raw[:500], status, answer)
        code: str = answer["__type"].partition("#")[2]
        assert answer.get("message") or answer.get("Message"), answer
        return code


@pytest.fixture(scope="module")
def wire(victim: ServerProcess) -> Iterator[Wire]:
    made = Wire(victim)
    made.code("CreateTable", table("hostile"))
    yield made
    made.close()


def table(name: str) -> dict[str, Any]:
    return {
        "TableName": name,
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


BODIES: dict[str, bytes] = {
    "not JSON": b"{",
    "no object": b"[]",
    "a number": b"1",
    "null": b"null",
    "nothing but spaces": b"  ",
    "not UTF-8": b'{"TableName":"\xff\xfe"}',
    "a surrogate's bytes": b'{"TableName":"\xed\xa0\x80"}',
    "an end alone": b'{"TableName":"\\udc00"}',
    "a beginning alone": b'{"TableName":"\\ud800"}',
    "a beginning and a letter": b'{"TableName":"\\ud800a"}',
    "two beginnings": b'{"TableName":"\\ud800\\ud800"}',
    "NaN": b'{"Limit":NaN}',
    "infinity": b'{"Limit":1e999}',
    "many digits": b'{"Limit":' + b"9" * 100_000 + b"}",
    "lists in lists": b"[" * 1_000_000,
    "maps in maps": b'{"Item":' * 100_000,
    "a map in maps": b'{"Item":' * 900 + b"1" + b"}" * 900,
    "zeros": bytes(1000),
    "a mark of order": b'\xef\xbb\xbf{"TableName":"hostile"}',
    "more after it": b'{"TableName":"hostile"}{}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("operation", ["PutItem", "Query", "CreateTable", "TransactWriteItems"])
def test_what_is_no_request_is_refused(wire: Wire, operation: str, name: str) -> None:
    assert wire.code(operation, BODIES[name]) in (SERIAL, INVALID)


@pytest.mark.parametrize(
    "target",
    [
        "",
        ".",
        "DynamoDB_20120810",
        "DynamoDB_20120810.",
        "DynamoDB_20120810.putitem",
        "DynamoDB_20120810.PutItem.PutItem",
        "DynamoDB_20111205.PutItem",
        "DynamoDBStreams_20120810.ListStreams",
        "DynamoDB_20120810." + "x" * 3000,
        "DynamoDB_20120810.__class__",
    ],
)
def test_a_target_that_is_none(wire: Wire, target: str) -> None:
    status, answer = wire.send(target, b"{}")
    assert (status, answer["__type"].partition("#")[2]) == (400, "UnknownOperationException")


def test_a_body_that_is_too_large(victim: ServerProcess) -> None:
    connection = http.client.HTTPConnection(victim.endpoint.host, victim.endpoint.port, timeout=20)
    connection.putrequest("POST", "/")
    connection.putheader("X-Amz-Target", "DynamoDB_20120810.PutItem")
    connection.putheader("Content-Length", str(17 << 20))
    connection.endheaders()
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert (response.status, answer["__type"].partition("#")[2]) in ((400, SERIAL), (413, SERIAL))


# A request of each operation that is in order, with as many members as go together.

WRITE = {"TableName": "hostile", "ReturnConsumedCapacity": "INDEXES", "ReturnValues": "ALL_OLD"}
WRITE |= {"ReturnItemCollectionMetrics": "SIZE"}
CONDITION = {
    "ConditionExpression": "#v <> :v",
    "ExpressionAttributeNames": {"#v": "v"},
    "ExpressionAttributeValues": {":v": {"N": "1"}},
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
GET = {
    "ConsistentRead": True,
    "ProjectionExpression": "#v",
    "ExpressionAttributeNames": {"#v": "v"},
}
EXPECTED = {"v": {"ComparisonOperator": "NE", "AttributeValueList": [{"N": "1"}]}}
TEST = {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}
SEARCH = {"TableName": "hostile", "Select": "ALL_ATTRIBUTES", "Limit": 1, "ConsistentRead": True}
SEARCH |= {"ExclusiveStartKey": KEY, "ReturnConsumedCapacity": "TOTAL"}
FILTER = {
    "FilterExpression": "#v = :v",
    "ExpressionAttributeNames": {"#v": "v"},
    "ExpressionAttributeValues": {":v": {"N": "1"}},
}
ACTION = {"TableName": "hostile", "Key": KEY, **CONDITION}

REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("BatchGetItem", {"RequestItems": {"hostile": {"Keys": [KEY], **GET}}}),
    ("BatchGetItem", {"RequestItems": {"hostile": {"Keys": [KEY], "AttributesToGet": ["k"]}}}),
    ("BatchWriteItem", {"RequestItems": {"hostile": [{"PutRequest": {"Item": KEY}}]}}),
    ("BatchWriteItem", {"RequestItems": {"hostile": [{"DeleteRequest": {"Key": KEY}}]}}),
    (
        "CreateTable",
        {
            **table("hostile"),
            "AttributeDefinitions": [{"AttributeName": n, "AttributeType": "S"} for n in "kg"],
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-g",
                    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
                    "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
                }
            ],
            "Tags": [{"Key": "cenote:bucket", "Value": "nowhere"}],
            "TableClass": "STANDARD",
            "DeletionProtectionEnabled": False,
            "StreamSpecification": {"StreamEnabled": False},
            "SSESpecification": {"Enabled": False},
        },
    ),
    ("DeleteItem", {"Key": KEY, **WRITE, **CONDITION}),
    ("DeleteItem", {"Key": KEY, **WRITE, "Expected": EXPECTED, "ConditionalOperator": "OR"}),
    ("DeleteTable", {"TableName": "nowhere"}),
    ("DescribeTable", {"TableName": "hostile"}),
    ("DescribeTimeToLive", {"TableName": "hostile"}),
    ("GetItem", {"TableName": "hostile", "Key": KEY, **GET}),
    ("GetItem", {"TableName": "hostile", "Key": KEY, "AttributesToGet": ["k"]}),
    ("ListTables", {"ExclusiveStartTableName": "aaa", "Limit": 3}),
    ("ListTagsOfResource", {"ResourceArn": ARN, "NextToken": "x"}),
    ("PutItem", {"Item": {**KEY, "v": {"N": "2"}}, **WRITE, **CONDITION}),
    ("PutItem", {"Item": KEY, **WRITE, "Expected": {"v": {"Exists": False}}}),
    ("PutItem", {"Item": KEY, **WRITE, "Expected": {"v": {"Value": {"N": "3"}}}}),
    ("Query", {**SEARCH, "KeyConditions": {"k": TEST}, "QueryFilter": {"v": TEST}}),
    ("Query", {**SEARCH, "KeyConditionExpression": "k = :v", "ScanIndexForward": False} | FILTER),
    ("Query", {"TableName": "hostile", "IndexName": "none", "KeyConditions": {"k": TEST}}),
    ("Scan", {**SEARCH, "Segment": 0, "TotalSegments": 2, "ScanFilter": {"v": TEST}}),
    ("Scan", {**SEARCH, **FILTER}),
    ("TagResource", {"ResourceArn": ARN, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "hostile", "Key": KEY}}]}),
    ("TransactWriteItems", {"TransactItems": [{"ConditionCheck": ACTION}]}),
    ("TransactWriteItems", {"TransactItems": [{"Delete": ACTION}], "ClientRequestToken": "t"}),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Update": {**ACTION, "UpdateExpression": "SET #v = :v"}}]},
    ),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Put": {"TableName": "hostile", "Item": KEY, **CONDITION}}]},
    ),
    ("UntagResource", {"ResourceArn": ARN, "TagKeys": ["a"]}),
    ("UpdateItem", {"Key": KEY, **WRITE, "UpdateExpression": "SET #v = :v", **CONDITION}),
    (
        "UpdateItem",
        {"Key": KEY, **WRITE, "AttributeUpdates": {"w": {"Action": "ADD", "Value": {"N": "1"}}}},
    ),
    ("UpdateTable", {"TableName": "hostile", "BillingMode": "PAY_PER_REQUEST"}),
    (
        "UpdateTimeToLive",
        {
            "TableName": "hostile",
            "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "t"},
        },
    ),
]
NASTY: list[Any] = [0, -1, 10**30, 1.5, "", "x", "\0", ":", "é" * 300, True, False, [], {}]
NASTY += [[None], [[]], {"": None}, {"a": {}}, {"S": 1}, {"a": {"S": "b", "N": "1"}}, [{}], None]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in a JSON value."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def replaced(request: dict[str, Any], path: tuple[Any, ...], by: Any) -> dict[str, Any]:
    changed = copy.deepcopy(request)
    parent: Any = changed
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = by
    return changed


@pytest.mark.parametrize(
    ("operation", "request_"), REQUESTS, ids=[f"{n}-{op}" for n, (op, _) in enumerate(REQUESTS)]
)
def test_anything_in_place_of_any_member(
    wire: Wire, operation: str, request_: dict[str, Any]
) -> None:
    assert wire.code(operation, request_) not in (SERIAL,)
    for path in places(request_):
        for by in NASTY:
            changed = replaced(request_, path, by)
            code = wire.code(operation, changed)
            assert code is None or code in REFUSALS, (changed, code)


def wrong_for(kind: str) -> list[Any]:
    right = {"string": str, "boolean": bool, "structure": dict, "map": dict, "list": list}
    every: list[Any] = [1, 1.5, "x", True, ["x"], {"x": "y"}]
    wanted = right.get(kind, int)
    return [each for each in every if type(each) is not wanted]


def test_a_wrong_type_of_any_member_of_the_model(wire: Wire) -> None:
    """Each member of each operation; those that are refused may be so for being there."""
    model = botocore.session.get_session().get_service_model("dynamodb")
    for operation in dict(REQUESTS):
        members = model.operation_model(operation).input_shape.members
        base = next(request for name, request in REQUESTS if name == operation)
        for name, shape in members.items():
            for wrong in wrong_for(shape.type_name):
                code = wire.code(operation, {**base, name: wrong})
                assert code in (SERIAL, INVALID), (operation, name, wrong, code)


VALUES: dict[str, Any] = {
    "numbers with too many digits": {"N": "1" * 39},
    "a number of many digits": {"N": "1" * 1_000_000},
    "a large exponent": {"N": "1e999999"},
    "a larger exponent": {"N": "1e99999999999"},
    "a small exponent": {"N": "1e-999999"},
    "no number": {"N": "NaN"},
    "infinity": {"N": "Infinity"},
    "digits of another script": {"N": "٣"},
    "a number with a line end": {"N": "1\n2"},
    "an empty number": {"N": ""},
    "no base64": {"B": "a"},
    "base64 with spaces": {"B": "YQ ="},
    "base64 that is not ASCII": {"B": "é"},
    "an empty set": {"SS": []},
    "the same twice": {"NS": ["1", "1.0"]},
    "a set of sets": {"SS": [["a"]]},
    "false NULL": {"NULL": False},
    "two types": {"S": "a", "N": "1"},
    "no type": {},
    "a type nobody knows": {"X": "a"},
    "a list of what is no value": {"L": ["a"]},
    "a map of what is no value": {"M": {"a": None}},
    "a large item": {"S": "a" * 500_000},
    "many members": {"L": [{"NULL": True}] * 250_000},
}


def nested(depth: int, kind: str) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "a"}
    for _ in range(depth):
        value = {"L": [value]} if kind == "L" else {"M": {"a": value}}
    return value


VALUES |= {f"{depth} of {kind}": nested(depth, kind) for depth in (33, 100, 400) for kind in "LM"}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_none(wire: Wire, name: str) -> None:
    value = VALUES[name]
    put = {"TableName": "hostile", "Item": {**KEY, "v": value}}
    assert wire.code("PutItem", put) in (SERIAL, INVALID)
    update = {"TableName": "hostile", "Key": KEY, "UpdateExpression": "SET v = :v"}
    assert wire.code("UpdateItem", {**update, "ExpressionAttributeValues": {":v": value}}) in (
        SERIAL,
        INVALID,
    )
    key = {"TableName": "hostile", "Key": {"k": value}}
    assert wire.code("GetItem", key) in (SERIAL, INVALID)


EXPRESSIONS: dict[str, str] = {
    "nothing": "",
    "spaces": "   ",
    "brackets": "(" * 4000,
    "closed brackets": "(" * 400 + "a = :v" + ")" * 400,
    "many NOTs": "NOT " * 1000 + "a = :v",
    "many ORs": " OR ".join(["a = :v"] * 500),
    "functions in functions": "size(" * 900 + "a" + ")" * 900,
    "a place too far": "a[99999999999999999999] = :v",
    "a long path": ".".join(["a"] * 2000) + " = :v",
    "many places": "a" + "[0]" * 1300 + " = :v",
    "a NUL": "a\0 = :v",
    "what is no letter": "é = :v",
    "a quote": "'a' = :v",
    "a name without a name": "# = :v",
    "a value without a name": "a = :",
    "too long": "a = :v" + " " * 5000,
    "half a test": "a =",
    "a comma": "a IN (:v,)",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("role", ["ConditionExpression", "UpdateExpression"])
def test_an_expression_that_is_none(wire: Wire, role: str, name: str) -> None:
    text = EXPRESSIONS[name] if role == "ConditionExpression" else f"SET {EXPRESSIONS[name]}"
    request = {"TableName": "hostile", "Key": KEY, role: text}
    if ":v" in text:
        request["ExpressionAttributeValues"] = {":v": {"S": "a"}}
    code = wire.code("UpdateItem", request)
    assert code == INVALID or (name == "a place too far" and code is not None), code


@pytest.mark.parametrize(
    "name", ["", "a", "ab", "x" * 256, "a/b", "a b", "é" * 5, "../tables", "a\0b", "arn:aws:x", ":"]
)
def test_a_name_that_is_no_tables(wire: Wire, name: str) -> None:
    assert wire.code("CreateTable", table(name)) == INVALID
    assert wire.code("DescribeTable", {"TableName": name}) in (INVALID, ABSENT)
