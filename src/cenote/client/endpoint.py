"""Where a server is, and how a bucket's and a key's URL is written for it.

Owns: taking an endpoint apart, percent-encoding of keys.
Does not own: connections (`pool`), signing (`cenote.s3`).

Invariants:
1. A key's bytes reach the server as they are: `//`, `..` and a trailing slash are kept, nothing is
   joined or normalised. Everything but unreserved characters and "/" is percent-encoded, so that
   the signature is over the very bytes sent.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from msgspec import Struct

from cenote.errors import InvalidError

__all__ = ["Endpoint", "encode_query", "parse_endpoint"]

PORTS = {"http": 80, "https": 443}


class Endpoint(Struct, frozen=True):
    """A server: `scheme` is http or https; `path` a prefix without a trailing slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The endpoint as a URL without a trailing slash."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def target(self, bucket: str | None = None, key: str | None = None) -> str:
        """Return the raw path of a bucket or a key, path style."""
        path = self.path + "/"
        if bucket is not None:
            path += quote(bucket, safe="-._~")
            if key is not None:
                path += "/" + quote(key.encode("utf-8"), safe="/-._~")
        return path


def parse_endpoint(url: str) -> Endpoint:
    """Take `http[s]://host[:port][/prefix]` apart.

    Raises: InvalidError for another scheme, for user names, queries and fragments.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidError(f"{url!r} is not an endpoint: {error}") from error
    if parts.scheme not in PORTS or not parts.hostname:
        raise InvalidError(f"{url!r} is not an endpoint", hint="write http://host:port")
    if parts.query or parts.fragment or parts.username is not None:
        raise InvalidError("an endpoint is a scheme, a host, a port and a path, nothing else")
    if port is None:
        port = PORTS[parts.scheme]
    return Endpoint(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


def encode_query(params: dict[str, str]) -> str:
    """Return `params` as a query string in the canonical encoding (spaces as %20)."""
    return "&".join(
        f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in params.items()
    )
