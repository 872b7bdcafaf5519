"""A signed JSON request to an AWS service, and its answer.

Owns: signature version 4 for one shape of request (POST, path "/", no query), the connection.
Does not own: what is asked (`dynamo_table`).

Source: AWS General Reference, "Create a signed AWS API request".

Why its own signer: this layer lies below the one that speaks S3, and for one shape of request a
signature is thirty lines.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cenote.base import Clock
from cenote.errors import InvalidError, UnavailableError

__all__ = ["AwsKeys", "JsonService", "signed_headers"]

REPLY_SIZE_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """A key pair, and the token that goes with a temporary one."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"AwsKeys({self.access_key!r})"


def signed_headers(
    body: bytes,
    headers: dict[str, str],
    *,
    keys: AwsKeys,
    region: str,
    service: str,
    stamp: str,
) -> dict[str, str]:
    """Return `headers` (lower-case names, with host) with what signs a POST of `body` to "/".

    `stamp` is the time as YYYYMMDDTHHMMSSZ.
    """
    digest = hashlib.sha256(body).hexdigest()
    signed = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": digest}
    if keys.token is not None:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = f"POST\n/\n\n{lines}\n{names}\n{digest}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


class JsonService:
    """An endpoint that takes signed JSON. Thread-safe: a connection a request."""

    def __init__(
        self,
        endpoint: str,
        *,
        keys: AwsKeys,
        region: str,
        service: str,
        clock: Clock,
        timeout_seconds: float,
    ) -> None:
        """Use the http or https URL `endpoint`. Raises InvalidError."""
        split = urlsplit(endpoint)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise InvalidError(f"{endpoint!r} is not the URL of a service")
        self._secure = split.scheme == "https"
        self._host = split.hostname
        self._port = split.port
        self._authority = split.netloc.rpartition("@")[2]
        self._keys = keys
        self._region = region
        self._service = service
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def call(self, target: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Send a request to the operation `target` and return status and JSON of the answer.

        Raises UnavailableError, with `effect_unknown` once anything may have been sent.
        """
        body = json.dumps(request, separators=(",", ":")).encode()
        headers = signed_headers(
            body,
            {
                "host": self._authority,
                "content-type": "application/x-amz-json-1.0",
                "x-amz-target": target,
            },
            keys=self._keys,
            region=self._region,
            service=self._service,
            stamp=_stamp(self._clock.now_ms()),
        )
        connection = self._connection()
        try:
            try:
                connection.connect()
            except (OSError, ssl.SSLError) as error:
                raise UnavailableError(
                    f"{self._authority} is not to be reached: {error}", kind="unreachable"
                ) from error
            try:
                connection.request("POST", "/", body=body, headers=headers)
                response = connection.getresponse()
                data = response.read(REPLY_SIZE_MAX + 1)
            except (OSError, http.client.HTTPException) as error:
                raise UnavailableError(
                    f"no answer from {self._authority}: {error}", effect_unknown=True
                ) from error
        finally:
            connection.close()
        return response.status, _decoded(data, response.status, self._authority)

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_seconds)


def _decoded(data: bytes, status: int, authority: str) -> dict[str, Any]:
    try:
        value = json.loads(data) if data else {}
    except ValueError as error:
        raise UnavailableError(
            f"{authority} answered {status} with what is no JSON", effect_unknown=True
        ) from error
    if not isinstance(value, dict):
        raise UnavailableError(f"{authority} answered {status} oddly", effect_unknown=True)
    return value


def _stamp(now_ms: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
