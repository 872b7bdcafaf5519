"""Rows in dictionaries: the least that the operations can stand on, for their tests."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from cenote.dynamo import (
    TARGET,
    Context,
    DynamoError,
    Found,
    Item,
    Key,
    Request,
    Span,
    Table,
    TableUse,
    Token,
    item_size,
    operation_of,
)


class PlainRows:
    """One transaction after another, each undone when it raises."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.items: dict[str, dict[Key, tuple[Item, dict[str, Key], int | None]]] = {}
        self.tokens: dict[str, Token] = {}
        self.now_ms = 1_700_000_000_000

    def call(self, name: str, **members: Any) -> dict[str, Any]:
        """Do an operation, as the server would."""
        before = copy.deepcopy((self.tables, self.items, self.tokens))
        context = Context(self.now_ms, lambda: "00000000-0000-4000-8000-000000000000")
        try:
            return operation_of(TARGET + name).run(self, Request(members), context)
        except DynamoError:
            self.tables, self.items, self.tokens = before
            raise

    def table(self, name: str) -> Table | None:
        return self.tables.get(name)

    def names(self, after: str, limit: int) -> list[str]:
        return sorted(name for name in self.tables if name > after)[:limit]

    def save_table(self, table: Table) -> None:
        self.tables[table.name] = table
        self.items.setdefault(table.name, {})

    def drop_table(self, table: Table) -> None:
        del self.tables[table.name], self.items[table.name]

    def use(self, table: Table) -> TableUse:
        items = self.items.get(table.name, {})
        return TableUse(len(items), sum(item_size(item) for item, _, _ in items.values()))

    def get(self, table: Table, key: Key) -> Item | None:
        found = self.items[table.name].get(key)
        return None if found is None else found[0]

    def put(
        self, table: Table, key: Key, item: Item, places: dict[str, Key], expires_s: int | None
    ) -> None:
        self.items[table.name][key] = item, places, expires_s

    def delete(self, table: Table, key: Key) -> None:
        self.items[table.name].pop(key, None)

    def walk(self, table: Table, span: Span) -> Iterator[Found]:
        found = []
        for key, (item, places, _) in self.items[table.name].items():
            place = key if span.index is None else places.get(span.index)
            if place is not None and self._within(place, span):
                found.append(Found(place, key, item))
        found.sort(key=lambda each: (each.place, each.key), reverse=span.reverse)
        for each in list(found):
            if span.after is not None:
                here, there = (each.place, each.key), span.after
                if (here >= there) if span.reverse else (here <= there):
                    continue
            yield each

    def _within(self, place: Key, span: Span) -> bool:
        if span.partition is not None and place[0] != span.partition:
            return False
        low, high, sort = span.low, span.high, place[1]
        if low is not None and (sort < low or (span.low_open and sort == low)):
            return False
        return high is None or sort < high or (not span.high_open and sort == high)

    def forget_expiry(self, table: Table) -> None:
        items = self.items[table.name]
        for key, (item, places, _) in items.items():
            items[key] = item, places, None

    def expired(self, table: Table, now_s: int, limit: int) -> list[Key]:
        return [
            key
            for key, (_, _, expires_s) in self.items[table.name].items()
            if expires_s is not None and expires_s <= now_s
        ][:limit]

    def token(self, token: str) -> Token | None:
        return self.tokens.get(token)

    def save_token(self, token: str, made: Token, forget_before_ms: int) -> None:
        self.tokens[token] = made
