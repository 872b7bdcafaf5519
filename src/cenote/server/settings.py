"""The server's settings.

Owns: what can be set, the defaults, and the checks between settings.
Does not own: where values come from (`cenote.base.settings`, the CLI's flags).
"""

from __future__ import annotations

import os
from typing import Literal

from msgspec import Struct, field

from cenote.errors import InvalidError
from cenote.server.limits import Limits

__all__ = ["Settings"]

Anonymous = Literal["none", "read", "write"]
AccessLog = Literal["off", "combined", "json"]


class Settings(Struct, frozen=True, kw_only=True):
    """How the server runs.

    root: the directory of the buckets. host, port: where it listens; port 0 lets the system choose.
    access_key, secret_key: one key pair. credentials: further pairs, each "ACCESS:SECRET".
    region: None takes any region; a name pins it. signature_v2: take signature version 2, by which
    boto3 and the AWS CLI still presign unless they are told otherwise.
    domains: hosts whose subdomains are buckets.
    anonymous: what a request without a signature may do: nothing, read and list, or everything.
    account_id: the owner that x-amz-expected-bucket-owner is compared with, 12 digits.
    read_only: refuse every change. workers: processes that answer clients; from 2 on, one more
    process does all the writing.
    threads: worker threads for long bodies. tls_cert, tls_key: PEM files; both or neither.
    access_log: a line per request, off by default: it costs a fifth of a small request.
    access_log_file: where the lines go; None is standard error.
    buckets: made at the start, unless they are there.
    init_hooks: a directory with `ready.d/`, whose *.sh and *.py are run once requests are answered.
    controls: let tests forget everything, or keep and bring back states, without a signature.
    localstack_paths: answer /_localstack/health, info and init, which programs wait for.
    """

    root: str = "cenote-data"
    host: str = "127.0.0.1"
    port: int = 9000
    access_key: str | None = None
    secret_key: str | None = None
    credentials: tuple[str, ...] = ()
    region: str | None = None
    signature_v2: bool = True
    domains: tuple[str, ...] = ()
    anonymous: Anonymous = "none"
    account_id: str = "000000000000"
    read_only: bool = False
    workers: int = 1
    threads: int = 16
    tls_cert: str | None = None
    tls_key: str | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: AccessLog = "off"
    access_log_file: str | None = None
    buckets: tuple[str, ...] = ()
    init_hooks: str | None = None
    controls: bool = False
    localstack_paths: bool = False
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raise InvalidError for settings that cannot go together."""
        if not 1 <= self.workers <= 64:
            raise _invalid("workers", self.workers, "1 to 64")
        if not 0 <= self.port <= 65535:
            raise _invalid("port", self.port, "0 to 65535")
        if not 1 <= self.threads <= 1024:
            raise _invalid("threads", self.threads, "1 to 1024")
        if (self.access_key is None) != (self.secret_key is None):
            raise InvalidError(
                "access_key and secret_key go together: only one of them is set",
                kind="invalid_setting",
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidError(
                "tls_cert and tls_key go together: only one of them is set", kind="invalid_setting"
            )
        if len(self.account_id) != 12 or not self.account_id.isdecimal():
            raise _invalid("account_id", self.account_id, "12 digits")
        if self.controls and (self.workers > 1 or self.read_only):
            raise InvalidError("controls need one worker, that may write", kind="invalid_setting")
        if self.buckets and self.read_only:
            raise InvalidError(
                "buckets cannot be made by a server that is read-only", kind="invalid_setting"
            )
        for domain in self.domains:
            if not domain or domain != domain.strip(".") or "/" in domain or ":" in domain:
                raise _invalid("domains", domain, "host names without scheme and port")

    @property
    def path(self) -> str:
        """The root as an absolute path."""
        return os.path.abspath(os.path.expanduser(self.root))  # noqa: PTH100, PTH111 - no symlink is resolved


def _invalid(name: str, value: object, wanted: str) -> InvalidError:
    return InvalidError(
        f"{name} is {value!r}; it must be {wanted}", kind="invalid_setting", setting=name
    )
