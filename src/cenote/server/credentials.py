"""The key pairs the server knows, and the pair it makes for itself.

Owns: reading pairs from settings, and ROOT/.cenote/credentials.
Does not own: checking signatures (`cenote.s3`).

The file is TOML, `[keys]` with one `"ACCESS" = "SECRET"` a line, mode 0600. It is read when the
settings give no pair, and made when it is absent, so that a first start needs no preparation and
a second one serves the same clients.

A secret has 8 characters or more; 4 are enough where only this machine can connect, so that what
was written for other test servers, whose keys are "test" and "test", runs unchanged.

Invariants:
1. A pair from the settings is never written to disk.
2. A secret never gets into a message or a log.
"""

from __future__ import annotations

import base64
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from cenote.base import Rand
from cenote.errors import InvalidError
from cenote.server.settings import Settings

__all__ = ["Credentials", "load_credentials"]

_ACCESS = re.compile(r"[\x21-\x7e]{3,128}")
_SECRET_MIN = 8
_SECRET_MIN_LOOPBACK = 4
_LOOPBACK = re.compile(r"localhost|::1|127(\.\d{1,3}){3}")


class Credentials(Struct, frozen=True):
    """Secrets by access key. `generated` when this start made the pair; `path` the file, if any."""

    secrets: Mapping[str, str]
    path: Path | None = None
    generated: bool = False


def load_credentials(settings: Settings, rand: Rand) -> Credentials:
    """Return the pairs of the settings, else of the root's file, which is made when absent.

    Raises: InvalidError for pairs that cannot be used. A read-only server makes no file.
    """
    secrets: dict[str, str] = {}
    least = _SECRET_MIN_LOOPBACK if _LOOPBACK.fullmatch(settings.host) else _SECRET_MIN
    if settings.access_key is not None and settings.secret_key is not None:
        _add(secrets, settings.access_key, settings.secret_key, "access_key", least)
    for pair in settings.credentials:
        access, found, secret = pair.partition(":")
        if not found:
            raise InvalidError("credentials must be given as ACCESS:SECRET", kind="invalid_setting")
        _add(secrets, access, secret, "credentials", least)
    if secrets:
        return Credentials(secrets)
    path = Path(settings.path) / ".cenote" / "credentials"
    if path.exists():
        return Credentials(_read(path), path)
    if settings.read_only:
        raise InvalidError(
            "a read-only server without credentials cannot make any",
            kind="invalid_setting",
            hint="give access_key and secret_key",
        )
    access = "CN" + base64.b32encode(rand.bytes(15)).decode("ascii")[:18]
    secret = base64.urlsafe_b64encode(rand.bytes(30)).decode("ascii")
    _write(path, access, secret)
    return Credentials({access: secret}, path, generated=True)


def _add(
    secrets: dict[str, str], access: str, secret: str, where: str, least: int = _SECRET_MIN
) -> None:
    if not _ACCESS.fullmatch(access) or any(c in access for c in "/,=:"):
        raise InvalidError(
            f"{where}: an access key is 3 to 128 visible ASCII characters without / , = :",
            kind="invalid_setting",
        )
    if len(secret) < least:
        raise InvalidError(
            f"{where}: the secret of {access} is shorter than {least} characters",
            kind="invalid_setting",
        )
    if secrets.setdefault(access, secret) != secret:
        raise InvalidError(f"{where}: {access} has two secrets", kind="invalid_setting")


def _read(path: Path) -> dict[str, str]:
    try:
        keys = tomllib.loads(path.read_text("utf-8")).get("keys")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidError(f"cannot read {path}", kind="invalid_config") from error
    secrets: dict[str, str] = {}
    if not isinstance(keys, dict) or not keys:
        raise InvalidError(f"{path} has no [keys]", kind="invalid_config")
    for access, secret in keys.items():
        if not isinstance(secret, str):
            raise InvalidError(f"{path}: a secret is not text", kind="invalid_config")
        _add(secrets, access, secret, str(path))
    return secrets


def _write(path: Path, access: str, secret: str) -> None:
    """Make the file so that no moment and no crash shows it half written or to others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("credentials.new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(f'[keys]\n"{access}" = "{secret}"\n')
        file.flush()
        os.fsync(fd)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
