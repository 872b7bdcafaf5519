"""The switch for signature version 2, and what the access log keeps of its URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from cenote.server import BackgroundServer


def client_of(server: BackgroundServer) -> Any:
    return boto3.client("s3", config=Config(signature_version="s3"), **server.client_arguments())


def test_it_is_taken_unless_refused(tmp_path: Path):
    for given, taken in (({}, True), ({"signature_v2": False}, False)):
        root = tmp_path / str(taken)
        with BackgroundServer(root=str(root), **given) as server, urllib3.PoolManager() as http:
            s3 = client_of(server)
            url = s3.generate_presigned_url("list_buckets")
            if taken:
                assert s3.list_buckets()["Buckets"] == []
                assert http.request("GET", url).status == 200
            else:
                with pytest.raises(ClientError) as refused:
                    s3.list_buckets()
                error = refused.value.response["Error"]
                answer = http.request("GET", url)
                assert (error["Code"], answer.status) == ("InvalidRequest", 400)
                assert "AWS4-HMAC-SHA256" in error["Message"]
                assert error["Message"] in answer.data.decode()
            s3.close()


def test_the_access_log_keeps_no_signature(tmp_path: Path):
    log = tmp_path / "log"
    given = {"root": str(tmp_path / "root"), "access_log": "json", "access_log_file": str(log)}
    with BackgroundServer(**given) as server, urllib3.PoolManager() as http:
        s3 = client_of(server)
        url = s3.generate_presigned_url("list_buckets")
        assert http.request("GET", url).status == 200
        turned = "&".join(reversed(url.partition("?")[2].split("&")))
        assert http.request("GET", f"{server.endpoint}/?{turned}").status == 200
        s3.close()
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "AWSAccessKeyId=" in line
        assert "Signature=-" in line
        assert line.count("Signature=") == 1
