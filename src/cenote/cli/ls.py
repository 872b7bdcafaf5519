"""`cenote ls`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from cenote.cli.location import OBJECTS, S3Location
from cenote.cli.objects import ObjectEntry, Objects, open_objects, place_options
from cenote.errors import NotFoundError

__all__ = ["command"]


@click.command("ls")
@click.argument("where", type=OBJECTS, required=False, metavar="[s3://BUCKET[/PREFIX]]")
@click.option("--recursive", "-r", is_flag=True, help="Every key, not one level of folders.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@place_options
def command(
    where: S3Location | None,
    recursive: bool,
    as_json: bool,
    directory: str | None,
    endpoint: str | None,
    profile: str | None,
) -> None:
    """List buckets, or the objects of one."""
    with open_objects(directory, endpoint, profile, read_only=True) as objects:
        if where is None:
            for bucket in objects.buckets():
                if as_json:
                    line = {"bucket": bucket.name, "created": _iso(bucket.created_ms)}
                    click.echo(msgspec.json.encode(line))
                else:
                    click.echo(f"{_time(bucket.created_ms)}  {bucket.name}")
            return
        found = _list(objects, where, recursive, as_json)
    # As other tools do: a prefix under which nothing lies is a miss, an empty bucket is not.
    if not found and where.key:
        raise NotFoundError(f"nothing lies under {where}")


def _list(objects: Objects, where: S3Location, recursive: bool, as_json: bool) -> bool:
    found = False
    for entry in objects.objects(where.bucket, where.key, "" if recursive else "/"):
        found = True
        click.echo(msgspec.json.encode(_record(entry)) if as_json else _line(entry))
    return found


def _record(entry: ObjectEntry) -> dict[str, object]:
    if entry.modified_ms is None:
        return {"prefix": entry.key}
    return {
        "key": entry.key,
        "size": entry.size,
        "modified": _iso(entry.modified_ms),
        "etag": entry.etag,
        "storage_class": entry.storage_class,
    }


def _line(entry: ObjectEntry) -> str:
    # A key may hold what moves a terminal's cursor; a listing shows it, it does not obey it.
    name = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in entry.key)
    if entry.modified_ms is None:
        return f"{'PRE':>32}  {name}"
    return f"{_time(entry.modified_ms)} {entry.size:>12}  {name}"


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _iso(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
