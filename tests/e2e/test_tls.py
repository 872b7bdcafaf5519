"""Clients over TLS, where they send bodies unsigned in chunks with a trailer; buckets as hosts."""

import base64
import dataclasses
import hashlib
import io
import random
import socket
import ssl
import urllib.request
import zlib

import pytest

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


@pytest.fixture
def s3(need_module, secure_endpoint):
    need_module("boto3")
    client = secure_endpoint.boto3()
    yield client
    client.close()


class Stream(io.RawIOBase):
    """A body that cannot be read twice, so that its checksum can only follow it."""

    def __init__(self, body: bytes) -> None:
        self._source = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size)


@pytest.mark.parametrize("size", [0, 10, 70_000, 9 * MIB])
def test_a_checksum_follows_the_stream_it_is_of(s3, bucket, size) -> None:
    body = random.Random(size).randbytes(size)
    sent = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: sent.append(request))
    put = s3.put_object(
        Bucket=bucket, Key="k", Body=Stream(body), ContentLength=size, ChecksumAlgorithm="CRC32"
    )
    s3.meta.events.unregister("before-send.s3.PutObject")
    assert sent[0].headers["x-amz-content-sha256"] == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert put["ChecksumCRC32"] == base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["ChecksumCRC32"] == put["ChecksumCRC32"]
    assert "aws-chunked" not in got.get("ContentEncoding", "")
    assert got["Body"].read() == body


def test_aws_cli_copies_in_parts(need_program, secure_endpoint, run, s3, bucket, tmp_path) -> None:
    aws = [need_program("aws", "pip install awscli"), "--endpoint-url", secure_endpoint.url]
    (tmp_path / "big").write_bytes(random.Random(14).randbytes(17 * MIB))
    quiet = "--no-progress"
    run([*aws, "s3", "cp", tmp_path / "big", f"s3://{bucket}/big", quiet], at=secure_endpoint)
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"')
    run([*aws, "s3", "cp", f"s3://{bucket}/big", tmp_path / "back", quiet], at=secure_endpoint)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_buckets_are_host_names(secure_endpoint, s3, bucket, monkeypatch, version) -> None:
    domain, port = secure_endpoint.domain, secure_endpoint.port

    def resolve(host, *rest, real=socket.getaddrinfo):
        return real("127.0.0.1" if str(host).endswith(domain) else host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    key = "dir/ünï+code %2F.txt"
    by_name = dataclasses.replace(secure_endpoint, host=domain)
    named = by_name.boto3(s3={"addressing_style": "virtual"}, signature_version=version)
    try:
        named.put_object(Bucket=bucket, Key=key, Body=b"by name")
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"by name"
        listed = named.list_objects_v2(Bucket=bucket)["Contents"]
        assert [entry["Key"] for entry in listed] == [key]
        url = named.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
        assert url.startswith(f"https://{bucket}.{domain}:{port}/dir/")
        trust = ssl.create_default_context(cafile=secure_endpoint.certificate)
        with urllib.request.urlopen(url, context=trust) as answer:
            assert answer.read() == b"by name"
        assert bucket in {found["Name"] for found in named.list_buckets()["Buckets"]}
        assert named.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})["Deleted"]
        named.delete_bucket(Bucket=bucket)
    finally:
        named.close()
