"""`cenote rb`."""

from __future__ import annotations

import click

from cenote.cli.location import BUCKET, S3Location
from cenote.cli.objects import open_objects, place_options

__all__ = ["command"]


@click.command("rb")
@click.argument("bucket", type=BUCKET, metavar="s3://BUCKET")
@click.option("--force", is_flag=True, help="Remove its objects and unfinished uploads first.")
@place_options
def command(
    bucket: S3Location,
    force: bool,
    directory: str | None,
    endpoint: str | None,
    profile: str | None,
) -> None:
    """Remove an empty bucket."""
    name = bucket.bucket
    with open_objects(directory, endpoint, profile) as objects:
        if force:
            objects.abort_uploads(name)
            objects.delete(name, (entry.key for entry in objects.objects(name, "")))
        objects.delete_bucket(name)
    click.echo(f"removed s3://{name}")
