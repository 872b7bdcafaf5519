"""`cenote server DIR --address HOST:PORT`: the spelling of MinIO's command line."""

from __future__ import annotations

import click

from cenote.cli.configuration import REFUSED_FLAGS
from cenote.errors import InvalidError, UnsupportedError

__all__ = ["command"]


@click.command("server", hidden=True)
@click.argument("directories", nargs=-1, required=True, metavar="DIR")
@click.option("--address", help="HOST:PORT, or :PORT for every interface.")
@click.option("--console-address", hidden=True)
@click.option("--certs-dir", hidden=True)
@click.option("--quiet", is_flag=True, hidden=True, help="Accepted; there is nothing to silence.")
@click.pass_context
def command(
    ctx: click.Context,
    directories: tuple[str, ...],
    address: str | None,
    console_address: str | None,
    certs_dir: str | None,
    quiet: bool,
) -> None:
    """Serve a directory, called as MinIO is."""
    for flag, value in (("--console-address", console_address), ("--certs-dir", certs_dir)):
        if value is not None:
            raise UnsupportedError(f"{flag} is not supported: {REFUSED_FLAGS[flag]}")
    if len(directories) != 1 or "..." in directories[0]:
        raise UnsupportedError("one directory is served; several drives are not supported")
    from cenote.cli.serve import command as serve

    if address is None:
        ctx.invoke(serve, where=directories[0])
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        raise InvalidError(f"--address {address!r} is not HOST:PORT")
    ctx.invoke(serve, where=directories[0], host=host.strip("[]") or "0.0.0.0", port=int(port))
