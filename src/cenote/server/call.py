"""One call of an operation: what a handler is given, and how it answers.

Owns: the ways for a handler to go on elsewhere (a commit, a worker thread, a body still to come)
and to come back; the answer's head.
Does not own: the order of the checks before a handler (`pipeline`).

A handler is a function of a `Call` that returns its operation's output, or an `Answer` when bytes
go with it, or PENDING when it goes on later; what it raises is the answer too. Continuations
follow the same rule.

Invariants:
1. Handlers and continuations run on the loop, one at a time; jobs given to `run` run on a thread
   and touch nothing of the call.
2. Whatever ends a call ends it here: answered once, recorded once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from cenote.ports import BodyLease, Bucket, Change
from cenote.s3 import Auth, Op, Route
from cenote.server.exchange import Exchange

if TYPE_CHECKING:
    from cenote.server.pipeline import Pipeline

__all__ = ["PENDING", "Answer", "Call", "Leased", "Written"]

T = TypeVar("T")


class _Pending:
    """What a handler returns whose answer comes later."""


PENDING: Final = _Pending()


class Leased(Struct, frozen=True):
    """The bytes start <= i < end of a body held open. The sender closes the lease."""

    lease: BodyLease
    start: int
    end: int


class Answer(Struct, frozen=True):
    """An output with the bytes that follow its head."""

    output: Struct
    body: bytes | Leased


class Written(Struct, frozen=True):
    """A successful answer whose header lines are written already, in ASCII, each with its CRLF."""

    lines: str
    body: bytes


class Call:
    """An authenticated request for one operation."""

    __slots__ = (
        "access_key",
        "auth",
        "code",
        "exchange",
        "input",
        "name",
        "op",
        "pipeline",
        "request_id",
        "route",
    )

    def __init__(self, pipeline: Pipeline, exchange: Exchange, request_id: str) -> None:
        self.pipeline = pipeline
        self.exchange = exchange
        self.request_id = request_id
        self.op: Op | None = None
        self.route: Route | None = None
        self.auth: Auth | None = None
        self.input: Any = None
        self.code: str | None = None
        # Of an operation that is not S3's: its name, and who asked.
        self.name = "Unknown"
        self.access_key: str | None = None

    @property
    def now_ms(self) -> int:
        return self.pipeline.clock.now_ms()

    def bucket(self) -> Bucket:
        """Return the request's bucket. Raises NotFoundError(kind="no_such_bucket")."""
        return self.pipeline.store.bucket(self.input.bucket)

    def go_on(self, step: Callable[..., object], *args: object) -> None:
        """Run a continuation: its result, or what it raises, is the answer."""
        self.pipeline.attempt(self, step, *args)

    def commit(
        self,
        bucket: Bucket,
        change: Change[T],
        then: Callable[[T], object],
        failed: Callable[[], None] | None = None,
    ) -> object:
        """Commit `change`, and go on with its result when it is durable.

        `failed` runs first when it was refused. Returns PENDING.
        """

        def done(result: T | None, error: BaseException | None) -> None:
            if error is not None:
                if failed is not None:
                    failed()
                self.go_on(_raise, error)
            else:
                self.go_on(then, result)

        self.pipeline.submit(bucket.index, change, done)
        return PENDING

    def run(self, job: Callable[[], T], then: Callable[[T], object]) -> object:
        """Run `job` on a worker thread, and go on with its result. Returns PENDING."""

        def done(result: T | None, error: BaseException | None) -> None:
            if error is not None:
                self.go_on(_raise, error)
            else:
                self.go_on(then, result)

        self.pipeline.workers.run(job, done)
        return PENDING


def _raise(error: BaseException) -> object:
    raise error
