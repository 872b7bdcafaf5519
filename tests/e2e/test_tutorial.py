"""SlateDB's tutorial on S3 with DynamoDB, followed word by word with `cenote.Db`.

https://slatedb.io/docs/tutorials/s3-legacy: a bucket, a table of locks, one value of 64 MiB, and
what the AWS command line lists afterwards. The store is our server with the tutorial's keys; the
table is in the same server, as the tutorial has it, or in moto's, which is not ours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import emulators

pytestmark = pytest.mark.e2e

MIB = 1 << 20
KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
LISTED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +(\d+) (\S+)$", re.MULTILINE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Our server, where the tutorial has LocalStack's S3."""
    from cenote.testing import ServerProcess

    keys = ("--access-key", "test", "--secret-key", "test")
    home = {"HOME": str(tmp_path)}
    with ServerProcess(tmp_path / "data", tmp_path, flags=keys, environment=home) as process:
        yield f"http://localhost:{process.start().port}"
        assert process.stop() == 0, process.log_end()


@pytest.fixture(params=["own", "moto"])
def tables(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> Iterator[str]:
    """Where the tutorial has LocalStack's DynamoDB: our server as well, or moto's."""
    if request.param == "own":
        yield server
        return
    with emulators.moto(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def aws(need_program: Callable[[str, str], str], tmp_path: Path) -> Callable[..., str]:
    """Run a line of the tutorial."""
    program = need_program("aws", "pip install awscli")

    def call(endpoint: str, words: str) -> str:
        environment = KEYS | {"HOME": str(tmp_path), "PATH": str(Path(program).parent)}
        environment["AWS_EC2_METADATA_DISABLED"] = "true"
        command = [program, f"--endpoint-url={endpoint}", *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


CREATE_BUCKET = "s3api create-bucket --bucket slatedb --region us-east-1"
CREATE_TABLE = (
    "dynamodb create-table --table-name slatedb"
    " --key-schema AttributeName=path,KeyType=HASH AttributeName=etag,KeyType=RANGE"
    " --attribute-definitions AttributeName=path,AttributeType=S AttributeName=etag,AttributeType=S"
    " --billing-mode PAY_PER_REQUEST"
)
TIME_TO_LIVE = (
    "dynamodb update-time-to-live --table-name slatedb"
    " --time-to-live-specification Enabled=true,AttributeName=ttl"
)


READ_BY_SLATEDB = """\
import asyncio
from slatedb.uniffi import DbReaderBuilder, ObjectStore, ReaderMode

async def main():
    builder = DbReaderBuilder("test", ObjectStore.resolve("s3://slatedb"))
    builder.with_reader_mode(ReaderMode.FOLLOW_LATEST())
    reader = await builder.build()
    value = bytes(await reader.get(b"k1"))
    print(len(value), value.count(0))
    await reader.shutdown()

asyncio.run(main())
"""


def test_the_tutorial(
    aws: Callable[..., str],
    need_module: Callable[..., None],
    server: str,
    tables: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cenote import Db
    from cenote.lsm import PUT
    from cenote.lsm import format as files

    aws(server, CREATE_BUCKET)
    aws(tables, CREATE_TABLE)
    aws(tables, TIME_TO_LIVE)

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    uri = "s3://slatedb/test?region=us-east-1&allow_http=true&conditional_put=dynamo:slatedb"
    uri += f"&endpoint={server}"
    if tables != server:
        uri += f"&dynamo_endpoint={tables}"
    value = bytes(64 * MIB)
    with Db.open(uri) as db:
        db.put(b"k1", value)

    root = aws(server, "s3 ls s3://slatedb/test/")
    assert root.split() == ["PRE", "compacted/", "PRE", "manifest/", "PRE", "wal/"]

    # The fence is an object of no bytes since SlateDB 0.14; in the tutorial's time it had 64.
    wal = LISTED.findall(aws(server, "s3 ls s3://slatedb/test/wal/"))
    assert [name for _, name in wal] == [f"{number:020}.sst" for number in (1, 2)]
    assert wal[0][0] == "0"
    # Length, creation time and all else a row says have the same size whatever they are.
    row = (b"k1", value, 1, PUT, 1_725_473_157_000, None)
    assert int(wal[1][0]) == len(files.encode_wal([row]).data)

    ((size, name),) = LISTED.findall(aws(server, "s3 ls s3://slatedb/test/compacted/"))
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\.sst", name)
    assert int(size) == len(files.encode_sst([row]).data)
    # The tutorial lists 67108996 for both: the value and 132 bytes around it.
    for listed in (int(wal[1][0]), int(size)):
        assert 0 < listed - len(value) < 512

    locks = aws(tables, "dynamodb scan --table-name slatedb --output text")
    assert "test/manifest/" in locks
    assert f"test/wal/{1:020}.sst" in locks

    # SlateDB itself, which in 0.17 needs no table to read.
    need_module("slatedb", "slatedb==0.17.0")
    variables = {"AWS_ENDPOINT": server, "AWS_ALLOW_HTTP": "true", "CLOUD_PROVIDER": "aws"}
    variables |= {"AWS_REGION": "us-east-1", "AWS_BUCKET": "slatedb", "PATH": os.environ["PATH"]}
    read = subprocess.run(
        [sys.executable, "-c", READ_BY_SLATEDB],
        env=KEYS | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert read.stdout.split() == [str(len(value)), str(len(value))], read.stderr[-2000:]

    with Db.open(uri) as db:
        assert db.get(b"k1") == value
