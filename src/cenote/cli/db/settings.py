"""Settings of a database on the command line.

Owns: `--set KEY=VALUE`, with dotted keys for what is in a table of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from cenote.base import Layer, resolve_settings, settings_of
from cenote.errors import InvalidError
from cenote.lsm import DbSettings

__all__ = ["settings_option"]

F = TypeVar("F", bound=Callable[..., Any])


def settings_option(function: F) -> F:
    """Add --set, given to the command as `settings`."""

    @click.option(
        "--set",
        "given",
        metavar="KEY=VALUE",
        multiple=True,
        help="A setting of the database, as compactor.concurrency=2.",
    )
    @wraps(function)
    def wrapped(given: tuple[str, ...], **rest: Any) -> Any:
        return function(settings=_settings(given), **rest)

    return wrapped  # type: ignore[return-value]


def _settings(given: tuple[str, ...]) -> DbSettings:
    known = {setting.key for setting in settings_of(DbSettings)}
    values = {}
    for word in given:
        key, found, value = word.partition("=")
        if not found:
            raise InvalidError(f"{word!r} is not of the form KEY=VALUE", kind="invalid_setting")
        if key not in known:
            raise InvalidError(f"unknown setting {key!r}", kind="invalid_setting", setting=key)
        values[key] = (value, "--set")
    return resolve_settings(DbSettings, [Layer(values)]).settings
