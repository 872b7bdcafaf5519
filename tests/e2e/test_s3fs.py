"""s3fs/fsspec, in an environment of its own because it asks for another botocore than ours."""

from pathlib import Path

import pytest

# The first test to need it installs the client over the network.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PARTS = ("pipe", "parts", "append", "exclusive", "move", "metadata", "remove")


def test_roundtrip(s3fs_python, run, endpoint, bucket) -> None:
    script = Path(__file__).with_name("s3fs_roundtrip.py")
    said = run([s3fs_python, "-W", "error", script, endpoint.url, bucket])
    assert said.splitlines() == [f"ok {part}" for part in PARTS]
