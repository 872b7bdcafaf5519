"""`cenote.Db` over other people's stores: S3 by moto, Azure by Azurite, and S3 by our own server.

Of Google Cloud Storage there is no emulator that knows its XML API; a stand-in takes its place.

What is one and the same on each: durable writes, a takeover that shuts the writer before out, a
reader that follows, compaction, collection, and a sound tree at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import emulators
from cenote import ClosedError, Db, DbReader, WriteBatch
from cenote.cli import main
from xmlstorage import BUCKET, XmlStorage

pytestmark = pytest.mark.e2e

ROWS = {b"row:%05d" % n: b"value %d " % n * 20 for n in range(2000)}


@pytest.fixture(scope="module")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulators.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def azure_endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    cache = Path(request.config.cache.mkdir("e2e-azurite"))
    with emulators.azurite(cache, tmp_path_factory.mktemp("azurite")) as endpoint:
        yield endpoint


def s3_uri(url: str, access: str, secret: str, region: str, bucket: str) -> str:
    import boto3

    keys = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    client = boto3.client("s3", endpoint_url=url, region_name=region, **keys)
    client.create_bucket(Bucket=bucket)
    client.close()
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = access, secret
    return f"s3://{bucket}/deep/db?allow_http=true&region={region}&endpoint={url}"


@pytest.fixture
def google() -> Iterator[XmlStorage]:
    with XmlStorage() as storage:
        yield storage


@pytest.fixture(params=["own", "moto", "azure", "google"])
def uri(request: pytest.FixtureRequest, unused_bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a database that is not there yet, with credentials in the environment."""
    pytest.importorskip("obstore")
    pytest.importorskip("boto3")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # so that it is put back
    if request.param == "own":
        at = request.getfixturevalue("endpoint")
        return s3_uri(at.url, at.access_key, at.secret_key, at.region, unused_bucket)
    if request.param == "moto":
        endpoint = request.getfixturevalue("moto_endpoint")
        return s3_uri(endpoint, "test", "test", "us-east-1", unused_bucket)
    if request.param == "google":
        storage = request.getfixturevalue("google")
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", storage.account)
        return f"gs://{BUCKET}/deep/db?allow_http=true&endpoint={storage.endpoint}"
    endpoint = request.getfixturevalue("azure_endpoint")
    emulators.make_container(endpoint, unused_bucket)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", emulators.AZURE_KEY)
    account = f"allow_http=true&account={emulators.AZURE_ACCOUNT}&endpoint={endpoint}"
    return f"az://{unused_bucket}/deep/db?{account}"


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `cenote db ...` and return what it printed."""

    def call(*words: str) -> str:
        capfd.readouterr()
        code: Any = 0
        try:
            main(["db", *words])
        except SystemExit as leave:
            code = leave.code
        out, err = capfd.readouterr()
        assert not code, f"{words}: {out}{err}"
        return out

    return call


def test_the_store_keeps_its_promises_under_a_race(
    uri: str, capfd: pytest.CaptureFixture[str]
) -> None:
    main(["torture", "--writers", "8", "--rounds", "2", uri])
    told = capfd.readouterr().out.splitlines()[1:]
    assert len(told) == 9
    assert all(line.endswith("honoured") for line in told)


def test_a_databases_life(uri: str, command: Callable[..., str]) -> None:
    with Db.open(uri) as db:
        batch = WriteBatch()
        for key, value in ROWS.items():
            batch.put(key, value)
        db.write(batch)
        db.put(b"lone", b"one")
        db.flush_memtable()
        db.delete(b"row:00007")
        with DbReader.open(uri, follow=False) as reader:
            assert reader.get(b"row:00007") is None
            assert reader.get(b"row:00008") == ROWS[b"row:00008"]
            db.put(b"lone", b"two")
            assert reader.refresh()
            assert reader.get(b"lone") == b"two"
        db.checkpoint("kept")

    first = Db.open(uri)
    first.put(b"owner", b"first")
    with Db.open(uri) as second:
        second.put(b"owner", b"second")
        with pytest.raises(ClosedError) as caught:
            first.put(b"owner", b"first again")
        assert caught.value.reason == "fenced"
        second.flush_memtable()
        second.compact()
        assert second.status().l0_ssts == 0
        wanted = {**ROWS, b"lone": b"two", b"owner": b"second"}
        del wanted[b"row:00007"]
        assert dict(second.scan()) == wanted

    assert command("scan", "-k", "--reverse", "-n", "1", uri) == "row:01999\n"
    assert command("get", "--checkpoint", "kept", uri, "lone") == "two\n"
    assert "nothing found" in command("verify", uri)
    command("gc", "--yes", "--age-min-ms", "0", uri)
    assert "nothing found" in command("verify", uri)
    assert command("get", uri, "owner") == "second\n"
    # A URI names the store and a folder in it: ls from above finds the database.
    above = uri.replace("/deep/db?", "?")
    assert command("ls", above) == "deep/db\n"
