"""`cenote db drop`."""

from __future__ import annotations

import click

from cenote.cli.db.manifest import load_manifest
from cenote.cli.db.where import Target, open_target, target_options
from cenote.errors import InvalidError
from cenote.lsm import Admin

__all__ = ["command"]


@click.command("drop")
@target_options
@click.option("--yes", is_flag=True, help="Delete; without it, only tell.")
@click.option(
    "--with-checkpoints",
    is_flag=True,
    help="Even if checkpoints never expire, by which clones may read it.",
)
def command(target: Target, yes: bool, with_checkpoints: bool) -> None:
    """Delete a whole database.

    Close what writes to it first: a program that is writing is shut out, but one that is idle
    meanwhile may for a minute more take writes that nobody will find. Other objects in its folder
    stay. A call that was interrupted is repeated.
    """
    with open_target(target, read_only=not yes) as place:
        if not yes:
            number, manifest = load_manifest(place)
            click.echo(
                f"would delete {place.name}: manifest {number}, {len(manifest.ssts)} tables, "
                f"{len(manifest.checkpoints)} checkpoints"
            )
            raise InvalidError("nothing was deleted", hint="--yes deletes it")
        count = Admin(place).delete_db(place.root, with_checkpoints=with_checkpoints)
        click.echo(f"deleted {place.name}: {count} objects")
