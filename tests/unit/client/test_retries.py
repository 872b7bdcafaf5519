"""What is sent again and what is not, and what a caller learns of a reply that never came."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from scripted import ScriptedServer, answer, error

from cenote.base import ManualClock, SeededRand
from cenote.client import Access, Client
from cenote.errors import (
    AlreadyExistsError,
    DeniedError,
    NotFoundError,
    PreconditionError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)


def client(server: ScriptedServer) -> Client:
    access = Access(server.url, "AK", "secret")
    return Client(access, clock=ManualClock(), rand=SeededRand(1), timeout=10)


def test_a_stumbling_server_is_asked_again_with_the_same_bytes() -> None:
    answers = [error(503, "SlowDown"), None, answer(200, b"", 'ETag: "e"')]
    with ScriptedServer(answers) as server, client(server) as c:
        assert c.put_object("b", "k", io.BytesIO(b"body" * 1000)) == "e"
    bodies = [request.partition(b"\r\n\r\n")[2] for request in server.requests]
    assert bodies == [b"body" * 1000] * 3


def test_patience_ends() -> None:
    with (
        ScriptedServer([error(503, "SlowDown")] * 4) as server,
        client(server) as c,
        pytest.raises(ThrottledError, match="told so"),
    ):
        c.list_page("b")
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.complete_upload("b", "k", "u", [(1, "e", "AAAAAA==")]),
        lambda c: c.create_upload("b", "k"),
        lambda c: c.put_object("b", "k", b"x", {"If-None-Match": "*"}),
        lambda c: c.create_bucket("b"),
    ],
)
def test_what_cannot_be_done_twice_is_sent_once(call: Callable[[Client], object]) -> None:
    with (
        ScriptedServer([None, answer(200)]) as server,
        client(server) as c,
        pytest.raises(UnavailableError) as caught,
    ):
        call(c)
    assert caught.value.effect_unknown
    assert len(server.requests) == 1


def test_nobody_listening_has_no_effect() -> None:
    with ScriptedServer([]) as server:
        pass
    with client(server) as c, pytest.raises(UnavailableError) as caught:
        c.create_bucket("b")
    assert not caught.value.effect_unknown


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFoundError),
        (403, "AccessDenied", DeniedError),
        (409, "BucketAlreadyExists", AlreadyExistsError),
        (412, "PreconditionFailed", PreconditionError),
        (501, "NotImplemented", UnsupportedError),
    ],
)
def test_refusals_are_classed_and_not_repeated(
    status: int, code: str, kind: type[Exception]
) -> None:
    with (
        ScriptedServer([error(status, code)]) as server,
        client(server) as c,
        pytest.raises(kind) as caught,
    ):
        c.put_object("b", "k", b"x")
    assert caught.value.kind == code  # type: ignore[attr-defined]
    assert len(server.requests) == 1


def test_a_copy_that_fails_after_its_200_has_failed() -> None:
    late = answer(200, b"<Error><Code>InternalError</Code><Message>m</Message></Error>")
    with (
        ScriptedServer([late]) as server,
        client(server) as c,
        pytest.raises(UnavailableError),
    ):
        c.copy_object(("b", "k"), "b", "k2")


def test_a_body_cut_short_is_told() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    with (
        ScriptedServer([cut]) as server,
        client(server) as c,
        c.get_object("b", "k") as reply,
        pytest.raises(UnavailableError, match="cut short"),
    ):
        reply.read()


def test_a_page_of_a_proxy_is_no_empty_bucket() -> None:
    with (
        ScriptedServer([answer(200, b"<html><body>log in</body></html>")]) as server,
        client(server) as c,
        pytest.raises(UnavailableError, match="html"),
    ):
        c.list_page("b")


def test_why_a_body_was_refused_is_heard_while_it_is_sent() -> None:
    """A server may answer and close before it has read 64 MiB."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(error(403, "AccessDenied"))
        connection.shutdown(socket.SHUT_WR)
        for _ in range(64):
            if not connection.recv(1 << 20):
                break
        connection.close()

    thread = threading.Thread(target=refuse)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        with Client(Access(url, "AK", "secret"), timeout=10) as c, pytest.raises(DeniedError):
            c.put_object("b", "k", bytes(8 << 20))
    finally:
        listener.close()
        thread.join(10)
