"""A profile in the files AWS's own tools keep.

Owns: where the files are, and which outranks which. Reads, never writes.

Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files": AWS_CONFIG_FILE,
AWS_SHARED_CREDENTIALS_FILE.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from cenote.errors import InvalidError

__all__ = ["aws_profile"]


def aws_profile(environ: Mapping[str, str], name: str | None) -> dict[str, str]:
    """Return what the files say of the profile `name` (None: "default", which need not exist).

    Raises InvalidError for a file that cannot be read, or a named profile that does not exist.
    """
    home = Path(environ.get("HOME", "~")).expanduser()
    section = name or "default"
    files = (
        (environ.get("AWS_CONFIG_FILE", home / ".aws/config"), ["profile " + section, section]),
        (environ.get("AWS_SHARED_CREDENTIALS_FILE", home / ".aws/credentials"), [section]),
    )
    found: dict[str, str] = {}
    seen = False
    for path, sections in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError, OSError) as error:
            raise InvalidError(f"cannot read {path}: {error}") from error
        for candidate in sections:
            if parser.has_section(candidate):
                seen = True
                found.update(parser.items(candidate))
                break
    if name and not seen:
        raise InvalidError(f"there is no profile {name!r} in ~/.aws/config or ~/.aws/credentials")
    return found
