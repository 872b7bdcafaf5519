"""The AWS SDK for JavaScript v3, in Node, installed from npm into pytest's cache."""

import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PACKAGES = (
    "@aws-sdk/client-s3@3.1169.0",
    "@aws-sdk/lib-storage@3.1169.0",
    "@aws-sdk/s3-request-presigner@3.1162.0",
)
PARTS = ("unicode", "stream", "upload", "conditions", "presign", "copy", "delete")


@pytest.mark.parametrize("server", ["endpoint", "secure_endpoint"])
def test_roundtrip(server, request, need_program, installed, run, unused_bucket) -> None:
    # Over TLS this client leaves bodies unsigned; without, it hashes them first.
    endpoint = request.getfixturevalue(server)
    node = need_program("node", "apt-get install nodejs")
    npm = need_program("npm", "apt-get install npm")
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    directory = installed("sdk-js", (npm, "install", "--prefix", ".", *quiet, *PACKAGES))
    # Node finds a module's packages beside the module, so the script goes there.
    script = directory / "roundtrip.mjs"
    shutil.copyfile(Path(__file__).with_name("sdk_roundtrip.mjs"), script)
    extra = {"E2E_URL": endpoint.url, "E2E_BUCKET": unused_bucket}
    said = run([node, script], at=endpoint, extra=extra)
    assert said.split("\n")[:-1] == [f"ok {part}" for part in PARTS]
