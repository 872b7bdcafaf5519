"""`cenote version`."""

from __future__ import annotations

import platform

import click
import msgspec

__all__ = ["command"]


@click.command("version")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(as_json: bool) -> None:
    """Print the versions of cenote and what it stands on."""
    import apsw

    from cenote import __version__

    versions = {
        "cenote": __version__,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    if as_json:
        click.echo(msgspec.json.encode(versions))
        return
    for name, version in versions.items():
        click.echo(f"{name:<7} {version}")
