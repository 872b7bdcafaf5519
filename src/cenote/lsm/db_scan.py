"""A scan as a program without an event loop sees it.

Owns: iterating. Does not own: the place in the rows (`walk`), which rows there are (`view`).

Why `__iter__` is not the scan itself: rows go through a chain of iterators made in C; a method of
our own for each row would cost as much as finding it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Self

from cenote.errors import InvalidError
from cenote.lsm.entry import Entry
from cenote.lsm.options import as_key
from cenote.lsm.plan import run
from cenote.lsm.walk import Pair, Walk
from cenote.objstore import ObjectStore

__all__ = ["Pair", "Scan", "check_count"]


class Scan:
    """Keys and values of a range, in order. Not thread-safe; read one moment of the database.

    Iterate over it, ask for `batches` or `entries`, jump with `seek`; all of them go on where the
    others are. It pins the moment it reads until it is closed or nobody refers to it.

    >>> import cenote
    >>> with cenote.Db.open("memory://") as db:
    ...     for letter in b"a", b"b", b"c":
    ...         _ = db.put(letter, letter.upper())
    ...     scan = db.scan()
    ...     print(next(scan))
    ...     scan.seek(b"c")
    ...     print(list(scan))
    (b'a', b'A')
    [(b'c', b'C')]
    """

    __slots__ = ("_store", "_walk")

    def __init__(self, store: ObjectStore, walk: Walk) -> None:
        self._store = store
        self._walk = walk

    def __iter__(self) -> Iterator[Pair]:
        return chain.from_iterable(map(self._walk.pairs_of, self._rows()))

    def __next__(self) -> Pair:
        """Return the next key and value."""
        for row in chain.from_iterable(self._rows()):
            return row[0], row[1]
        raise StopIteration

    def entries(self) -> Iterator[Entry]:
        """Iterate over whole rows: with sequence numbers and times."""
        self._walk.want_rows()
        return (Entry(*row) for rows in self._rows() for row in rows)

    def batches(self, count: int = 1000) -> Iterator[list[Pair]]:
        """Iterate over lists of `count` keys and values; the last may be shorter."""
        while batch := self.next_batch(count):
            yield batch

    def next_batch(self, count: int = 1000) -> list[Pair]:
        """Return the next `count` keys and values, or what is left; [] at the end."""
        check_count(count)
        return list(self._walk.pairs_of(run(self._store, self._walk.take(count))))

    def seek(self, key: bytes) -> None:
        """Go on at `key`, or behind it in the scan's direction when it is not there.

        Forth or back, within the range of the scan: a key outside of it is its nearest end.
        """
        self._walk.seek(as_key(key))

    def close(self) -> None:
        """Let go of the moment that is read. Harmless when repeated."""
        self._walk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(self) -> Iterator[Iterator[Any]]:
        """Yield the rows at hand, and then each batch of those to come."""
        walk, store = self._walk, self._store
        yield walk.rows
        while run(store, walk.fill()):
            yield walk.rows


def check_count(count: int) -> None:
    """Refuse a batch of no rows. Raises InvalidError(kind="invalid_count")."""
    if count < 1:
        raise InvalidError("a batch has at least one row", kind="invalid_count")
