"""Tables and items as cells of a bucket file.

Owns: which cells there are, their keys, the order they give.
Does not own: transactions (`ports`), what the items mean (`cenote.dynamo`).

Layout, by space and key:

    tables              NAME                          the definition, JSON
    items TABLE-ID      KEY                           the item, JSON as the protocol has it
    index TABLE-ID N    PLACE KEY                     nothing; N is the index's name
    expiry TABLE-ID     u64 BE seconds | KEY          nothing
    tokens              TOKEN                         u64 BE milliseconds | digest
    token times         u64 BE milliseconds | TOKEN   nothing

A KEY is the partition key, closed, and the sort key's bytes; a PLACE both of an index, closed. To
close bytes is to write 00 as 00 FF, and 00 01 after the last: so closed bytes sort as the bytes
do, and none is a prefix of another.

Invariants:
1. Changes are made by `flush`, in order, and not before: an operation that raises has changed
   nothing.
2. Every index cell leads to an item that is there, and to its place in the index.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec

from cenote.dynamo import (
    Found,
    Item,
    Key,
    Span,
    Table,
    TableUse,
    Token,
    expiry_of,
    parse_item,
    places_of,
    render_item,
)
from cenote.errors import DataError
from cenote.ports import IndexTxn, IndexView

__all__ = ["CellRows"]

_TABLES: Final = "tables"
_TOKENS: Final = "tokens"
_TOKEN_TIMES: Final = "token times"
_PAGE: Final = 200
_FORGET_MAX: Final = 100


def close(raw: bytes) -> bytes:
    """Return bytes closed: see the module."""
    return raw.replace(b"\0", b"\0\xff") + b"\0\1"


def open_key(raw: bytes) -> Key:
    """Return the two halves of a KEY. Raises DataError."""
    first, rest = _split(raw)
    return first, rest


def _split(raw: bytes) -> tuple[bytes, bytes]:
    end = raw.find(b"\0\1")  # the first is the end: before it, every 00 is followed by FF
    if end < 0:
        raise DataError("the key of an item's cell is not closed", kind="cell")
    return raw[:end].replace(b"\0\xff", b"\0"), raw[end + 2 :]


def _cell_key(key: Key) -> bytes:
    return close(key[0]) + key[1]


def _above(raw: bytes) -> bytes | None:
    """Return the least bytes above all that begin with `raw`."""
    cut = raw.rstrip(b"\xff")
    return cut[:-1] + bytes((cut[-1] + 1,)) if cut else None


def _items(table: Table) -> str:
    return f"items {table.id}"


def _index(table: Table, name: str) -> str:
    return f"index {table.id} {name}"


def _expiry(table: Table) -> str:
    return f"expiry {table.id}"


class CellRows:
    """`dynamo.Rows` over a view of a bucket file, or over a transaction of one."""

    def __init__(self, view: IndexView, others: Sequence[str] = ()) -> None:
        """`others` are names of tables elsewhere, for listings."""
        self._view = view
        self._others = others
        self._changes: list[Callable[[IndexTxn], None]] = []
        self._tables: dict[str, Table | None] = {}

    def flush(self) -> None:
        """Make all changes. Requires: the view is a transaction, if there are any."""
        for change in self._changes:
            change(cast(IndexTxn, self._view))
        self._changes = []

    # Tables.

    def table(self, name: str) -> Table | None:
        if name not in self._tables:
            raw = self._view.cell(_TABLES, name.encode())
            self._tables[name] = None if raw is None else _decode_table(raw)
        return self._tables[name]

    def names(self, after: str, limit: int) -> list[str]:
        start = after.encode() + b"\0" if after else b""
        here = [key.decode() for key, _ in self._view.cells(_TABLES, start, None, limit)]
        if not self._others:
            return here
        return sorted(here + [name for name in self._others if name > after])[:limit]

    def save_table(self, table: Table) -> None:
        self._tables[table.name] = table
        raw = msgspec.json.encode(table)
        self._changes.append(lambda txn: txn.put_cell(_TABLES, table.name.encode(), raw))

    def drop_table(self, table: Table) -> None:
        self._tables[table.name] = None

        def drop(txn: IndexTxn) -> None:
            txn.delete_cell(_TABLES, table.name.encode())
            txn.clear_cells(_items(table))
            txn.clear_cells(_expiry(table))
            for index in table.indexes:
                txn.clear_cells(_index(table, index.name))

        self._changes.append(drop)

    def use(self, table: Table) -> TableUse:
        items, size = self._view.cells_use(_items(table))
        by_index = {}
        for index in table.indexes:
            count, _ = self._view.cells_use(_index(table, index.name))
            by_index[index.name] = count, size * count // max(items, 1)
        return TableUse(items, size, by_index)

    # Items.

    def get(self, table: Table, key: Key) -> Item | None:
        raw = self._view.cell(_items(table), _cell_key(key))
        return None if raw is None else _decode_item(raw)

    def put(
        self, table: Table, key: Key, item: Item, places: dict[str, Key], expires_s: int | None
    ) -> None:
        cell = _cell_key(key)
        old_places, old_expiry = self._old(table, key)
        raw = json.dumps(render_item(item), separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        )

        def put(txn: IndexTxn) -> None:
            for name, place in old_places.items():
                if places.get(name) != place:
                    txn.delete_cell(_index(table, name), _place(place, cell))
            for name, place in places.items():
                if old_places.get(name) != place:
                    txn.put_cell(_index(table, name), _place(place, cell), b"")
            if old_expiry is not None and old_expiry != expires_s:
                txn.delete_cell(_expiry(table), old_expiry.to_bytes(8, "big") + cell)
            if expires_s is not None:
                txn.put_cell(_expiry(table), expires_s.to_bytes(8, "big") + cell, b"")
            txn.put_cell(_items(table), cell, raw)

        self._changes.append(put)

    def _old(self, table: Table, key: Key) -> tuple[dict[str, Key], int | None]:
        """Return where the item that is there now stands in the indexes, and when it expires."""
        if not table.indexes and table.ttl_attribute is None:
            return {}, None
        item = self.get(table, key)
        if item is None:
            return {}, None
        return places_of(table, item), expiry_of(table, item)

    def delete(self, table: Table, key: Key) -> None:
        cell = _cell_key(key)
        places, expiry = self._old(table, key)

        def delete(txn: IndexTxn) -> None:
            txn.delete_cell(_items(table), cell)
            for name, place in places.items():
                txn.delete_cell(_index(table, name), _place(place, cell))
            if expiry is not None:
                txn.delete_cell(_expiry(table), expiry.to_bytes(8, "big") + cell)

        self._changes.append(delete)

    def walk(self, table: Table, span: Span) -> Iterator[Found]:
        space = _items(table) if span.index is None else _index(table, span.index)
        start, end = _bounds(span)
        while True:
            page = self._view.cells(space, start, end, _PAGE, reverse=span.reverse)
            for cell, raw in page:
                yield self._found(table, span, cell, raw)
            if len(page) < _PAGE:
                return
            if span.reverse:
                end = page[-1][0]
            else:
                start = page[-1][0] + b"\0"

    def _found(self, table: Table, span: Span, cell: bytes, raw: bytes) -> Found:
        if span.index is None:
            key = open_key(cell)
            return Found(key, key, _decode_item(raw))
        first, rest = _split(cell)
        second, item_cell = _split(rest)
        key = open_key(item_cell)
        item = self.get(table, key)
        if item is None:
            raise DataError(
                f"index {span.index} of table {table.name} leads to no item", kind="cell"
            )
        return Found((first, second), key, item)

    # Expiry and tokens.

    def forget_expiry(self, table: Table) -> None:
        self._changes.append(lambda txn: txn.clear_cells(_expiry(table)))

    def expired(self, table: Table, now_s: int, limit: int) -> list[Key]:
        end = (now_s + 1).to_bytes(8, "big")
        return [open_key(cell[8:]) for cell, _ in self._view.cells(_expiry(table), b"", end, limit)]

    def token(self, token: str) -> Token | None:
        raw = self._view.cell(_TOKENS, token.encode())
        return None if raw is None else Token(raw[8:], int.from_bytes(raw[:8], "big"))

    def save_token(self, token: str, made: Token, forget_before_ms: int) -> None:
        key = token.encode()
        when = made.made_ms.to_bytes(8, "big")
        old = self._view.cell(_TOKENS, key)
        end = max(forget_before_ms, 0).to_bytes(8, "big")
        late = self._view.cells(_TOKEN_TIMES, b"", end, _FORGET_MAX)

        def save(txn: IndexTxn) -> None:
            for cell, _ in late:
                txn.delete_cell(_TOKEN_TIMES, cell)
                txn.delete_cell(_TOKENS, cell[8:])
            if old is not None:
                txn.delete_cell(_TOKEN_TIMES, old[:8] + key)
            txn.put_cell(_TOKENS, key, when + made.digest)
            txn.put_cell(_TOKEN_TIMES, when + key, b"")

        self._changes.append(save)


def _place(place: Key, cell: bytes) -> bytes:
    return close(place[0]) + close(place[1]) + cell


def _bounds(span: Span) -> tuple[bytes, bytes | None]:
    """Return the cells of a span as a half-open range of their keys."""
    start: bytes = b""
    end: bytes | None = None
    if span.partition is not None:
        begin = close(span.partition)
        start, end = begin, _above(begin)
        # In an index the sort key is closed, and the item's key follows.
        shut = (lambda raw: raw) if span.index is None else close
        if span.low is not None:
            start = begin + (span.low if span.index is None else _opened(span.low))
            if span.low_open:
                start = _after(begin + shut(span.low), whole=span.index is None)
        if span.high is not None:
            end = begin + (span.high if span.index is None else _opened(span.high))
            if not span.high_open:
                end = _after(begin + shut(span.high), whole=span.index is None)
    if span.after is not None:
        place, key = span.after
        here = _cell_key(key) if span.index is None else _place(place, _cell_key(key))
        if span.reverse:
            end = here if end is None else min(end, here)
        else:
            start = max(start, here + b"\0")
    return start, end


def _opened(raw: bytes) -> bytes:
    """Return bytes escaped as closed ones are, without the end: all that begin so follow."""
    return raw.replace(b"\0", b"\0\xff")


def _after(raw: bytes, *, whole: bool) -> bytes:
    """Return the least key above `raw`, or above all that begin with it."""
    return raw + b"\0" if whole else _above(raw) or raw


def _decode_table(raw: bytes) -> Table:
    try:
        return msgspec.json.decode(raw, type=Table)
    except msgspec.MsgspecError as error:
        raise DataError(f"a table's definition cannot be read: {error}", kind="cell") from error


def _decode_item(raw: bytes) -> Item:
    try:
        wire: Any = json.loads(raw.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise DataError(f"an item cannot be read: {error}", kind="cell") from error
    return parse_item(wire)
