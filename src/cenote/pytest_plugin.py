"""The pytest plugin: a server for a test session, fresh buckets and tables for each test.

Owns: the fixtures, the mark `cenote_socket`, telling where the files of a failed test are.
Does not own: the server (`cenote.testing.localserver`).

It is loaded by pytest wherever cenote is installed, and does nothing until a fixture is asked for.
Each process of a run by pytest-xdist has a server of its own.

Fixtures:
- `cenote_server` (session): a `LocalServer`.
- `s3_client`, `dynamodb_client`: boto3 clients of it.
- `s3_bucket`: the name of a bucket of the test's own.
- `dynamodb_table`: a boto3 Table of the test's own, whose partition key is the string `pk`.
- `cenote_faults`: its fault rules, none before and after a test.
- `cenote_requests`: its request log, empty before a test.
- `cenote_clock`: its clock, which goes with the system's before and after a test.

A test marked `cenote_socket` gets clients that go by a port.

Invariants:
1. What a failed test had in its bucket and table stays, and its report says where.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cenote.testing import FaultRules, LocalServer, RequestLog, ShiftedClock

__all__ = [
    "cenote_clock",
    "cenote_faults",
    "cenote_requests",
    "cenote_server",
    "dynamodb_client",
    "dynamodb_table",
    "pytest_configure",
    "pytest_runtest_makereport",
    "s3_bucket",
    "s3_client",
]

_FILES = pytest.StashKey[list[Path]]()
_FAILED = pytest.StashKey[bool]()
_NAME_MAX = 40


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers", "cenote_socket: clients of the test reach cenote's server by a port"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note whether a test failed, and tell where its files are."""
    report = yield
    if report.failed and call.when != "teardown":
        item.stash[_FAILED] = True
        files = item.stash.get(_FILES, [])
        if files:
            report.sections.append(("cenote's files", "\n".join(str(path) for path in files)))
    return report


@pytest.fixture(scope="session")
def cenote_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server for the session, in this process and without a port."""
    from cenote.testing import LocalServer

    with LocalServer(tmp_path_factory.mktemp("cenote", numbered=True)) as server:
        yield server


@pytest.fixture
def s3_client(cenote_server: LocalServer, request: pytest.FixtureRequest) -> Any:
    """A boto3 client of the server's buckets."""
    return cenote_server.client("s3", socket=_by_socket(request))


@pytest.fixture
def dynamodb_client(cenote_server: LocalServer, request: pytest.FixtureRequest) -> Any:
    """A boto3 client of the server's tables."""
    return cenote_server.client("dynamodb", socket=_by_socket(request))


def _by_socket(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("cenote_socket") is not None


def _fresh_name(request: pytest.FixtureRequest) -> str:
    """Return a name of the test's own that a bucket may have."""
    counts: dict[str, int] = request.config.stash.setdefault(_COUNTS, {})
    plain = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:_NAME_MAX].strip("-")
    counts[plain] = counts.get(plain, 0) + 1
    return f"{plain or 'test'}-{counts[plain]}"


_COUNTS = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def s3_bucket(cenote_server: LocalServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an empty bucket, which goes with the test unless that fails."""
    name = _fresh_name(request)
    client = cenote_server.client("s3")
    client.create_bucket(Bucket=name)
    path = cenote_server.root / f"{name}.sqlite3"
    request.node.stash.setdefault(_FILES, []).append(path)
    cenote_server.requests.clear()
    yield name
    if not request.node.stash.get(_FAILED, False):
        cenote_server.faults.clear()
        _empty(client, name)


def _empty(client: Any, name: str) -> None:
    """Delete a bucket and all in it, unless the test did."""
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
            if keys:
                client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
        client.delete_bucket(Bucket=name)
    except client.exceptions.NoSuchBucket:
        return


@pytest.fixture
def dynamodb_table(cenote_server: LocalServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A boto3 Table with the partition key `pk`, a string, which goes with the test."""
    resource = cenote_server.resource("dynamodb", socket=_by_socket(request))
    table = resource.create_table(
        TableName=_fresh_name(request),
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    path = cenote_server.root / ".cenote" / "tables.sqlite3"
    request.node.stash.setdefault(_FILES, []).append(path)
    cenote_server.requests.clear()
    yield table
    if not request.node.stash.get(_FAILED, False):
        cenote_server.faults.clear()
        client = cenote_server.client("dynamodb")
        if table.name in client.list_tables()["TableNames"]:
            client.delete_table(TableName=table.name)


@pytest.fixture
def cenote_faults(cenote_server: LocalServer) -> Iterator[FaultRules]:
    """The server's fault rules, none at first."""
    cenote_server.faults.clear()
    yield cenote_server.faults
    cenote_server.faults.clear()


@pytest.fixture
def cenote_requests(cenote_server: LocalServer) -> RequestLog:
    """The server's request log, empty at first."""
    cenote_server.requests.clear()
    return cenote_server.requests


@pytest.fixture
def cenote_clock(cenote_server: LocalServer) -> Iterator[ShiftedClock]:
    """The server's clock; what it is moved by is taken back after the test."""
    yield cenote_server.clock
    cenote_server.clock.reset()
