"""Where moto's DynamoDB is known to answer otherwise than the service is documented to.

Each is told by what a request has in it; the page is what sides with us. A difference in a request
that has none of these is a failure of the test. docs/reference/dynamodb-moto.md lists them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

GUIDE: Final = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/"
API: Final = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/"
Request = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """What moto does, the page that has it otherwise, and in which requests it shows."""

    moto: str
    page: str
    shows: Callable[[Request, Any, Any], bool]


def _bodies(request: Request) -> Iterator[Request]:
    yield request
    for action in request.get("TransactItems", ()):
        yield from action.values()


def _operands(request: Request) -> list[Any]:
    return [
        value
        for body in _bodies(request)
        for value in body.get("ExpressionAttributeValues", {}).values()
    ]


def _null(request: Request, *_: Any) -> bool:
    return {"NULL": True} in _operands(request)


def _negated(request: Request, *_: Any) -> bool:
    roles = ("ConditionExpression", "FilterExpression")
    return any("NOT " in body.get(role, "") for body in _bodies(request) for role in roles)


def _failed_inside(_: Request, __: Any, theirs: Any) -> bool:
    return isinstance(theirs, tuple) and (theirs[0] == "500" or "TypeError" in theirs[2])


def _not_cancelled(_: Request, ours: Any, theirs: Any) -> bool:
    if not isinstance(ours, tuple) or not isinstance(theirs, tuple):
        return False
    return theirs[0] == "ValidationException" and "ValidationError" in ours[2]


def _binary(request: Request, *_: Any) -> bool:
    text = json.dumps(request, default=str)
    return "contains(" in text and any("B" in value for value in _operands(request))


def _truth(request: Request, ours: Any, theirs: Any) -> bool:
    compared = any("N" in value or "BOOL" in value for value in _operands(request))
    return compared and "'BOOL'" in f"{request}{ours}{theirs}"


def _no_parent(request: Request, ours: Any, theirs: Any) -> bool:
    updates = [body.get("UpdateExpression", "") for body in _bodies(request)]
    refused = isinstance(ours, tuple) and "ValidationE" in f"{ours[0]}{ours[2]}"
    return refused and not isinstance(theirs, tuple) and any("." in text for text in updates)


DIFFERENCES: Final = (
    Difference(
        "compares true and false with the numbers 1 and 0",
        GUIDE + "HowItWorks.NamingRulesDataTypes.html",
        _truth,
    ),
    Difference(
        "takes an update of a place in a map that is not there",
        GUIDE + "Expressions.UpdateExpressions.html",
        _no_parent,
    ),
    Difference(
        "answers 500, or cancels for a TypeError, where values of two types are compared",
        GUIDE + "Expressions.OperatorsAndFunctions.html",
        _failed_inside,
    ),
    Difference(
        "takes an attribute that is not there for one that is NULL",
        GUIDE + "HowItWorks.NamingRulesDataTypes.html",
        _null,
    ),
    Difference(
        "does not give NOT its place behind comparisons and before AND, and takes no NOT of a NOT",
        GUIDE + "Expressions.OperatorsAndFunctions.html",
        _negated,
    ),
    Difference(
        "answers ValidationException where an update of a transaction does not fit its item, "
        "instead of cancelling with the reason ValidationError",
        API + "API_TransactWriteItems.html",
        _not_cancelled,
    ),
    Difference(
        "finds no bytes in a binary value by `contains`",
        API + "API_Condition.html",
        _binary,
    ),
)
EVERYWHERE: Final = (
    (
        "reports ConsumedCapacity and ItemCollectionMetrics where they were not asked for",
        API + "API_UpdateItem.html",
    ),
    (
        "keeps zeros at the end of a number that it has computed",
        GUIDE + "HowItWorks.NamingRulesDataTypes.html",
    ),
)
"""Differences that are taken out of every answer before comparing."""


def difference(request: Request, ours: Any, theirs: Any) -> Difference | None:
    """Return the known difference that a request shows, if any."""
    return next((each for each in DIFFERENCES if each.shows(request, ours, theirs)), None)
