"""The command group: which subcommands there are, and what an error looks like.

Owns: the table of commands, exit codes, the one place where errors become a line on stderr.

Exit codes: 0 done; 1 refused or failed; 2 called wrongly; 130 interrupted.

Invariants:
1. Nothing of cenote but this file is imported until a subcommand is called, so that `--help` and
   shell completion answer at once. The table repeats each command's first line for that; a test
   holds the two together.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "serve": "Serve a directory of buckets over S3.",
    "ls": "List buckets, or the objects of one.",
    "cp": "Copy files to and from buckets, and between them.",
    "rm": "Remove objects.",
    "mb": "Make a bucket.",
    "rb": "Remove an empty bucket.",
    "presign": "Print a URL that opens one object for a while.",
    "env": "Print the variables that point S3 clients at a server.",
    "db": "Look into databases on object stores, and change them.",
    "check": "Check every bucket of a directory, byte by byte if asked.",
    "snapshot": "Keep the state of a directory, and bring it back.",
    "config": "Show the server's settings and where they come from.",
    "demo": "Show buckets and objects at work in a directory of their own.",
    "torture": "Try whether an object store keeps its promises under a race.",
    "version": "Print the versions of cenote and what it stands on.",
}
# Spellings other servers use; they call one of the above, and are not listed.
ALIASES = {"server": "minio"}


class Commands(click.Group):
    """Subcommands by name, each in its module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS and cmd_name not in ALIASES:
            return None
        command = import_module(f"cenote.cli.{module}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"cenote.cli.{module}.command is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in ALIASES:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cenote", message="cenote %(version)s")
def group() -> None:
    """S3-compatible object storage in SQLite files."""


def main(args: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        group.main(args, prog_name="cenote", standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except BrokenPipeError:
        # The reader left (`cenote ls | head`). Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        told = _tell(error)
        if told is None:
            raise
        click.echo(f"cenote: {told}", err=True)
        sys.exit(1)


def _tell(error: Exception) -> str | None:
    """Return the line for an error that is the user's to know, None for a fault of our own."""
    from cenote.errors import Error

    if isinstance(error, Error):
        request_id: Any = error.context.get("request_id")
        return f"{error} [request {request_id}]" if request_id else str(error)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return None
