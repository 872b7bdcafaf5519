"""The command group: light, helpful, and errors that are a line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest

from cenote.cli import COMMANDS

Run = Callable[..., "tuple[int, str, str]"]


def test_help_imports_click_and_little_else() -> None:
    """A start under 100 ms, by what causes it: modules. With click there are about 70."""
    program = (
        "import sys; before = set(sys.modules); import cenote.cli;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    modules = done.stdout.split()
    ours = {name for name in modules if name.startswith("cenote")}
    assert ours == {"cenote", "cenote.cli", "cenote.cli.app"}
    assert len(modules) < 120
    heavy = {"asyncio", "apsw", "msgspec", "ssl", "http", "xml", "logging", "json"}
    assert not heavy & {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = import_module(f"cenote.cli.{name}").command
    assert (command.help or "").splitlines()[0] == COMMANDS[name]
    assert command.name == name


def test_help_names_every_command(run: Run) -> None:
    out = run("--help")[1]
    for name, words in COMMANDS.items():
        assert f"  {name} " in out
        assert words in out


@pytest.mark.parametrize(
    ("typed", "near"), [("server2", "serve"), ("presgn", "presign"), ("confg", "config")]
)
def test_a_near_miss_is_suggested(run: Run, typed: str, near: str) -> None:
    assert f"Did you mean '{near}'?" in run(typed, code=2)[2]


def test_errors_are_one_line(run: Run) -> None:
    err = run("ls", code=1)[2]
    assert err.startswith("cenote: neither a directory nor an endpoint is named")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_version(run: Run) -> None:
    assert run("--version")[1].startswith("cenote 0.")
    assert "sqlite" in run("version")[1]
    assert '"sqlite"' in run("version", "--json")[1]
