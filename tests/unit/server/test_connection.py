"""The connection against raw sockets: framing, pipelining, 100-continue, refusals, slow clients."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from cenote.base import SystemClock
from cenote.server.body import Gather
from cenote.server.exchange import Exchange
from cenote.server.limits import Limits
from cenote.server.listener import Listener


class Echo:
    """An application: /early refuses without the body, /hang never answers, others echo."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes, bytes]] = []
        self.hung: list[Exchange] = []
        self.recorded: list[tuple[int, int]] = []
        self.taken: list[Exchange] = []

    def begin(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.path == b"/early":
            exchange.reply(403, b"content-length: 2\r\n", b"no")
        elif head.path == b"/hang":
            self.hung.append(exchange)
            exchange.accept(Gather(1 << 20, lambda data: None, lambda: None))
        elif not exchange.has_body:
            self.answer(exchange, b"")
        else:
            self.taken.append(exchange)
            exchange.accept(Gather(1 << 20, lambda data: self.answer(exchange, data), lambda: None))

    def answer(self, exchange: Exchange, body: bytes) -> None:
        head = exchange.head
        self.seen.append((head.method, head.path + b"?" + head.query, body))
        text = head.path + b"|" + head.query + b"|" + body
        exchange.reply(200, b"content-length: %d\r\n" % len(text), text)

    def record(self, exchange: Exchange) -> None:
        self.recorded.append((exchange.status, exchange.bytes_in))

    def beat(self) -> None:
        pass

    def refuse(self, code: str, message: str) -> tuple[bytes, bytes]:
        body = code.encode()
        return b"content-length: %d\r\n" % len(body), body


class Running:
    """A listener with an application, on a loop of its own."""

    def __init__(self, limits: Limits) -> None:
        self.app = Echo()
        self.loop = uvloop.new_event_loop()
        self.listener = Listener(self.app, limits, SystemClock())
        up = threading.Event()
        self.port = 0

        def work() -> None:
            asyncio.set_event_loop(self.loop)
            self.port = self.loop.run_until_complete(self.listener.start("127.0.0.1", 0, None))
            up.set()
            self.loop.run_forever()

        self.thread = threading.Thread(target=work)
        self.thread.start()
        assert up.wait(10)

    def call(self, work: Callable[[], object]) -> None:
        """Run `work` on the loop and wait for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(10)

    def beat(self, seconds: int) -> None:
        """Let `seconds` go by for the connections, at once."""

        def work() -> None:
            for _ in range(seconds):
                self.listener.tick += 1
                for connection in tuple(self.listener.connections):
                    connection.check_pace(self.listener.tick)

        self.call(work)

    def stop(self) -> int:
        cut = asyncio.run_coroutine_threadsafe(self.listener.stop(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
        return cut

    @contextmanager
    def client(self) -> Iterator[Client]:
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            yield Client(sock)


class Client:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Read one answer: status, headers, body."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        size = int(headers.get(b"content-length", b"0"))
        while len(self.buffer) < size:
            self._more()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(first.split(b" ")[1]), headers, body

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def ended(self) -> bool:
        """Wait for the end of the connection; anything more that comes is a failure."""
        try:
            return not self.buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running(Limits(stop_timeout=1, idle_timeout=30, head_timeout=10))
    yield made
    if made.loop.is_running():
        made.stop()


GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_target_is_kept_byte_for_byte(running: Running):
    with running.client() as client:
        client.send(b"GET /a%2Fb//../c+d%20?x=%2f&y&&=z HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.reply()[2] == b"/a%2Fb//../c+d%20|x=%2f&y&&=z|"


def test_a_head_may_come_byte_by_byte(running: Running):
    with running.client() as client:
        for byte in b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
            client.send(bytes([byte]))
        assert client.reply()[2] == b"/x||abc"


def test_hundreds_of_requests_sent_ahead_are_answered_in_order(running: Running):
    with running.client() as client:
        client.send(b"".join(GET % b"%d" % i for i in range(1000)))
        for i in range(1000):
            assert client.reply()[2] == b"/%d||" % i


def test_requests_behind_one_that_waits_wait_in_order(running: Running):
    with running.client() as client:
        client.send(GET % b"hang" + GET % b"one")
        client.send(b"PUT /two HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody")
        while not running.app.hung:
            time.sleep(0.001)
        exchange = running.app.hung[0]
        running.call(lambda: running.app.answer(exchange, b""))
        assert client.reply()[2] == b"/hang||"
        assert client.reply()[2] == b"/one||"
        assert client.reply()[2] == b"/two||body"


def test_too_many_requests_sent_ahead_are_refused(running: Running):
    with running.client() as client:
        client.send(GET % b"hang")
        while not running.app.hung:
            time.sleep(0.001)
        client.send((GET % b"x") * 400)
        time.sleep(0.05)
        exchange = running.app.hung[0]
        running.call(lambda: running.app.answer(exchange, b""))
        statuses = [client.reply()[0] for _ in range(258)]
        assert statuses == [200] * 257 + [400]
        assert client.ended()


def test_chunked_bodies_are_undone(running: Running):
    with running.client() as client:
        client.send(
            b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: ignored\r\n\r\n" + GET % b"next"
        )
        assert client.reply()[2] == b"/x||abcde"
        assert client.reply()[2] == b"/next||"


def test_chunk_extensions_and_trailers_without_end_are_refused(running: Running):
    with running.client() as client:
        client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ")
        try:
            for _ in range(64):
                client.send(b"t" * 65536)
        except OSError:
            pass
        with pytest.raises((EOFError, OSError)):
            while client.reply()[0] != 400:
                pass
            raise EOFError


def test_100_continue_is_sent_when_the_body_is_wanted(running: Running):
    with running.client() as client:
        client.send(
            b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.reply()[0] == 100
        client.send(b"abc")
        assert client.reply()[2] == b"/x||abc"


def test_100_continue_is_not_sent_when_the_request_is_refused(running: Running):
    with running.client() as client:
        client.send(
            b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000000\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        status, headers, _ = client.reply()
        assert (status, headers[b"connection"]) == (403, b"close")
        assert client.ended()


def test_an_unknown_expectation_is_passed_over(running: Running):
    put = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n%b\r\nabc"
    with running.client() as client:
        client.send(put % b"")
        status, _, body = client.reply()
        for expectation in (b"Expect: tea\r\n", b"Expect: 200\r\n", b"Expect:\r\n"):
            client.send(put % expectation)
            assert client.reply()[::2] == (status, body)


def test_a_short_refused_body_is_thrown_away_and_the_connection_kept(running: Running):
    with running.client() as client:
        client.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        assert client.reply()[0] == 403
        client.send(b"01234" + GET % b"next")
        assert client.reply()[2] == b"/next||"


def test_a_long_refused_body_closes_and_is_never_taken_for_a_request(running: Running):
    with running.client() as client:
        client.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n")
        status, headers, _ = client.reply()
        assert (status, headers[b"connection"]) == (403, b"close")
        client.send(GET % b"smuggled")
        assert client.ended()
    assert running.app.seen == []


def test_a_client_still_sending_can_read_why_it_was_refused(running: Running):
    with running.client() as client:
        client.send(b"PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
        client.send(bytes(8_000_000))
        assert client.reply()[0] == 403


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n", False),
    ],
)
def test_keep_alive(running: Running, head: bytes, keeps: bool):
    with running.client() as client:
        client.send(head)
        status, headers, _ = client.reply()
        assert status == 200
        assert (headers.get(b"connection") == b"close") is not keeps
        if keeps:
            client.send(GET % b"next")
            assert client.reply()[0] == 200
        else:
            assert client.ended()


def test_absolute_form_counts_when_its_host_is_the_same(running: Running):
    with running.client() as client:
        client.send(b"GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.reply()[2] == b"/x|y|"
        client.send(b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.reply()[0] == 400
        assert client.ended()


def test_a_half_closed_client_still_gets_its_answer(running: Running):
    with running.client() as client:
        client.send(GET % b"hang")
        client.socket.shutdown(socket.SHUT_WR)
        while not running.app.hung:
            time.sleep(0.001)
        time.sleep(0.05)
        exchange = running.app.hung[0]
        running.call(lambda: running.app.answer(exchange, b""))
        assert client.reply()[2] == b"/hang||"
        assert client.ended()


def test_an_idle_connection_is_closed(running: Running):
    with running.client() as client:
        client.send(GET % b"x")
        client.reply()
        running.beat(29)
        client.send(GET % b"y")
        assert client.reply()[0] == 200
        running.beat(31)
        assert client.ended()


def test_a_slow_head_is_refused(running: Running):
    with running.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHos")
        time.sleep(0.05)
        running.beat(11)
        status, _, body = client.reply()
        assert (status, body) == (400, b"RequestTimeout")
        assert client.ended()


def test_a_slow_body_is_refused_and_a_steady_one_is_not(running: Running):
    with running.client() as client:
        client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(3):
            client.send(bytes(3000))
            time.sleep(0.05)
            running.beat(20)
        client.send(b"x")
        time.sleep(0.05)
        running.beat(41)
        status, _, body = client.reply()
        assert (status, body) == (400, b"RequestTimeout")


def test_a_client_that_leaves_is_noticed(running: Running):
    with running.client() as client:
        client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123")
        while not running.app.taken:
            time.sleep(0.001)
    deadline = time.monotonic() + 10
    while running.listener.connections and time.monotonic() < deadline:
        time.sleep(0.005)
    assert running.app.taken[0].gone
    assert running.app.recorded[-1][0] == 499


def test_an_answer_to_a_client_that_left_is_still_counted(running: Running):
    with running.client() as client:
        client.send(GET % b"hang")
        while not running.app.hung:
            time.sleep(0.001)
    deadline = time.monotonic() + 0.3
    while running.listener.connections and time.monotonic() < deadline:
        time.sleep(0.005)
    exchange = running.app.hung[0]
    assert running.app.recorded == []
    running.call(lambda: running.app.answer(exchange, b""))
    assert running.app.recorded == [(200, 0)]


def test_too_many_connections_are_told_to_slow_down():
    running = Running(Limits(connections_max=2, stop_timeout=1))
    try:
        with running.client() as one, running.client() as two:
            for client in (one, two):
                client.send(GET % b"x")
                assert client.reply()[0] == 200
            with running.client() as three:
                assert three.reply()[0] == 503
                assert three.ended()
            one.send(GET % b"y")
            assert one.reply()[0] == 200
    finally:
        running.stop()


def test_a_stop_finishes_what_is_under_way(running: Running):
    with running.client() as client, running.client() as idle:
        idle.send(GET % b"x")
        idle.reply()
        client.send(GET % b"hang")
        while not running.app.hung:
            time.sleep(0.001)
        exchange = running.app.hung[0]
        running.loop.call_soon_threadsafe(
            lambda: running.loop.call_later(0.2, running.app.answer, exchange, b"")
        )
        assert running.stop() == 0
        assert idle.ended()
        status, headers, body = client.reply()
        assert (status, headers[b"connection"], body) == (200, b"close", b"/hang||")
        assert client.ended()


def test_a_stop_cuts_what_takes_too_long(running: Running):
    with running.client() as client:
        client.send(GET % b"hang")
        while not running.app.hung:
            time.sleep(0.001)
        assert running.stop() == 1
        assert client.ended()


def test_headers_that_could_split_an_answer_are_refused():
    from cenote.server.response import header_lines

    for value in ("a\r\nb", "a\nb", "a\rb", "a\0b"):
        with pytest.raises(ValueError):
            header_lines([("x", value)])
    assert header_lines([("x", "a"), ("y", "é")]) == "x: a\r\ny: é\r\n".encode("latin-1")
