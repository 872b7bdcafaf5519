"""`cenote db clone`."""

from __future__ import annotations

import click

from cenote.base import SystemClock, SystemRand
from cenote.cli.db.notation import Notation, parse_bytes
from cenote.cli.db.where import Target, as_uri, notation_options, open_target
from cenote.errors import InvalidError
from cenote.lsm import Bound, BoundKind, CloneSource, KeyRange, clone, detach
from cenote.objstore import split_uri

__all__ = ["command"]


@click.command("clone")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.argument("made", metavar="TARGET")
@click.option("--store", metavar="URI", help="SOURCE and TARGET are paths in this store.")
@click.option("--wal", metavar="URI", help="The store of the logs, if they have one of their own.")
@click.option("--checkpoint", metavar="ID_OR_NAME", help="Of the source; else all that is durable.")
@click.option("--start", metavar="KEY", help="Take keys from this one on.")
@click.option("--end", metavar="KEY", help="Take keys below this one.")
@click.option("--detach", "is_whole", is_flag=True, help="Copy the tables after all.")
@notation_options
def command(
    sources: tuple[str, ...],
    made: str,
    store: str | None,
    wal: str | None,
    checkpoint: str | None,
    start: str | None,
    end: str | None,
    is_whole: bool,
    notation: Notation,
) -> None:
    """Make a database of another's state, copying no tables.

    The clone reads its parent's tables where they are, and keeps them there by a checkpoint in
    the parent. Of several sources, which must not share keys, their union is made. All lie in one
    store. A call that was interrupted is repeated.
    """
    if len(sources) > 1 and (checkpoint, start, end) != (None, None, None):
        raise click.UsageError("--checkpoint, --start and --end are for one source")
    span = None
    if start is not None or end is not None:
        span = KeyRange(
            _bound(start, notation, BoundKind.INCLUDED), _bound(end, notation, BoundKind.EXCLUDED)
        )
    if store is None:
        store, paths = _in_one_store([*sources, made])
    else:
        store, paths = as_uri(store), [path.strip("/") for path in (*sources, made)]
    target = Target(store, paths[-1], None if wal is None else as_uri(wal))
    with open_target(target, read_only=False) as place:
        parents = [CloneSource(path, checkpoint, span) for path in paths[:-1]]
        version = clone(place, parents, clock=SystemClock(), rand=SystemRand())
        click.echo(f"{place.name}: manifest {version.number}")
        if is_whole:
            detach(place, rand=SystemRand())


def _bound(word: str | None, notation: Notation, kind: BoundKind) -> Bound:
    return Bound() if word is None else Bound(kind, parse_bytes(word, notation))


def _in_one_store(words: list[str]) -> tuple[str, list[str]]:
    parts = [split_uri(as_uri(word)) for word in words]
    stores = {store for store, _ in parts}
    if len(stores) > 1:
        raise InvalidError(
            "a clone and its sources lie in one store", hint="--store URI names one around all"
        )
    return stores.pop(), [path for _, path in parts]
