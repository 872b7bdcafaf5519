"""Sign requests as an attacker would: right in all but what the caller bends.

Written from AWS's description of Signature Version 4 and not from our own signer, so that a
mistake made twice does not cancel out.
Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html,
sigv4-query-string-auth.html and sigv4-streaming.html, sigv4-streaming-trailers.html.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote_to_bytes

from cenote.testing import Endpoint

Lines = Sequence[tuple[str, str]]
EMPTY_SHA = hashlib.sha256(b"").hexdigest()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@dataclass(frozen=True)
class Forge:
    """A signer with every part of the scope in reach."""

    endpoint: Endpoint
    access_key: str | None = None
    secret_key: str | None = None
    region: str = "us-east-1"
    service: str = "s3"
    terminator: str = "aws4_request"
    algorithm: str = "AWS4-HMAC-SHA256"
    age: timedelta = timedelta()
    scope_date: str | None = None
    host: str | None = None
    unsigned: Sequence[str] = ()
    bend: Callable[[str], str] = field(default=lambda signature: signature)

    @property
    def time(self) -> str:
        return (datetime.now(UTC) - self.age).strftime("%Y%m%dT%H%M%SZ")

    @property
    def scope(self) -> str:
        date = self.scope_date or self.time[:8]
        return f"{date}/{self.region}/{self.service}/{self.terminator}"

    @property
    def credential(self) -> str:
        return f"{self.access_key or self.endpoint.access_key}/{self.scope}"

    @property
    def address(self) -> str:
        return self.host or f"{self.endpoint.host}:{self.endpoint.port}"

    def key(self) -> bytes:
        date, region, service, terminator = self.scope.split("/")
        key = ("AWS4" + (self.secret_key or self.endpoint.secret_key)).encode()
        for step in (date, region, service, terminator):
            key = mac(key, step)
        return key

    def headers(
        self, method: str, target: str, lines: Lines = (), payload: str = EMPTY_SHA, **more: str
    ) -> list[tuple[str, str]]:
        """Return `lines` with Host, the date, the digest and an Authorization that covers them.

        `unsigned` names are sent and left out of the signature.
        """
        time = more.get("time", self.time)
        lines = [("host", self.address), ("x-amz-date", time), *lines]
        if payload:
            lines.append(("x-amz-content-sha256", payload))
        signed = [(n.lower(), v) for n, v in lines if n.lower() not in self.unsigned]
        names, signature = self._sign(method, target, signed, payload or EMPTY_SHA, time)
        authorization = (
            f"{self.algorithm} Credential={self.credential}, SignedHeaders={names}, "
            f"Signature={self.bend(signature)}"
        )
        return [*lines, ("authorization", authorization)]

    def request(
        self,
        method: str,
        target: str,
        lines: Lines = (),
        body: bytes = b"",
        payload: str | None = None,
    ) -> bytes:
        """Return a whole signed request."""
        if body or method in ("PUT", "POST"):
            lines = [("content-length", str(len(body))), *lines]
        claimed = sha(body) if payload is None else payload
        return head(method, target, self.headers(method, target, lines, claimed)) + body

    def presign(
        self, method: str, target: str, expires: object = 300, extra: Sequence[str] = (), **more
    ) -> str:
        """Return `target` with a signature in its query. `extra` raw pairs are added signed."""
        path, _, query = target.partition("?")
        time = more.get("time", self.time)
        names = ";".join(sorted(more.get("signed", ["host"])))
        pairs = [query] if query else []
        pairs += [
            f"X-Amz-Algorithm={self.algorithm}",
            f"X-Amz-Credential={quote(self.credential, safe='')}",
            f"X-Amz-Date={time}",
            f"X-Amz-Expires={expires}",
            f"X-Amz-SignedHeaders={quote(names, safe='')}",
            *extra,
        ]
        joined = "&".join(pairs)
        lines = [("host", self.address), *more.get("lines", [])]
        signed = [(n, v) for n, v in lines if n in more.get("signed", ["host"])]
        _, signature = self._sign(
            method, f"{path}?{joined}", signed, more.get("payload", "UNSIGNED-PAYLOAD"), time
        )
        return f"{path}?{joined}&X-Amz-Signature={self.bend(signature)}"

    def chunked(
        self,
        method: str,
        target: str,
        chunks: Sequence[bytes],
        *,
        lines: Lines = (),
        encoding: str = "aws-chunked",
        decoded: str | None = None,
        bend_chunk: int | None = None,
        write: Callable[[int, bytes, str], bytes] | None = None,
        trailer: Lines | None = None,
        announce: str | None = None,
        bend_trailer: Callable[[str], str] = lambda text: text,
        end: bytes | None = None,
    ) -> bytes:
        """Return a request whose chunks are signed one by one, the last of them empty.

        `bend_chunk` names the chunk whose signature is wrong; `write` may write a chunk otherwise;
        `end` replaces what stands behind the last chunk's line; `trailer` adds a signed trailer.
        """
        claim = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" + ("" if trailer is None else "-TRAILER")
        size = str(sum(map(len, chunks))) if decoded is None else decoded
        lines = [("content-encoding", encoding), *lines]
        if size:
            lines.append(("x-amz-decoded-content-length", size))
        if trailer is not None and announce != "":
            lines.append(("x-amz-trailer", announce or ",".join(n for n, _ in trailer)))
        time = self.time

        def body(seed: str) -> bytes:
            out, last = b"", seed
            for index, chunk in enumerate([*chunks, b""]):
                last = mac(
                    self.key(),
                    f"AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{self.scope}\n{last}\n{EMPTY_SHA}\n"
                    + sha(chunk),
                ).hex()
                sent = flip(last) if index == bend_chunk else last
                out += (write or write_chunk)(index, chunk, sent)
            if trailer is not None:
                text = "".join(f"{n}:{v}\n" for n, v in trailer)
                sign = mac(
                    self.key(),
                    f"AWS4-HMAC-SHA256-TRAILER\n{time}\n{self.scope}\n{last}\n"
                    + sha(text.encode()),
                ).hex()
                sent_text = "".join(f"{n}:{v}\r\n" for n, v in trailer)
                out += (sent_text + f"x-amz-trailer-signature:{bend_trailer(sign)}\r\n").encode()
            return out + (b"\r\n" if end is None else end)

        length = len(body("0" * 64))
        all_lines = self.headers(
            method, target, [("content-length", str(length)), *lines], claim, time=time
        )
        seed = all_lines[-1][1].rpartition("Signature=")[2]
        return head(method, target, all_lines) + body(seed)

    def _sign(
        self, method: str, target: str, lines: Lines, payload: str, time: str
    ) -> tuple[str, str]:
        path, _, query = target.partition("?")
        names = sorted({name for name, _ in lines})
        canonical = [method, encoded(path, "/~"), canonical_query(query)]
        for name in names:
            values = ",".join(" ".join(v.split()) for n, v in lines if n == name)
            canonical.append(f"{name}:{values}")
        canonical += ["", ";".join(names), payload]
        text = f"{self.algorithm}\n{time}\n{self.scope}\n" + sha("\n".join(canonical).encode())
        return ";".join(names), mac(self.key(), text).hex()


def head(method: str, target: str, lines: Lines, version: str = "HTTP/1.1") -> bytes:
    text = "".join([f"{method} {target} {version}\r\n", *(f"{n}: {v}\r\n" for n, v in lines)])
    return (text + "\r\n").encode()


def encoded(text: str, safe: str) -> str:
    return quote(unquote_to_bytes(text), safe=safe)


def canonical_query(query: str) -> str:
    pairs = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    return "&".join(
        f"{n}={v}" for n, v in sorted((encoded(n, "~"), encoded(v, "~")) for n, v in pairs)
    )


def write_chunk(index: int, chunk: bytes, signature: str) -> bytes:
    line = b"%x;chunk-signature=%s\r\n" % (len(chunk), signature.encode())
    return line + chunk + b"\r\n" if chunk else line


def flip(signature: str) -> str:
    return ("1" if signature[0] == "0" else "0") + signature[1:]


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def unsigned_chunks(
    forge: Forge,
    target: str,
    body: bytes,
    *,
    decoded: int | str | None,
    trailer: str = "x-amz-checksum-crc32",
    lines: Lines = (),
) -> bytes:
    """Return a PUT whose body is `body` as it stands, said to be unsigned chunks and a trailer."""
    lines = [("content-encoding", "aws-chunked"), ("content-length", str(len(body))), *lines]
    if decoded is not None:
        lines.append(("x-amz-decoded-content-length", str(decoded)))
    if trailer:
        lines.append(("x-amz-trailer", trailer))
    signed = forge.headers("PUT", target, lines, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    return head("PUT", target, signed) + body
