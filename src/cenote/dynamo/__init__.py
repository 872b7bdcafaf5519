"""The DynamoDB protocol without sockets or files: requests to answers, over rows."""

from cenote.dynamo.codes import DynamoError
from cenote.dynamo.coverage import ABSENT, coverage, members_of
from cenote.dynamo.keys import Key, KeySchema
from cenote.dynamo.ops import OPERATIONS, TARGET, Context, Operation, operation_of
from cenote.dynamo.request import Request
from cenote.dynamo.rows import Found, Rows, Span, Token
from cenote.dynamo.schema import Index, Table, TableUse
from cenote.dynamo.shapes import PASSED, REFUSED, SHAPES
from cenote.dynamo.tables import delete_expired
from cenote.dynamo.values import Item, Value, item_size, parse_item, render_item
from cenote.dynamo.writing import expiry_of, places_of

__all__ = [
    "ABSENT",
    "OPERATIONS",
    "PASSED",
    "REFUSED",
    "SHAPES",
    "TARGET",
    "Context",
    "DynamoError",
    "Found",
    "Index",
    "Item",
    "Key",
    "KeySchema",
    "Operation",
    "Request",
    "Rows",
    "Span",
    "Table",
    "TableUse",
    "Token",
    "Value",
    "coverage",
    "delete_expired",
    "expiry_of",
    "item_size",
    "members_of",
    "operation_of",
    "parse_item",
    "places_of",
    "render_item",
]
