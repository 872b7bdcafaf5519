"""What a command is pointed at: `s3://bucket/key`, a path, or `-`."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

__all__ = ["BUCKET", "LOCATION", "OBJECTS", "LocalPath", "Location", "S3Location", "Stream"]

SCHEME = "s3://"


class S3Location(Struct, frozen=True):
    """A bucket, and a key or prefix in it ("" for none)."""

    bucket: str
    key: str = ""

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


class LocalPath(Struct, frozen=True):
    """A file or folder. `is_folder`: it was written with a slash at its end."""

    path: Path
    is_folder: bool = False

    def __str__(self) -> str:
        return str(self.path)


class Stream(Struct, frozen=True):
    """Standard input or output."""

    def __str__(self) -> str:
        return "-"


Location = S3Location | LocalPath | Stream


def _parse(text: str) -> Location:
    if text == "-":
        return Stream()
    if text.startswith(SCHEME):
        bucket, _, key = text.removeprefix(SCHEME).partition("/")
        return S3Location(bucket, key)
    return LocalPath(Path(text), text.endswith("/"))


class _Type(click.ParamType[Location]):
    """Takes a location; `s3_only` takes nothing but a bucket, with or without a key."""

    name = "location"

    def __init__(self, *, s3_only: bool = False, key: bool | None = None) -> None:
        self._s3_only = s3_only
        self._key = key

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        location = _parse(str(value))
        if isinstance(location, S3Location) and not location.bucket:
            self.fail(f"{value!r} names no bucket", param, ctx)
        if not self._s3_only:
            return location
        if not isinstance(location, S3Location):
            self.fail(f"{value!r} is not of the form s3://bucket/key", param, ctx)
        if self._key is False and location.key:
            self.fail(f"{value!r} names a key; a bucket is s3://bucket", param, ctx)
        return location


LOCATION = _Type()
OBJECTS = _Type(s3_only=True)
BUCKET = _Type(s3_only=True, key=False)
