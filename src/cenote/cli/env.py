"""`cenote env`: variables for a shell, a file or a build job."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from shlex import quote

import click

from cenote.errors import InvalidError, NotFoundError

__all__ = ["command"]

FORMATS = ("sh", "fish", "powershell", "json", "dotenv", "github")


@click.command("env")
@click.argument("where", required=False, metavar="[DIR]")
@click.option("--endpoint", metavar="URL", help="Instead of the one the running server wrote down.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="For which reader; else the shell's own."
)
@click.option("--config", "file", metavar="FILE", help="TOML file, instead of the usual ones.")
def command(where: str | None, endpoint: str | None, form: str | None, file: str | None) -> None:
    """Print the variables that point S3 clients at a server.

    DIR is the directory it serves. Use it as: eval "$(cenote env DIR)". With --format github the
    lines fit $GITHUB_ENV.
    """
    from cenote.cli.configuration import configure

    flags = {"root": (where, "DIR")} if where is not None else {}
    settings = configure(os.environ, flags, file=file).resolved.settings
    home = Path(settings.path) / ".cenote"
    access, secret = settings.access_key, settings.secret_key
    if access is None or secret is None:
        access, secret = _kept_keys(home / "credentials")
    if endpoint is None:
        endpoint = _running_endpoint(home / "endpoint", settings.path)
    variables = {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": settings.region or "us-east-1",
    }
    click.echo(render(variables, form or _own_form(os.environ.get("SHELL", ""))))


def _kept_keys(path: Path) -> tuple[str, str]:
    try:
        keys: dict[str, str] = tomllib.loads(path.read_text("utf-8"))["keys"]
        return next(iter(keys.items()))
    except FileNotFoundError:
        raise NotFoundError(
            f"{path} is not there: the server has its keys from elsewhere",
            hint="set CENOTE_ACCESS_KEY and CENOTE_SECRET_KEY as for the server",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, LookupError, StopIteration) as error:
        raise InvalidError(f"{path} holds no keys") from error


def _running_endpoint(path: Path, root: str) -> str:
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        raise NotFoundError(
            f"no server serves {root}", hint="start one, or give --endpoint URL"
        ) from None


def _own_form(shell: str) -> str:
    return "fish" if Path(shell).name == "fish" else "sh"


def render(variables: dict[str, str], form: str) -> str:
    """Return the variables as text for `form`."""
    items = variables.items()
    match form:
        case "json":
            return json.dumps(variables, indent=2)
        case "fish":
            # In fish's single quotes only the quote and the backslash are special.
            escaped = ((n, v.replace("\\", "\\\\").replace("'", "\\'")) for n, v in items)
            lines = [f"set -gx {name} '{value}';" for name, value in escaped]
        case "powershell":
            lines = [f"$env:{name} = '{v.replace(chr(39), chr(39) * 2)}'" for name, v in items]
        case "dotenv" | "github":
            lines = [f"{name}={value}" for name, value in items]
        case _:
            lines = [f"export {name}={quote(value)}" for name, value in items]
    return "\n".join(lines)
