"""Load: requests written and signed beforehand, sent by wrk over many connections.

Whoever measures a server on the same machine must not spend its CPU on signing, so the bytes of
every request are made first; wrk only writes them and counts the answers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import ACCESS_KEY, BUCKET, SECRET_KEY
from bench.process import Process
from cenote.s3 import presign, sign_request

__all__ = ["Outcome", "plain", "presigned", "run_wrk", "signed", "write_heads"]

EMPTY_HASH = sha256().hexdigest()
_LUA = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of wrk showed. `cpu_us` is the server's, per request."""

    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


def _head(method: str, target: str, headers: dict[str, str], length: int | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _target(key: str) -> str:
    """Return the path of a key; of the bucket when `key` is empty or begins with "?"."""
    return f"/{BUCKET}{key}" if key[:1] in ("", "?") else f"/{BUCKET}/{key}"


def plain(method: str, port: int, key: str) -> bytes:
    """Return the head of a request without signature."""
    return _head(method, _target(key), {"host": f"127.0.0.1:{port}"}, None)


def presigned(method: str, port: int, key: str, length: int | None = None) -> bytes:
    """Return the head of a request by presigned URL."""
    host = f"127.0.0.1:{port}"
    url = presign(
        method,
        f"http://{host}{_target(key)}",
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=int(time.time() * 1000),
    )
    parts = urlsplit(url)
    return _head(method, f"{parts.path}?{parts.query}", {"host": host}, length)


def signed(
    method: str,
    port: int,
    key: str,
    length: int | None = None,
    body_hash: str = EMPTY_HASH,
    **headers: str,
) -> bytes:
    """Return the head of a request signed in its Authorization header, good for 15 minutes.

    `body_hash` is the SHA-256 of the body, in hex.
    """
    host = f"127.0.0.1:{port}"
    lines = sign_request(
        method,
        f"http://{host}{_target(key)}",
        {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}},
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        now_ms=int(time.time() * 1000),
        body_hash=body_hash,
    )
    return _head(method, _target(key), lines, length)


def write_heads(path: Path, heads: Iterable[bytes]) -> Path:
    """Write a file of heads for requests.lua."""
    path.write_bytes(b"".join(b"%d\n%b" % (len(head), head) for head in heads))
    return path


def run_wrk(
    server: Process,
    port: int,
    heads: Path,
    body: Path | None = None,
    *,
    seconds: float,
    connections: int,
) -> Outcome:
    """Send the requests in turn, over and over, and return what came of it.

    Raises RuntimeError when any answer was not a success.
    """
    binary = shutil.which("wrk")
    if binary is None:
        raise SystemExit("wrk is not there: it is a package of Debian's")
    argv = [binary, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    argv += ["-s", str(_LUA), f"http://127.0.0.1:{port}", "--", str(heads)]
    if body is not None:
        argv.append(str(body))
    before = server.cpu_s()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    used = server.cpu_s() - before
    server.require_alive()
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    if seen["status"] or seen["socket"] or not seen["requests"]:
        raise RuntimeError(f"requests failed: {seen}")
    return Outcome(
        rate=seen["requests"] / (seen["micros"] / 1e6),
        cpu_us=used / seen["requests"] * 1e6,
        p50_ms=seen["p50_us"] / 1000,
        p99_ms=seen["p99_us"] / 1000,
    )
