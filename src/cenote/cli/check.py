"""`cenote check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from cenote.buckets import Store
from cenote.errors import InvalidError

__all__ = ["command"]


@click.command("check")
@click.argument("where", required=False, metavar="[DIR]")
@click.option("--deep", is_flag=True, help="Read every byte of every body, and compare digests.")
def command(where: str | None, deep: bool) -> None:
    """Check every bucket of a directory, byte by byte if asked.

    Prints one line per finding, and ends with status 1 when there is any. Changes nothing; a
    server may be running.
    """
    directory = where or os.environ.get("CENOTE_DIR")
    if not directory:
        raise InvalidError("no directory is named", hint="cenote check DIR")
    with Store(directory, read_only=True) as store:
        count = sum(1 for _ in _buckets(store))
        findings = store.check(deep=deep)
    for finding in findings:
        click.echo(finding)
    if findings:
        click.echo(f"{len(findings)} findings in {count} buckets", err=True)
        sys.exit(1)
    click.echo(f"{count} buckets, nothing found")


def _buckets(store: Store) -> Iterator[str]:
    token = None
    while True:
        page = store.list_buckets(token=token)
        yield from (record.name for record in page.buckets)
        token = page.next_token
        if token is None:
            return
