"""DynamoDB's requests: told apart, authenticated, done, answered.

Owns: HTTP for lock tables: which requests are theirs, whose they are, the answers' headers; how
often what expired is removed.
Does not own: the operations (`cenote.dynamo`), commits (`cenote.tables`), signatures (`cenote.s3`).

A request is theirs when it is a POST with an X-Amz-Target; S3 has none. Who signed it must have
signed it for `dynamodb`.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html

Invariants:
1. Nothing is read or changed for a request whose signature did not hold. Settings that let anybody
   read or write objects do not count here.
2. An answer is JSON whatever happened, with the CRC-32 that clients check.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import Final
from zlib import crc32

from cenote.base import Clock, Rand
from cenote.buckets import Store
from cenote.dynamo import TARGET, DynamoError, operation_of
from cenote.errors import DeniedError, Error, ThrottledError, UnavailableError
from cenote.s3 import S3Error, authenticate_whole
from cenote.server.body import Gather
from cenote.server.call import PENDING, Call
from cenote.server.response import header_lines
from cenote.server.settings import Settings
from cenote.server.workers import Workers
from cenote.tables import LockTables, TableAnswer, answer_of

__all__ = ["TableGate"]

_log = logging.getLogger("cenote.server")
_BODY_MAX: Final = 16 << 20
_EXPIRE_BEATS: Final = 10
_CONTENT_TYPE: Final = "application/x-amz-json-1.0"
_REFUSALS: Final[dict[str, tuple[str, str]]] = {
    "InvalidAccessKeyId": (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "InvalidToken": (
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "SignatureDoesNotMatch": (
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for "
        "details.",
    ),
    "XAmzContentSHA256Mismatch": (
        "InvalidSignatureException",
        "The x-amz-content-sha256 header does not match the body.",
    ),
}


class TableGate:
    """The lock tables as a service, in one process. Runs on the loop."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        keys: Callable[[str], str | None],
        clock: Clock,
        rand: Rand,
        signing_clock: Clock,
    ) -> None:
        self._tables = LockTables(store.buckets, clock=clock, rand=rand)
        self._read_only = settings.read_only
        self._keys = keys
        self._signing_clock = signing_clock
        self._beats = 0
        self._expiring = False

    def begin(self, call: Call) -> object:
        """Take a request whose head has come in."""
        exchange = call.exchange
        call.name = _name_of(call)
        too_large = DynamoError("SerializationException", "The request is larger than 16 MB")
        if exchange.length is not None and exchange.length > _BODY_MAX:
            return self._reply(call, answer_of(too_large))

        def refuse() -> None:
            self._reply(call, answer_of(too_large))

        exchange.accept(
            Gather(_BODY_MAX, lambda data: call.go_on(self._with_body, call, data), refuse)
        )
        return PENDING

    def _with_body(self, call: Call, body: bytes) -> object:
        try:
            return self._do(call, body)
        except DynamoError as error:
            return self._reply(call, answer_of(error))
        except S3Error as error:
            return self._reply(call, answer_of(_refusal(error)))
        except Error as error:
            return self._failed(call, error)

    def _do(self, call: Call, body: bytes) -> object:
        head = call.exchange.head
        call.access_key = authenticate_whole(
            head,
            hashlib.sha256(body).hexdigest(),
            keys=self._keys,
            now_ms=self._signing_clock.now_ms(),
            service="dynamodb",
        )
        if call.access_key is None:
            raise DynamoError(
                "MissingAuthenticationTokenException", "Request is missing Authentication Token"
            )
        operation = operation_of(head.headers["x-amz-target"])
        if self._read_only and not operation.reads_only:
            raise DynamoError("AccessDeniedException", "The server is read-only")
        if self._tables.blocks(operation.name):
            return call.run(
                lambda: self._made(operation.name, body), lambda answer: self._reply(call, answer)
            )
        self._tables.submit(operation.name, body, lambda *result: self._done(call, *result))
        return PENDING

    def _made(self, operation: str, body: bytes) -> TableAnswer:
        try:
            return self._tables.run(operation, body)
        except Error as error:
            return _fault(error)

    def _done(self, call: Call, answer: TableAnswer | None, error: BaseException | None) -> None:
        if answer is not None:
            self._reply(call, answer)
        elif isinstance(error, Error):
            self._failed(call, error)
        else:
            call.go_on(_raise, error)

    def _failed(self, call: Call, error: Error) -> object:
        _log.error("%s", error, extra={"request_id": call.request_id, "kind": error.kind})
        return self._reply(call, _fault(error))

    def _reply(self, call: Call, answer: TableAnswer) -> object:
        call.code = answer.code
        lines = header_lines(
            [
                ("content-type", _CONTENT_TYPE),
                ("content-length", str(len(answer.body))),
                ("x-amzn-requestid", call.request_id),
                ("x-amz-crc32", str(crc32(answer.body))),
            ]
        )
        call.exchange.reply(answer.status, lines, answer.body)
        return PENDING

    def beat(self, workers: Workers) -> None:
        """A second has gone by: every tenth, remove what expired."""
        self._beats += 1
        if self._beats % _EXPIRE_BEATS or self._read_only or self._expiring:
            return
        self._expiring = True

        def done(_: int | None, error: BaseException | None) -> None:
            self._expiring = False
            if error is not None and not isinstance(error, UnavailableError):
                _log.error("expired items could not be removed: %s", error)

        workers.run(self._tables.expire, done)


def _name_of(call: Call) -> str:
    target = call.exchange.head.headers["x-amz-target"]
    try:
        return operation_of(target).name
    except DynamoError:
        return "Unknown" if not target.startswith(TARGET) else "UnknownTableOperation"


def _refusal(error: S3Error) -> DynamoError:
    if error.code in _REFUSALS:
        return DynamoError(*_REFUSALS[error.code])
    if error.code == "RequestTimeTooSkewed":
        return DynamoError("InvalidSignatureException", f"Signature expired: {error}")
    return DynamoError("IncompleteSignatureException", str(error))


def _fault(error: Error) -> TableAnswer:
    """Return the answer to a fault beneath the operations."""
    if isinstance(error, DeniedError):
        return answer_of(DynamoError("AccessDeniedException", error.message))
    if isinstance(error, ThrottledError):
        return answer_of(DynamoError("ProvisionedThroughputExceededException", error.message))
    if isinstance(error, UnavailableError):
        return answer_of(DynamoError("ServiceUnavailable", error.message))
    return answer_of(DynamoError("InternalServerError", "The request could not be done"))


def _raise(error: BaseException) -> object:
    raise error
