"""Endpoints and credentials: what is taken, what is refused, who wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenote.client import Access, find_access, parse_endpoint
from cenote.errors import InvalidError, UnsupportedError


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://localhost:9000", "localhost:9000", ""),
        ("http://h", "h", ""),
        ("https://h:443/", "h", ""),
        ("http://h:443", "h:443", ""),
        ("http://[::1]:9000/s3/", "[::1]:9000", "/s3"),
    ],
)
def test_endpoints(url: str, authority: str, path: str) -> None:
    endpoint = parse_endpoint(url)
    assert (endpoint.authority, endpoint.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    ["localhost:9000", "ftp://h", "http://", "http://u:p@h", "http://h/?x", "http://h:x", "", "h"],
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        parse_endpoint(url)


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a/b", "/b/a/b"),
        ("a//b/../c/", "/b/a//b/../c/"),
        ("ä +%2F?#", "/b/%C3%A4%20%2B%252F%3F%23"),
        ("/", "/b//"),
    ],
)
def test_keys_reach_the_target_byte_for_byte(key: str, target: str) -> None:
    assert parse_endpoint("http://h").target("b", key) == target


def files(tmp_path: Path, *, config: str = "", credentials: str = "") -> dict[str, str]:
    (tmp_path / "config").write_text(config)
    (tmp_path / "credentials").write_text(credentials)
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def test_the_environment_is_read_as_aws_tools_do(tmp_path: Path) -> None:
    environ = {
        **files(tmp_path),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "http://general",
        "AWS_ENDPOINT_URL_S3": "http://special",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert find_access(environ) == Access("http://special", "a", "s", "eu-west-1")
    assert find_access(environ, endpoint="http://given").endpoint == "http://given"


def test_a_named_profile_outranks_keys_in_the_environment(tmp_path: Path) -> None:
    environ = {
        **files(
            tmp_path,
            config="[profile p]\nregion = r\nendpoint_url = http://p\n",
            credentials="[p]\naws_access_key_id = pa\naws_secret_access_key = ps\n",
        ),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    assert find_access(environ, profile="p") == Access("http://p", "pa", "ps", "r")
    assert find_access(environ).access_key == "a"


def test_nothing_at_all_is_anonymous(tmp_path: Path) -> None:
    assert find_access(files(tmp_path)) == Access(None, None, None, "us-east-1")


def test_half_a_pair_a_missing_profile_and_tokens_are_refused(tmp_path: Path) -> None:
    environ = files(tmp_path)
    with pytest.raises(InvalidError, match="only one"):
        find_access({**environ, "AWS_ACCESS_KEY_ID": "a"})
    with pytest.raises(InvalidError, match="no profile 'gone'"):
        find_access(environ, profile="gone")
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    with pytest.raises(UnsupportedError):
        find_access({**environ, **keys})
