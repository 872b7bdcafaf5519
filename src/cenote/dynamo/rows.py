"""What an operation sees and changes: tables and items, within one transaction.

No operation reads what it has written but definitions of tables, so that an implementation may keep
the changes and make them at the end.

Owns: the protocol between the operations and whatever keeps the items.
Does not own: transactions. An operation calls these, and all of its changes are made or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cenote.dynamo.keys import Key
from cenote.dynamo.schema import Table, TableUse
from cenote.dynamo.values import Item

__all__ = ["Found", "Rows", "Span", "Token"]


class Found(NamedTuple):
    """An item met in a span: its place in the index (or the table), its key, and itself."""

    place: Key
    key: Key
    item: Item


@dataclass(frozen=True, slots=True)
class Span:
    """Which items, in which order: of one partition or of all, through an index or not.

    `low` and `high` bound the sort key's bytes; None is no bound. `after` is the place and the key
    of the item that the last page ended with. Without a partition the order is by its bytes.
    """

    index: str | None = None
    partition: bytes | None = None
    low: bytes | None = None
    low_open: bool = False
    high: bytes | None = None
    high_open: bool = False
    reverse: bool = False
    after: tuple[Key, Key] | None = None


class Token(NamedTuple):
    """A transaction that was made: the digest of its request, and when."""

    digest: bytes
    made_ms: int


class Rows(Protocol):
    """The tables and items of one transaction."""

    def table(self, name: str) -> Table | None:
        """Return a table's definition."""
        ...

    def names(self, after: str, limit: int) -> list[str]:
        """Return up to `limit` names of tables above `after`, in order."""
        ...

    def save_table(self, table: Table) -> None:
        """Add a table, or replace its definition; its items stay."""
        ...

    def drop_table(self, table: Table) -> None:
        """Remove a table and its items."""
        ...

    def use(self, table: Table) -> TableUse:
        """Return how full a table is."""
        ...

    def get(self, table: Table, key: Key) -> Item | None:
        """Return an item."""
        ...

    def put(
        self, table: Table, key: Key, item: Item, places: dict[str, Key], expires_s: int | None
    ) -> None:
        """Write an item, its place in each index that has it, and when it expires."""
        ...

    def delete(self, table: Table, key: Key) -> None:
        """Remove an item, and its places. There need not have been one."""
        ...

    def walk(self, table: Table, span: Span) -> Iterator[Found]:
        """Yield the items of a span in order, as they were before the operation's own changes."""
        ...

    def forget_expiry(self, table: Table) -> None:
        """Forget when the items of a table expire; the items stay."""
        ...

    def expired(self, table: Table, now_s: int, limit: int) -> list[Key]:
        """Return up to `limit` keys of items that expired at `now_s` or before."""
        ...

    def token(self, token: str) -> Token | None:
        """Return what is remembered of a transaction by its client's token."""
        ...

    def save_token(self, token: str, made: Token, forget_before_ms: int) -> None:
        """Remember a transaction, and forget those made before a time."""
        ...
