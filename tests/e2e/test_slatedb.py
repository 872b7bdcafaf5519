"""The slatedb wheel: a database in a bucket is written, flushed, reopened, and fenced.

A second writer takes the database over by a conditional PUT of the manifest; the first must then
be refused. The wheel takes its endpoint from the environment once a process, so the program runs
in a process of its own.
"""

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PARTS = ("write", "reopen", "transaction", "fence", "winner")


def test_roundtrip(need_module, run, endpoint, s3, bucket) -> None:
    need_module("slatedb", "slatedb==0.17.0")
    script = Path(__file__).with_name("slatedb_roundtrip.py")
    extra = {
        "AWS_ENDPOINT": endpoint.url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_BUCKET": bucket,
        "CLOUD_PROVIDER": "aws",
    }
    said = run([sys.executable, script, bucket], extra=extra)
    assert said.splitlines() == [f"ok {part}" for part in PARTS]
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert {key.split("/")[1] for key in keys} >= {"manifest", "wal"}
