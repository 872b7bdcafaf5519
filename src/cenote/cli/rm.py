"""`cenote rm`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cenote.cli.location import OBJECTS, S3Location
from cenote.cli.objects import open_objects, place_options
from cenote.errors import InvalidError, NotFoundError

__all__ = ["command"]


@click.command("rm")
@click.argument("where", type=OBJECTS, metavar="s3://BUCKET/KEY")
@click.option("--recursive", "-r", is_flag=True, help="Every key that begins so.")
@click.option("--dry-run", "-n", is_flag=True, help="Only tell what would go.")
@click.option("--quiet", "-q", is_flag=True, help="Do not print each key.")
@place_options
def command(
    where: S3Location,
    recursive: bool,
    dry_run: bool,
    quiet: bool,
    directory: str | None,
    endpoint: str | None,
    profile: str | None,
) -> None:
    """Remove objects."""
    if not where.key and not recursive:
        raise InvalidError(f"{where} names no key", hint="--recursive empties the bucket")
    with open_objects(directory, endpoint, profile, read_only=dry_run) as objects:

        def keys() -> Iterator[str]:
            if recursive:
                found: Iterator[str] = (e.key for e in objects.objects(where.bucket, where.key))
            elif objects.find(where.bucket, where.key) is None:
                raise NotFoundError(f"{where} is not there", kind="no_such_key")
            else:
                found = iter([where.key])
            for key in found:
                if not quiet:
                    word = "would remove" if dry_run else "removed"
                    click.echo(f"{word} s3://{where.bucket}/{key}")
                yield key

        if dry_run:
            for _ in keys():
                pass
        else:
            objects.delete(where.bucket, keys())
