"""One request out, one reply in: signed, and sent again where that is safe.

Owns: signing, sending, retries.
Does not own: what the operations are (`client`).

Invariants:
1. A request is sent again only when doing it twice is doing it once: the caller says so by `safe`.
   For others a lost reply is an UnavailableError with `effect_unknown`.
2. A body is bytes, or a file read again from its start: the second attempt sends the same bytes.
3. The hash of the body is part of the signature, over plain HTTP as over TLS: what was altered on
   the way is refused.
"""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Callable, Mapping
from typing import BinaryIO

from msgspec import Struct

from cenote.base import Clock, Rand
from cenote.client.endpoint import Endpoint, encode_query
from cenote.client.faults import error_from
from cenote.client.pool import Pool
from cenote.client.reply import Reply
from cenote.errors import Error, InvalidError, UnavailableError
from cenote.s3 import sign_request

__all__ = ["Body", "Transport", "body_of"]

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
ATTEMPTS_MAX = 4
RETRY_STATUSES = frozenset({429, 500, 502, 503, 504})
BACKOFF_SECONDS = 0.1
READ_SIZE = 1 << 20
ERROR_BODY_MAX = 1 << 20


class Body(Struct, frozen=True):
    """Bytes to send: `data`, or `size` bytes of `file` from `start`. `sha256` is in hex."""

    size: int = 0
    sha256: str = EMPTY_SHA256
    data: bytes = b""
    file: BinaryIO | None = None
    start: int = 0


EMPTY = Body()


def body_of(source: bytes | BinaryIO, see: Callable[[bytes], object] | None = None) -> Body:
    """Make a body of bytes or of a seekable file from where it stands.

    A file is read once to hash it (flat memory), and again for each sending. `see` is shown every
    piece of that first reading.
    """
    if isinstance(source, bytes):
        if see is not None:
            see(source)
        return Body(len(source), hashlib.sha256(source).hexdigest(), data=source)
    if not source.seekable():
        raise InvalidError("a body must be bytes or a seekable file")
    start, size, digest = source.tell(), 0, hashlib.sha256()
    while data := source.read(READ_SIZE):
        size += len(data)
        digest.update(data)
        if see is not None:
            see(data)
    return Body(size, digest.hexdigest(), file=source, start=start)


class Transport:
    """Sends signed requests to one endpoint. Thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        keys: tuple[str, str] | None,
        region: str,
        *,
        clock: Clock,
        rand: Rand,
        pool: Pool,
    ) -> None:
        self.endpoint = endpoint
        self.keys = keys
        self.region = region
        self._origin = f"{endpoint.scheme}://{endpoint.authority}"
        self.clock = clock
        self._rand = rand
        self._pool = pool

    def request(
        self,
        method: str,
        bucket: str | None = None,
        key: str | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body = EMPTY,
        *,
        safe: bool = True,
    ) -> Reply:
        """Send a request and return its reply, whose status is 2xx.

        Raises: the error the server answered (see `faults`); UnavailableError when it could not be
        reached, with `effect_unknown` where the request may have been carried out.
        """
        path = self.endpoint.target(bucket, key)
        query = encode_query(dict(params or {}))
        attempt = 0
        while True:
            attempt += 1
            try:
                reply = self._send(method, path, query, dict(headers or {}), body)
            except (OSError, http.client.HTTPException) as error:
                failure: Error = UnavailableError(
                    f"{self.endpoint.url} cannot be reached: {error or type(error).__name__}",
                    kind="unreachable",
                    effect_unknown=not safe and not isinstance(error, ConnectionRefusedError),
                )
                failure.__cause__ = error
            else:
                if 200 <= reply.status < 300:
                    return reply
                with reply:
                    text = reply.read(ERROR_BODY_MAX) if method != "HEAD" else b""
                failure = error_from(reply.status, reply.headers, text, bucket=bucket, key=key)
                if reply.status not in RETRY_STATUSES:
                    raise failure
            if not safe or attempt == ATTEMPTS_MAX:
                raise failure
            # Full jitter: many clients of one server that stumbled do not come back together.
            spread = int.from_bytes(self._rand.bytes(2)) / 65536
            self.clock.sleep(BACKOFF_SECONDS * 2**attempt * spread)

    def url(self, path: str, query: str) -> str:
        """Return the URL of a raw path and query."""
        return f"{self._origin}{path}?{query}" if query else f"{self._origin}{path}"

    def _send(
        self, method: str, path: str, query: str, headers: dict[str, str], body: Body
    ) -> Reply:
        headers["host"] = self.endpoint.authority
        if method in ("PUT", "POST") or body.size:
            headers["content-length"] = str(body.size)
        if self.keys is not None:
            headers = sign_request(
                method,
                self.url(path, query),
                headers,
                body_hash=body.sha256,
                access_key=self.keys[0],
                secret_key=self.keys[1],
                region=self.region,
                now_ms=self.clock.now_ms(),
            )
        connection = self._pool.take()
        try:
            content: bytes | BinaryIO | None = body.data or None
            if body.file is not None:
                body.file.seek(body.start)
                content = body.file
            target = self.url(path, query).removeprefix(self._origin)
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value.encode("utf-8"))
            try:
                connection.endheaders(content)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses early closes while we still send; its reason may be there.
                if not body.size:
                    raise
            return Reply(connection.getresponse(), connection, self._pool.give_back)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()
