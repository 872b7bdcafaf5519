"""The connection: HTTP/1.1 on a socket, from bytes to exchanges and back.

Owns: parsing heads (by httptools), the limits on them, keep-alive, pipelining, 100-continue,
holding back a client that sends too fast, throwing away refused bodies, slow clients.
Does not own: what a request means (`pipeline`), sending files (`download`), accepting (`listener`).

Invariants:
1. The target's bytes reach the application as they were sent.
2. One exchange runs at a time; those sent ahead wait in order, at most `pipelined_max` of them,
   and nothing more is read from the socket while any waits.
3. A head whose end could be read in two ways (Content-Length twice or beside Transfer-Encoding,
   bare LF, folded lines, broken chunks) is refused and the connection closed: httptools refuses
   them, `tests/unit/server/test_smuggling.py` holds it to that.
4. After an error of the parser no byte of the socket is ever taken for a request.

Why no framework: 100-continue, early refusal, holding back, raw targets and sendfile are what S3
needs, and frameworks hide them, at three times the cost of a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from cenote.server.exchange import Exchange, Stream
from cenote.server.heads import SPELLINGS, Refusal, head_too_large, read_head, timed_out
from cenote.server.response import CLOSE, CONTINUE, KEEP, STATUS_LINES

if TYPE_CHECKING:
    from cenote.server.limits import Limits
    from cenote.server.listener import Listener

__all__ = ["CLIENT_LEFT", "Connection"]

_WRITE_HIGH = 1 << 20

CLIENT_LEFT = 499  # in logs and metrics only: the client left before it could be answered


class _Ignored(Exception):
    """Bytes behind the last request of a connection that is about to close."""


class Connection(asyncio.Protocol):
    """One client's connection. All methods run on the loop."""

    __slots__ = (
        "_advancing",
        "_closing",
        "_count",
        "_fed",
        "_head_since",
        "_head_size",
        "_headers",
        "_heads",
        "_held",
        "_in_head",
        "_limits",
        "_lingering",
        "_listener",
        "_parser",
        "_reading",
        "_receiving",
        "_refusal",
        "_repeated",
        "_stopped",
        "_stuck_since",
        "_target",
        "_touched",
        "_waiting",
        "_window_bytes",
        "_window_since",
        "current",
        "peer",
        "secure",
        "stream",
        "transport",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._limits = listener.limits
        self._parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.peer = ""
        self.secure = False
        self.current: Exchange | None = None
        self.stream: Stream | None = None
        self._waiting: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._refusal: Refusal | None = None
        self._in_head = False
        self._advancing = False
        self._heads = 0
        self._fed = 0
        self._head_since = self._touched = self._window_since = listener.tick
        self._window_bytes = 0
        self._stuck_since = -1
        self._held = False
        self._reading = True
        self._closing = False
        self._stopped = False
        self._lingering = -1
        self._target = b""
        self._headers: dict[str, str] = {}
        self._repeated: set[str] | None = None
        self._count = 0
        self._head_size = 0

    # -- the socket ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_WRITE_HIGH)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.secure = transport.get_extra_info("ssl_object") is not None
        if not self._listener.admit(self):
            self._refusal = Refusal(503, "SlowDown", "Too many connections.")
            self._stopped = True
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.forget(self)
        self._stopped = True
        exchange = self.current
        self._waiting.clear()
        if exchange is not None:
            self.current = None
            exchange.gone = True
            if exchange.taker is not None and not exchange.received and not exchange.answered:
                exchange.taker.abort()
                exchange.status = CLIENT_LEFT
                self._listener.record(exchange)
        if self.stream is not None:
            self.stream.cancel()

    def eof_received(self) -> bool:
        # A client may close its half after a complete request and still wait for the answer.
        self._stopped = True
        return self._receiving is None and self.current is not None and not self.secure

    def pause_writing(self) -> None:
        self._stuck_since = self._listener.tick

    def resume_writing(self) -> None:
        self._stuck_since = -1
        if self.stream is not None:
            self.stream.writable()

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def writable(self) -> bool:
        """Tell whether the transport takes more without piling it up."""
        return self._stuck_since < 0

    def data_received(self, data: bytes) -> None:
        if self._stopped:
            self._swallow(len(data))
            return
        heads = self._heads
        receiving = self._receiving
        taken = receiving.bytes_in if receiving is not None else 0
        try:
            self._parser.feed_data(data)
            if self._in_head:
                if heads == self._heads:
                    self._fed += len(data)
            elif receiving is not None and receiving is self._receiving:
                # Chunk extensions and trailers: bytes that are neither head nor body.
                self._fed = self._fed + len(data) if taken == receiving.bytes_in else 0
            if self._fed > self._limits.head_size_max:
                raise head_too_large()
        except _Ignored:
            pass
        except httptools.HttpParserUpgrade:
            # The request itself is complete; what follows is in a protocol not spoken here.
            self._stopped = True
            last = self._waiting[-1] if self._waiting else self.current
            if last is not None:
                last.keep = False
            else:
                self._shut()
        except Refusal as refusal:
            self._break(refusal)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, Refusal):
                self._break(cause)
            elif not isinstance(cause, _Ignored):
                raise
        except httptools.HttpParserError as error:
            self._break(Refusal(400, "BadRequest", f"The request is malformed: {error}."))
        if self._waiting and self._reading:
            self._adjust()

    # -- httptools' callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._stopped:
            raise _Ignored
        self._in_head = True
        self._heads += 1
        self._fed = 0
        self._head_since = self._listener.tick

    def on_url(self, target: bytes) -> None:
        self._target = self._target + target if self._target else target
        if len(self._target) > self._limits.target_size_max:
            raise Refusal(414, "URITooLong", "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer of a chunked body: nothing here means anything
        size = len(name) + len(value)
        self._head_size += size
        self._count += 1
        limits = self._limits
        if (
            size > limits.header_size_max
            or self._count > limits.header_count_max
            or self._head_size > limits.head_size_max
        ):
            raise head_too_large()
        key = SPELLINGS.get(name) or name.decode("latin-1").lower()
        text = value.decode("latin-1").rstrip(" \t")
        headers = self._headers
        if key in headers:
            if self._repeated is None:
                self._repeated = set()
            self._repeated.add(key)
            headers[key] = f"{headers[key]},{text}"
        else:
            headers[key] = text

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._fed = 0
        parser = self._parser
        head, length, chunked = read_head(
            parser.get_method(),
            parser.get_http_version(),
            self._target,
            self._headers,
            self._repeated,
        )
        exchange = Exchange(self, head, length, chunked, parser.should_keep_alive())
        if "expect" in head.headers and head.headers["expect"].lower() == "100-continue":
            # There is no other expectation, and one may be passed over (RFC 9110, 10.1.1).
            exchange.expects = chunked or length > 0
        self._receiving = exchange
        self._window_since = self._listener.tick
        self._target = b""
        self._headers = {}
        self._repeated = None
        self._window_bytes = self._count = self._head_size = 0
        if self.current is None:
            self.current = exchange
            self._listener.begin(exchange)
        elif len(self._waiting) >= self._limits.pipelined_max:
            raise Refusal(400, "BadRequest", "Too many requests were sent ahead.")
        else:
            self._waiting.append(exchange)

    def on_body(self, data: bytes) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        size = len(data)
        exchange.bytes_in += size
        self._window_bytes += size
        if exchange.answered:
            return
        if exchange.taker is not None:
            exchange.taker.feed(data)
        else:
            exchange.pieces.append(data)

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        self._receiving = None
        exchange.received = True
        if exchange.taker is not None and not exchange.answered:
            exchange.taker.end()
        elif exchange.answered and exchange is self.current and self.stream is None:
            self._finish()

    # -- exchanges ----------------------------------------------------------------------------

    def _finish(self) -> None:
        """The current exchange is read and answered: go on to the next, or close."""
        exchange = self.current
        self.current = None
        self._touched = self._listener.tick
        if exchange is not None and (not exchange.keep or self._closing):
            self._shut()
            return
        if self._held:
            self.hold(False)
        if self._advancing or (not self._waiting and self._reading and not self._stopped):
            return
        # A loop, not a recursion: a client may have sent hundreds of requests ahead.
        self._advancing = True
        while self._waiting and self.current is None and not self.transport.is_closing():
            self.current = exchange = self._waiting.popleft()
            self._listener.begin(exchange)
        self._advancing = False
        self._adjust()
        if self._stopped:
            self._settle()

    def send_continue(self) -> None:
        self.transport.write(CONTINUE)

    def head(self, exchange: Exchange, status: int, headers: bytes) -> bytes:
        """Return the answer's head, and decide whether the connection outlives the answer."""
        return b"".join(
            (STATUS_LINES[status], self._listener.lines, headers, self._last_line(exchange))
        )

    def _last_line(self, exchange: Exchange) -> bytes:
        """Decide whether the connection outlives the answer, and return the head's end."""
        if not exchange.received and exchange.has_body:
            length = exchange.length
            if (
                length is None
                or exchange.expects
                or length - exchange.bytes_in > self._limits.drain_max
            ):
                exchange.keep = False
        if self._closing:
            exchange.keep = False
        return KEEP if exchange.keep else CLOSE

    def send_answer(self, exchange: Exchange, status: int, headers: bytes, body: bytes) -> None:
        if len(body) <= 1 << 16:
            lines, end = self._listener.lines, self._last_line(exchange)
            self.transport.write(b"".join((STATUS_LINES[status], lines, headers, end, body)))
        else:
            self.transport.writelines((self.head(exchange, status, headers), body))
        self.answered(exchange)

    def answered(self, exchange: Exchange) -> None:
        """The answer has been handed to the socket: go on."""
        self._listener.record(exchange)
        if exchange is not self.current:
            return
        self.stream = None
        if exchange.received:
            self._finish()
        elif exchange.has_body and not exchange.keep:
            self._linger()

    def record(self, exchange: Exchange) -> None:
        """Count an exchange that ends without an answer reaching its client."""
        self._listener.record(exchange)

    def _break(self, refusal: Refusal) -> None:
        """No more requests from this socket; answer those under way, then refuse."""
        if self.transport.is_closing():
            return
        self._stopped = True
        self._in_head = False
        self._refusal = refusal
        exchange = self._receiving
        self._receiving = None
        if exchange is not None and exchange is self.current:
            exchange.keep = False
            if exchange.answered:
                self._shut()
                return
            if exchange.taker is not None:
                exchange.taker.abort()
            exchange.answered = True
            exchange.status = refusal.status
            self._listener.record(exchange)
            self.current = None
        elif exchange is not None and exchange in self._waiting:
            self._waiting.remove(exchange)
        self._settle()

    def _settle(self) -> None:
        """Send the refusal that is due, if nothing goes before it."""
        refusal = self._refusal
        if self.current is not None or self._waiting:
            return
        if refusal is not None:
            headers, body = self._listener.refuse(refusal.code, refusal.message)
            self.transport.write(
                b"".join((STATUS_LINES[refusal.status], self._listener.lines, headers, CLOSE, body))
            )
            self._linger()
        elif self._stopped or self._closing:
            self._shut()

    # -- closing ------------------------------------------------------------------------------

    def _shut(self) -> None:
        self._stopped = True
        if not self.transport.is_closing():
            self.transport.close()

    def _linger(self) -> None:
        """Say no more, and read on a little, so that the client can read the answer.

        Closing a socket with unread bytes resets it, and the answer is lost with it.
        """
        self._stopped = True
        self._lingering = 0
        self._touched = self._listener.tick
        if self._held:
            self._held = False
            self._adjust()
        if self.secure or not self.transport.can_write_eof():
            self._shut()
        else:
            self.transport.write_eof()

    def _swallow(self, size: int) -> None:
        if self._lingering >= 0:
            self._lingering += size
            if self._lingering > self._limits.linger_max:
                self._shut()

    def retire(self) -> None:
        """Close now when idle, else after the answer under way."""
        self._closing = True
        if self.current is None and not self._waiting:
            self._shut()

    def hold(self, held: bool) -> None:
        """Stop or go on reading, for the sake of the body's taker."""
        self._held = held
        self._adjust()

    def _adjust(self) -> None:
        reading = not self._held and not self._waiting
        if reading != self._reading and not self.transport.is_closing():
            self._reading = reading
            if reading:
                self._window_since = self._listener.tick
                self._window_bytes = 0
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def check_pace(self, tick: int) -> None:
        """Let a client go that is idle too long, or sends or reads too slowly. Once a second."""
        limits = self._limits
        if self._stuck_since >= 0 and tick - self._stuck_since > limits.send_timeout:
            self.transport.abort()
        elif self._lingering >= 0:
            if tick - self._touched > limits.linger_timeout:
                self._shut()
        elif self._in_head or (self.current is None and self._receiving is None):
            if not self._in_head:
                if tick - self._touched > limits.idle_timeout:
                    self._shut()
            elif tick - self._head_since > limits.head_timeout:
                self._break(timed_out())
        elif (
            self._receiving is not None
            and self._reading
            and tick - self._window_since >= limits.body_window
        ):
            if self._window_bytes < limits.body_rate_min * limits.body_window:
                self._break(timed_out())
            self._window_since = tick
            self._window_bytes = 0
