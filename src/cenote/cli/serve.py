"""`cenote serve`.

Owns: the flags, what is printed when the server is up, the ready file, ROOT/.cenote/endpoint.
Does not own: the server (`cenote.server`), where settings come from (`configuration`).

Invariants:
1. A secret is printed once: when this start made it.
2. The ready file appears whole, by rename, and only when requests are answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any, TypeVar

import click

from cenote.base import configure_logging
from cenote.cli.configuration import DESCRIPTIONS, REFUSED_FLAGS, configure
from cenote.errors import InvalidError
from cenote.server import Credentials, Running, run_hooks, serve

__all__ = ["FLAGS", "command"]

F = TypeVar("F", bound=Callable[..., Any])

# Flag spellings of each setting; the first is the one shown.
FLAGS: dict[str, tuple[str, ...]] = {
    "root": ("--root",),
    "host": ("--host",),
    "port": ("--port",),
    "access_key": ("--access-key",),
    "secret_key": ("--secret-key",),
    "credentials": ("--credentials",),
    "region": ("--region",),
    "signature_v2": ("--signature-v2/--no-signature-v2",),
    "domains": ("--domain", "--domain-name"),
    "anonymous": ("--anonymous",),
    "account_id": ("--account-id",),
    "read_only": ("--read-only/--no-read-only",),
    "workers": ("--workers",),
    "threads": ("--threads",),
    "tls_cert": ("--tls-cert",),
    "tls_key": ("--tls-key",),
    "log_format": ("--log-format",),
    "log_level": ("--log-level",),
    "access_log": ("--access-log",),
    "access_log_file": ("--access-log-file",),
    "buckets": ("--bucket",),
    "init_hooks": ("--init-hooks",),
    "controls": ("--controls/--no-controls",),
    "localstack_paths": ("--localstack-paths/--no-localstack-paths",),
}
MANY = frozenset({"buckets", "credentials", "domains"})


def setting_flags(function: F) -> F:
    """Give a command one flag per setting, and hidden ones for what is refused."""
    for flag, reason in REFUSED_FLAGS.items():
        function = click.option(
            flag, hidden=True, expose_value=False, callback=_refuse(flag, reason)
        )(function)
    for key, spellings in reversed(FLAGS.items()):
        function = click.option(
            *spellings, key, default=None, multiple=key in MANY, help=DESCRIPTIONS[key]
        )(function)
    return function


def _refuse(flag: str, reason: str) -> Callable[..., None]:
    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"{flag} is not supported: {reason}", ctx)

    return callback


@click.command("serve")
@click.argument("where", required=False, metavar="[DIR]")
@setting_flags
@click.option(
    "--preset",
    metavar="NAME",
    help="Settings of another server's seat, under all others: localstack.",
)
@click.option("--config", "file", metavar="FILE", help="TOML file, instead of the usual ones.")
@click.option(
    "--set",
    "others",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any other setting, such as limits.idle_timeout=30.",
)
@click.option(
    "--ready-file", metavar="FILE", help="Write the endpoint's URL here once requests are answered."
)
def command(
    where: str | None,
    preset: str | None,
    file: str | None,
    others: tuple[str, ...],
    ready_file: str | None,
    **given: Any,
) -> None:
    """Serve a directory of buckets over S3.

    DIR is made when absent; every bucket is a SQLite file in it. Settings come from files, then
    CENOTE_* variables, then flags; `cenote config show --origin` tells which won.
    """
    configuration = configure(os.environ, _flags(where, others, given), file=file, preset=preset)
    settings = configuration.resolved.settings
    configure_logging(settings.log_format, settings.log_level)
    for notice in configuration.notices:
        click.echo(f"cenote: {notice}", err=True)
    endpoint_file = None if settings.read_only else Path(settings.path) / ".cenote" / "endpoint"

    def told(running: Running) -> None:
        if endpoint_file is not None:
            _advertise(endpoint_file, running.endpoint)
        if ready_file is not None:
            _write(Path(ready_file), running.endpoint)
        _greet(running.endpoint, settings.path, running.credentials)
        run_hooks(settings, running)

    try:
        serve(settings, ready=told)
    finally:
        if endpoint_file is not None:
            with suppress(OSError):
                endpoint_file.unlink(missing_ok=True)


def _flags(
    where: str | None, others: tuple[str, ...], given: dict[str, Any]
) -> dict[str, tuple[Any, str]]:
    flags = {
        key: (list(value) if key in MANY else value, FLAGS[key][0].partition("/")[0])
        for key, value in given.items()
        if value is not None and value != ()
    }
    if where is not None:
        if "root" in flags and flags["root"][0] != where:
            raise InvalidError("the directory is named twice: DIR and --root")
        flags["root"] = (where, "DIR")
    for item in others:
        key, found, value = item.partition("=")
        if not found:
            raise InvalidError(f"--set {item!r} is not KEY=VALUE")
        flags[key] = (value, "--set")
    return flags


def _advertise(path: Path, url: str) -> None:
    """Tell `cenote env` where the server is; a full disk is no reason not to serve."""
    try:
        _write(path, url)
    except OSError as error:
        for stale in (path, path.with_name(path.name + ".new")):
            with suppress(OSError):
                stale.unlink(missing_ok=True)
        click.echo(f"cenote: {path} is not written: {error.strerror}", err=True)


def _write(path: Path, url: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(url + "\n", "utf-8")
    new.replace(path)


def _greet(url: str, root: str, credentials: Credentials) -> None:
    click.echo(f"cenote serves {root} at {url}")
    if credentials.generated:
        for access, secret in credentials.secrets.items():
            click.echo(f"  access key  {access}\n  secret key  {secret}")
        click.echo(f"  kept in {credentials.path}, shown only now")
    click.echo(f'point S3 clients at it: eval "$(cenote env {quote(root)})"')
