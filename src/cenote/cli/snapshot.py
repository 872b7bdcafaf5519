"""`cenote snapshot`: states of a whole directory, for tests.

Owns: the subcommands; going to the server that serves the directory, if one does.
Does not own: the states (`cenote.sqldb.Snapshots`), the server's controls.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

from cenote.errors import ConflictError, DeniedError, NotFoundError, UnavailableError

__all__ = ["command"]

_TIMEOUT = 600.0


@click.group("snapshot")
def command() -> None:
    """Keep the state of a directory, and bring it back.

    A server that serves the directory does it by itself: it must run with --controls, which the
    preset localstack does. Without a server the directory's files are used.
    """


def _where(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--root", default="cenote-data", show_default=True, help="Directory of the buckets."
    )(function)


@command.command("save")
@click.argument("name")
@_where
def save(name: str, root: str) -> None:
    """Keep the present state under NAME, replacing what was kept so."""
    _do(root, "POST", f"/{quote(name, safe='')}", lambda kept: kept.save(name))


@command.command("load")
@click.argument("name")
@_where
def load(name: str, root: str) -> None:
    """Bring back the state kept under NAME: what came since is gone."""
    _do(root, "POST", f"/{quote(name, safe='')}/load", lambda kept: kept.load(name))


@command.command("delete")
@click.argument("name")
@_where
def delete(name: str, root: str) -> None:
    """Forget the state kept under NAME."""
    _do(root, "DELETE", f"/{quote(name, safe='')}", lambda kept: kept.delete(name))


@command.command("list")
@_where
def list_names(root: str) -> None:
    """Print the names of the states that are kept."""
    for name in _do(root, "GET", "", lambda kept: kept.names()):
        click.echo(name)


@command.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_where
def reset(yes: bool, root: str) -> None:
    """Forget every bucket, table and all in them. States that are kept stay."""
    if not yes:
        click.confirm(f"Forget everything in {root}?", abort=True)
    _do(root, "POST", None, lambda kept: kept.reset())


def _do(root: str, method: str, path: str | None, here: Callable[[Any], Any]) -> Any:
    """Ask the server that serves `root`, or do it here when there is none."""
    from cenote.sqldb import Directory, Snapshots

    try:
        with Directory(root, background=False) as directory:
            return here(Snapshots(directory))
    except ConflictError as error:
        if error.kind != "directory_locked":
            raise
        locked = error
    endpoint = Path(root) / ".cenote" / "endpoint"
    try:
        url = urlsplit(endpoint.read_text("utf-8").strip())
    except OSError:
        raise locked from None
    target = "/_cenote/reset" if path is None else f"/_cenote/snapshots{path}"
    return _ask(url.hostname or "", url.port or 80, url.scheme, method, target)


def _ask(host: str, port: int, scheme: str, method: str, target: str) -> Any:
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=_TIMEOUT)
    try:
        connection.request(method, target, headers={"x-cenote-control": "cli"})
        reply = connection.getresponse()
        data = reply.read()
    except OSError as error:
        raise UnavailableError(f"the server does not answer: {error}") from error
    finally:
        connection.close()
    if reply.status == 200:
        return json.loads(data)
    if "json" not in reply.headers.get("content-type", ""):
        raise DeniedError("the server has no controls", hint="start it with --controls")
    message = json.loads(data)["error"]
    raise (NotFoundError if reply.status == 404 else UnavailableError)(message)
