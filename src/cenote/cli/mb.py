"""`cenote mb`."""

from __future__ import annotations

import click

from cenote.cli.location import BUCKET, S3Location
from cenote.cli.objects import open_objects, place_options

__all__ = ["command"]


@click.command("mb")
@click.argument("bucket", type=BUCKET, metavar="s3://BUCKET")
@place_options
def command(
    bucket: S3Location, directory: str | None, endpoint: str | None, profile: str | None
) -> None:
    """Make a bucket."""
    with open_objects(directory, endpoint, profile) as objects:
        objects.create_bucket(bucket.bucket)
    click.echo(f"made s3://{bucket.bucket}")
