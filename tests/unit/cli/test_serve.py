"""`cenote serve` as a process: what it prints, the ready file, `env`, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Run = Callable[..., "tuple[int, str, str]"]


@contextmanager
def process(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m cenote ...` until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "cenote", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def until(running: subprocess.Popen[str], what: str) -> str:
    """Return what was printed up to the line that holds `what`."""
    assert running.stdout is not None
    seen = ""
    for line in running.stdout:
        seen += line
        if what in line:
            return seen
    raise AssertionError(f"{what!r} was never printed:\n{seen}")


def test_a_first_start_makes_keys_and_a_second_keeps_them(run: Run, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with process("serve", tmp_path / "data", "--port", "0", "--ready-file", ready) as running:
        said = until(running, "point S3 clients at it")
        secret = re.search(r"secret key +(\S+)", said)
        assert secret
        env = json.loads(run("env", tmp_path / "data", "--format", "json")[1])
        assert env["AWS_SECRET_ACCESS_KEY"] == secret[1]
        assert env["AWS_ENDPOINT_URL_S3"] == ready.read_text().strip()
        with urllib.request.urlopen(env["AWS_ENDPOINT_URL_S3"] + "/health") as reply:
            assert reply.status == 200
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
        assert running.returncode == 0
    assert "no server serves" in run("env", tmp_path / "data", code=1)[2]
    with process("serve", tmp_path / "data", "--port", "0") as running:
        assert secret[1] not in until(running, "point S3 clients at it")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
        assert running.returncode == 0


def test_the_environment_points_this_command_line_at_the_server(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process("server", tmp_path / "data", "--address", "127.0.0.1:0") as running:
        until(running, "point S3 clients at it")
        for name, value in json.loads(run("env", tmp_path / "data", "--format", "json")[1]).items():
            monkeypatch.setenv(name, value)
        run("mb", "s3://made")
        assert "made" in run("ls")[1]
        err = run("serve", tmp_path / "data", "--port", "0", code=1)[2]
        assert "lock" in err or "another process" in err


def test_a_port_in_use_is_told(run: Run, tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in run("serve", tmp_path / "data", "--port", port, code=1)[2]


@pytest.mark.parametrize("shell", ["sh", "dotenv", "github", "json", "fish", "powershell"])
def test_each_reader_gets_its_form(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("CENOTE_ACCESS_KEY", "access")
    monkeypatch.setenv("CENOTE_SECRET_KEY", "it's $HOME `x`")
    words = ("env", tmp_path, "--endpoint", "http://127.0.0.1:9", "--format", shell)
    out = run(*words)[1]
    line = {
        "sh": "export AWS_SECRET_ACCESS_KEY='it'\"'\"'s $HOME `x`'",
        "dotenv": "AWS_SECRET_ACCESS_KEY=it's $HOME `x`",
        "github": "AWS_SECRET_ACCESS_KEY=it's $HOME `x`",
        "json": '"AWS_SECRET_ACCESS_KEY": "it\'s $HOME `x`"',
        "fish": "set -gx AWS_SECRET_ACCESS_KEY 'it\\'s $HOME `x`';",
        "powershell": "$env:AWS_SECRET_ACCESS_KEY = 'it''s $HOME `x`'",
    }[shell]
    assert line in out
    if shell == "sh":
        shown = subprocess.run(
            ["sh", "-c", out + '\nprintf %s "$AWS_SECRET_ACCESS_KEY"'],
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"]},
        )
        assert shown.stdout == "it's $HOME `x`"
