"""A table of locks in DynamoDB, in the shape object_store's DynamoCommit gave it.

Owns: the one request there is (PutItem), its conditions, and who holds a lock.
Does not own: when a lock is wanted and what happens under it (`dynamo_commit`).

An item: `path` (S, partition key), `etag` (S, sort key; "*" for "no object"), `generation` (N),
`timeout` (N, milliseconds), `ttl` (N, epoch seconds: when DynamoDB may drop the item), and `owner`
(S), which the shape allows and which tells a lost reply from a lost race. A lock is never given
back: what it guards happens once, and then the object has another ETag.

Invariants:
1. A generation of a lock has one owner, by the table's own condition.
2. A lock is taken over by its own owner, or three timeouts after it was first seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cenote.base import Clock
from cenote.errors import DataError, DeniedError, InvalidError, ThrottledError, UnavailableError
from cenote.objstore.aws_request import JsonService

__all__ = ["DynamoTable", "Held", "TakenLock"]

TTL_SECONDS: Final = 3600
_PUT_ITEM: Final = "DynamoDB_20120810.PutItem"
_THROTTLED: Final = (
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
)
_DENIED: Final = (
    "AccessDeniedException",
    "UnrecognizedClientException",
    "MissingAuthenticationTokenException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
)


@dataclass(frozen=True, slots=True)
class Held:
    """The lock is ours, in this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class TakenLock:
    """The lock was taken before, in this generation, for `timeout_ms` and the time to be sure.

    `is_ours`: by the same owner, whose answer was lost, who knows when.
    """

    generation: int
    timeout_ms: int
    is_ours: bool


class DynamoTable:
    """The table `table` of the service. `timeout_ms` is how long a holder may take."""

    def __init__(self, service: JsonService, table: str, *, timeout_ms: int, clock: Clock) -> None:
        self._service = service
        self._table = table
        self._timeout_ms = timeout_ms
        self._clock = clock

    @property
    def timeout_ms(self) -> int:
        """How long a holder may take, in milliseconds."""
        return self._timeout_ms

    def take(
        self, path: str, etag: str, owner: str, taken: TakenLock | None = None
    ) -> Held | TakenLock:
        """Take the lock (path, etag), or with `taken` take that generation of it over.

        Raises UnavailableError, DeniedError, InvalidError (no such table), DataError.
        """
        generation = 0 if taken is None else taken.generation + 1
        status, answer = self._service.call(
            _PUT_ITEM, self._request(path, etag, owner, generation, taken)
        )
        if 200 <= status < 300:
            return Held(generation)
        kind = str(answer.get("__type", "")).rpartition("#")[2]
        if kind == "ConditionalCheckFailedException":
            return _read_item(answer.get("Item"), owner)
        message = f"the table {self._table} answered {status} {kind}: " + str(
            answer.get("message") or answer.get("Message") or ""
        )
        if kind in _THROTTLED or status == 429:
            raise ThrottledError(message)
        if kind in _DENIED:
            raise DeniedError(message)
        if 400 <= status < 500:
            raise InvalidError(message, kind="lock_table", table=self._table)
        raise UnavailableError(message, effect_unknown=True)

    def _request(
        self, path: str, etag: str, owner: str, generation: int, taken: TakenLock | None
    ) -> dict[str, Any]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "ConditionExpression": "attribute_not_exists(#pk)",
            "ExpressionAttributeNames": {"#pk": "path"},
            "Item": {
                "path": {"S": path},
                "etag": {"S": etag},
                "generation": {"N": str(generation)},
                "timeout": {"N": str(self._timeout_ms)},
                "ttl": {"N": str(self._clock.now_ms() // 1000 + TTL_SECONDS)},
                "owner": {"S": owner},
            },
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if taken is not None:
            request["ConditionExpression"] = "attribute_exists(#pk) AND generation = :g"
            request["ExpressionAttributeValues"] = {":g": {"N": str(taken.generation)}}
        return request


def _read_item(item: Any, owner: str) -> TakenLock:
    try:
        generation = int(item["generation"]["N"])
        timeout_ms = int(item["timeout"]["N"])
        holder = item.get("owner", {}).get("S")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"a lock's item is not one: {item!r}", kind="lock_item") from error
    return TakenLock(generation, timeout_ms, holder == owner)
