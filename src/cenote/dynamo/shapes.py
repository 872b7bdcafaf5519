"""What a request of each operation may hold: its members, their JSON types, what becomes of them.

Owns: the table of members, the check of a request against it, the refusal of what is not supported.
Does not own: what members mean, which must be there, limits of theirs.

A shape is written as Python has it: `[x]` is a list of x, `{"*": x}` a map of x by any name,
another dictionary a structure by its members, a word one of "text", "flag", "integer", "long",
"value" (an AttributeValue, which is read elsewhere), "any" (refused whatever it holds).

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB.html

Invariants:
1. A request that was let through has the types of its shape everywhere, and no member that the
   protocol does not have: the service ignores those, so they are taken out.
2. A member is read, or refused, or in `PASSED` with the reason why it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cenote.dynamo.codes import DynamoError, invalid

__all__ = ["PASSED", "REFUSED", "SHAPES", "conform"]

_ITEM: Final = {"*": "value"}
_NAMES: Final = {"*": "text"}
_ROLES: Final = [{"AttributeName": "text", "KeyType": "text"}]
_TYPES: Final = [{"AttributeName": "text", "AttributeType": "text"}]
_PROJECTION: Final = {"ProjectionType": "text", "NonKeyAttributes": ["text"]}
_UNITS: Final = {"ReadCapacityUnits": "long", "WriteCapacityUnits": "long"}
_TAGS: Final = [{"Key": "text", "Value": "text"}]
_TABLE: Final = {"TableName": "text"}
_TEST: Final = {"AttributeValueList": ["value"], "ComparisonOperator": "text"}
_EXPECTED: Final = {"*": {"Value": "value", "Exists": "flag", **_TEST}}
_GET: Final = {
    "AttributesToGet": ["text"],
    "ConsistentRead": "flag",
    "ProjectionExpression": "text",
    "ExpressionAttributeNames": _NAMES,
}
_CONDITION: Final = {
    "ConditionExpression": "text",
    "ExpressionAttributeNames": _NAMES,
    "ExpressionAttributeValues": _ITEM,
    "ReturnValuesOnConditionCheckFailure": "text",
}
_WRITE: Final = {
    "TableName": "text",
    "Expected": _EXPECTED,
    "ConditionalOperator": "text",
    "ReturnValues": "text",
    "ReturnConsumedCapacity": "text",
    "ReturnItemCollectionMetrics": "text",
    **_CONDITION,
}
_SEARCH: Final = {
    "TableName": "text",
    "IndexName": "text",
    "Select": "text",
    "Limit": "integer",
    "ConditionalOperator": "text",
    "ExclusiveStartKey": _ITEM,
    "ReturnConsumedCapacity": "text",
    "FilterExpression": "text",
    "ExpressionAttributeValues": _ITEM,
    **_GET,
}
_ACTION: Final = {"TableName": "text", "Key": _ITEM, **_CONDITION}
_LOCAL_INDEX: Final = {"IndexName": "text", "KeySchema": _ROLES, "Projection": _PROJECTION}
_ENCRYPTION: Final = {"Enabled": "flag", "SSEType": "text", "KMSMasterKeyId": "text"}
_STREAM: Final = {"StreamEnabled": "flag", "StreamViewType": "text"}
_ANY: Final = "any"
"""A member that is refused whatever it holds."""
_PROVISIONING: Final = {
    "BillingMode": "text",
    "ProvisionedThroughput": _UNITS,
    "TableClass": "text",
    "DeletionProtectionEnabled": "flag",
    "StreamSpecification": _STREAM,
    "SSESpecification": _ENCRYPTION,
    "OnDemandThroughput": _ANY,
    "WarmThroughput": _ANY,
    "GlobalTableSettingsReplicationMode": _ANY,
}

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = {
    "BatchGetItem": {
        "RequestItems": {"*": {"Keys": [_ITEM], **_GET}},
        "ReturnConsumedCapacity": "text",
    },
    "BatchWriteItem": {
        "RequestItems": {"*": [{"PutRequest": {"Item": _ITEM}, "DeleteRequest": {"Key": _ITEM}}]},
        "ReturnConsumedCapacity": "text",
        "ReturnItemCollectionMetrics": "text",
    },
    "CreateTable": {
        "TableName": "text",
        "AttributeDefinitions": _TYPES,
        "KeySchema": _ROLES,
        "LocalSecondaryIndexes": [_LOCAL_INDEX],
        "GlobalSecondaryIndexes": [
            {
                **_LOCAL_INDEX,
                "ProvisionedThroughput": _UNITS,
                "OnDemandThroughput": _ANY,
                "WarmThroughput": _ANY,
            }
        ],
        "Tags": _TAGS,
        **_PROVISIONING,
        "ResourcePolicy": _ANY,
        "GlobalTableSourceArn": _ANY,
        "VectorIndexes": _ANY,
    },
    "DeleteItem": {"Key": _ITEM, **_WRITE},
    "DeleteTable": _TABLE,
    "DescribeTable": _TABLE,
    "DescribeTimeToLive": _TABLE,
    "GetItem": {"TableName": "text", "Key": _ITEM, "ReturnConsumedCapacity": "text", **_GET},
    "ListTables": {"ExclusiveStartTableName": "text", "Limit": "integer"},
    "ListTagsOfResource": {"ResourceArn": "text", "NextToken": "text"},
    "PutItem": {"Item": _ITEM, **_WRITE},
    "Query": {
        **_SEARCH,
        "KeyConditions": {"*": _TEST},
        "QueryFilter": {"*": _TEST},
        "ScanIndexForward": "flag",
        "KeyConditionExpression": "text",
    },
    "Scan": {
        **_SEARCH,
        "ScanFilter": {"*": _TEST},
        "TotalSegments": "integer",
        "Segment": "integer",
    },
    "TagResource": {"ResourceArn": "text", "Tags": _TAGS},
    "TransactGetItems": {
        "TransactItems": [
            {
                "Get": {
                    "TableName": "text",
                    "Key": _ITEM,
                    "ProjectionExpression": "text",
                    "ExpressionAttributeNames": _NAMES,
                }
            }
        ],
        "ReturnConsumedCapacity": "text",
    },
    "TransactWriteItems": {
        "TransactItems": [
            {
                "ConditionCheck": _ACTION,
                "Put": {"TableName": "text", "Item": _ITEM, **_CONDITION},
                "Delete": _ACTION,
                "Update": {"UpdateExpression": "text", **_ACTION},
            }
        ],
        "ReturnConsumedCapacity": "text",
        "ReturnItemCollectionMetrics": "text",
        "ClientRequestToken": "text",
    },
    "UntagResource": {"ResourceArn": "text", "TagKeys": ["text"]},
    "UpdateItem": {
        "Key": _ITEM,
        "AttributeUpdates": {"*": {"Value": "value", "Action": "text"}},
        "UpdateExpression": "text",
        **_WRITE,
    },
    "UpdateTable": {
        "TableName": "text",
        "AttributeDefinitions": _TYPES,
        **_PROVISIONING,
        "GlobalSecondaryIndexUpdates": _ANY,
        "ReplicaUpdates": _ANY,
        "MultiRegionConsistency": _ANY,
        "GlobalTableWitnessUpdates": _ANY,
        "DisassociationProtectionEnabled": _ANY,
        "VectorIndexUpdates": _ANY,
    },
    "UpdateTimeToLive": {
        "TableName": "text",
        "TimeToLiveSpecification": {"Enabled": "flag", "AttributeName": "text"},
    },
}

REFUSED: Final = frozenset({"StreamSpecification.StreamEnabled", "SSESpecification.Enabled"})
"""Members that are refused when they are true, beside those whose shape is "any"."""

PASSED: Final[Mapping[str, str]] = {
    "StreamSpecification.StreamViewType": "means nothing without a stream, which is refused",
    "SSESpecification.SSEType": "means nothing without a key of one's own, which is refused",
    "SSESpecification.KMSMasterKeyId": "means nothing without a key of one's own",
    "ListTagsOfResource.NextToken": "all tags are in the first answer, which gives no token",
    "BatchWriteItem.ReturnItemCollectionMetrics": "checked; only single writes tell of collections",
    "TransactWriteItems.ReturnItemCollectionMetrics": "checked; as with BatchWriteItem",
    "UpdateTable.AttributeDefinitions": "are for indexes to come, which are refused",
}
"""Members that are passed over, by path, with the reason."""

_LIMITS: Final = {"integer": 2**31, "long": 2**63}


def conform(operation: str, members: dict[str, Any]) -> None:
    """Demand the shape of an operation's request, and take out what the protocol does not have.

    Raises DynamoError: SerializationException for a wrong type, ValidationException for a member
    that is not supported.
    """
    _structure(SHAPES[operation], members, "")


def _structure(shape: Mapping[str, Any], members: dict[str, Any], path: str) -> None:
    for name in members.keys() - shape.keys():
        del members[name]
    for name, value in members.items():
        if value is not None:
            _check(shape[name], value, f"{path}.{name}" if path else name)


def _check(shape: Any, value: Any, path: str) -> None:
    if shape == _ANY or (path in REFUSED and value is True):
        if value:
            raise invalid(
                f"One or more parameter values were invalid: {path} is not supported by this server"
            )
    elif isinstance(shape, str):
        _scalar(shape, value, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise _wrong_type(path)
        for each in value:
            _check(shape[0], each, path)
    elif not isinstance(value, dict):
        raise _wrong_type(path)
    elif "*" in shape:
        for each in value.values():
            _check(shape["*"], each, path)
    else:
        _structure(shape, value, path)


def _scalar(kind: str, value: Any, path: str) -> None:
    if kind == "text":
        fits = isinstance(value, str)
    elif kind == "flag":
        fits = isinstance(value, bool)
    elif kind == "value":
        fits = isinstance(value, dict)
    else:
        limit = _LIMITS[kind]
        fits = isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if not fits:
        raise _wrong_type(path)


def _wrong_type(path: str) -> DynamoError:
    return DynamoError("SerializationException", f"Unexpected value type in payload: {path}")
