"""Every store there is, and every wrapper, as the one fixture `store`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from locktable import ACCESS_KEY, REGION, SECRET_KEY, LockTable

import emulators
from cenote.base import ManualClock, SeededRand, SystemClock
from cenote.objstore import (
    AwsKeys,
    CachingStore,
    Call,
    DynamoCommitStore,
    DynamoTable,
    Fault,
    FaultyStore,
    JsonService,
    Latency,
    LocalStore,
    MemoryStore,
    ObjectStore,
    Odds,
    PartCachingStore,
    PartFolder,
    Patience,
    PrefixStore,
    RecordingStore,
    RetryingStore,
    SlowStore,
    SqliteStore,
    open_store,
)
from cenote.sqldb import Directory
from xmlstorage import BUCKET, XmlStorage

Make = Callable[[pytest.FixtureRequest], Iterator[ObjectStore]]
_numbers = itertools.count(1)


def memory(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield MemoryStore()


def local(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield LocalStore(folder(request) / "made" / "late")


def sqlite(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield from checked(folder(request))


def sqlite_packs(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield from checked(folder(request), inline_max=0)


def checked(root: Path, **options: Any) -> Iterator[ObjectStore]:
    """A store in a bucket file, which at the end must have nothing wrong with it."""
    with SqliteStore(root, "bucket", **options) as store:
        yield store
    with Directory(root) as directory:
        assert directory.open("bucket").check(deep=True) == []


def remote(request: pytest.FixtureRequest, more: str = "") -> Iterator[ObjectStore]:
    pytest.importorskip("obstore")
    server = request.getfixturevalue("server")
    s3 = request.getfixturevalue("s3")
    arguments = server.client_arguments()
    bucket = f"contract-{os.getpid()}-{next(_numbers)}"
    s3.create_bucket(Bucket=bucket)
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", arguments["aws_access_key_id"])
    patch.setenv("AWS_SECRET_ACCESS_KEY", arguments["aws_secret_access_key"])
    uri = f"s3://{bucket}/some/prefix?allow_http=true&region={arguments['region_name']}"
    try:
        yield open_store(f"{uri}&endpoint={arguments['endpoint_url']}{more}")
    finally:
        patch.undo()


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with emulators.moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure_endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    cache = Path(request.config.cache.mkdir("e2e-azurite"))
    with emulators.azurite(cache, tmp_path_factory.mktemp("azurite")) as endpoint:
        yield endpoint


def moto(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    pytest.importorskip("obstore")
    boto3 = pytest.importorskip("boto3")
    endpoint = request.getfixturevalue("moto_endpoint")
    bucket = f"contract-{os.getpid()}-{next(_numbers)}"
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=bucket)
    client.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        uri = f"s3://{bucket}/some/prefix?allow_http=true&region=us-east-1&endpoint={endpoint}"
        yield open_store(uri)


def azure(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    pytest.importorskip("obstore")
    endpoint = request.getfixturevalue("azure_endpoint")
    container = f"contract-{os.getpid()}-{next(_numbers)}"
    emulators.make_container(endpoint, container)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_ACCOUNT_KEY", emulators.AZURE_KEY)
        account = f"account={emulators.AZURE_ACCOUNT}"
        uri = f"az://{container}/some/prefix?allow_http=true&{account}&endpoint={endpoint}"
        yield open_store(uri)


def google(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    pytest.importorskip("obstore")
    with XmlStorage() as storage, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", storage.account)
        uri = f"gs://{BUCKET}/some/prefix?allow_http=true&endpoint={storage.endpoint}"
        yield open_store(uri)


def prefix(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    inner = MemoryStore()
    inner.put("below", b"not here")
    inner.put("below/the/top/not", b"not here either")
    inner.put("below/theory", b"nor here")
    yield PrefixStore(inner, "below/the/top/folder")


def retrying(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield unreliable(MemoryStore(), 7)


def retrying_local(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield unreliable(LocalStore(folder(request)), 9)


def unreliable(inner: ObjectStore, seed: int) -> ObjectStore:
    """A store that fails often, below one that makes up for it."""
    clock = ManualClock()
    odds = Odds(SeededRand(seed), before=0.1, after=0.2, truncated=0.1)

    def plan(call: Call) -> Fault | None:
        if call.op.startswith("multipart"):
            return None
        fault = odds(call)
        # Whether a refusal that was lost was one cannot be told: see the tests of RetryingStore.
        return None if call.op == "put_if_match" and fault is Fault.AFTER else fault

    faulty = FaultyStore(inner, plan, clock=clock)
    return RetryingStore(faulty, Patience(50, 1e9), clock=clock, rand=SeededRand(seed + 1))


def recording(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield RecordingStore(MemoryStore())


def caching(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield CachingStore(MemoryStore(), 1 << 20, is_immutable=lambda path: True)


def part_caching(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    folder = PartFolder(request.getfixturevalue("tmp_path") / "parts", 1 << 20)
    yield PartCachingStore(MemoryStore(), folder, is_immutable=lambda path: True)


def slow(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    yield SlowStore(MemoryStore(), Latency(spread=0.5), clock=ManualClock(), rand=SeededRand(1))


def dynamo(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with LockTable() as table:
        yield RetryingStore(commit_store(MemoryStore(), table))


def dynamo_server(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """Objects and locks in one server of ours."""
    pytest.importorskip("obstore")
    boto3 = pytest.importorskip("boto3")
    arguments = request.getfixturevalue("server").client_arguments()
    name = f"locks-{os.getpid()}-{next(_numbers)}"
    client = boto3.client("dynamodb", **arguments)
    make_table(client, name)
    client.close()
    yield from remote(request, f"&conditional_put=dynamo:{name}:1000")


def dynamo_moto(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    """Locks in a table of moto's."""
    boto3 = pytest.importorskip("boto3")
    endpoint = request.getfixturevalue("moto_endpoint")
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
    client = boto3.client("dynamodb", endpoint_url=endpoint, region_name=REGION, **keys)
    make_table(client, "locks")
    try:
        yield RetryingStore(commit_store(MemoryStore(), SimpleNamespace(endpoint=endpoint)))
    finally:
        client.delete_table(TableName="locks")
        client.close()


def make_table(client: Any, name: str) -> None:
    """Make a table of locks, as the documentation says."""
    names = (("path", "HASH"), ("etag", "RANGE"))
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n, _ in names],
        BillingMode="PAY_PER_REQUEST",
    )


def commit_store(
    inner: ObjectStore,
    table: LockTable | SimpleNamespace,
    *,
    timeout_ms: int = 600,
    clock: Any = None,
) -> DynamoCommitStore:
    clock = clock or SystemClock()
    service = JsonService(
        table.endpoint,
        keys=AwsKeys(ACCESS_KEY, SECRET_KEY),
        region=REGION,
        service="dynamodb",
        clock=SystemClock(),
        timeout_seconds=10,
    )
    locks = DynamoTable(service, "locks", timeout_ms=timeout_ms, clock=clock)
    return DynamoCommitStore(inner, locks, clock=clock)


def folder(request: pytest.FixtureRequest) -> Path:
    path = request.getfixturevalue("tmp_path")
    assert isinstance(path, Path)
    return path


STORES: list[Any] = [
    memory,
    local,
    sqlite,
    sqlite_packs,
    remote,
    google,
    prefix,
    retrying,
    retrying_local,
    recording,
    caching,
    part_caching,
    slow,
    dynamo,
    *(
        pytest.param(make, marks=pytest.mark.e2e)
        for make in (moto, azure, dynamo_moto, dynamo_server)
    ),
]


@pytest.fixture(params=STORES, ids=lambda make: make.__name__)
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    made = request.param(request)
    store = next(made)
    yield store
    next(made, None)
    store.close()
