"""`cenote cp`."""

from __future__ import annotations

import click

from cenote.cli.location import LOCATION, LocalPath, Location, S3Location
from cenote.cli.objects import open_objects, place_options
from cenote.errors import InvalidError

__all__ = ["command"]


@click.command("cp")
@click.argument("source", type=LOCATION)
@click.argument("target", type=LOCATION)
@click.option("--recursive", "-r", is_flag=True, help="A folder, or every key that begins so.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Files, or parts of one large file, on the way at once.",
)
@click.option("--content-type", help="Instead of the one the name's ending tells.")
@place_options
def command(
    source: Location,
    target: Location,
    recursive: bool,
    quiet: bool,
    jobs: int,
    content_type: str | None,
    directory: str | None,
    endpoint: str | None,
    profile: str | None,
) -> None:
    """Copy files to and from buckets, and between them.

    SOURCE and TARGET are s3://BUCKET/KEY, a path, or - for standard input or output; at least one
    is s3://. A target that ends in / keeps the source's name.
    """
    from cenote.cli.transfer import Transfer

    if not isinstance(source, S3Location) and not isinstance(target, S3Location):
        raise InvalidError("neither side is s3://BUCKET/KEY", hint="for local copies use cp")
    with open_objects(
        directory, endpoint, profile, read_only=not isinstance(target, S3Location)
    ) as objects:
        transfer = Transfer(objects, quiet=quiet, jobs=jobs, content_type=content_type)
        with transfer:
            if isinstance(target, S3Location):
                if isinstance(source, S3Location):
                    transfer.between(source, target, recursive)
                elif isinstance(source, LocalPath):
                    transfer.upload(source, target, recursive)
                else:
                    transfer.from_stream(target)
            elif isinstance(source, S3Location):
                if isinstance(target, LocalPath):
                    transfer.download(source, target, recursive)
                else:
                    transfer.to_stream(source)
