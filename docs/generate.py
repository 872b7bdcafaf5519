"""Write the pages that say what the code already knows; `--check` only tells whether they are true.

    python docs/generate.py [--check]

Owns: the pages of docs/reference that `pages` names, and in README.md what stands between its
`generated` marks.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import apsw
import click
import msgspec

from cenote.base import settings_of, variable_of
from cenote.cli import COMMANDS
from cenote.cli.configuration import DESCRIPTIONS, MINIO_VARIABLES, REFUSED_FLAGS
from cenote.cli.db.shapes import SHAPES
from cenote.cli.serve import FLAGS
from cenote.dynamo import coverage
from cenote.lsm import CompactorSettings, DbSettings, GcSettings, ReaderSettings
from cenote.lsm.metrics import COUNTERS, GAUGES, PREFIX
from cenote.s3 import CODES, coverage_table
from cenote.server import Settings
from cenote.sqldb import schema

ROOT = Path(__file__).resolve().parents[1]
HELP_WIDTH = 90
NOTE = "<!-- Written by docs/generate.py: change the code, then run it. -->\n"


def settings_page() -> str:
    """Every setting: key, variable, flag, default, words."""
    lines = [
        "# Settings",
        "",
        NOTE,
        "A setting comes from, later over earlier: its default, `/etc/cenote/config.toml`,",
        "`~/.config/cenote/config.toml` (or, instead of both, the file `--config` or",
        "`CENOTE_CONFIG` names), the environment, flags. An unknown key or variable is an error.",
        "`cenote config show --origin` prints what holds and where it came from.",
        "",
        "| key in TOML | variable | flag | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for setting in settings_of(Settings):
        flag = FLAGS.get(setting.key, (f"--set {setting.key}=",))[0].partition("/")[0]
        default = "" if setting.default in (None, ()) else f"`{setting.default}`"
        lines.append(
            f"| `{setting.key}` | `{variable_of(setting.key)}` | `{flag}` | {default} "
            f"| {DESCRIPTIONS[setting.key]} |"
        )
    lines += [
        "",
        "## Spellings of other servers",
        "",
        "`cenote server DIR --address HOST:PORT` is `cenote serve`. `--domain-name` is `--domain`.",
        "These variables are taken, and said so at start:",
        "",
    ]
    lines += [f"- `{name}` for `{key}`" for name, key in MINIO_VARIABLES.items()]
    lines += ["", "These flags are refused, with the reason:", ""]
    lines += [f"- `{flag}`: {reason}" for flag, reason in REFUSED_FLAGS.items()]
    lines += [
        "",
        "AWS_ACCESS_KEY_ID and its fellows are for clients. The server does not take them: keys of",
        "a real account must not become a test server's by accident.",
    ]
    return "\n".join(lines) + "\n"


def help_texts() -> Iterator[tuple[str, str]]:
    """Yield each command's name and its --help, those of `cenote db` left out."""
    for name in COMMANDS:
        if name != "db":
            yield from _help(import_module(f"cenote.cli.{name}").command, f"cenote {name}", None)


def db_help_texts() -> Iterator[tuple[str, str]]:
    """Yield the name and --help of `cenote db` and its commands."""
    yield from _help(import_module("cenote.cli.db").command, "cenote db", None)


def _help(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        max_content_width=HELP_WIDTH,
        terminal_width=HELP_WIDTH,
        help_option_names=["-h", "--help"],  # the group's own; click keeps what it made of it
    )
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            child = command.get_command(context, sub)
            if child is not None:
                yield from _help(child, f"{name} {sub}", None)


def cli_page() -> str:
    """Every command's help."""
    parts = ["# Commands\n\n" + NOTE]
    parts += [f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in help_texts()]
    parts.append("\n## cenote db\n\nSee [database-commands.md](database-commands.md).\n")
    parts.append(
        "\n## Exit status\n\n0 done; 1 refused or failed; 2 called wrongly; 130 interrupted.\n"
    )
    return "".join(parts)


def database_commands_page() -> str:
    """The help of `cenote db`, its notation, and what its JSON holds."""
    text = inspect.getdoc(import_module("cenote.cli.db.notation")) or ""
    notation = text.partition("\n\nInvariants")[0].partition("JSON.\n\n")[2]
    parts = ["# Commands for databases\n\n" + NOTE]
    parts += [f"\n## {name}\n\n```text\n{text}\n```\n" for name, text in db_help_texts()]
    parts.append(
        f"\n## Keys and values\n\n{notation}\n\n## JSON\n\n"
        "Times in `_ms` are milliseconds since the epoch, in `_s` seconds; sizes are bytes. A\n"
        "field may come with a later version; none goes, or changes its meaning. One with a star\n"
        "may be absent.\n"
    )
    for name, fields in SHAPES.items():
        parts.append(f"\n### {name}\n\n| field | is |\n|---|---|\n")
        parts += [f"| `{field}` | {words} |\n" for field, words in fields.items()]
    parts.append(
        "\n## Exit status\n\n0 done; 1 refused or failed; 2 called wrongly; 130 interrupted.\n"
    )
    return "".join(parts)


SETTING = re.compile(r"^([a-z0-9_]+(?:, [a-z0-9_]+)*): ")


def setting_words(kind: type[msgspec.Struct]) -> list[tuple[list[str], str]]:
    """Return what the docstring of a struct of settings says: names, and the words for them."""
    said: list[tuple[list[str], str]] = []
    for line in (inspect.getdoc(kind) or "").splitlines()[1:]:
        found = SETTING.match(line)
        if found:
            said.append((found[1].split(", "), line[found.end() :]))
        elif said and line.strip():
            said[-1] = (said[-1][0], f"{said[-1][1]} {line.strip()}")
    return said


def database_settings_page() -> str:
    """The settings of databases, readers, compactors and collectors."""
    lines = [
        "# Settings of a database",
        "",
        NOTE,
        "`Db.open(uri, settings=DbSettings(...))`; from plain values, as a JSON or TOML file has",
        "them, `db_settings({...})`. A name nobody knows, a wrong type or a value out of its",
        "limits is an `InvalidError` of kind `invalid_setting`. Times are milliseconds, sizes",
        "bytes.",
    ]
    for kind, title in (
        (DbSettings, "`DbSettings`"),
        (CompactorSettings, "`CompactorSettings`: `DbSettings.compactor`"),
        (GcSettings, "`GcSettings`: `DbSettings.gc`"),
        (ReaderSettings, "`ReaderSettings`"),
    ):
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        first = (inspect.getdoc(kind) or "").partition("\n")[0]
        lines += ["", f"## {title}", "", first, ""]
        lines += ["| setting | default | meaning |", "|---|---|---|"]
        for names, words in setting_words(kind):
            keys = ", ".join(f"`{name}`" for name in names)
            defaults = ", ".join(_default(fields[name]) for name in names)
            lines.append(f"| {keys} | {defaults} | {words} |")
    return "\n".join(lines) + "\n"


def _default(field: msgspec.structs.FieldInfo) -> str:
    return f"`{field.default!r}`"


def database_metrics_page() -> str:
    """What a database counts."""
    lines = [
        "# Metrics of a database",
        "",
        NOTE,
        "`db.metrics()` has them by name; `.exposition()` is Prometheus's text format, where",
        f"each name begins with `{PREFIX}` and a counter's ends in `_total`.",
        "",
        "## Counters",
        "",
        "| name | counts |",
        "|---|---|",
    ]
    lines += [f"| `{name}` | {text} |" for name, text in COUNTERS.items()]
    lines += ["", "## Gauges", "", "| name | is |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in GAUGES.items()]
    return "\n".join(lines) + "\n"


def operations_page() -> str:
    """Every operation of S3: what works, what is refused and why."""
    return "# S3 operations\n\n" + NOTE + "\n" + coverage_table()


def tables_page() -> str:
    """Every operation of DynamoDB and every member of its requests."""
    return (
        "# DynamoDB operations\n\n"
        + NOTE
        + "\nRequests are POSTs with an X-Amz-Target, signed for `dynamodb`. A member that the\n"
        "protocol does not know is passed over, as the service does. A member that is not\n"
        "supported is a ValidationException that changes nothing. Guide:\n"
        "[lock-tables.md](../guides/lock-tables.md).\n\n" + coverage()
    )


def errors_page() -> str:
    """Every error code with its status and usual message."""
    lines = [
        "# Errors",
        "",
        NOTE,
        "An answer that is no success has a body `<Error>` with `Code`, `Message`, `RequestId` and",
        "what else the code calls for; an answer to HEAD has none. The request id is also in the",
        "header `x-amz-request-id` and in the server's log.",
        "",
        "| code | status | usual message |",
        "|---|---|---|",
    ]
    lines += [
        f"| {code} | {status} | {message.replace('|', chr(92) + '|')} |"
        for code, (status, message) in sorted(CODES.items())
    ]
    return "\n".join(lines) + "\n"


def schema_page() -> str:
    """The tables of a bucket file, as the code makes them."""
    connection = apsw.Connection(":memory:")
    schema.create_tables(connection)
    made = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
    sql = ";\n\n".join(text for (text,) in made) + ";"
    head = inspect.getdoc(schema) or ""
    layout = head.partition("Layout")[2].partition("\nInvariants")[0].partition("\n")[2]
    return (
        "# The schema of a bucket file\n\n"
        + NOTE
        + "\nA bucket is `NAME.sqlite3`, and `NAME.packs/` for larger bodies. The view `data` is"
        "\nstable across versions; the tables may change with `PRAGMA user_version`.\n\n"
        + layout.strip("\n")
        + f"\n\n```sql\n{sql}\n```\n"
    )


def readme(text: str) -> str:
    """Return the README with its generated parts made anew."""
    parts = {"operations": coverage_table(refused=False)}
    for name, body in parts.items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, b=body: m[1] + b + m[2], text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def pages() -> dict[Path, str]:
    """Return every generated file and what it should hold."""
    reference = ROOT / "docs" / "reference"
    front = ROOT / "README.md"
    return {
        reference / "settings.md": settings_page(),
        reference / "commands.md": cli_page(),
        reference / "database-commands.md": database_commands_page(),
        reference / "database-settings.md": database_settings_page(),
        reference / "database-metrics.md": database_metrics_page(),
        reference / "operations.md": operations_page(),
        reference / "dynamodb.md": tables_page(),
        reference / "errors.md": errors_page(),
        reference / "schema.md": schema_page(),
        front: readme(front.read_text("utf-8")),
    }


def main() -> int:
    """Write what differs, or with --check only name it."""
    stale = [
        (path, text)
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path, text in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(text, "utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
