"""A store by its URI.

Owns: the schemes, their parameters, which wrappers a store gets.
Does not own: the stores; remote ones are made in `remote_open`, so that the rest needs no obstore.

- `memory://`: a new store each time, gone with it.
- `file:///ABSOLUTE/DIR`: made with the first object.
- `sqlite://DIR/BUCKET` (a third slash for an absolute DIR): a bucket file; both are made unless
  `read_only`. `?prefix=`.
- `s3://BUCKET/PREFIX`: `?region=`, `endpoint=`, `allow_http=`, `virtual_hosted=`,
  `conditional_put=etag` or `dynamo:TABLE` or `dynamo:TABLE:MILLISECONDS`, `dynamo_endpoint=`.
- `gs://BUCKET/PREFIX`: `?endpoint=`, `allow_http=`.
- `az://CONTAINER/PREFIX`: `?account=`, `endpoint=`, `allow_http=`.

Invariants:
1. A parameter that is not the scheme's is an error, and so is one that comes twice.
2. Remote stores retry; local ones do not need to.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from cenote.base import Clock, Rand, SystemClock, SystemRand
from cenote.errors import InvalidError, UnsupportedError
from cenote.objstore.api import ObjectStore
from cenote.objstore.local import LocalStore
from cenote.objstore.memory import MemoryStore
from cenote.objstore.prefix import PrefixStore
from cenote.objstore.probe import require_conditional_put
from cenote.objstore.readonly import ReadOnlyStore
from cenote.objstore.retry import Patience, RetryingStore

__all__ = ["open_store", "split_uri"]

PARAMETERS: Final[dict[str, frozenset[str]]] = {
    "memory": frozenset(),
    "file": frozenset(),
    "sqlite": frozenset({"prefix"}),
    "s3": frozenset(
        {
            "region",
            "endpoint",
            "allow_http",
            "virtual_hosted",
            "conditional_put",
            "dynamo_endpoint",
        }
    ),
    "gs": frozenset({"endpoint", "allow_http"}),
    "az": frozenset({"account", "endpoint", "allow_http"}),
}


def open_store(
    uri: str,
    *,
    read_only: bool = False,
    probe: bool = False,
    patience: Patience | None = None,
    clock: Clock | None = None,
    rand: Rand | None = None,
) -> ObjectStore:
    """Open the store at `uri`.

    Credentials, and what the URI does not say, come from where the cloud's own tools look: the
    AWS_* variables and the profile's files, the instance's role; GOOGLE_*; AZURE_*.
    `probe` finds out whether a remote store honours put-if-absent, and refuses one that does not:
    see `require_conditional_put`. `patience` is how long requests to remote stores are repeated.
    Raises InvalidError (kind "invalid_uri"), UnsupportedError (no obstore; the probe), and what
    opening a directory of buckets raises.
    """
    scheme, body, parameters = _taken_apart(uri)
    clock, rand = clock or SystemClock(), rand or SystemRand()
    prefix = ""
    store: ObjectStore
    if scheme == "memory":
        if body:
            raise _invalid(uri, "memory:// has no name")
        store = MemoryStore(clock=clock)
    elif scheme == "file":
        if not body.startswith("/"):
            raise _invalid(uri, "the path must be absolute: file:///DIR")
        store = LocalStore(unquote(body), clock=clock, rand=rand)
    elif scheme == "sqlite":
        folder, _, bucket = body.rpartition("/")
        if not folder or not bucket:
            raise _invalid(uri, "it must be sqlite://DIR/BUCKET")
        prefix = parameters.get("prefix", "")
        from cenote.objstore.sqlite import (
            SqliteStore,  # here: few need it, and it is slow to import
        )

        store = SqliteStore(Path(unquote(folder)), bucket, read_only=read_only, clock=clock)
    else:
        bucket, _, prefix = body.partition("/")
        if not bucket:
            raise _invalid(uri, f"it must be {scheme}://NAME/PREFIX")
        remote = _remote_opener()(scheme, bucket, parameters, clock, rand)
        store = RetryingStore(remote, patience, clock=clock, rand=rand)
    prefix = unquote(prefix).rstrip("/")
    if prefix:
        store = PrefixStore(store, prefix)
    if read_only:
        return ReadOnlyStore(store)
    if probe and scheme in ("s3", "gs", "az"):
        try:
            require_conditional_put(store, rand=rand)
        except BaseException:
            store.close()
            raise
    return store


def split_uri(uri: str) -> tuple[str, str]:
    """Return the URI of the store around a path, and the path in it, "" when there is none.

    `s3://BUCKET/A/B?region=R` is `s3://BUCKET?region=R` and `A/B`; `file:///DIR/NAME` is
    `file:///DIR` and `NAME`; `sqlite://DIR/BUCKET?prefix=P` is `sqlite://DIR/BUCKET` and `P`.
    Raises InvalidError (kind "invalid_uri").
    """
    scheme, body, parameters = _taken_apart(uri)
    _, _, query = uri.partition("?")
    if scheme == "memory":
        return uri, ""
    if scheme == "file":
        if not body.startswith("/"):
            raise _invalid(uri, "the path must be absolute: file:///DIR/NAME")
        folder, _, name = body.rstrip("/").rpartition("/")
        if not name:
            raise _invalid(uri, "it must name a folder: file:///DIR/NAME")
        return f"file://{folder or '/'}", unquote(name)
    if scheme == "sqlite":
        return f"sqlite://{body}", parameters.get("prefix", "").rstrip("/")
    bucket, _, path = body.partition("/")
    return f"{scheme}://{bucket}{'?' if query else ''}{query}", unquote(path).rstrip("/")


def _taken_apart(uri: str) -> tuple[str, str, dict[str, str]]:
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in PARAMETERS:
        raise _invalid(uri, f"it must begin with one of {', '.join(f'{s}://' for s in PARAMETERS)}")
    body, _, query = rest.partition("?")
    parameters: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise _invalid(uri, f"its parameters cannot be read: {error}") from error
    for name, value in pairs:
        if name not in PARAMETERS[scheme]:
            known = ", ".join(sorted(PARAMETERS[scheme])) or "none"
            raise _invalid(uri, f"{name!r} is no parameter of {scheme}:// (it has {known})")
        if name in parameters:
            raise _invalid(uri, f"the parameter {name!r} comes twice")
        parameters[name] = value
    return scheme, body, parameters


RemoteOpener = Callable[[str, str, dict[str, str], Clock, Rand], ObjectStore]


def _remote_opener() -> RemoteOpener:
    try:
        from cenote.objstore.remote_open import open_remote
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise UnsupportedError(
            "remote stores need the package obstore", hint="pip install 'cenote[db]'"
        ) from error
    return open_remote


def _invalid(uri: str, reason: str) -> InvalidError:
    # No parameters in the message: they may hold what is secret.
    return InvalidError(f"{uri.partition('?')[0]!r} is no store: {reason}", kind="invalid_uri")
