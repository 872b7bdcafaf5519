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


class Family:
    """A server of several processes, with what the tests ask of a `BackgroundServer`."""

    def __init__(self, process: Any) -> None:
        self.process = process

    @property
    def port(self) -> int:
        return self.process.endpoint.port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client_arguments(self) -> dict[str, Any]:
        endpoint = self.process.endpoint
        return {
            "endpoint_url": self.endpoint,
            "aws_access_key_id": endpoint.access_key,
            "aws_secret_access_key": endpoint.secret_key,
            "region_name": "us-east-1",
        }


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A `BackgroundServer` for the session, or by the parameter "family" two workers and a writer.

    Its directory is checked at the end.
    """
    from cenote import Store
    from cenote.server import BackgroundServer
    from cenote.testing import ServerProcess

    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    root = tmp_path_factory.mktemp("server")
    if getattr(request, "param", "thread") == "thread":
        with BackgroundServer(root=str(root)) as running:
            yield running
    else:
        scratch = tmp_path_factory.mktemp("family")
        with ServerProcess(root, scratch, flags=["--workers", "2"]) as process:
            process.start()
            yield Family(process)
            assert process.stop() == 0, process.log_end()
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
