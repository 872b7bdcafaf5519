"""What stands between a test server's connections and its service: faults, and the log.

Owns: meeting fault rules, making requests fail, noting requests.
Does not own: the rules (`faultrules`), the log (`requestlog`), the service (`cenote.server`).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from cenote.base import Clock
from cenote.s3 import S3Error, render_error, resolve
from cenote.server import Application, Call, Connection, Exchange, header_lines
from cenote.testing.faultrules import FaultKind, FaultRule, FaultRules, Seen
from cenote.testing.requestlog import LoggedRequest, RequestLog

__all__ = ["Interposed"]

_SOON: Final = 0.01


class Interposed:
    """An application around another. All methods run on the loop."""

    def __init__(
        self, inner: Application, faults: FaultRules, log: RequestLog, clock: Clock
    ) -> None:
        self._inner = inner
        self._faults = faults
        self._log = log
        self._clock = clock
        self._met: dict[int, tuple[Exchange, FaultRule]] = {}

    def begin(self, exchange: Exchange) -> None:
        """Take a request, and let it fail if a rule says so."""
        rule = self._faults.meet(seen_of(exchange)) if self._faults else None
        if rule is None:
            self._inner.begin(exchange)
            return
        self._met[id(exchange)] = exchange, rule
        match rule.kind:
            case FaultKind.DELAY:
                loop = asyncio.get_running_loop()
                loop.call_later(rule.seconds, self._later, exchange)
            case FaultKind.RESET:
                exchange.connection.transport.abort()
                self.record(exchange)
            case FaultKind.STATUS:
                self._refuse(exchange, rule)
            case FaultKind.TRUNCATE | FaultKind.LOST_REPLY:
                cut: Any = _Cut(exchange.connection, rule.kind)
                exchange.connection = cut
                self._inner.begin(exchange)

    def _later(self, exchange: Exchange) -> None:
        if not exchange.gone:
            self._inner.begin(exchange)

    def _refuse(self, exchange: Exchange, rule: FaultRule) -> None:
        if "x-amz-target" in exchange.head.headers:
            told = json.dumps({"__type": rule.code, "message": "a fault rule"}).encode()
            lines = [
                ("content-type", "application/x-amz-json-1.0"),
                ("content-length", str(len(told))),
            ]
            exchange.reply(rule.status, header_lines(lines), told)
            return
        error = S3Error("SlowDown")
        error.code, error.status = rule.code, rule.status
        error.resource = exchange.head.path.decode("latin-1")
        body = render_error(error, "0" * 16, "fault")
        lines = [
            ("content-type", "application/xml"),
            ("content-length", str(len(body))),
            ("x-amz-request-id", "0" * 16),
        ]
        if exchange.head.method == "HEAD":
            exchange.reply(rule.status, header_lines(lines[:1]))
        else:
            exchange.reply(rule.status, header_lines(lines), body)

    def record(self, exchange: Exchange) -> None:
        """Note a request that is over."""
        call = exchange.call
        code = call.code if isinstance(call, Call) else None
        self._inner.record(exchange)
        met = self._met.pop(id(exchange), None)
        head, seen = exchange.head, seen_of(exchange)
        target = head.path + (b"?" + head.query if head.query else b"")
        self._log.note(
            LoggedRequest(
                self._clock.now_ms(),
                head.method,
                target.decode("latin-1"),
                seen.operation,
                seen.bucket,
                seen.key,
                exchange.status,
                code if met is None or met[1].kind is not FaultKind.STATUS else met[1].code,
                exchange.bytes_in,
                exchange.bytes_out,
                None if met is None else met[1].kind.value,
            )
        )

    def beat(self) -> None:
        """A second has gone by."""
        self._inner.beat()

    def refuse(self, code: str, message: str) -> tuple[bytes, bytes]:
        """Answer what could not be read."""
        return self._inner.refuse(code, message)


class _Cut:
    """A connection that is cut when it is to be answered."""

    def __init__(self, inner: Connection, kind: FaultKind) -> None:
        self._inner = inner
        self._kind = kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def head(self, exchange: Exchange, status: int, headers: bytes) -> bytes:
        transport = self._inner.transport
        if self._kind is FaultKind.LOST_REPLY:
            transport.abort()
        else:
            asyncio.get_running_loop().call_later(_SOON, transport.abort)
        return self._inner.head(exchange, status, headers)

    def send_answer(self, exchange: Exchange, status: int, headers: bytes, body: bytes) -> None:
        transport = self._inner.transport
        if self._kind is FaultKind.TRUNCATE:
            head = self._inner.head(exchange, status, headers)
            transport.write(head + body[: len(body) // 2])
            transport.close()
        else:
            transport.abort()
        self._inner.answered(exchange)


def seen_of(exchange: Exchange) -> Seen:
    """Return what a rule goes by: by path style, which test clients use."""
    head = exchange.head
    target = head.headers.get("x-amz-target")
    if head.method == "POST" and target is not None:
        return Seen(target.rpartition(".")[2], "POST", "", "")
    try:
        route = resolve(head, None)
    except S3Error:
        return Seen("Unknown", head.method, "", "")
    return Seen(route.op.name, head.method, route.bucket or "", route.key or "")
