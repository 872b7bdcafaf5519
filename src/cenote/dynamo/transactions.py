"""TransactWriteItems and TransactGetItems: all of it, or none.

Owns: reading such a request, its limits, the reasons of a cancellation, tokens.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html

Invariants:
1. Every condition is decided against the items as they were before the transaction, and no item is
   named twice: so the order of the actions means nothing.
2. A token that comes again within ten minutes with the same request answers again, and changes
   nothing; with another request it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from cenote.dynamo.capacity import consumed, read_units, wanted_capacity, write_units
from cenote.dynamo.codes import DynamoError, invalid
from cenote.dynamo.constraints import Constraints
from cenote.dynamo.expressions.placeholders import Placeholders
from cenote.dynamo.expressions.projection import parse_projection, project
from cenote.dynamo.keys import parse_key
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Rows, Token
from cenote.dynamo.values import Item, item_size, parse_item, render_item
from cenote.dynamo.writing import (
    Change,
    existing_table,
    make_change,
    parse_check,
    parse_delete,
    parse_put,
    parse_update_item,
)

__all__ = ["transact_get_items", "transact_write_items"]

_ACTIONS_MAX: Final = 100
_SIZE_MAX: Final = 4 * 1024 * 1024
_TOKEN_MS: Final = 10 * 60 * 1000
_PARSERS: Final[dict[str, Callable[[Rows, Request], Change]]] = {
    "ConditionCheck": parse_check,
    "Put": parse_put,
    "Delete": parse_delete,
    "Update": parse_update_item,
}
Reason = dict[str, Any]


def transact_write_items(rows: Rows, request: Request, now_ms: int) -> dict[str, Any]:
    """Do a TransactWriteItems, and return its answer.

    Raises DynamoError, TransactionCanceledException with a reason for each action among them.
    """
    wanted = wanted_capacity(request)
    request.choice("ReturnItemCollectionMetrics", ("SIZE", "NONE"), "NONE")
    actions = _actions(request)
    changes = [_PARSERS[name](rows, Request(wire)) for name, wire in actions]
    if len({(change.table.name, change.key) for change in changes}) != len(changes):
        raise invalid("Transaction request cannot include multiple operations on one item")
    token = request.text("ClientRequestToken")
    repeated = token is not None and _is_repeated(rows, token, actions, now_ms)
    reasons: list[Reason] = []
    units: dict[str, float] = {}
    size = 0
    for change in changes:
        if repeated:
            units[change.table.name] = units.get(change.table.name, 0.0) + 1.0
            continue
        reason, change_size = _make(rows, change)
        reasons.append(reason)
        size += change_size
        cost = 2 * write_units(change_size)
        units[change.table.name] = units.get(change.table.name, 0.0) + cost
    if any(reason["Code"] != "None" for reason in reasons):
        raise _cancelled(reasons)
    if size > _SIZE_MAX:
        raise invalid("Collection size limit exceeded: a transaction holds at most 4 MB")
    return _units(wanted, units)


def _actions(request: Request) -> list[tuple[str, dict[str, Any]]]:
    listed = request.array("TransactItems")
    constraints = Constraints()
    if constraints.required(listed, "transactItems"):
        constraints.count(listed, "transactItems", 1, _ACTIONS_MAX)
    constraints.finish()
    actions = []
    for each in listed or ():
        given = {name: wire for name, wire in Request(each).members.items() if wire is not None}
        if len(given) != 1 or not given.keys() <= _PARSERS.keys():
            raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
        ((name, wire),) = given.items()
        actions.append((name, Request(wire).members))
    return actions


def _is_repeated(rows: Rows, token: str, actions: Any, now_ms: int) -> bool:
    constraints = Constraints()
    constraints.length(token, "clientRequestToken", 1, 36)
    constraints.finish()
    digest = hashlib.sha256(json.dumps(actions, sort_keys=True).encode()).digest()
    known = rows.token(token)
    if known is not None and now_ms - known.made_ms < _TOKEN_MS:
        if known.digest != digest:
            raise DynamoError(
                "IdempotentParameterMismatchException",
                "The request uses the same client token as a previous, but non-identical request. "
                "Do not reuse a client token with different requests, unless the requests are "
                "identical.",
            )
        return True
    rows.save_token(token, Token(digest, now_ms), now_ms - _TOKEN_MS)
    return False


def _make(rows: Rows, change: Change) -> tuple[Reason, int]:
    try:
        made = make_change(rows, change)
    except DynamoError as error:
        if error.code == "ConditionalCheckFailedException":
            return {
                "Code": "ConditionalCheckFailed",
                "Message": error.message,
                **error.members,
            }, 0
        if error.code == "ValidationException":
            return {"Code": "ValidationError", "Message": error.message}, 0
        raise
    return {"Code": "None"}, made.size


def _cancelled(reasons: list[Reason]) -> DynamoError:
    codes = ", ".join(reason["Code"] for reason in reasons)
    return DynamoError(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        CancellationReasons=reasons,
    )


def _units(wanted: str, units: dict[str, float]) -> dict[str, Any]:
    if wanted == "NONE":
        return {}
    each = [consumed(wanted, name, total)["ConsumedCapacity"] for name, total in units.items()]
    return {"ConsumedCapacity": each}


def transact_get_items(rows: Rows, request: Request) -> dict[str, Any]:
    """Do a TransactGetItems, and return its answer. Raises DynamoError."""
    wanted = wanted_capacity(request)
    listed = request.array("TransactItems")
    constraints = Constraints()
    if constraints.required(listed, "transactItems"):
        constraints.count(listed, "transactItems", 1, _ACTIONS_MAX)
    constraints.finish()
    responses: list[dict[str, Any]] = []
    units: dict[str, float] = {}
    size = 0
    for each in listed or ():
        name, item, shown = _get(rows, Request(Request(each).needed("Get")))
        item_bytes = 0 if item is None else item_size(item)
        size += item_bytes
        units[name] = units.get(name, 0.0) + 2 * read_units(item_bytes, consistent=True)
        responses.append({} if shown is None else {"Item": render_item(shown)})
    if size > _SIZE_MAX:
        raise invalid("Collection size limit exceeded: a transaction reads at most 4 MB")
    return {"Responses": responses} | _units(wanted, units)


def _get(rows: Rows, request: Request) -> tuple[str, Item | None, Item | None]:
    name = request.table()
    wire = parse_item(request.needed("Key"))
    text = request.text("ProjectionExpression")
    placeholders = Placeholders(
        request.names("ExpressionAttributeNames"),
        None,
        *(() if text is not None else ("ProjectionExpression",)),
    )
    paths = None if text is None else parse_projection(text, placeholders)
    placeholders.finish()
    table = existing_table(rows, name)
    item = rows.get(table, parse_key(wire, table.schema))
    shown = item if item is None or paths is None else project(item, paths)
    return table.name, item, shown
