"""Foreign programs that cannot share the tests' environment, installed into pytest's cache once."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test for want of a program; with E2E_REQUIRE=all, fail it."""
    if os.environ.get("E2E_REQUIRE") == "all":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@functools.cache
def install(directory: Path, *commands: tuple[str, ...]) -> str | None:
    """Run the commands in `directory` unless they once succeeded there; return what went wrong."""
    done = directory / "installed"
    wanted = repr(commands)
    # Test processes that run side by side share the cache.
    with directory.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists() and done.read_text() == wanted:
            return None
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        for command in commands:
            ended = subprocess.run(command, capture_output=True, text=True, cwd=directory)
            if ended.returncode != 0:
                return f"{' '.join(command)}:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        done.write_text(wanted)
    return None
