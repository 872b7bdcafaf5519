"""The AWS SDK for JavaScript v3, in Node, installed from npm into pytest's cache."""

import shutil
from pathlib import Path

import pytest

# The first test to need it installs the client over the network.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PARTS = ("unicode", "stream", "upload", "conditions", "presign", "copy", "delete")


@pytest.mark.parametrize("server", ["endpoint", "secure_endpoint"])
def test_roundtrip(server, request, sdk_js, run, unused_bucket) -> None:
    # Over TLS this client leaves bodies unsigned; without, it hashes them first.
    endpoint = request.getfixturevalue(server)
    script = sdk_js / "roundtrip.mjs"
    shutil.copyfile(Path(__file__).with_name("sdk_roundtrip.mjs"), script)
    extra = {"E2E_URL": endpoint.url, "E2E_BUCKET": unused_bucket}
    said = run(["node", script], at=endpoint, extra=extra)
    assert said.split("\n")[:-1] == [f"ok {part}" for part in PARTS]
