"""What is not an operation: probes, credentials, anonymous and read-only service, hosts, TLS."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cenote.base import SeededRand
from cenote.errors import InvalidError, UnavailableError, UnsupportedError
from cenote.server import BackgroundServer, Limits, Settings, load_credentials


def client_of(server: BackgroundServer, **more: Any) -> Any:
    config = Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}
    )
    return boto3.client("s3", config=config, **{**server.client_arguments(), **more})


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_probes_answer_without_a_signature(server: Any, s3: Any, bucket: str):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert fetch(server.endpoint + "/health") == (200, b"ok\n")
    assert fetch(server.endpoint + "/_cenote/ready") == (200, b"ok\n")
    status, text = fetch(server.endpoint + "/metrics")
    assert status == 200
    assert b'cenote_requests_total{operation="PutObject",status="200"}' in text
    assert b"cenote_request_seconds_bucket{" in text
    figures = dict(line.rsplit(b" ", 1) for line in text.splitlines() if line[:1] != b"#")
    assert int(figures[b"cenote_commit_changes"]) >= int(figures[b"cenote_commit_groups"]) > 0
    assert int(figures[b"cenote_disk_bytes"]) > 0
    assert int(figures[b"cenote_buckets"]) > 0
    assert bucket.encode() not in text
    assert fetch(server.endpoint + "/health?x")[0] == 403
    assert fetch(server.endpoint + "/health", "DELETE")[0] == 403


def test_a_bucket_may_be_called_like_a_probe(s3: Any, server: Any):
    s3.create_bucket(Bucket="health")
    s3.put_object(Bucket="health", Key="k", Body=b"x")
    assert s3.list_objects_v2(Bucket="health")["KeyCount"] == 1
    assert fetch(server.endpoint + "/health") == (200, b"ok\n")


def test_without_a_signature_nothing_is_allowed(server: Any, bucket: str):
    for path in ("/", f"/{bucket}", f"/{bucket}/k"):
        status, body = fetch(server.endpoint + path)
        assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)


def test_anonymous_reading(tmp_path: Path):
    with BackgroundServer(root=str(tmp_path), anonymous="read") as server:
        s3 = client_of(server)
        s3.create_bucket(Bucket="open")
        s3.put_object(Bucket="open", Key="k", Body=b"x")
        s3.create_bucket(Bucket="health")
        base = server.endpoint
        assert fetch(base + "/open/k") == (200, b"x")
        assert fetch(base + "/open?list-type=2")[0] == 200
        assert fetch(base + "/")[0] == 403
        assert fetch(base + "/open/k", "DELETE")[0] == 403
        assert fetch(base + "/open/k?response-content-type=text/html")[0] == 400
        assert b"ListBucketResult" in fetch(base + "/health")[1]
        assert fetch(base + "/_cenote/health") == (200, b"ok\n")
        s3.close()


def test_a_read_only_server(tmp_path: Path):
    with BackgroundServer(root=str(tmp_path)) as server:
        s3 = client_of(server)
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="k", Body=b"x")
        s3.close()
    with BackgroundServer(root=str(tmp_path), read_only=True) as server:
        s3 = client_of(server)
        assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"x"
        for call, arguments in [
            (s3.put_object, {"Bucket": "kept", "Key": "n", "Body": b""}),
            (s3.delete_object, {"Bucket": "kept", "Key": "k"}),
            (s3.create_bucket, {"Bucket": "new-one"}),
        ]:
            with pytest.raises(ClientError) as caught:
                call(**arguments)
            assert caught.value.response["Error"]["Code"] == "AccessDenied"
        s3.close()


def test_virtual_hosts(tmp_path: Path):
    with BackgroundServer(root=str(tmp_path), domains=("s3.test", "other.test")) as server:
        s3 = client_of(server)
        s3.create_bucket(Bucket="my.bucket")
        s3.put_object(Bucket="my.bucket", Key="a/b", Body=b"x")
        s3.close()
        virtual = boto3.client(
            "s3",
            config=Config(
                s3={"addressing_style": "virtual"},
                proxies={"http": server.endpoint},
                retries={"max_attempts": 1},
            ),
            **{**server.client_arguments(), "endpoint_url": "http://s3.test"},
        )
        # As a proxy would, the client sends the absolute form to this server.
        assert virtual.get_object(Bucket="my.bucket", Key="a/b")["Body"].read() == b"x"
        virtual.close()


def test_several_key_pairs_and_wrong_ones(tmp_path: Path):
    pairs = ("first:secret-one", "second:secret-two")
    with BackgroundServer(root=str(tmp_path), credentials=pairs) as server:
        for access, secret in (("first", "secret-one"), ("second", "secret-two")):
            s3 = client_of(server, aws_access_key_id=access, aws_secret_access_key=secret)
            assert s3.list_buckets()["Buckets"] == []
            s3.close()
        for access, secret, code in [
            ("first", "secret-two", "SignatureDoesNotMatch"),
            ("third", "secret-one", "InvalidAccessKeyId"),
        ]:
            s3 = client_of(server, aws_access_key_id=access, aws_secret_access_key=secret)
            with pytest.raises(ClientError) as caught:
                s3.list_buckets()
            assert caught.value.response["Error"]["Code"] == code
            s3.close()


def test_credentials_are_made_once_and_kept(tmp_path: Path):
    settings = Settings(root=str(tmp_path / "root"))
    made = load_credentials(settings, SeededRand(1))
    assert made.generated
    assert made.path is not None
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    again = load_credentials(settings, SeededRand(2))
    assert (again.generated, dict(again.secrets)) == (False, dict(made.secrets))
    ((access, secret),) = made.secrets.items()
    assert (len(access), len(secret)) == (20, 40)
    given = load_credentials(
        Settings(root=str(tmp_path), access_key="abc", secret_key="12345678"), SeededRand(3)
    )
    assert dict(given.secrets) == {"abc": "12345678"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_where_nobody_else_connects_short_secrets_do(tmp_path: Path, host: str):
    settings = Settings(root=str(tmp_path), host=host, access_key="test", secret_key="test")
    assert dict(load_credentials(settings, SeededRand(3)).secrets) == {"test": "test"}


@pytest.mark.parametrize(
    "fields",
    [
        {"access_key": "a/b", "secret_key": "12345678"},
        {"access_key": "abc", "secret_key": "abc"},
        {"access_key": "abc", "secret_key": "short", "host": "0.0.0.0"},
        {"access_key": "abc", "secret_key": "short", "host": "::"},
        {"access_key": "abc", "secret_key": "short", "host": "localhost.example.com"},
        {"credentials": ("nocolon",)},
        {"credentials": ("abc:12345678", "abc:87654321")},
    ],
)
def test_bad_credentials_are_refused(tmp_path: Path, fields: dict[str, Any]):
    with pytest.raises(InvalidError):
        load_credentials(Settings(root=str(tmp_path), **fields), SeededRand(1))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"workers": 0}, InvalidError),
        ({"port": 70000}, InvalidError),
        ({"access_key": "abc"}, InvalidError),
        ({"tls_cert": "x"}, InvalidError),
        ({"domains": ("http://x",)}, InvalidError),
        ({"account_id": "12"}, InvalidError),
    ],
)
def test_settings_that_do_not_serve_are_refused(fields: dict[str, Any], kind: type[Exception]):
    with pytest.raises(kind):
        Settings(**fields).check()


def test_a_pinned_region(tmp_path: Path):
    with BackgroundServer(root=str(tmp_path), region="eu-west-1") as server:
        s3 = client_of(server)
        s3.create_bucket(
            Bucket="pinned", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        assert s3.get_bucket_location(Bucket="pinned")["LocationConstraint"] == "eu-west-1"
        with pytest.raises(ClientError) as caught:
            s3.create_bucket(
                Bucket="elsewhere", CreateBucketConfiguration={"LocationConstraint": "eu-north-1"}
            )
        code = caught.value.response["Error"]["Code"]
        assert code == "IllegalLocationConstraintException"
        s3.close()
        other = client_of(server, region_name="us-west-2")
        with pytest.raises(ClientError) as caught:
            other.list_buckets()
        assert caught.value.response["Error"]["Code"] == "AuthorizationHeaderMalformed"
        other.close()


def test_two_servers_do_not_share_a_directory_or_a_port(tmp_path: Path):
    with BackgroundServer(root=str(tmp_path / "one")) as server:
        from cenote.errors import Error

        with pytest.raises(Error) as caught:
            BackgroundServer(root=str(tmp_path / "one")).start()
        assert "one" in str(caught.value)
        with pytest.raises(UnavailableError, match="cannot listen"):
            BackgroundServer(root=str(tmp_path / "two"), port=server.port).start()
    with BackgroundServer(root=str(tmp_path / "one")):
        pass


@pytest.mark.parametrize("style", ["combined", "json"])
def test_the_access_log(tmp_path: Path, style: str):
    log = tmp_path / "access.log"
    with BackgroundServer(
        root=str(tmp_path / "root"), access_log=style, access_log_file=str(log)
    ) as server:
        s3 = client_of(server)
        s3.create_bucket(Bucket="logged")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "logged", "Key": 'a"b'})
        assert fetch(url)[0] == 404
        s3.close()
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert "secret" not in log.read_text()
    assert url.rpartition("X-Amz-Signature=")[2] not in log.read_text()
    if style == "json":
        entry = json.loads(lines[1])
        assert (entry["operation"], entry["status"], entry["code"]) == (
            "GetObject",
            404,
            "NoSuchKey",
        )
        assert len(entry["request_id"]) == 16
    else:
        assert " 404 " in lines[1]
        assert " GetObject NoSuchKey " in lines[1]


def test_tls(tmp_path: Path):
    import subprocess

    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2"
    command += " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        command.split(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with BackgroundServer(
        root=str(tmp_path / "root"),
        tls_cert=str(cert),
        tls_key=str(key),
        limits=Limits(head_timeout=2),
    ) as server:
        silent = socket.create_connection(("127.0.0.1", server.port), 20)
        assert silent.recv(1) == b"", "a client that never shakes hands is let go"
        silent.close()
        s3 = client_of(server, verify=str(cert))
        s3.create_bucket(Bucket="secure")
        for size in (10, 5_000_000):
            body = os.urandom(size)
            s3.put_object(Bucket="secure", Key="k", Body=body)
            assert s3.get_object(Bucket="secure", Key="k")["Body"].read() == body
        s3.close()


# Clients that leave.


def raw_get(server: Any, s3: Any, bucket: str, key: str) -> socket.socket:
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    target = url.split(str(server.port), 1)[1]
    sock = socket.create_connection(("127.0.0.1", server.port), 10)
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    return sock


def in_flight(server: Any) -> float:
    text = fetch(server.endpoint + "/metrics")[1].decode()
    return float(text.split("\ncenote_in_flight ")[1].split("\n")[0])


def wait_for(condition: Any, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_client_that_leaves_a_download_frees_the_body(server: Any, make_s3: Any, bucket: str):
    s3 = make_s3()
    s3.put_object(Bucket=bucket, Key="big", Body=os.urandom(32 << 20))
    socks = [raw_get(server, s3, bucket, "big") for _ in range(20)]
    for sock in socks:
        assert sock.recv(100)
    s3.delete_object(Bucket=bucket, Key="big")
    # What was begun goes on to the end, though the object is gone.
    received = 100
    while received < 32 << 20:
        received += len(socks[0].recv(1 << 20))
    for sock in socks:
        sock.close()
    assert wait_for(lambda: in_flight(server) == 1)


def test_a_client_that_reads_slowly_gets_it_all(server: Any, make_s3: Any, bucket: str):
    s3 = make_s3()
    body = os.urandom(24 << 20)
    s3.put_object(Bucket=bucket, Key="big", Body=body)
    sock = raw_get(server, s3, bucket, "big")
    received = bytearray()
    while len(received) < 4 << 20:
        received += sock.recv(1 << 18)
        time.sleep(0.005)
    time.sleep(0.3)  # the socket is full, and the server waits for it
    while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < len(body):
        received += sock.recv(1 << 20)
    assert bytes(received.partition(b"\r\n\r\n")[2]) == body
    sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    sock.close()


def test_a_client_that_leaves_an_upload_stores_nothing(server: Any, make_s3: Any, bucket: str):
    s3 = make_s3()
    for size in (1000, 8 << 20):
        url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
        target = url.split(str(server.port), 1)[1]
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            sock.sendall(
                f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
                f"Content-Length: {size}\r\n\r\n".encode()
            )
            sock.sendall(bytes(size - 1))
    assert wait_for(lambda: in_flight(server) == 1)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_racing_writers_have_one_winner(server: Any, make_s3: Any, bucket: str):
    outcomes: list[int] = []

    def write(i: int) -> None:
        s3 = make_s3()
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=b"%d" % i, IfNoneMatch="*")
            outcomes.append(200)
        except ClientError as error:
            outcomes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [200] + [412] * 7


def test_a_server_on_a_thread_is_one_process(tmp_path: Path):
    with pytest.raises(UnsupportedError):
        BackgroundServer(root=str(tmp_path), workers=2)
