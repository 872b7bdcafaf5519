"""`cenote demo`: a bucket's life in a dozen lines, from a real run through `cenote.Store`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import repeat

import click

from cenote.buckets import Store
from cenote.errors import NotFoundError

__all__ = ["command"]

BUCKET = "aarit-photos"
CAPTION = b"day 3, glacier hike, batteries dead"
PIECE = 1 << 20


@click.command("demo")
@click.option("--keep", metavar="DIR", help="Use this directory, and leave it there to look at.")
def command(keep: str | None) -> None:
    """Show buckets and objects at work in a directory of their own.

    Makes a bucket, puts four objects into it, lists, gets, deletes, and asks for what is not
    there. Look at what --keep leaves with: sqlite3 DIR/aarit-photos.sqlite3 'select key, size
    from data'.
    """
    if keep is not None:
        with Store(keep) as store:
            _run(store)
        return
    with tempfile.TemporaryDirectory(prefix="cenote-demo-") as folder, Store(folder) as store:
        _run(store)


def _run(store: Store) -> None:
    store.create_bucket(BUCKET, region="us-east-1")
    click.echo(f"created bucket: {BUCKET} ({store.head_bucket(BUCKET).region})")
    _put(store, "trips/2024/iceland.jpg", 2_400_000, "image/jpeg", "STANDARD")
    store.put_object(BUCKET, "trips/2024/iceland.txt", CAPTION, content_type="text/plain")
    _put(store, "trips/2019/legos.jpg", 900_000, "image/jpeg", "STANDARD_IA")
    _put(store, "archive/2012/baby.mp4", 84_000_000, "video/mp4", "GLACIER")
    click.echo(f"put {sum(1 for _ in store.iterate_objects(BUCKET))} objects.")
    click.echo("list prefix 'trips/':")
    for item in store.iterate_objects(BUCKET, prefix="trips/"):
        kind = store.head_object(BUCKET, item.key).content.content_type
        click.echo(f"{item.key} ({item.size} bytes, {kind}, {item.storage_class})")
    key = "trips/2024/iceland.txt"
    with store.get_object(BUCKET, key) as reader:
        size, kind = len(reader.read()), reader.record.content.content_type
    click.echo(f"get {key} -> {size} bytes, type {kind}")
    key = "trips/2019/legos.jpg"
    store.delete_object(BUCKET, key)
    click.echo(f"delete {key}")
    click.echo(f"get deleted key -> {_outcome(store, BUCKET, key)}")
    click.echo(f"get from missing bucket -> {_outcome(store, 'nope', 'x')}")


def _put(store: Store, key: str, size: int, content_type: str, storage_class: str) -> None:
    store.put_object(
        BUCKET,
        key,
        _zeros(size),
        size=size,
        content_type=content_type,
        storage_class=storage_class,
    )


def _zeros(size: int) -> Iterator[bytes]:
    whole, rest = divmod(size, PIECE)
    yield from repeat(bytes(PIECE), whole)
    yield bytes(rest)


def _outcome(store: Store, bucket: str, key: str) -> str:
    try:
        return f"Ok({len(store.read_object(bucket, key))} bytes)"
    except NotFoundError as error:
        return f"Err({error.kind.title().replace('_', '')})"
