"""A mixed load of many clients, each taking down in the ledger what it was told.

Small and large puts, conditional puts, copies, deletes, DeleteObjects, multipart uploads, reads
and listings. A client ends when its connection breaks or when it is told to.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from xml.sax.saxutils import escape

from ledger import Ledger, Side, Upload, Value, etag

from cenote.testing import Create, DeleteIf, Endpoint, Get, History, Reply, Swap, WireClient

BUCKET = "/crash"
KEYS = 10  # of each client
SHARED = ("shared-a", "shared-b")
MIB = 1 << 20


class Client(threading.Thread):
    """One client with keys of its own, and a hand in the shared ones."""

    def __init__(
        self, number: int, endpoint: Endpoint, ledger: Ledger, history: History, seed: int
    ) -> None:
        super().__init__(name=f"client-{number}")
        self.number = number
        self.fault: BaseException | None = None
        self.statuses: Counter[int] = Counter()
        self.lost = False
        self._ledger = ledger
        self._history = history
        self._rng = random.Random(f"{seed}-{number}")
        self._wire = WireClient(endpoint, timeout=60.0)
        self._prefix = f"c{number}/"
        self._made = 0
        self._seed = seed
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self._put_small, 30),
            (self._put_large, 8),
            (self._put_if_match, 8),
            (self._put_if_absent, 6),
            (self._copy, 8),
            (self._remove, 8),
            (self._remove_many, 2),
            (self._multipart, 6),
            (self._read, 12),
            (self._list, 2),
            (self._shared, 12),
            (self._side, 4),
        ]
        names, weights = zip(*steps, strict=True)
        try:
            while not self._stopping.is_set():
                self._rng.choices(names, weights)[0]()
        except (ConnectionError, TimeoutError):
            self.lost = True
        except BaseException as fault:  # noqa: BLE001 - raised again by `Load.end`
            self.fault = fault
        finally:
            self._wire.close()

    # Steps

    def _put_small(self) -> None:
        self._put(self._key(), self._value(self._rng.randrange(4000)))

    def _put_large(self) -> None:
        self._put(self._key(), self._value(self._rng.randrange(40_000, 700_000)))

    def _put_if_match(self) -> None:
        key = self._key()
        held = self._ledger.settled.get(key)
        if held is not None and key not in self._ledger.doubts:
            guard = [("if-match", held.etag())]
            reply = self._put(key, self._value(self._rng.randrange(4000)), guard)
            assert reply.status in (200, 500, 503), (reply.status, reply.code)

    def _put_if_absent(self) -> None:
        key = self._key()
        if key in self._ledger.doubts:
            return
        absent = self._ledger.settled.get(key) is None
        reply = self._put(key, self._value(100), [("if-none-match", "*")])
        assert reply.status in (200 if absent else 412, 500, 503), (reply.status, reply.code)

    def _put(self, key: str, value: Value, guard: list[tuple[str, str]] | None = None) -> Reply:
        with self._ledger.attempt(key, value) as attempt:
            headers = [*value.headers(), *(guard or [])]
            return attempt.settle(self._ask("PUT", f"{BUCKET}/{key}", headers, value.body()))

    def _copy(self) -> None:
        source, key = self._key(), self._key()
        held = self._ledger.settled.get(source)
        if held is None or source == key or source in self._ledger.doubts:
            return
        value = Value(held.pieces, self._label(), held.multipart)
        headers = [
            *value.headers(),
            ("x-amz-copy-source", f"{BUCKET}/{source}"),
            ("x-amz-metadata-directive", "REPLACE"),
        ]
        with self._ledger.attempt(key, value) as attempt:
            attempt.settle(self._ask("PUT", f"{BUCKET}/{key}", headers))

    def _remove(self) -> None:
        key = self._key()
        with self._ledger.attempt(key, None) as attempt:
            attempt.settle(self._ask("DELETE", f"{BUCKET}/{key}"))

    def _remove_many(self) -> None:
        one, two = (f"{self._prefix}{n}" for n in self._rng.sample(range(KEYS), 2))
        text = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in (one, two))
        body = f"<Delete>{text}</Delete>".encode()
        with self._ledger.attempt(one, None) as first, self._ledger.attempt(two, None) as second:
            headers = [("content-md5", base64.b64encode(hashlib.md5(body).digest()).decode())]
            reply = self._ask("POST", f"{BUCKET}?delete", headers, body)
            assert reply.status >= 500 or b"<Error>" not in reply.body, reply.body
            for attempt in (first, second):
                attempt.acknowledged = True if reply.status == 200 else None

    def _multipart(self) -> None:
        key = self._key()
        sizes = [self._rng.randrange(1, 200_000)]
        if self._rng.random() < 0.1:
            sizes.insert(0, 5 * MIB)
        value = Value(tuple((self._number(), size) for size in sizes), self._label(), True)
        reply = self._ask("POST", f"{BUCKET}/{key}?uploads", value.headers())
        if reply.status != 200:
            return
        upload_id = tag(reply, "UploadId")
        upload = self._ledger.uploads[upload_id] = Upload(key)
        named = ""
        for number, (piece, data) in enumerate(zip(value.pieces, value.parts(), strict=True), 1):
            upload.doubts[number] = piece
            target = f"{BUCKET}/{key}?partNumber={number}&uploadId={upload_id}"
            if self._ask("PUT", target, (), data).status != 200:
                return
            upload.parts[number] = upload.doubts.pop(number)
            named += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag(data)}</ETag></Part>"
        if self._rng.random() < 0.2:
            return  # left open, to be found after the crash
        upload.ending = True
        body = f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>".encode()
        with self._ledger.attempt(key, value) as attempt:
            attempt.settle(self._ask("POST", f"{BUCKET}/{key}?uploadId={upload_id}", (), body))
        if attempt.acknowledged:
            del self._ledger.uploads[upload_id]

    def _read(self) -> None:
        key = self._key()
        reply = self._ask("GET", f"{BUCKET}/{key}")
        if reply.status < 500:
            assert not (wrong := self._ledger.judge(key, reply)), wrong

    def _list(self) -> None:
        reply = self._ask("GET", f"{BUCKET}?list-type=2&prefix={self._prefix}")
        if reply.status == 200:
            if any(key.startswith(self._prefix) for key in self._ledger.doubts):
                return
            held = [key for key in self._ledger.present() if key.startswith(self._prefix)]
            assert re.findall(r"<Key>(.+?)</Key>", reply.body.decode()) == held

    def _side(self) -> None:
        """Make a bucket, copy into it from the main one, empty it, delete it."""
        name = f"side-{self.number}"
        states = self._ledger.sides.setdefault(name, [Side.ABSENT])
        if len(states) > 1:  # the last answer was a fault: look before going on
            bucket, found = self._ask("HEAD", f"/{name}"), self._ask("GET", f"/{name}/k")
            assert not (wrong := self._ledger.judge_side(name, bucket, found)), wrong
        (state,) = self._ledger.sides[name]
        held = self._ledger.settled.get(source := self._key())
        held = None if source in self._ledger.doubts else held
        after: Side | Value
        if state is Side.ABSENT:
            after, method, path, headers = Side.EMPTY, "PUT", f"/{name}", []
        elif state is Side.EMPTY and held is not None:
            after = Value(held.pieces, held.label, held.multipart)
            method, path = "PUT", f"/{name}/k"
            headers = [("x-amz-copy-source", f"{BUCKET}/{source}")]
        elif state is Side.EMPTY:
            after, method, path, headers = Side.ABSENT, "DELETE", f"/{name}", []
        else:
            after, method, path, headers = Side.EMPTY, "DELETE", f"/{name}/k", []
        with self._ledger.side(name, after) as attempt:
            attempt.settle(self._ask(method, path, headers))

    def _shared(self) -> None:
        """Create, swap, delete or read a key that all write, for its history to be judged."""
        key = self._rng.choice(SHARED)
        path = f"{BUCKET}/{key}"
        with self._history.call(key, Get()) as call:
            reply = self._ask("GET", path)
            held = reply.body.decode() if reply.status == 200 else None
            if reply.status in (200, 404):
                call.read(held)
        value = self._label()
        if held is None:
            operation, method, guard = Create(value), "PUT", {"if-none-match": "*"}
        elif self._rng.random() < 0.3:
            guard = {"if-match": etag(held.encode())}
            operation, method = DeleteIf(held), "DELETE"
        else:
            guard = {"if-match": etag(held.encode())}
            operation, method = Swap(held, value), "PUT"
        with self._history.call(key, operation) as call:
            body = value.encode() if method == "PUT" else b""
            reply = self._ask(method, path, guard, body)
            if reply.status in (200, 204):
                call.done()
            elif reply.status in (404, 412):
                call.refused()

    # What they are made of

    def _ask(self, method: str, target: str, headers=(), body: bytes = b"") -> Reply:
        reply = self._wire.request(method, target, headers, body)
        self.statuses[reply.status] += 1
        return reply

    def _key(self) -> str:
        return f"{self._prefix}{self._rng.randrange(KEYS)}"

    def _number(self) -> int:
        self._made += 1
        return (self._seed * 1000 + self.number) * 1_000_000 + self._made

    def _label(self) -> str:
        return f"v{self._number()}"

    def _value(self, size: int) -> Value:
        return Value(((self._number(), size),), self._label())


def tag(reply: Reply, name: str) -> str:
    """Return the text of the reply's first element `name`."""
    found = re.search(f"<{name}>(.+?)</{name}>", reply.body.decode())
    assert found is not None, reply.body
    return found[1]


class Load:
    """A number of clients at work."""

    def __init__(
        self, endpoint: Endpoint, ledger: Ledger, history: History, seed: int, clients: int = 8
    ) -> None:
        self.clients = [Client(n, endpoint, ledger, history, seed) for n in range(clients)]
        for client in self.clients:
            client.start()

    def run_for(self, seconds: float) -> None:
        """Let them work for about so long; end early when one fails."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and all(c.fault is None for c in self.clients):
            time.sleep(0.01)

    def end(self) -> Counter[int]:
        """Let them finish what they are at; raise what one of them found; return all statuses."""
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join()
        total: Counter[int] = Counter()
        for client in self.clients:
            if client.fault is not None:
                raise client.fault
            total += client.statuses
        return total
