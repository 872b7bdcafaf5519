"""Lock tables: DynamoDB's operations on cells of a bucket file, each one commit."""

from cenote.tables.binding import BUCKET_TAG, BindChange
from cenote.tables.change import ExpireChange, TableAnswer, TableChange, answer_of
from cenote.tables.service import LockTables
from cenote.tables.together import PutWithItems

__all__ = [
    "BUCKET_TAG",
    "BindChange",
    "ExpireChange",
    "LockTables",
    "PutWithItems",
    "TableAnswer",
    "TableChange",
    "answer_of",
]
