"""`cenote snapshot`: by the server that serves a directory, and without one."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from cenote import Store
from cenote.cli.snapshot import command
from cenote.server import BackgroundServer

LONG = bytes(range(256)) * 4000  # beside the bucket's file


def run(root: Path, *arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments, "--root", str(root)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


class Served:
    """A directory that a server serves, with one state in it."""

    def __init__(self, server: BackgroundServer, root: Path) -> None:
        self.root = root
        (root / ".cenote" / "endpoint").write_text(server.endpoint + "\n")
        self.server = server
        self.s3 = boto3.client("s3", **server.client_arguments())
        self.tables = boto3.client("dynamodb", **server.client_arguments())

    def fill(self) -> None:
        self.s3.create_bucket(Bucket="tables")  # named as the file of the tables is
        self.s3.put_object(Bucket="tables", Key="short", Body=b"short")
        self.s3.put_object(Bucket="tables", Key="long", Body=LONG)
        self.tables.create_table(
            TableName="locks",
            KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self.tables.put_item(TableName="locks", Item={"LockID": {"S": "a"}})

    def spoil(self) -> None:
        self.s3.put_object(Bucket="tables", Key="short", Body=b"other")
        self.s3.delete_object(Bucket="tables", Key="long")
        self.s3.create_bucket(Bucket="new")
        self.tables.delete_item(TableName="locks", Key={"LockID": {"S": "a"}})

    def is_filled(self) -> bool:
        def body(key: str) -> bytes:
            found: bytes = self.s3.get_object(Bucket="tables", Key=key)["Body"].read()
            return found

        names = [each["Name"] for each in self.s3.list_buckets()["Buckets"]]
        return (
            names == ["tables"]
            and body("short") == b"short"
            and body("long") == LONG
            and self.tables.scan(TableName="locks")["Count"] == 1
        )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with BackgroundServer(root=tmp_path, controls=True) as server:
        yield Served(server, tmp_path)


def test_a_state_comes_back_whole(served: Served) -> None:
    served.fill()
    run(served.root, "save", "filled")
    served.spoil()
    run(served.root, "load", "filled")
    assert served.is_filled()
    served.spoil()
    run(served.root, "load", "filled")  # as often as one likes
    assert served.is_filled()
    assert run(served.root, "list").split() == ["filled"]


def test_reset_forgets_everything_but_states(served: Served) -> None:
    served.fill()
    run(served.root, "save", "filled")
    run(served.root, "reset", "--yes")
    assert served.s3.list_buckets()["Buckets"] == []
    assert served.tables.list_tables()["TableNames"] == []
    run(served.root, "save", "empty")
    run(served.root, "load", "filled")
    assert served.is_filled()
    run(served.root, "load", "empty")
    assert served.s3.list_buckets()["Buckets"] == []
    run(served.root, "delete", "filled")
    assert run(served.root, "list").split() == ["empty"]


def test_without_a_server_the_files_are_used(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.create_bucket("data")
        store.put_object("data", "key", LONG)
    run(tmp_path, "save", "one")
    run(tmp_path, "reset", "--yes")
    with Store(tmp_path) as store:
        assert not store.has_bucket("data")
    run(tmp_path, "load", "one")
    with Store(tmp_path) as store:
        assert store.get_object("data", "key").read() == LONG
        assert store.check(deep=True) == []


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "x" * 65, "a~new"])
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    with Store(tmp_path) as store:
        store.create_bucket("data")
    with pytest.raises(Exception, match=r"no name of a snapshot|Missing"):
        run(tmp_path, "save", name)
    assert not (tmp_path / ".cenote" / "snapshots").exists()


def status(server: BackgroundServer, path: str, method: str = "POST", **headers: str) -> int:
    request = urllib.request.Request(server.endpoint + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            found: int = reply.status
            return found
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_who_may_not_is_refused(served: Served, tmp_path_factory: Any) -> None:
    served.fill()
    control = {"x-cenote-control": "test"}
    assert status(served.server, "/_cenote/reset") == 403  # as a page in a browser would
    assert status(served.server, "/_cenote/reset", "GET", **control) == 405
    assert status(served.server, "/_cenote/snapshots/gone/load", **control) == 404
    assert served.is_filled()
    with BackgroundServer(root=tmp_path_factory.mktemp("other")) as plain:
        assert status(plain, "/_cenote/reset", **control) in (403, 404, 405)
