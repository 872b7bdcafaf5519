"""The remote store over real sockets: lost replies, odd answers, no server at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("obstore")

from cenote.base import ManualClock
from cenote.errors import (
    AlreadyExistsError,
    DeniedError,
    Error,
    InvalidError,
    NotFoundError,
    PreconditionError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)
from cenote.objstore import ObjectStore, Patience, open_store

Keys = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "background")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "background-secret")


class LossyProxy:
    """Passes connections on; the replies to the next `lose` PUTs are lost after their effect."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.lose = 0
        self.lost = 0
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            while data := client.recv(1 << 20):
                is_put = data.startswith(b"PUT ")
                server.sendall(data)
                head, _, rest = data.partition(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                sizes = [int(x[15:]) for x in lines if x.startswith(b"content-length:")]
                left = (sizes[0] if sizes else 0) - len(rest)
                while left > 0:
                    more = client.recv(1 << 20)
                    server.sendall(more)
                    left -= len(more)
                reply = server.recv(1 << 20)
                if is_put and self.lose:
                    self.lose -= 1
                    self.lost += 1
                    return
                client.sendall(reply)


@pytest.fixture
def proxy(server: Any) -> Iterator[LossyProxy]:
    split = urlsplit(server.client_arguments()["endpoint_url"])
    made = LossyProxy((split.hostname or "", split.port or 0))
    yield made
    made.close()


def at(endpoint: str, bucket: str = "bucket", attempts: int = 4, more: str = "") -> ObjectStore:
    uri = f"s3://{bucket}?endpoint={endpoint}&allow_http=true&region=us-east-1{more}"
    return open_store(uri, patience=Patience(attempts), clock=ManualClock())


def test_lost_replies_over_a_socket_are_recognised(proxy: LossyProxy, bucket: str) -> None:
    store = at(proxy.endpoint, bucket)
    proxy.lose = 2
    made = store.put_if_absent("a", b"mine")
    assert proxy.lost == 2
    assert made.etag == store.head("a").etag
    proxy.lose = 1
    made = store.put_if_match("a", b"mine again", made.etag)
    assert proxy.lost == 3
    assert store.get("a").data == b"mine again"
    proxy.lose = 1
    with pytest.raises(AlreadyExistsError):
        store.put_if_absent("a", b"other")
    proxy.lose = 1
    store.put("a", b"plain")
    assert store.get("a").data == b"plain"


def test_without_patience_a_lost_reply_says_that_the_effect_is_unknown(
    proxy: LossyProxy, bucket: str
) -> None:
    store = at(proxy.endpoint, bucket, attempts=1)
    proxy.lose = 1
    with pytest.raises(UnavailableError) as caught:
        store.put_if_absent("a", b"mine")
    assert caught.value.effect_unknown
    assert store.get("a").data == b"mine"


class Scripted:
    """A server that gives every request the same answer."""

    def __init__(self, status: int, code: str = "Odd") -> None:
        self.count = 0
        outer = self
        body = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                outer.count += 1
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


# Status and code of the answer; the error of a put-if-absent; whether its effect is unknown;
# whether it is tried again.
ANSWERS: list[tuple[int, str, type[Error], bool, bool]] = [
    (503, "SlowDown", ThrottledError, False, True),
    (503, "ServiceUnavailable", ThrottledError, True, True),
    (500, "InternalError", UnavailableError, True, True),
    (409, "ConditionalRequestConflict", UnavailableError, False, True),
    (400, "RequestTimeout", UnavailableError, True, True),
    (412, "PreconditionFailed", AlreadyExistsError, False, False),
    (403, "AccessDenied", DeniedError, False, False),
    (401, "Unauthorized", DeniedError, False, False),
    (501, "NotImplemented", UnsupportedError, False, False),
    (400, "InvalidRequest", InvalidError, False, False),
    (404, "NoSuchBucket", InvalidError, False, False),
]


@pytest.mark.parametrize("status, code, wanted, unknown, again", ANSWERS)
def test_answers_to_a_conditional_put(
    status: int, code: str, wanted: type[Error], unknown: bool, again: bool
) -> None:
    with Scripted(status, code) as server:
        store = at(server.endpoint)
        with pytest.raises(wanted) as caught:
            store.put_if_absent("a", b"x")
        assert getattr(caught.value, "effect_unknown", False) is unknown
        assert (server.count > 1) is again
    if status == 409:
        assert caught.value.kind == "conflict"


@pytest.mark.parametrize(
    "status, code, wanted",
    [
        (412, "PreconditionFailed", PreconditionError),
        (404, "NoSuchKey", PreconditionError),
        (409, "ConditionalRequestConflict", UnavailableError),
        (404, "NoSuchBucket", InvalidError),
    ],
)
def test_answers_to_a_put_if_match(status: int, code: str, wanted: type[Error]) -> None:
    with Scripted(status, code) as server, pytest.raises(wanted):
        at(server.endpoint).put_if_match("a", b"x", '"e"')


@pytest.mark.parametrize(
    "status, code, wanted",
    [
        (404, "NoSuchBucket", InvalidError),
        (403, "AccessDenied", DeniedError),
        (500, "InternalError", UnavailableError),
    ],
)
def test_answers_to_reads(status: int, code: str, wanted: type[Error]) -> None:
    with Scripted(status, code) as server:
        for call in (
            lambda store: store.get("a"),
            lambda store: store.get_range("a", 0, 1),
            lambda store: store.get_tail("a", 1),
            lambda store: list(store.list()),
            lambda store: store.list_folder(),
        ):
            with pytest.raises(wanted):
                call(at(server.endpoint))


def test_an_answer_that_is_none_of_s3s_is_an_error_of_ours() -> None:
    with Scripted(200, "NoHeaders") as server:
        for call in (
            lambda store: store.get("a"),
            lambda store: store.head("a"),
            lambda store: store.put("a", b"x"),
        ):
            with pytest.raises(Error):
                call(at(server.endpoint))


def test_no_server_means_no_effect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UnavailableError) as caught:
        at(endpoint).put_if_absent("a", b"x")
    assert not caught.value.effect_unknown
    assert caught.value.kind == "unreachable"


def test_an_upload_that_is_given_up_leaves_no_parts(server: Any, s3: Any, bucket: str) -> None:
    store = at(server.client_arguments()["endpoint_url"], bucket)
    with store.multipart("a") as writer:
        for _ in range(3):
            writer.write(b"x" * (9 << 20))
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    with pytest.raises(NotFoundError):
        store.head("a")


def test_an_upload_the_store_refuses_tells_so() -> None:
    with Scripted(403, "AccessDenied") as server:
        writer = at(server.endpoint).multipart("a")
        with pytest.raises(DeniedError):
            for _ in range(20):
                writer.write(b"x" * (9 << 20))
            writer.finish()
        writer.abort()


def test_one_put_is_one_request_whatever_its_size(server: Any, bucket: str, s3: Any) -> None:
    store = at(server.client_arguments()["endpoint_url"], bucket)
    made = store.put_if_absent("large", b"\0" * (20 << 20))
    assert "-" not in made.etag


def test_keys_that_are_no_paths_are_left_out(server: Any, bucket: str, s3: Any) -> None:
    store = at(server.client_arguments()["endpoint_url"], bucket)
    for key in ("fine", "x" * 300, "back\\slash"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert [meta.path for meta in store.list()] == ["fine"]
