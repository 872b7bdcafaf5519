"""The `cenote` command. One file a subcommand, loaded only when it is called."""

from cenote.cli.app import COMMANDS, main

__all__ = ["COMMANDS", "main"]
