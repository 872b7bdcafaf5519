"""Settings from several places, each value knowing where it came from.

Owns: reading TOML files and environment variables, laying them over each other, strict checking.
Does not own: what the settings are (any msgspec struct), nor where the files lie (`cenote.cli`).

A setting has a dotted key: `port`, or `limits.idle_timeout` for a field of a struct in the struct.
In TOML that is `port = 1` and `[limits]` with `idle_timeout = 1`; in the environment, with the
prefix `CENOTE_`, `CENOTE_PORT` and `CENOTE_LIMITS__IDLE_TIMEOUT`.

Invariants:
1. A key nobody knows is an error that names its place and the nearest known key: a typo is never
   silently the default.
2. The last layer that names a key wins, whole: lists are replaced, not joined.
3. A message never repeats the value of a secret.

Why not a settings library: the ones at hand import for 0.3 s, and do not tell origins.
"""

from __future__ import annotations

import difflib
import tomllib
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from cenote.errors import InvalidError

__all__ = [
    "DEFAULT",
    "Layer",
    "Resolved",
    "Setting",
    "is_secret",
    "read_environment",
    "read_toml",
    "resolve_settings",
    "settings_of",
    "variable_of",
]

DEFAULT = "default"
SECRET_WORDS = ("secret", "password", "credential")

T = TypeVar("T", bound=Struct)


class Setting(Struct, frozen=True):
    """One setting a struct has: its dotted key, type and default (`msgspec.NODEFAULT` if none)."""

    key: str
    type: Any
    default: Any


class Layer(Struct, frozen=True):
    """Values from one place. `values` maps a dotted key to (value, its origin in words)."""

    values: Mapping[str, tuple[Any, str]]


class Resolved(Struct, Generic[T], frozen=True):
    """The settings, and for each dotted key where its value came from."""

    settings: T
    origins: Mapping[str, str]


def settings_of(kind: type[Struct], prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of `kind`, structs inside it opened, in the order they are declared."""
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from settings_of(field.type, f"{prefix}{field.name}.")
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        yield Setting(prefix + field.name, field.type, default)


def is_secret(key: str) -> bool:
    """Tell whether the value of `key` must not be shown."""
    return any(word in key for word in SECRET_WORDS)


def variable_of(key: str, prefix: str = "CENOTE_") -> str:
    """Return the environment variable that sets `key`."""
    return prefix + key.replace(".", "__").upper()


def read_toml(path: Path, known: Collection[str]) -> Layer:
    """Read a TOML file.

    Raises: InvalidError when it cannot be read, is not TOML, or holds a key not in `known`.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidError(
            f"cannot read {path}: {error.strerror}", kind="invalid_config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is not TOML: {error}", kind="invalid_config") from error
    values = {}
    for key, value in _flatten(document, known):
        if key not in known:
            raise _unknown(f"{path}: unknown setting {key!r}", key, known)
        values[key] = (value, str(path))
    return Layer(values)


def _flatten(
    table: Mapping[str, Any], known: Collection[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in known:
            yield from _flatten(value, known, key + ".")
        else:
            yield key, value


def read_environment(
    environ: Mapping[str, str],
    known: Collection[str],
    *,
    prefix: str = "CENOTE_",
    others: Collection[str] = (),
) -> Layer:
    """Read every variable that starts with `prefix`, but for those in `others`.

    An empty variable counts as absent: that is how a shell or a compose file unsets one.
    Raises: InvalidError for a variable that names no setting.
    """
    by_variable = {variable_of(key, prefix): key for key in known}
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(prefix) or variable in others or not text:
            continue
        key = by_variable.get(variable)
        if key is None:
            choices = [*by_variable, *others]
            raise _unknown(f"unknown environment variable {variable}", variable, choices)
        values[key] = (text, variable)
    return Layer(values)


def _unknown(message: str, name: str, known: Collection[str]) -> InvalidError:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else "`cenote config show` lists the settings"
    return InvalidError(message, kind="unknown_setting", hint=hint, setting=name)


def resolve_settings(kind: type[T], layers: Sequence[Layer]) -> Resolved[T]:
    """Lay `layers` over the defaults of `kind`, later over earlier, and check every value.

    Text is taken for numbers and booleans where the setting is one, and split at commas where it
    is a list. Raises: InvalidError naming the setting and where its value came from.
    """
    tree: dict[str, Any] = {}
    origins = {}
    for setting in settings_of(kind):
        origins[setting.key] = DEFAULT
        found = [layer.values[setting.key] for layer in layers if setting.key in layer.values]
        if not found:
            continue
        value, origin = found[-1]
        origins[setting.key] = origin
        *parents, name = setting.key.split(".")
        table = tree
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = _checked(setting, value, origin)
    try:
        return Resolved(msgspec.convert(tree, kind), origins)
    except msgspec.ValidationError as error:
        raise InvalidError(f"wrong settings: {error}", kind="invalid_config") from error


def _checked(setting: Setting, value: Any, origin: str) -> Any:
    if isinstance(value, str) and _is_list(setting.type):
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        converted = msgspec.convert(value, setting.type, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "" if is_secret(setting.key) else f" {value!r}"
        raise InvalidError(
            f"{origin}: {setting.key}{shown}: {error}",
            kind="invalid_setting",
            setting=setting.key,
        ) from error
    return msgspec.to_builtins(converted)


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) in (list, tuple, set, frozenset)
