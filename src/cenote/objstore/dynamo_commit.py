"""Conditional puts on a store that has none, by locks in a DynamoDB table.

Owns: the order of lock, look and write.
Does not own: the table (`dynamo_table`).

To put under a condition is: look whether it holds; take the lock named by the path and the ETag
the condition names ("*" for none); look again; put. The lock is not given back: after the put the
ETag is another, and so is the next lock's name. Who finds the lock taken looks every 100 ms whether
the object changed (then somebody was first), and takes over after three of its timeouts.

All writers of a path must come this way, with the same table, object_store's own among them. A
request to the store must end within two timeouts of its lock.

Invariants:
1. A put begins only while our lock has not timed out, so that a taker-over finds its effect.
2. A lock whose answer was lost is taken over by the same owner at once, in a new generation, so
   that whoever waits begins to wait anew.
3. A put whose reply was lost is recognised by its write id; else its effect is unknown, and the
   lock stays until it times out.

Limit: where one path has the same bytes again within the hour (stores whose ETag is a digest), or
is deleted and made again, the old lock must time out first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ConflictError, NotFoundError, UnavailableError
from cenote.objstore.api import (
    Data,
    ObjectMeta,
    ObjectStore,
    already_exists,
    not_the_same,
)
from cenote.objstore.around import AroundStore, Call
from cenote.objstore.dynamo_table import DynamoTable, Held, TakenLock
from cenote.objstore.retry import new_write_id

__all__ = ["DynamoCommitStore"]

T = TypeVar("T")

LOOK_SECONDS: Final = 0.1
TAKEOVER_TIMEOUTS: Final = 3
TAKE_ATTEMPTS: Final = 5


class DynamoCommitStore(AroundStore):
    """`inner`, whose conditional puts go by the locks in `table`; all else passes."""

    def __init__(
        self,
        inner: ObjectStore,
        table: DynamoTable,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
    ) -> None:
        super().__init__(inner)
        self._table = table
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        return self._put(path, data, None, write_id, lambda: already_exists(path))

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        return self._put(path, data, etag, write_id, lambda: not_the_same(path, etag))

    def _put(
        self,
        path: str,
        data: Data,
        etag: str | None,
        write_id: str | None,
        refusal: Callable[[], ConflictError],
    ) -> ObjectMeta:
        owner = write_id or new_write_id(self._rand)
        self._require(path, etag, refusal)
        deadline = self._lock(path, etag, owner, refusal)
        self._require(path, etag, refusal)
        if self._clock.monotonic() >= deadline:
            raise UnavailableError(
                f"the lock of {path} timed out before it was used", kind="lock_timeout", path=path
            )
        try:
            return self.inner.put(path, data, write_id=owner)
        except UnavailableError as error:
            if not error.effect_unknown:
                raise
            meta = self._look(path)
            if meta is not None and meta.write_id == owner:
                return meta
            raise

    def _lock(
        self, path: str, etag: str | None, owner: str, refusal: Callable[[], ConflictError]
    ) -> float:
        """Take the lock, waiting for its holder to be done. Return when it times out for us."""
        taken: TakenLock | None = None
        seen = 0.0
        while True:
            started = self._clock.monotonic()
            if taken is None or taken.is_ours or _waited(taken, started - seen):
                answer = self._take(path, etag, owner, taken)
                if isinstance(answer, Held):
                    return started + self._table.timeout_ms / 1000
                if taken is None or answer.generation != taken.generation:
                    taken, seen = answer, self._clock.monotonic()
                if taken.is_ours:
                    continue
            self._clock.sleep(LOOK_SECONDS)
            self._require(path, etag, refusal)

    def _take(
        self, path: str, etag: str | None, owner: str, taken: TakenLock | None
    ) -> Held | TakenLock:
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._table.take(path, etag or "*", owner, taken)
            except UnavailableError as error:
                # Whatever became of the lock, of the object nothing has: that much is known.
                if attempt == TAKE_ATTEMPTS:
                    raise UnavailableError(
                        error.message, kind="lock_unavailable", path=path
                    ) from error
            self._clock.sleep(LOOK_SECONDS * attempt)

    def _require(self, path: str, etag: str | None, refusal: Callable[[], ConflictError]) -> None:
        meta = self._look(path)
        if (None if meta is None else meta.etag) != etag:
            raise refusal()

    def _look(self, path: str) -> ObjectMeta | None:
        try:
            return self.inner.head(path)
        except NotFoundError:
            return None

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        return run()

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        return await run()


def _waited(taken: TakenLock, seconds: float) -> bool:
    return seconds * 1000 >= taken.timeout_ms * TAKEOVER_TIMEOUTS
