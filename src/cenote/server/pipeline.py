"""From a request to its answer: resolve, authenticate, authorise, parse, handle, render, record.

Owns: the order of the steps, the refusals that cost no body, request ids, the last resort (500).
Does not own: the connection (`http`), the operations (`handlers`), the protocol (`cenote.s3`).

Invariants:
1. Nothing of a request is acted on before its signature held and its caller was allowed.
2. Every request gets exactly one answer with an id that the log knows; an unforeseen fault is 500
   InternalError, logged with its traceback, and never more than that request's.
3. A refusal never waits for the body.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from cenote.base import Clock, Rand
from cenote.buckets import Store
from cenote.errors import DataError, DeniedError, Error, UnavailableError
from cenote.ports import Change, Index
from cenote.s3 import (
    Op,
    RequestHead,
    S3Error,
    authenticate,
    parse_input,
    plain_get,
    plain_put,
    render_error,
    render_output,
    resolve,
)
from cenote.server.accesslog import AccessEntry, AccessLog, shown_target
from cenote.server.body import Gather
from cenote.server.call import PENDING, Answer, Call, Leased, Written
from cenote.server.claims import whole_body
from cenote.server.controls import Controls, is_control
from cenote.server.download import body_sender
from cenote.server.exchange import Exchange
from cenote.server.extensions import TRANSACT_ITEMS
from cenote.server.faults import s3_error_of
from cenote.server.handlers import HANDLERS, RECEIVERS
from cenote.server.handlers.reading import get_plain
from cenote.server.handlers.writing import put_plain
from cenote.server.health import PROBES, is_probe, probe_answer
from cenote.server.hosts import Hosts
from cenote.server.identity import IdentityGate, is_form
from cenote.server.meters import Meters
from cenote.server.response import header_lines
from cenote.server.seat import is_seat_probe, seat_answer
from cenote.server.settings import Settings
from cenote.server.tables import TableGate
from cenote.server.workers import Workers

__all__ = ["Pipeline"]

_log = logging.getLogger("cenote.server")
T = TypeVar("T")
DOCUMENT_ON_LOOP_MAX = 16 << 10  # bytes: two milliseconds; the longest, of 10,000 parts, take 100
_ID_STEP = 0x9E3779B97F4A7C15  # odd, so that 2^64 ids come before one repeats
_READS = frozenset({"GET", "HEAD"})
_XML = ("content-type", "application/xml")


class Pipeline:
    """The application behind the connections."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        keys: Callable[[str], str | None],
        workers: Workers,
        clock: Clock,
        rand: Rand,
        meters: Meters,
        access_log: AccessLog | None,
        signing_clock: Clock | None = None,
    ) -> None:
        """`signing_clock` is what signatures' times are compared with, `clock` all else."""
        self.store = store
        self.settings = settings
        self.workers = workers
        self.clock = clock
        self.rand = rand
        self.meters = meters
        self.ready = True
        # Of several processes: hands over the metrics of all, as text, or None.
        self.count: Callable[[Callable[[str | None], None]], None] | None = None
        self._signing_clock = signing_clock or clock
        self.tables = TableGate(store, settings, keys, clock, rand, self._signing_clock)
        self._controls = Controls(store) if settings.controls else None
        self.identity = IdentityGate(settings, keys, self._signing_clock)
        self._keys = keys
        self._hosts = Hosts(settings.domains)
        self._access_log = access_log
        self._anonymous = settings.anonymous
        self._id = int.from_bytes(rand.bytes(8), "big")
        self._host_id = base64.b64encode(rand.bytes(33)).decode("ascii")
        self._id_2_line = f"x-amz-id-2: {self._host_id}\r\n"

    # -- what the listener calls --------------------------------------------------------------

    def begin(self, exchange: Exchange) -> None:
        """Take a request whose head has come in."""
        exchange.started = self.clock.monotonic()
        self._id = (self._id + _ID_STEP) & 0xFFFFFFFFFFFFFFFF
        call = Call(self, exchange, f"{self._id:016X}")
        exchange.call = call
        self.meters.in_flight += 1
        self.attempt(call, self._start, call)

    def refuse(self, code: str, message: str) -> tuple[bytes, bytes]:
        """Answer what could not be read as a request."""
        self._id = (self._id + _ID_STEP) & 0xFFFFFFFFFFFFFFFF
        request_id = f"{self._id:016X}"
        self.meters.unreadable.add(1, (code,))
        error = S3Error(code, message, status=400)
        body = render_error(error, request_id, self._host_id)
        return header_lines(self._error_headers(error, request_id, len(body))), body

    def record(self, exchange: Exchange) -> None:
        """Count, and log when asked, an exchange that is over."""
        call = exchange.call
        if not isinstance(call, Call):
            return
        # Else call, taker and exchange keep each other until the collector comes.
        exchange.call = exchange.taker = None
        op = call.op
        name = op.name if op is not None else call.name
        seconds = self.clock.monotonic() - exchange.started
        self.meters.request(name, exchange.status, seconds, exchange.bytes_in, exchange.bytes_out)
        if self._access_log is not None:
            self._access_log.write(self._entry(call, name, seconds))

    def beat(self) -> None:
        """A second has gone by."""
        if self._access_log is not None:
            self._access_log.flush()
        self.tables.beat(self.workers)

    # -- the steps ----------------------------------------------------------------------------

    def attempt(self, call: Call, step: Callable[..., object], *args: object) -> None:
        """Run one step of a call: what it returns or raises is the answer, unless PENDING."""
        try:
            result = step(*args)
            if result is not PENDING:
                self._answer(call, result)
        except S3Error as error:
            self._refuse(call, error)
        except Error as error:
            if isinstance(error, DataError | UnavailableError):
                _log.error("%s", error, extra={"request_id": call.request_id, "kind": error.kind})
            self._refuse(call, s3_error_of(error))
        except Exception:  # noqa: BLE001 - the last resort
            _log.exception("unforeseen fault", extra={"request_id": call.request_id})
            self._refuse(call, S3Error("InternalError"))

    def _start(self, call: Call) -> object:
        exchange = call.exchange
        head = exchange.head
        host_bucket = self._hosts.bucket_of(head.headers.get("host", ""))
        now_ms = self._signing_clock.now_ms()
        if head.method == "POST":
            if "x-amz-target" in head.headers:
                return self.tables.begin(call)
            if is_form(head):
                return self.identity.begin(call)
        if host_bucket is None:
            if head.method == "GET":
                plain = plain_get(head, keys=self._keys, now_ms=now_ms, region=self.settings.region)
                if plain is not None:
                    return get_plain(call, plain)
            elif head.method == "PUT" and not self.settings.read_only:
                put = plain_put(head, keys=self._keys, now_ms=now_ms, region=self.settings.region)
                if put is not None:
                    return put_plain(call, put)
            if head.path in PROBES and self._is_probe(head):
                return self._probe(call)
            if self.settings.localstack_paths and is_seat_probe(head):
                return self._tell_seat(call)
            if self._controls is not None and is_control(head):
                return self._controls.begin(call)
        route = resolve(head, host_bucket)
        call.route = route
        call.op = op = route.op
        call.auth = auth = authenticate(
            head,
            route.params,
            keys=self._keys,
            now_ms=now_ms,
            region=self.settings.region,
            host_bucket=host_bucket,
            signature_v2=self.settings.signature_v2,
        )
        if auth.access_key is None:
            self._allow_anonymous(op, route.params)
        if self.settings.read_only and op.method not in _READS:
            raise DeniedError("the server is read-only", kind="read_only")
        if not op.implemented:
            raise S3Error("NotImplemented")
        if TRANSACT_ITEMS in head.headers and op.name != "PutObject":
            raise S3Error("NotImplemented", Header=TRANSACT_ITEMS)
        if op.body == "xml":
            return self._gather(call)
        call.input = parse_input(route, head.headers, None)
        self._check_owner(call)
        if op.body == "stream":
            return RECEIVERS[op.name](call)
        return HANDLERS[op.name](call)

    def _gather(self, call: Call) -> object:
        """Read a document whole; then go on."""
        exchange = call.exchange
        size_max = self.settings.limits.xml_size_max
        if not exchange.has_body:
            return self._with_document(call, b"")
        if exchange.chunked and "x-amz-decoded-content-length" not in exchange.head.headers:
            raise S3Error("NotImplemented", Header="Transfer-Encoding")
        too_large = S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=size_max)
        if exchange.length is not None and exchange.length > size_max:
            raise too_large

        def refuse() -> None:
            call.go_on(_raise, too_large)

        exchange.accept(
            Gather(size_max, lambda data: call.go_on(self._with_document, call, data), refuse)
        )
        return PENDING

    def _with_document(self, call: Call, data: bytes) -> object:
        route, auth = call.route, call.auth
        if route is None or auth is None:
            raise S3Error("InternalError")
        headers = call.exchange.head.headers

        def read() -> Struct:
            return parse_input(route, headers, whole_body(call, data, auth.payload))

        if len(data) > DOCUMENT_ON_LOOP_MAX:
            return call.run(read, lambda asked: self._handle(call, route.op, asked))
        return self._handle(call, route.op, read())

    def _handle(self, call: Call, op: Op, asked: Struct) -> object:
        call.input = asked
        self._check_owner(call)
        return HANDLERS[op.name](call)

    def _allow_anonymous(self, op: Op, params: dict[str, str]) -> None:
        allowed = self._anonymous == "write" or (
            self._anonymous == "read" and op.method in _READS and op.name != "ListBuckets"
        )
        if not allowed:
            raise S3Error("AccessDenied")
        if any(name.startswith("response-") for name in params):
            raise S3Error(
                "InvalidRequest",
                "Request specific response headers cannot be used for anonymous GET requests.",
            )

    def _check_owner(self, call: Call) -> None:
        owner = getattr(call.input, "expected_bucket_owner", None)
        if owner is not None and owner != self.settings.account_id:
            raise S3Error("AccessDenied")

    # -- probes -------------------------------------------------------------------------------

    def _is_probe(self, head: RequestHead) -> bool:
        if not is_probe(head):
            return False
        name = head.path[1:].decode("ascii")
        return (
            self._anonymous == "none"
            or name.startswith("_cenote/")
            or not self.store.has_bucket(name)
        )

    def _probe(self, call: Call) -> object:
        probe = PROBES[call.exchange.head.path]
        if probe == "metrics" and self.count is not None:
            self.count(lambda text: call.go_on(self._tell, call, probe, text))
            return PENDING
        return self._tell(call, probe, None)

    def _tell(self, call: Call, probe: str, metrics: str | None) -> object:
        exchange = call.exchange
        text = metrics if metrics is not None else self.meters.registry
        status, kind, body = probe_answer(probe, self.ready, text)
        lines = header_lines(
            [
                ("content-type", kind),
                ("content-length", str(len(body))),
                ("cache-control", "no-store"),
            ]
        )
        exchange.reply(status, lines, b"" if exchange.head.method == "HEAD" else body)
        return PENDING

    def _tell_seat(self, call: Call) -> object:
        status, body = seat_answer(call.exchange.head.path, self.settings)
        lines = header_lines(
            [("content-type", "application/json"), ("content-length", str(len(body)))]
        )
        call.exchange.reply(status, lines, b"" if call.exchange.head.method == "HEAD" else body)
        return PENDING

    # -- commits ------------------------------------------------------------------------------

    def submit(
        self,
        index: Index,
        change: Change[T],
        done: Callable[[T | None, BaseException | None], None],
    ) -> None:
        """Commit on the loop's driver; `done` is called on the loop."""
        index.submit(change, done)

    # -- answers ------------------------------------------------------------------------------

    def _answer(self, call: Call, result: object) -> None:
        if isinstance(result, Written):
            lines = f"{result.lines}x-amz-request-id: {call.request_id}\r\n{self._id_2_line}"
            call.exchange.reply(200, lines.encode("ascii"), result.body)
            return
        route = call.route
        if route is None:
            raise TypeError("an answer without an operation")
        body: bytes | Leased | None = None
        if isinstance(result, Answer):
            body = result.body
            result = result.output
        if not isinstance(result, Struct):
            raise TypeError(f"not an output: {result!r}")
        rendered = render_output(route.op, result)
        headers = rendered.headers
        headers.append(("x-amz-request-id", call.request_id))
        headers.append(("x-amz-id-2", self._host_id))
        if body is None:
            if route.op.method != "HEAD" and rendered.status != 204:
                headers.append(("content-length", str(len(rendered.body))))
            call.exchange.reply(rendered.status, header_lines(headers), rendered.body)
        elif isinstance(body, bytes):
            call.exchange.reply(rendered.status, header_lines(headers), body)
        else:
            self._send(call, rendered.status, header_lines(headers), body)

    def _send(self, call: Call, status: int, headers: bytes, body: Leased) -> None:
        exchange = call.exchange
        if exchange.gone:
            body.lease.close()
            exchange.reply(status, b"")
            return

        def ended(error: BaseException | None) -> None:
            if error is not None and not isinstance(error, ConnectionError):
                _log.error(
                    "a body could not be sent: %s", error, extra={"request_id": call.request_id}
                )
            exchange.connection.answered(exchange)

        head = exchange.connection.head(exchange, status, headers)
        span = (body.start, body.end)
        # What it raises is answered like any other fault: so it comes before "answered".
        sender = body_sender(exchange, self.workers, head, body.lease, span, ended)
        exchange.answered = True
        exchange.status = status
        exchange.bytes_out = body.end - body.start
        sender.start()

    def _refuse(self, call: Call, error: S3Error) -> None:
        exchange = call.exchange
        call.code = error.code
        if error.status == 304:
            lines = [*error.headers, *self._ids(call.request_id)]
            exchange.reply(304, header_lines(lines))
            return
        if error.resource is None:
            error.resource = exchange.head.path.decode("latin-1")
        body = render_error(error, call.request_id, self._host_id)
        if exchange.head.method == "HEAD":
            lines = [*error.headers, _XML, *self._ids(call.request_id)]
            exchange.reply(error.status, header_lines(lines))
        else:
            lines = self._error_headers(error, call.request_id, len(body))
            exchange.reply(error.status, header_lines(lines), body)

    def _error_headers(self, error: S3Error, request_id: str, size: int) -> list[tuple[str, str]]:
        return [
            *error.headers,
            _XML,
            ("content-length", str(size)),
            *self._ids(request_id),
        ]

    def _ids(self, request_id: str) -> tuple[tuple[str, str], tuple[str, str]]:
        return (("x-amz-request-id", request_id), ("x-amz-id-2", self._host_id))

    def _entry(self, call: Call, operation: str, seconds: float) -> AccessEntry:
        exchange = call.exchange
        head = exchange.head
        return AccessEntry(
            time_ms=self.clock.now_ms(),
            peer=exchange.connection.peer,
            access_key=call.auth.access_key if call.auth is not None else call.access_key,
            method=head.method,
            target=shown_target(head.path, head.query),
            operation=operation,
            status=exchange.status,
            code=call.code,
            bytes_in=exchange.bytes_in,
            bytes_out=exchange.bytes_out,
            duration_ms=seconds * 1000,
            request_id=call.request_id,
            agent=head.headers.get("user-agent", ""),
        )


def _raise(error: S3Error) -> object:
    raise error
