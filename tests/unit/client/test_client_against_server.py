"""The client and the server of this tree, together: every operation, and keys that bite."""

from __future__ import annotations

import io
import itertools
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cenote.client import Access, Client, upload
from cenote.errors import ConflictError, Error, NotFoundError, PreconditionError

MIB = 1 << 20
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    access = Access(server.endpoint, server.access_key, server.secret_key)
    with Client(access) as made:
        yield made


@pytest.fixture
def bucket(client: Client) -> str:
    name = f"client-{next(numbers)}"
    client.create_bucket(name)
    return name


@pytest.mark.parametrize("key", ["a", "a//b/../c/", "ä ö+%2F&<>'\"?#", "x" * 1024, "a\x01b", "\n"])
def test_any_key_goes_there_and_back(client: Client, bucket: str, key: str) -> None:
    client.put_object(bucket, key, b"body", {"content-type": "text/plain"})
    with client.get_object(bucket, key) as reply:
        assert reply.read() == b"body"
    head = client.head_object(bucket, key)
    assert (head.size, head["content-type"]) == (4, "text/plain")
    assert [e.key for e in client.list_page(bucket).entries] == [key]
    with urllib.request.urlopen(client.presign("GET", bucket, key, 60)) as reply:
        assert reply.read() == b"body"
    assert client.delete_objects(bucket, [key]) == []
    with pytest.raises(NotFoundError):
        client.head_object(bucket, key)


def test_files_are_sent_from_where_they_stand(client: Client, bucket: str) -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    client.put_object(bucket, "k", file)
    with client.get_object(bucket, "k", {"range": "bytes=1-2"}) as reply:
        assert (reply.status, reply.read()) == (206, b"56")


def test_large_things_go_in_parts(client: Client, bucket: str) -> None:
    body = bytes(range(256)) * (40 * MIB // 256) + b"end"
    told: list[int] = []
    upload(client, bucket, "large", io.BytesIO(body), size=len(body), sent=told.append)
    assert client.head_object(bucket, "large").etag.endswith("-3")
    assert sum(told) == len(body)
    with client.get_object(bucket, "large") as reply:
        assert b"".join(reply.chunks()) == body
    assert list(client.list_uploads(bucket)) == []


def test_a_source_that_breaks_leaves_no_parts(client: Client, bucket: str) -> None:
    class Broken(io.RawIOBase):
        left = 2

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise OSError("the disk is gone")
            return bytes(16 * MIB)

    with pytest.raises(OSError, match="the disk is gone"):
        upload(client, bucket, "k", Broken())  # type: ignore[arg-type]
    assert list(client.list_uploads(bucket)) == []
    with pytest.raises(NotFoundError):
        client.head_object(bucket, "k")


def test_conditions_and_copies(client: Client, bucket: str) -> None:
    client.put_object(bucket, "k", b"1", {"if-none-match": "*"})
    with pytest.raises(PreconditionError):
        client.put_object(bucket, "k", b"2", {"if-none-match": "*"})
    client.copy_object((bucket, "k"), bucket, "ü/copy")
    with client.get_object(bucket, "ü/copy") as reply:
        assert reply.read() == b"1"


def test_listings_go_on_past_a_page(client: Client, bucket: str) -> None:
    keys = [f"f{n % 3}/{n:04}" for n in range(1100)]
    for key in keys:
        client.put_object(bucket, key, b"")
    found = [e.key for page in client.list_pages(bucket) for e in page.entries]
    assert found == sorted(keys)
    pages = list(client.list_pages(bucket, delimiter="/"))
    assert [p for page in pages for p in page.prefixes] == ["f0/", "f1/", "f2/"]


def test_buckets(client: Client, bucket: str) -> None:
    assert bucket in [b.name for b in client.list_buckets()]
    client.head_bucket(bucket)
    client.put_object(bucket, "k", b"")
    with pytest.raises(ConflictError) as caught:
        client.delete_bucket(bucket)
    assert caught.value.kind == "BucketNotEmpty"
    assert caught.value.context["request_id"]
    client.delete_object(bucket, "k")
    client.delete_bucket(bucket)
    with pytest.raises(NotFoundError):
        client.head_bucket(bucket)


def test_a_wrong_secret_is_denied(server: Any) -> None:
    wrong = Access(server.endpoint, server.access_key, "not the secret")
    with Client(wrong) as c, pytest.raises(Error) as caught:
        list(c.list_buckets())
    assert caught.value.kind == "SignatureDoesNotMatch"
