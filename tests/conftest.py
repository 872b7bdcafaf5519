"""A server on a thread of the test process, and boto3 clients for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_numbers = itertools.count(1)


def make_client(server: Any, **config: Any) -> Any:
    """Return a boto3 client of `server`; `config` are botocore.config.Config's fields."""
    import boto3
    from botocore.config import Config

    config.setdefault("signature_version", "s3v4")
    config.setdefault("s3", {"addressing_style": "path"})
    config.setdefault("retries", {"max_attempts": 1})
    return boto3.client("s3", config=Config(**config), **server.client_arguments())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A `BackgroundServer` for the session; its directory is checked at the end."""
    from cenote import Store
    from cenote.server import BackgroundServer

    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    root = tmp_path_factory.mktemp("server")
    with BackgroundServer(root=str(root)) as running:
        yield running
    with Store(root) as store:
        findings = store.check()
    assert not findings, findings


@pytest.fixture(scope="session")
def s3(server: Any) -> Iterator[Any]:
    """A boto3 client of `server`, path style."""
    client = make_client(server)
    yield client
    client.close()


@pytest.fixture
def make_s3(server: Any) -> Iterator[Callable[..., Any]]:
    """A function that makes boto3 clients of `server` with other Config fields."""
    made = []

    def make(**config: Any) -> Any:
        made.append(make_client(server, **config))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    """A new, empty bucket."""
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name
