"""Both faces of a database behind one: awaited calls, for tests that hold for either.

A synchronous object is wrapped so that what the asynchronous face has awaited can be awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

import cenote

P = ParamSpec("P")

AWAITED = frozenset(
    {
        "checkpoint",
        "close",
        "commit",
        "compact",
        "delete",
        "entry",
        "flush",
        "flush_memtable",
        "get",
        "get_many",
        "merge",
        "next_batch",
        "put",
        "wait",
        "warm",
        "write",
    }
)
# Of a transaction these wait for nothing, in either face.
PLAIN = frozenset({"close"})
TRANSACTION_PLAIN = frozenset({"put", "delete", "merge", "rollback"})


class Awaited:
    """A synchronous object with the calls of its asynchronous sibling."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if not callable(found):
            return found
        plain = PLAIN if not isinstance(self.inner, cenote.Db) else ()
        if isinstance(self.inner, cenote.lsm.Transaction):
            plain = TRANSACTION_PLAIN
        if name in AWAITED and name not in plain:

            async def call(*args: Any, **named: Any) -> Any:
                return _wrapped(found(*args, **named))

            return call
        if name in ("entries", "batches"):
            return lambda *args: _each(found(*args))
        return lambda *args, **named: _wrapped(found(*args, **named))

    async def has(self, key: bytes) -> bool:
        return key in self.inner

    def __aiter__(self) -> AsyncIterator[Any]:
        return _each(self.inner)

    async def __anext__(self) -> Any:
        try:
            return next(self.inner)
        except StopIteration:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Awaited:
        self.inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)


def _wrapped(value: Any) -> Any:
    kinds = (cenote.lsm.Written, cenote.lsm.Snapshot, cenote.lsm.Transaction, cenote.lsm.Scan)
    return Awaited(value) if isinstance(value, kinds) else value


async def _each(iterable: Any) -> AsyncIterator[Any]:
    for value in iterable:
        yield value


class Face:
    """How to open a database in one of the faces."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def open(self, where: Any, **options: Any) -> Any:
        if self.name == "async":
            return await cenote.AsyncDb.open(where, **options)
        return Awaited(cenote.Db.open(where, **options))


FACES = [Face("sync"), Face("async")]


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of an asynchronous function."""

    @wraps(test)
    def run(*args: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*args, **named))

    return run


async def rows(scan: Any) -> list[Any]:
    """Return what is left of a scan."""
    return [row async for row in scan]


async def refused(kind: type[BaseException], call: Awaitable[Any]) -> Any:
    """Return the error of type `kind` that `call` raises."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")
