"""s3fs/fsspec, in an environment of its own because it asks for another botocore than ours."""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PACKAGE = "s3fs==2026.9.0"
PARTS = ("pipe", "parts", "append", "exclusive", "move", "metadata", "remove")


def test_roundtrip(installed, run, endpoint, bucket) -> None:
    python = ("bin/python",)
    directory = installed(
        "s3fs",
        (sys.executable, "-m", "venv", "."),
        (*python, "-m", "pip", "install", "-q", "--disable-pip-version-check", PACKAGE),
    )
    script = Path(__file__).with_name("s3fs_roundtrip.py")
    said = run([directory / python[0], "-W", "error", script, endpoint.url, bucket])
    assert said.splitlines() == [f"ok {part}" for part in PARTS]
