"""`cenote db`: databases on object stores, SlateDB's included. One file a subcommand.

Owns: the table of subcommands.

Invariants:
1. A subcommand's module is imported when it is called; the table repeats each one's first line.
2. What only looks opens its stores read-only, so that it cannot write a byte.
"""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["COMMANDS", "command"]

COMMANDS: dict[str, str] = {
    "get": "Print the value of a key.",
    "scan": "Print keys and values in order.",
    "put": "Write a value.",
    "delete": "Delete keys.",
    "ls": "List the databases below a URI.",
    "info": "Tell what a database consists of.",
    "manifest": "Look at manifests, the versions of a database.",
    "wal": "Look at the files of the log.",
    "sst": "Look at table files, and check them.",
    "compactions": "List compactions that are asked for, under way or just done.",
    "checkpoints": "List, make, refresh and delete checkpoints.",
    "clone": "Make a database of another's state, copying no tables.",
    "changes": "Print what was written, in order, as it was logged.",
    "compact": "Merge table files.",
    "gc": "Remove files that nothing needs any more.",
    "verify": "Check a whole database, byte by byte.",
    "drop": "Delete a whole database.",
    "bench": "Measure writes and reads.",
}


class _Commands(click.Group):
    """Subcommands by name, each in its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"cenote.cli.db.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"cenote.cli.db.{cmd_name}.command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("db", cls=_Commands)
def command() -> None:
    """Look into databases on object stores, and change them.

    A database is named by the URI of its folder: s3://BUCKET/DB, gs://BUCKET/DB,
    az://CONTAINER/DB, file:///DIR/DB or a plain path, sqlite://DIR/BUCKET?prefix=DB. SlateDB's
    databases are taken as well.

    put, delete, checkpoints (but list), clone, compact, gc --yes, drop --yes and bench write;
    nothing else does.
    """
