"""`cenote db ls`."""

from __future__ import annotations

import click

from cenote.base import SystemRand
from cenote.cli.db.documents import table_size
from cenote.cli.db.folder import databases
from cenote.cli.db.sheet import Sheet
from cenote.cli.db.where import as_uri, json_option
from cenote.errors import NotFoundError
from cenote.lsm import ManifestStore
from cenote.objstore import ObjectStore, open_store

__all__ = ["command"]


@click.command("ls")
@click.argument("uri")
@click.option(
    "--depth", type=click.IntRange(0, 20), default=4, show_default=True, help="How far to look."
)
@click.option("--long", "-l", "is_long", is_flag=True, help="Read each one's manifest too.")
@json_option
def command(uri: str, depth: int, is_long: bool, as_json: bool) -> None:
    """List the databases below a URI.

    Prints the folder of each, below the URI, "." for the URI itself. With --long: the number of
    the latest manifest, table files, and how many bytes they have.
    """
    found = False
    with open_store(as_uri(uri), read_only=True) as store, Sheet() as sheet:
        for root in databases(store, "", depth):
            found = True
            name = root or "."
            facts = _facts(store, root) if is_long else {}
            if as_json:
                sheet.json({"path": root, **facts})
            elif is_long:
                sheet.line(
                    "{manifest:>8} {tables:>6} {tables_size:>14}".format(**facts) + f"  {name}"
                )
            else:
                sheet.line(name)
    if not found:
        raise NotFoundError(f"there is no database at or below {uri.partition('?')[0]}")


def _facts(store: ObjectStore, root: str) -> dict[str, int]:
    latest = ManifestStore(store, root, rand=SystemRand()).refresh()
    tables = latest.value.ssts
    return {
        "manifest": latest.number,
        "tables": len(tables),
        "tables_size": sum(table_size(handle.info) for handle in tables),
    }
