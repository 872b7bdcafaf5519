"""Commands run in this process: their exit code, what they print, a clean environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cenote.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "CENOTE_", "MINIO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str | Path, code: int = 0) -> Result:
        capfd.readouterr()
        ended = 0
        try:
            main([str(word) for word in words])
        except SystemExit as leave:
            ended = int(leave.code or 0)
        out, err = capfd.readouterr()
        assert ended == code, f"{words} ended with {ended}:\n{out}{err}"
        return Result(ended, out, err)

    return call
