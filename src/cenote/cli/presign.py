"""`cenote presign`."""

from __future__ import annotations

import click

from cenote.cli.location import OBJECTS, S3Location
from cenote.cli.objects import open_objects, place_options
from cenote.errors import InvalidError

__all__ = ["command"]

DAY = 86400


@click.command("presign")
@click.argument("where", type=OBJECTS, metavar="s3://BUCKET/KEY")
@click.option(
    "--expires",
    type=click.IntRange(1, 7 * DAY),
    default=3600,
    show_default=True,
    help="Seconds it is good for, at most a week.",
)
@click.option(
    "--method",
    type=click.Choice(["GET", "HEAD", "PUT", "DELETE"], case_sensitive=False),
    default="GET",
    show_default=True,
    help="What the URL lets its holder do.",
)
@place_options
def command(
    where: S3Location,
    expires: int,
    method: str,
    directory: str | None,
    endpoint: str | None,
    profile: str | None,
) -> None:
    """Print a URL that opens one object for a while."""
    if not where.key:
        raise InvalidError(f"{where} names no key")
    with open_objects(directory, endpoint, profile, read_only=True) as objects:
        click.echo(objects.presign(method.upper(), where.bucket, where.key, expires))
