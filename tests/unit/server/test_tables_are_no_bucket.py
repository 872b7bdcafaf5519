"""The lock tables' file is made like a bucket, and no request for a bucket reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cenote import Store
from cenote.errors import Error
from cenote.server import BackgroundServer
from cenote.testing import Endpoint, LocalServer, WireClient

LOCKS = {
    "TableName": "locks",
    "KeySchema": [{"AttributeName": "LockID", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "LockID", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with LocalServer(tmp_path) as server:
        server.client("dynamodb").create_table(**LOCKS)
    yield tmp_path


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/.tables"),
        ("GET", "/.tables?list-type=2"),
        ("GET", "/.tables/key"),
        ("HEAD", "/.tables/key"),
        ("PUT", "/.tables"),
        ("PUT", "/.tables/key"),
        ("DELETE", "/.tables/key"),
        ("DELETE", "/.tables"),
        ("GET", "/%2Etables/key"),
        ("PUT", "/%2Etables/key"),
        ("POST", "/.tables/key?uploads"),
    ],
)
def test_no_request_for_a_bucket_reaches_it(root: Path, method: str, target: str) -> None:
    with (
        BackgroundServer(root=root) as server,
        WireClient(
            Endpoint("127.0.0.1", server.port, server.access_key, server.secret_key)
        ) as client,
    ):
        reply = client.request(method, target)
        assert reply.status in (400, 404), reply  # and not 403: it was signed rightly
    with LocalServer(root) as server:
        assert server.client("dynamodb").list_tables()["TableNames"] == ["locks"]


def test_the_library_has_no_bucket_of_the_name(root: Path) -> None:
    with Store(root) as store:
        assert not store.has_bucket(".tables")
        for call in (
            lambda: store.put_object(".tables", "key", b""),
            lambda: store.get_object(".tables", "key"),
            lambda: store.delete_bucket(".tables"),
            lambda: store.create_bucket(".tables"),
            lambda: store.list_objects(".tables"),
        ):
            with pytest.raises(Error) as refused:
                call()
            assert refused.value.kind in ("no_such_bucket", "invalid_bucket_name")


def test_no_table_lives_in_it_by_name(root: Path) -> None:
    with LocalServer(root) as server, pytest.raises(ClientError, match="does not exist"):
        tags = [{"Key": "cenote:bucket", "Value": ".tables"}]
        server.client("dynamodb").create_table(**(LOCKS | {"TableName": "more", "Tags": tags}))
