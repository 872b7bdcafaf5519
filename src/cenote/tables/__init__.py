"""Lock tables: DynamoDB's operations on cells of a bucket file, each one commit."""

from cenote.tables.change import ExpireChange, TableAnswer, TableChange, answer_of
from cenote.tables.service import LockTables

__all__ = ["ExpireChange", "LockTables", "TableAnswer", "TableChange", "answer_of"]
