"""Where the commands find objects: a directory opened in process, or an endpoint.

Owns: the protocol both sides keep, and choosing one by flags and environment.
Does not own: the two sides (`directory`, `remote`).

Invariants:
1. The choice is never a guess: a directory and an endpoint named at once, or neither, is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Protocol, TypeVar

import click
from msgspec import Struct

from cenote.errors import InvalidError

__all__ = ["BucketEntry", "ObjectEntry", "Objects", "Reading", "open_objects", "place_options"]

F = TypeVar("F", bound=Callable[..., Any])
Progress = Callable[[int], None]


class BucketEntry(Struct, frozen=True):
    """A bucket in a listing."""

    name: str
    created_ms: int


class ObjectEntry(Struct, frozen=True):
    """An object in a listing, or, with `modified_ms` None, a common prefix."""

    key: str
    size: int = 0
    modified_ms: int | None = None
    etag: str = ""
    storage_class: str = ""


class Reading(Struct):
    """An object being read."""

    size: int
    chunks: Iterator[bytes]


class Objects(Protocol):
    """What the commands need of a store."""

    def buckets(self) -> Iterator[BucketEntry]:
        """Yield every bucket, by name."""
        ...

    def create_bucket(self, bucket: str) -> None: ...

    def delete_bucket(self, bucket: str) -> None: ...

    def abort_uploads(self, bucket: str) -> None:
        """Give up every upload under way, so that the bucket can go."""
        ...

    def objects(self, bucket: str, prefix: str, delimiter: str = "") -> Iterator[ObjectEntry]:
        """Yield objects and, with a delimiter, common prefixes, in order."""
        ...

    def find(self, bucket: str, key: str) -> ObjectEntry | None:
        """Return the object, or None."""
        ...

    def read(self, bucket: str, key: str) -> AbstractContextManager[Reading]:
        """Open an object."""
        ...

    def write(
        self,
        bucket: str,
        key: str,
        source: BinaryIO,
        *,
        size: int | None,
        headers: Mapping[str, str],
        threads: int,
        sent: Progress,
    ) -> None:
        """Store what `source` gives to its end; `sent` is told bytes as they are taken."""
        ...

    def copy(self, source: tuple[str, str], bucket: str, key: str) -> None:
        """Copy an object inside the store."""
        ...

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete keys. Raises for the first that stayed, after trying all."""
        ...

    def presign(self, method: str, bucket: str, key: str, expires: int) -> str:
        """Return a URL good for `expires` seconds."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Objects: ...

    def __exit__(self, *details: object) -> None: ...


def place_options(function: F) -> F:
    """Give a command the options that say where the objects are."""
    for option in (
        click.option("--profile", help="AWS profile to take keys and endpoint from."),
        click.option("--endpoint", metavar="URL", help="Server to talk to [AWS_ENDPOINT_URL]."),
        click.option(
            "--dir",
            "directory",
            metavar="DIR",
            help="Directory of buckets to open in process, without a server [CENOTE_DIR].",
        ),
    ):
        function = option(function)
    return function


def open_objects(
    directory: str | None, endpoint: str | None, profile: str | None, *, read_only: bool = False
) -> Objects:
    """Open the directory or the endpoint the flags name, else the one the environment names.

    Raises: InvalidError when both or neither are named.
    """
    from cenote.client import find_access

    if directory and endpoint:
        raise InvalidError("--dir and --endpoint exclude each other")
    if not directory and not endpoint and not profile:
        directory = os.environ.get("CENOTE_DIR")
        named = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if directory and named:
            raise InvalidError(
                "CENOTE_DIR names a directory and AWS_ENDPOINT_URL a server",
                hint="say which by --dir or --endpoint",
            )
    if directory:
        from cenote.cli.directory import DirectoryObjects

        return DirectoryObjects(directory, read_only=read_only)
    access = find_access(os.environ, endpoint=endpoint, profile=profile)
    if not access.endpoint:
        raise InvalidError(
            "neither a directory nor an endpoint is named",
            hint="give --dir DIR or --endpoint URL, or set CENOTE_DIR or AWS_ENDPOINT_URL",
        )
    from cenote.cli.remote import RemoteObjects

    return RemoteObjects(access)
