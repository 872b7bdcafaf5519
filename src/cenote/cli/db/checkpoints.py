"""`cenote db checkpoints`: what is kept of a database's past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec

from cenote.base import SystemClock, SystemRand
from cenote.cli.db.documents import checkpoint_document
from cenote.cli.db.folder import time_text
from cenote.cli.db.where import Target, json_option, open_target, target_options
from cenote.lsm import Checkpoints
from cenote.lsm import format as files

__all__ = ["command"]

LIFETIME = click.option(
    "--lifetime-ms",
    type=click.IntRange(min=1),
    help="It may go after so long; else it is kept until it is deleted.",
)


@click.group("checkpoints")
def command() -> None:
    """List, make, refresh and delete checkpoints."""


@command.command("list")
@target_options
@json_option
def list_(target: Target, as_json: bool) -> None:
    """List the checkpoints, those whose time is over too until a collection drops them."""
    with _open(target, read_only=True) as checkpoints:
        for each in checkpoints.listed():
            _print(each, as_json)


@command.command("create")
@target_options
@click.option("--name", help="To find it by.")
@LIFETIME
@click.option("--source", metavar="CHECKPOINT", help="Keep what this one keeps, not the latest.")
@json_option
def create(
    target: Target, name: str | None, lifetime_ms: int | None, source: str | None, as_json: bool
) -> None:
    """Keep all that is durable now, the log included. A writer at work is not disturbed."""
    with _open(target, read_only=False) as checkpoints:
        _print(checkpoints.create(name, lifetime_ms=lifetime_ms, source=source), as_json)


@command.command("refresh")
@target_options
@click.argument("checkpoint", metavar="ID_OR_NAME")
@LIFETIME
@json_option
def refresh(target: Target, checkpoint: str, lifetime_ms: int | None, as_json: bool) -> None:
    """Let a checkpoint live for so long from now."""
    with _open(target, read_only=False) as checkpoints:
        _print(checkpoints.refresh(checkpoint, lifetime_ms), as_json)


@command.command("delete")
@target_options
@click.argument("checkpoint", metavar="ID_OR_NAME")
def delete(target: Target, checkpoint: str) -> None:
    """Drop a checkpoint. What it alone kept goes with the next collection."""
    with _open(target, read_only=False) as checkpoints:
        checkpoints.delete(checkpoint)


@contextmanager
def _open(target: Target, *, read_only: bool) -> Iterator[Checkpoints]:
    with open_target(target, read_only=read_only) as place:
        yield Checkpoints(place, clock=SystemClock(), rand=SystemRand())


def _print(checkpoint: files.Checkpoint, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(checkpoint_document(checkpoint)))
        return
    until = checkpoint.expire_time_s
    ends = "for ever" if until is None else f"until {time_text(until * 1000)}"
    made = time_text(checkpoint.create_time_s * 1000)
    label = f"  {checkpoint.name}" if checkpoint.name else ""
    click.echo(f"{checkpoint.id}  manifest {checkpoint.manifest_id}  {made}  {ends}{label}")
