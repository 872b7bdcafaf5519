"""`cenote serve --preset localstack`: what programs written for LocalStack find."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from cenote.cli.configuration import configure
from cenote.errors import InvalidError


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[str]:
    ready = root / "ready"
    command = [sys.executable, "-m", "cenote", "serve", str(root / "data"), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(600):
            if ready.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is None, process.stdout and process.stdout.read()
        yield ready.read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def told(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as reply:
        return json.load(reply)


def refusal(url: str) -> int:
    try:
        told(url)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def client(service: str, endpoint: str, **arguments: Any) -> Any:
    return boto3.client(
        service,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
        **arguments,
    )


def test_the_seat_of_localstack(tmp_path: Path) -> None:
    hooks = tmp_path / "init" / "ready.d"
    hooks.mkdir(parents=True)
    (hooks / "10-bucket.py").write_text(
        "import boto3\nboto3.client('s3').create_bucket(Bucket='by-hook')\n"
    )
    (hooks / "20-mark.sh").write_text(f"echo $AWS_ENDPOINT_URL > {tmp_path / 'mark'}\n")
    (hooks / "30-fails.sh").write_text("exit 3\n")
    (hooks / "40-after.sh").write_text("true\n")
    (hooks / "readme.txt").write_text("no hook\n")
    arguments = ("--preset", "localstack", "--bucket", "seeded", "--init-hooks")
    with serving(tmp_path, *arguments, str(tmp_path / "init")) as endpoint:
        services = told(f"{endpoint}/_localstack/health")["services"]
        assert services == {"s3": "running", "dynamodb": "running", "sts": "running"}
        assert "version" in told(f"{endpoint}/_localstack/info")
        for _ in range(600):
            state = told(f"{endpoint}/_localstack/init/ready")
            if state["completed"]:
                break
            time.sleep(0.05)
        assert [(each["name"], each["state"]) for each in state["scripts"]] == [
            ("10-bucket.py", "SUCCESSFUL"),
            ("20-mark.sh", "SUCCESSFUL"),
            ("30-fails.sh", "ERROR"),
            ("40-after.sh", "SUCCESSFUL"),
        ]
        assert told(f"{endpoint}/_localstack/init")["completed"]["READY"]
        assert refusal(f"{endpoint}/_localstack/cloudwatch") == 404
        assert (tmp_path / "mark").read_text().strip() == endpoint
        names = [each["Name"] for each in client("s3", endpoint).list_buckets()["Buckets"]]
        assert names == ["by-hook", "seeded"]
        assert client("dynamodb", endpoint).list_tables()["TableNames"] == []
        assert client("sts", endpoint).get_caller_identity()["Account"] == "000000000000"


def test_buckets_are_hosts_below_localhost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def all_are_here(host: str, *arguments: Any, **more: Any) -> Any:
        """Do what systems do whose resolver knows names below localhost (RFC 6761)."""
        return resolve("127.0.0.1" if host.endswith("localhost") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", all_are_here)
    with serving(tmp_path, "--preset", "localstack", "--bucket", "photos") as endpoint:
        by_host = client(
            "s3",
            endpoint.replace("127.0.0.1", "localhost"),
            config=Config(s3={"addressing_style": "virtual"}),
        )
        by_host.put_object(Bucket="photos", Key="key", Body=b"body")
        path_style = client("s3", endpoint)
        assert path_style.get_object(Bucket="photos", Key="key")["Body"].read() == b"body"


def test_without_the_preset_there_is_no_seat(tmp_path: Path) -> None:
    with serving(tmp_path) as endpoint:
        assert refusal(f"{endpoint}/_localstack/health") in (403, 404)


def test_a_preset_lies_under_everything_else() -> None:
    environ = {"HOME": "/nowhere", "CENOTE_SECRET_KEY": "by-environment"}
    settings = configure(
        environ, {"access_key": ("by-flag", "--access-key")}, preset="localstack"
    ).resolved.settings
    assert (settings.port, settings.access_key, settings.secret_key) == (
        4566,
        "by-flag",
        "by-environment",
    )
    by_variable = configure({"HOME": "/nowhere", "CENOTE_PRESET": "localstack"}, {})
    assert by_variable.resolved.origins["port"] == "preset localstack"
    with pytest.raises(InvalidError, match="there is no preset 'minio'"):
        configure(environ, {}, preset="minio")


@pytest.mark.parametrize(
    ("variable", "value", "key", "wanted"),
    [
        ("EDGE_PORT", "5000", "port", 5000),
        ("MOTO_PORT", "5001", "port", 5001),
        ("GATEWAY_LISTEN", "0.0.0.0:5002", "host", "0.0.0.0"),
        ("GATEWAY_LISTEN", ":5002", "port", 5002),
        ("DEBUG", "1", "log_level", "debug"),
    ],
)
def test_the_names_others_used_mean_what_they_meant(
    variable: str, value: str, key: str, wanted: Any
) -> None:
    environ = {"HOME": "/nowhere", variable: value}
    found = configure(environ, {}, preset="localstack").resolved
    assert getattr(found.settings, key) == wanted
    assert found.origins[key] == variable
    assert getattr(configure(environ, {}).resolved.settings, key) != wanted


def test_what_cannot_be_followed_is_told() -> None:
    environ = {"HOME": "/nowhere", "PERSISTENCE": "0", "SERVICES": "sqs"}
    notices = configure(environ, {}, preset="localstack").notices
    assert len(notices) == 2
    with pytest.raises(InvalidError, match="GATEWAY_LISTEN"):
        configure({"HOME": "/nowhere", "GATEWAY_LISTEN": "a:1,b:2"}, {}, preset="localstack")
