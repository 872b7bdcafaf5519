"""`cenote config`."""

from __future__ import annotations

import os
from typing import Any

import click
import msgspec

from cenote.base import is_secret, settings_of
from cenote.cli.configuration import configure

__all__ = ["command"]


@click.group("config")
def command() -> None:
    """Show the server's settings and where they come from."""


@command.command("show")
@click.option("--config", "file", metavar="FILE", help="This file instead of the usual ones.")
@click.option("--origin", is_flag=True, help="Tell where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def show(file: str | None, origin: bool, as_json: bool) -> None:
    """Print every setting. Secrets are not shown."""
    configuration = configure(os.environ, {}, file=file)
    resolved = configuration.resolved
    for notice in configuration.notices:
        click.echo(f"cenote: {notice}", err=True)
    rows: list[tuple[str, Any, str]] = []
    for setting in settings_of(type(resolved.settings)):
        value: Any = resolved.settings
        for name in setting.key.split("."):
            value = getattr(value, name)
        if is_secret(setting.key) and value:
            value = "(set)"
        rows.append((setting.key, value, resolved.origins[setting.key]))
    if as_json:
        tree = {k: {"value": v, "origin": o} if origin else v for k, v, o in rows}
        click.echo(msgspec.json.format(msgspec.json.encode(tree)))
        return
    for key, value, place in rows:
        text = "# " + key + " is not set" if value is None else f"{key} = {_toml(value)}"
        click.echo(f"{text:<50} # {place}" if origin else text)


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()
