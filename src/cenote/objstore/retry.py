"""A store that tries again.

Owns: how often, how long, and after which errors.

The waits grow twofold from `first_seconds` to `longest_seconds`, each drawn at random from its
upper half, so that writers that failed together do not come back together.

Invariants:
1. Only UnavailableError is tried again: any other answer is an answer. Not "disk_full" and
   "read_only", which no wait of seconds mends.
2. What may be done twice is: reads, plain puts, copies and deletes. (A plain put whose reply was
   lost may be put once more; between two writers of one path the order is then anybody's.)
3. A conditional put that may have happened is never reported as a conflict with itself: the object
   that is there is looked at, and the write id tells. Where nothing tells, the error says that the
   effect is unknown.
4. Pieces of a multipart upload are not sent again: begin anew.
5. A read that brought fewer bytes than it must is one that failed.

Why not the client library's own retries: they repeat conditional puts, and then report the
second one's refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import ConflictError, Error, NotFoundError, UnavailableError
from cenote.objstore.api import Data, Fetched, ObjectMeta, ObjectStore
from cenote.objstore.around import AroundStore, Call, bytes_read

__all__ = ["Patience", "RetryingStore", "new_write_id"]

T = TypeVar("T")

_HOPELESS: Final = frozenset({"disk_full", "read_only"})
_ONCE: Final = frozenset({"multipart_write", "multipart_finish"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long to try: whichever limit comes first ends it."""

    attempts_max: int = 10
    seconds_max: float = 60.0
    first_seconds: float = 0.1
    longest_seconds: float = 5.0


def new_write_id(rand: Rand) -> str:
    """Return an id no other write has."""
    return rand.bytes(16).hex()


class RetryingStore(AroundStore):
    """Tries again what failed for a reason that may pass."""

    def __init__(
        self,
        inner: ObjectStore,
        patience: Patience | None = None,
        *,
        clock: Clock | None = None,
        rand: Rand | None = None,
    ) -> None:
        super().__init__(inner)
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        self._rand = rand or SystemRand()

    def put_if_absent(self, path: str, data: Data, *, write_id: str | None = None) -> ObjectMeta:
        given = write_id or new_write_id(self._rand)
        return self._conditional(
            path, data, given, lambda: self.inner.put_if_absent(path, data, write_id=given)
        )

    def put_if_match(
        self, path: str, data: Data, etag: str, *, write_id: str | None = None
    ) -> ObjectMeta:
        given = write_id or new_write_id(self._rand)
        return self._conditional(
            path, data, given, lambda: self.inner.put_if_match(path, data, etag, write_id=given)
        )

    def _conditional(
        self, path: str, data: Data, write_id: str, run: Callable[[], ObjectMeta]
    ) -> ObjectMeta:
        effort = _Effort(self._patience, self._clock, self._rand)
        lost: UnavailableError | None = None  # a reply that could have been a success
        while True:
            try:
                return run()
            except ConflictError as conflict:
                if lost is None:
                    raise
                return self._recognised(path, data, write_id, conflict)
            except UnavailableError as error:
                if error.effect_unknown:
                    lost = error
                wait = effort.wait_after(error)
                if wait is None:
                    raise (lost or error) from error
            self._clock.sleep(wait)

    def _recognised(
        self, path: str, data: Data, write_id: str, conflict: ConflictError
    ) -> ObjectMeta:
        """Return what our own write made; raise `conflict` if it surely was another's."""
        try:
            meta = self.head(path)
            if meta.write_id == write_id:
                return meta
            # For a put-if-absent whatever else stands there came first. For a put-if-match ours
            # may have come and been replaced.
            if conflict.kind == "already_exists" and (
                meta.write_id is not None
                or meta.size != len(data)
                or self.get(path).data != bytes(data)
            ):
                raise conflict
        except NotFoundError:
            pass
        raise UnavailableError(
            f"the reply to a conditional put of {path} was lost, and whose object is there now "
            "cannot be told",
            kind="effect_unknown",
            effect_unknown=True,
            path=path,
        ) from conflict

    def _around(self, call: Call, run: Callable[[], T]) -> T:
        if call.op in _ONCE:
            return run()
        effort = _Effort(self._patience, self._clock, self._rand)
        lost: UnavailableError | None = None
        while True:
            try:
                return _whole(call, run())
            except UnavailableError as error:
                if error.effect_unknown:
                    lost = error
                wait = effort.wait_after(error)
                if wait is None:
                    raise (lost or error) from error
            self._clock.sleep(wait)

    async def _around_async(self, call: Call, run: Callable[[], Awaitable[T]]) -> T:
        effort = _Effort(self._patience, self._clock, self._rand)
        while True:
            try:
                return _whole(call, await run())
            except UnavailableError as error:
                wait = effort.wait_after(error)
                if wait is None:
                    raise
            await self._clock.sleep_async(wait)


class _Effort:
    """What was tried so far for one request."""

    def __init__(self, patience: Patience, clock: Clock, rand: Rand) -> None:
        self._patience = patience
        self._clock = clock
        self._rand = rand
        self._attempts = 0
        self._started = clock.monotonic()

    def wait_after(self, error: Error) -> float | None:
        """Return how many seconds to wait before the next attempt, or None to give up."""
        patience = self._patience
        self._attempts += 1
        if self._attempts >= patience.attempts_max or error.kind in _HOPELESS:
            return None
        whole: float = min(
            patience.longest_seconds, patience.first_seconds * 2 ** (self._attempts - 1)
        )
        draw = int.from_bytes(self._rand.bytes(4), "big") / 2**32
        wait = whole * (1 + draw) / 2
        if self._clock.monotonic() - self._started + wait > patience.seconds_max:
            return None
        return wait


def _whole(call: Call, result: T) -> T:
    """Return the result of a read that brought all its bytes. Raises UnavailableError if not."""
    wanted = call.wanted
    if isinstance(result, Fetched):
        wanted = result.meta.size if wanted is None else min(wanted, result.meta.size)
    if wanted is not None and bytes_read(result) != wanted:
        raise UnavailableError(
            f"reading {call.path} brought {bytes_read(result)} of {wanted} bytes",
            kind="truncated",
            path=call.path,
        )
    return result
